"""The rows that plots and pages show: names, settings, groups, order."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from eval.config import ConfigError
from experiments.compare.comparing import find_row
from experiments.plotting import shown
from experiments.plotting.shown import MOST_ROWS, ShownRow, shown_rows
from tests.helpers.made_runs import grid, made_run


def rows_of(folder: Path, *settings: Mapping[str, Any], **options: Any) -> list[ShownRow]:
    return shown_rows([made_run(folder, *settings, **options)])


def test_settings_are_values_and_scores_are_those_of_the_table(tmp_path: Path) -> None:
    run = made_run(tmp_path, *grid(segmenter__tau=(0.5, 10.0), segmenter__mine=([1, 2],)))
    first, second = shown_rows([run])
    assert (first.name, second.name) == ("DiffSeg, tau=0.5", "DiffSeg, tau=10")
    assert (first.settings["tau"], first.settings["mine"], first.settings["size"]) == (0.5, (1, 2), 448)
    assert "clusters" not in first.settings
    assert first.text("mine") == "[1,2]"
    line = run.table().query("number == 1 and protocol == 'present'").iloc[0]
    assert second.estimate("present", "miou") == (line["miou"], line["miou_low"], line["miou_high"])
    assert np.isnan(second.score("dataset", "miou"))


def test_a_row_in_two_folders_is_shown_once_unless_its_pictures_differ(tmp_path: Path) -> None:
    runs = [made_run(tmp_path / name, {"segmenter.tau": 0.5}) for name in ("one", "two")]
    assert [row.name for row in shown_rows(runs)] == ["DiffSeg"]
    runs.append(made_run(tmp_path / "three", {"segmenter.tau": 0.5}, pictures=("a", "b")))
    assert [row.name for row in shown_rows(runs)] == [f"DiffSeg ({tmp_path / name})" for name in ("one", "three")]


def test_the_name_of_an_experiment_does_not_hide_a_setting(tmp_path: Path) -> None:
    runs = [made_run(tmp_path / f"{tau}", {"segmenter.tau": tau}, experiment=f"run {tau}") for tau in (0.5, 0.9)]
    assert [row.name for row in shown_rows(runs)] == ["DiffSeg, tau=0.5", "DiffSeg, tau=0.9"]


def test_settings_that_follow_from_others_are_not_swept(tmp_path: Path) -> None:
    settings = [
        {**each, "backbone.sides": [each["backbone.size"] // 14], "name": "A"}
        for each in grid(backbone__size=(448, 896), segmenter__tau=(0.5, 0.9))
    ]
    settings.append({"name": "B", "segmenter.name": "kmeans_c", "segmenter.clusters": 6})
    rows = rows_of(tmp_path, *settings)
    assert shown.swept(rows) == ["size", "segmenter", "tau"]
    assert shown.axis_settings(rows) == ["size", "tau"]


def test_only_rows_that_differ_in_nothing_else_are_compared(tmp_path: Path) -> None:
    """Rows as in an audit, each with one changed choice: a choice is compared only with the default row."""
    default = {"aggregation.scheme": "official", "segmenter.rule": "official"}
    rows = rows_of(
        tmp_path, default, {**default, "aggregation.scheme": "paper"}, {**default, "segmenter.rule": "paper"}
    )
    kept = shown.comparable(rows, "scheme")
    assert {(row.settings["scheme"], row.settings["rule"]) for row in kept} == {
        ("official", "official"),
        ("paper", "official"),
    }


def test_the_last_protocol_of_this_project_ranks_the_rows(tmp_path: Path) -> None:
    rows = rows_of(tmp_path, *grid(segmenter__tau=(0.5, 0.7, 0.9)), protocols=("dataset", "present", "official"))
    assert shown.protocols_of(rows) == ["official", "present", "dataset"]
    assert shown.criterion(rows) == "mIoU dataset"
    order = shown.ranked(rows)
    assert [row.score("dataset", "miou") for row in order] == sorted(
        (row.score("dataset", "miou") for row in rows), reverse=True
    )
    other = rows_of(tmp_path / "other", {"segmenter.tau": 2}, protocols=("official",))
    assert shown.protocols_of([*rows, *other]) == ["official"]
    with pytest.raises(ConfigError, match="no protocol"):
        shown.protocols_of([*rows_of(tmp_path / "third", {"segmenter.tau": 3}, protocols=("present",)), *other])


def test_an_unknown_row_is_named_and_only_the_best_of_many_are_shown(tmp_path: Path) -> None:
    rows = rows_of(tmp_path, *grid(segmenter__tau=range(1, MOST_ROWS + 3)), pictures=("a", "b"))
    assert find_row(rows, "DiffSeg, tau=22") is rows[-1]
    with pytest.raises(ConfigError, match=r"^x: no such row; choose from: DiffSeg, tau=1; .*tau=20 and 2 more$"):
        find_row(rows, "x", "")
    best, note = shown.most(rows)
    assert (best, note) == (shown.ranked(rows)[:MOST_ROWS], f"the {MOST_ROWS} best of 22 rows by mIoU present")
    assert shown.most(rows[:3]) == (rows[:3], "")


def test_seeds_are_averaged_by_their_settings_not_by_their_names(tmp_path: Path) -> None:
    seeds = grid(name=("seed=1, mine",), segmenter__seed=(0, 1))
    rows = rows_of(tmp_path, *seeds, {"name": "other", "segmenter.name": "x"})
    merged, other = shown.seeds_together(rows)
    assert (merged.name, other.name) == ("seed=1, mine", "other")
    assert merged.score("official", "acc") == pytest.approx(np.mean([row.score("official", "acc") for row in rows[:2]]))
    assert merged.seeds == tuple(rows[:2])
    assert "seed" not in merged.settings


def test_rows_of_other_data_and_frames_are_apart(tmp_path: Path) -> None:
    runs = [
        made_run(tmp_path / "one", {}, {"scoring.frame": "whole"}),
        made_run(tmp_path / "two", {}, dataset={"name": "camvid"}),
    ]
    groups = shown.by_dataset(shown_rows(runs))
    assert list(groups) == [("photos", "square"), ("photos", "whole"), ("camvid", "square")]
    assert shown.describe_data(groups["camvid", "square"]) == "camvid, dinov2_small, 4 images"


def test_numbers_are_sorted_and_texts_keep_their_order() -> None:
    assert shown.sorted_values([10, 9, 0.5, 9]) == [0.5, 9, 10]
    assert shown.sorted_values([10, "half", 9]) == [10, "half", 9]
    assert shown.sorted_values([]) == []
