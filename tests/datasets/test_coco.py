"""Labels of COCO val2017: from the stuffthingmaps, or painted from COCO's annotations."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from datasets.base import VOID
from datasets.cocostuff27 import CocoStuff27
from tests.helpers.coco_folder import (
    HEIGHT,
    IDS,
    STUFF,
    THINGS,
    WIDTH,
    image_of,
    label_of,
    packed,
    write_annotations,
    write_folder,
)
from tests.helpers.dataset_failure import failure


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "coco")


def test_painted_labels_equal_a_loop(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_annotations(root)
    dataset = CocoStuff27(root=str(root), labels="json")
    assert dataset.label_source == "json"
    fine = np.full((HEIGHT, WIDTH), -1)
    layers = [entry for entry in STUFF if entry[0] != 183]
    layers += sorted(THINGS, key=lambda entry: -(entry[3] - entry[1]) * (entry[4] - entry[2]))
    for category, top, left, bottom, right in layers:
        for row in range(top, bottom):
            for column in range(left, right):
                fine[row, column] = category - 1
    table = dataset.table.label_of
    expected = np.vectorize(lambda value: table.get(value, VOID))(fine)
    assert len(np.unique(expected)) == 7  # six classes and void
    np.testing.assert_array_equal(dataset.load(IDS[1]).label, expected)
    assert capsys.readouterr().out == ""
    assert "no pixel" in failure(dataset, IDS[0])


def test_painted_labels_equal_the_maps_of_real_pictures(shared: Path, tmp_path: Path) -> None:
    """The real label maps, cut into stuff and things as COCO's files hold them, come back unchanged."""
    source = shared / "data" / "cocostuff"
    (tmp_path / "val2017").symlink_to(source / "val2017")
    (tmp_path / "annotations").mkdir()
    maps = CocoStuff27(root=str(source))
    content: dict[str, dict[str, list[Any]]] = {
        name: {"images": [], "annotations": []} for name in ("stuff", "instances")
    }
    for id in maps.ids:
        fine = np.asarray(Image.open(label_of(source, id)))
        for part in content.values():
            height, width = fine.shape
            part["images"].append({"id": int(id), "file_name": f"{id}.jpg", "height": height, "width": width})
        for value in np.unique(fine[fine < 255]).tolist():
            region = packed(np.asfortranarray(fine == value, np.uint8))
            entry = {"image_id": int(id), "category_id": value + 1, "segmentation": region}
            content["stuff" if value > 90 else "instances"]["annotations"].append(entry)
    for name, part in content.items():
        (tmp_path / "annotations" / f"{name}_val2017.json").write_text(json.dumps(part))
    painted = CocoStuff27(root=str(tmp_path))
    assert painted.label_source == "json"
    for id in maps.ids:
        np.testing.assert_array_equal(painted.load(id).label, maps.load(id).label)


def test_the_state_follows_the_files_of_a_picture(root: Path) -> None:
    write_annotations(root)
    labelled, painted = CocoStuff27(root=str(root), labels="png"), CocoStuff27(root=str(root), labels="json")

    def states(dataset: CocoStuff27) -> list[str]:
        return [dataset.state(id) for id in IDS]

    for file in (image_of(root, IDS[2]), label_of(root, IDS[2])):
        first = states(labelled)
        file.write_bytes(file.read_bytes() + b"\0")
        assert [before == after for before, after in zip(first, states(labelled), strict=True)] == [True, True, False]
    for file in (root / "annotations").iterdir():
        first = states(painted)
        file.write_text(file.read_text() + " ")
        assert not set(first) & set(states(painted))
