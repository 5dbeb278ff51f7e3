"""The leaderboard: our results beside published numbers, each scope in its own columns."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from experiments.paper.leaderboard import SCORES, caveats, cells, is_small, leaderboard, shown_columns, tables_of
from experiments.paper.published import SCOPES, published_rows
from experiments.plotting.shown import shown_rows
from tests.helpers.made_runs import PICTURES, grid, made_run

COCO = {"name": "cocostuff27"}
OFFICIAL = len(PICTURES) + 2  # a partial evaluation


@pytest.fixture
def table(tmp_path: Path) -> pd.DataFrame:
    rows = [{"name": name, "official_count": OFFICIAL, "segmenter.mine": name} for name in ("Mine <b>", "DiffSeg")]
    return leaderboard(shown_rows([made_run(tmp_path / "run & results", *rows, dataset=COCO)]))


def test_scopes_never_share_a_column(table: pd.DataFrame) -> None:
    published = table[table["results"] == ""].merge(
        published_rows("cocostuff27"), on=["method", "backbone", "resolution"]
    )
    assert len(published) == len(published_rows("cocostuff27"))
    groups = {group: [name for name in SCORES if SCORES[name][0] == group] for group in (*SCOPES, "none")}
    for _, row in published.iterrows():
        assert {group for group, names in groups.items() if row[names].notna().any()} == {row["scope"]}
    ours = table[table["results"] != ""]
    assert ours[groups["image"]].notna().all(axis=None)
    assert ours[[*groups["dataset"], *groups["named"]]].isna().all(axis=None)


def test_rows_are_ranked_within_their_scope(table: pd.DataFrame) -> None:
    places = []
    for column in ("image_miou", "dataset_miou", "named_miou"):
        scored = table[table[column].notna()]
        assert scored[column].is_monotonic_decreasing
        places += list(scored.index)
    assert places == list(range(len(table)))


def test_scores_are_those_of_the_rows_and_dataset_all_stands_beside_published_rows(tmp_path: Path) -> None:
    (row,) = shown_rows([made_run(tmp_path, {}, dataset=COCO, protocols=("dataset", "dataset_all"))])
    ours = leaderboard([row]).query("results != ''").iloc[0]
    assert tuple(ours[["dataset_miou", "dataset_miou_low", "dataset_miou_high"]]) == row.estimate("dataset_all", "miou")
    assert ours["ari"] == row.score("dataset", "ari")
    assert pd.isna(ours["image_acc"])


def test_data_sets_and_frames_without_published_numbers_stand_alone(tmp_path: Path) -> None:
    runs = [
        made_run(tmp_path / "one", {}, {"scoring.frame": "whole"}, dataset={"name": "photos"}),
        made_run(tmp_path / "two", {"scoring.frame": "whole"}, dataset=COCO),
    ]
    table = leaderboard(shown_rows(runs))
    assert list(tables_of(table)) == ["photos", "photos, whole frame", "cocostuff27, whole frame"]
    assert (table["source"] == "").all()
    assert table["official_images"].isna().all()


def test_label_maps_of_other_programs_are_told_apart(tmp_path: Path) -> None:
    def methods(folder: Path, *maps: str) -> list[str]:
        files = {"name": "files", "segmenter.name": "files", "segmenter.reads_files": True}
        run = made_run(folder, *[{**files, "segmenter.folder": name} for name in maps])
        return sorted(leaderboard(shown_rows([run]))["method"])

    assert methods(tmp_path / "one", "out/net_a", "net_b") == ["files, folder=net_b", "files, folder=out/net_a"]
    assert methods(tmp_path / "two", "out/net_a") == ["files, made"]  # the name of the experiment


def test_small_sets_stand_apart_from_complete_rows(tmp_path: Path) -> None:
    few = made_run(tmp_path / "few", {"official_count": OFFICIAL}, dataset=COCO)
    whole = made_run(tmp_path / "whole", {"name": "All", "segmenter.x": 1, "official_count": 4}, dataset=COCO)
    table = leaderboard(shown_rows([few, whole]))
    tables = tables_of(table)
    assert list(tables) == ["cocostuff27", "cocostuff27, small sets"]
    assert list(tables["cocostuff27, small sets"]["method"]) == ["DiffSeg"]
    assert "All" in set(tables["cocostuff27"]["method"])
    assert not is_small(tables["cocostuff27"].iloc[0])


def test_only_columns_with_values_are_shown_and_partial_rows_are_named(table: pd.DataFrame) -> None:
    assert "present_miou" in shown_columns(table)
    texts = cells(table)
    assert {len(column) for column in texts.values()} == {len(table)}
    place = texts["method"].index("Mine <b>")
    assert texts["images"][place] == f"{len(PICTURES)} of {OFFICIAL}"
    assert "[" in texts["per image: ACC"][place]
    (sentence,) = caveats(table)
    assert all(name in sentence for name in ("only a part of the images", "Mine <b>", "DiffSeg"))
    ours = table[table["results"] != ""]
    assert caveats(ours) == []
    assert "named_miou" not in shown_columns(ours)


def test_rows_of_a_sweep_have_their_settings_in_their_names(tmp_path: Path) -> None:
    table = leaderboard(shown_rows([made_run(tmp_path, *grid(segmenter__tau=(0.3, 0.4)))]))
    assert sorted(table["method"]) == ["DiffSeg, tau=0.3", "DiffSeg, tau=0.4"]
