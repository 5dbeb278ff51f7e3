"""Labels of COCO val2017: from the stuffthingmaps, or painted from COCO's annotations."""

from __future__ import annotations

import json
import shutil
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


def test_auto_uses_the_maps_if_they_are_there(root: Path) -> None:
    write_annotations(root)
    assert CocoStuff27(root=str(root)).label_source == "stuffthingmaps"
    shutil.rmtree(root / "stuffthingmaps")
    dataset = CocoStuff27(root=str(root))
    assert dataset.label_source == "json"
    assert dataset.ids == IDS
    dataset.load(IDS[1])


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


def test_bad_annotations_are_named(root: Path) -> None:
    path = root / "annotations" / "instances_val2017.json"
    write_annotations(root)
    good = json.loads(path.read_text())

    def failure_with(content: str) -> str:
        path.write_text(content)
        message = failure(CocoStuff27(root=str(root), labels="json"), IDS[1])
        assert str(path) in message
        return message

    def changed(**keys: Any) -> str:
        return json.dumps({**good, "annotations": [{**good["annotations"][0], **keys}]})

    failure_with(json.dumps(good)[:-20])
    failure_with(json.dumps({"captions": []}))
    failure_with("[]")
    failure_with(json.dumps({**good, "annotations": [{"image_id": int(IDS[1]), "caption": "a cat"}]}))
    failure_with(json.dumps({**good, "images": good["images"][:1]}))
    for category in (0, 184, -3):
        assert f"unknown category id {category}" in failure_with(changed(category_id=category))
    failure_with(changed(segmentation=packed(np.asfortranarray(np.ones((5, 6), np.uint8)))))

    # The label map has the size that the file gives, so it does not fit the picture.
    (root / "annotations" / "stuff_val2017.json").write_text(json.dumps({**good, "annotations": []}))
    small = [{**image, "height": 5} for image in good["images"]]
    assert str(image_of(root, IDS[1])) in failure_with(json.dumps({"images": small, "annotations": []}))


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
