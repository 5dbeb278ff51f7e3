"""Panels: a tile for each row and picture, and a legend that says what every colour means."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datasets.base import VOID
from datasets.photos import Photos
from diffseg.pictures import contact_sheet, legend
from experiments.running import panels
from tests.helpers.folder_rows import folder_overrides
from tests.helpers.runs import SMALL, evaluate

PICTURE = "chelsea"  # two classes, and pixels that are not scored


@pytest.mark.parametrize("extra", [0, 1])
def test_the_legend_names_the_classes_and_the_hatching_of_no_class(
    extra: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = []
    monkeypatch.setattr(panels, "legend", lambda names, *rest: drawn.append(names) or legend(names, *rest))
    data = Photos()
    truth = data.load(PICTURE).label
    labels = np.where(truth == VOID, truth[truth != VOID][0], truth)
    labels[: 100 * extra] = 200  # a segment too many: no class is left for one of the three
    (tmp_path / "maps").mkdir()
    np.save(tmp_path / "maps" / f"{PICTURE}.npy", labels)
    (tmp_path / "ids.txt").write_text(PICTURE)
    files = ("segmenter=files", f"segmenter.folder={tmp_path / 'maps'}", f"dataset.split_file={tmp_path / 'ids.txt'}")
    run = evaluate(tmp_path / "run", "backbone=none", "backbone.size=64", "panels=1", *files)
    assert run.status == 0, run.err
    classes = [data.classes[label] for label in np.unique(truth[truth != VOID])]
    assert {tuple(name for name, _ in names) for names in drawn} == {(*classes, *["hatched grey: no class"] * extra)}


@pytest.mark.usefixtures("dinov2")
def test_rows_share_a_tile_only_if_they_differ_in_the_seed_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    captions: list[list[str]] = []

    def drawing(rows: list[list[tuple[str, np.ndarray]]], width: int) -> np.ndarray:
        captions.append([caption.split(": ACC")[0] for row in rows for caption, _ in row])
        return contact_sheet(rows, width)

    monkeypatch.setattr(panels, "contact_sheet", drawing)
    rows = (
        "rows=[{name: A, overrides: ['segmenter=diffseg', 'segmenter.tau=0.3,0.4']},"
        " {name: B, overrides: ['segmenter=kmeans_c', 'segmenter.seed=0,1']}]"
    )
    run = evaluate(tmp_path / "run", rows, "dataset.limit=1", "panels=1", *SMALL)
    assert run.status == 0, run.err
    assert captions == [["astronaut", "ground truth", "A, tau=0.3", "A, tau=0.4", "B"]] * 2


def test_a_picture_called_overview_keeps_its_panel(tmp_path: Path) -> None:
    data = folder_overrides(tmp_path / "data", ("overview", "other"))
    run = evaluate(tmp_path / "run", *data, "segmenter=kmeans_rgbxy", "panels=2")
    assert run.status == 0, run.err
    drawn = {path.name: Image.open(path).size for path in (run.folder / "panels").iterdir()}
    assert drawn.keys() == {"overview.png", "overview_2.png", "other.png"}
    assert drawn["overview_2.png"] == drawn["other.png"] != drawn["overview.png"]
    assert f"pictures: {run.folder}/panels/overview.png and 2 more" in run.out
