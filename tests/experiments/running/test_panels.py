"""The legend of the panels says what every colour in them means."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from datasets.base import VOID
from datasets.photos import Photos
from diffseg.legend import legend
from experiments.running import panels
from tests.helpers.runs import evaluate

PICTURE = "chelsea"  # two classes, and pixels that are not scored


@pytest.mark.parametrize("extra", [0, 1])
def test_the_legend_names_the_classes_and_the_colours_of_no_class(
    extra: int, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
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
    run = evaluate(tmp_path / "run", "backbone=none", "backbone.size=64", "panels=1", *files, capture=capsys)
    assert run.status == 0, run.err
    classes = [data.classes[label] for label in np.unique(truth[truth != VOID])]
    assert {tuple(name for name, _ in names) for names in drawn} == {(*classes, *["other colours: no class"] * extra)}
