"""The command that chooses scale parameters: scores of all pictures, ties, ends of a grid, and two data sets."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from eval.config import ConfigError
from eval.counts import Counts
from eval.metrics import mean_iou
from eval.runs import read_runs
from experiments.tune import Curve, beyond, curves, main
from tests.helpers.made_runs import CLASSES, made_run

TAUS = (0.1, 0.2, 0.4)
METHODS = [{"name": "DiffSeg", "segmenter.tau": tau} for tau in TAUS] + [{"name": "AutoSC", "segmenter.name": "autosc"}]


def tuned_on(folder: Path, dataset: str, seed: int, methods: Any = METHODS) -> Path:
    """Two splits in one folder, as of ``-m dataset.split=train,val``."""
    for split, pictures in (("train", ("a", "b", "c")), ("val", ("d", "e"))):
        facts = {"name": dataset, "fingerprint": split, "label_source": split}
        made_run(folder / dataset, *methods, pictures=pictures, dataset=facts, seed=seed)
        seed += 1
    return folder / dataset


def naive_scores(folder: Path) -> dict[float, float]:
    """tau -> mIoU present over the pictures of both splits."""
    totals: dict[float, Counts] = {}
    (run,) = read_runs(folder)
    for row in run.rows:
        tau = row.settings["segmenter"].get("tau", -1)
        totals[tau] = sum(row.counts("present"), totals.get(tau, Counts.zeros(len(CLASSES))))
    return {tau: 100 * mean_iou(total) for tau, total in totals.items()}


def test_the_winner_counts_the_pictures_of_all_splits_and_loses_elsewhere(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = [tuned_on(tmp_path, "camvid", 3), tuned_on(tmp_path, "photos", 8)]
    scores = [naive_scores(folder) for folder in folders]
    best = [max(TAUS, key=of.__getitem__) for of in scores]
    assert best[0] != best[1]  # else nothing is lost
    assert main([*map(str, folders), "-o", str(tmp_path / "out")]) == 0
    table = pd.read_csv(tmp_path / "out" / "tuned.csv").set_index(["dataset", "method"])
    for name, other, own in (("camvid", "photos", 0), ("photos", "camvid", 1)):
        line = table.loc[name, "DiffSeg"]
        assert (line["parameter"], line["value"], line["points"], line["images"]) == ("segmenter.tau", best[own], 3, 5)
        assert line["score"] == pytest.approx(scores[own][best[own]], abs=1e-4)
        assert line[f"value_{other}"] == best[1 - own]
        assert line[f"lost_{other}"] == pytest.approx(scores[own][best[own]] - scores[own][best[1 - own]], abs=1e-4)
        automatic = table.loc[name, "AutoSC"]
        assert automatic["score"] == pytest.approx(scores[own][-1], abs=1e-4)
        assert automatic[["parameter", "value", f"lost_{other}"]].isna().all()
    said = capsys.readouterr().out
    assert [f"DiffSeg on {name}: " in said for name in ("camvid", "photos")] == [tau in (0.1, 0.4) for tau in best]
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        *("tuned.csv", "tuning.png", "tuning.pdf", "chosen.png", "chosen.pdf")
    }


def test_rows_of_one_name_that_differ_in_two_numbers_are_refused(tmp_path: Path) -> None:
    grid = [
        {"name": "DiffSeg", "segmenter.tau": tau, "segmenter.anchors": anchors} for tau in TAUS for anchors in (8, 16)
    ]
    with pytest.raises(ConfigError, match=r"^DiffSeg: several rows have segmenter\.tau=0\.1 for [ad]; "):
        curves(read_runs(tuned_on(tmp_path, "camvid", 0, grid)))


def test_pictures_that_some_rows_lack_do_not_count(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made_run(tmp_path, *METHODS, pictures=("a", "b", "c"))
    made_run(tmp_path, *METHODS[:1], pictures=("a", "b", "c", "d"))
    assert {len(row.records) for curve in curves(read_runs(tmp_path)) for row in curve.rows} == {3}
    assert "1 of 4 pictures are not in all rows" in capsys.readouterr().err


def curve(values: Sequence[float], scores: Sequence[float], segments: Sequence[float]) -> Curve:
    return Curve("camvid", "NCut", "segmenter.tau", values, scores, segments, [])


def test_of_equal_scores_the_one_with_fewer_segments_wins() -> None:
    assert curve([1, 2, 3, 4], [5, 7, 7, 7], [9, 8, 6, 6]).best == 2


def test_a_winner_at_an_end_is_said() -> None:
    assert curve([1, 2, 4], [5, 7, 6], [1, 1, 1]).at_an_end() == ""
    line = curve([1, 2, 4], [5, 6, 7], [1, 1, 1]).at_an_end()
    assert line == "NCut on camvid: 4 is the largest of its 3 values; widen the grid once: segmenter.tau=8,16,32,64"
    wide = list(range(1, 14))
    assert curve(wide, [-value for value in wide], wide).at_an_end().endswith("13 values, after the grid was widened")


def test_a_grid_goes_on_with_its_own_steps() -> None:
    grid = np.geomspace(0.01, 2, 20).tolist()
    assert beyond(grid[4:], low=True) == pytest.approx(grid[:4])
    assert beyond(grid[:-4], low=False) == pytest.approx(grid[-4:])
    similarities = [1 - value for value in grid[14::-1]]
    assert beyond(similarities[:-4], low=False) == pytest.approx(similarities[-4:])
    assert beyond(similarities[4:], low=True) == pytest.approx(similarities[:4])
    assert beyond([4, 8, 16], low=True) == [1, 2]
