"""The leaderboard: our results beside published numbers, each scope in its own columns."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import pytest

from experiments.paper.leaderboard import SCORES, caveats, cells, leaderboard, shown_columns
from experiments.paper.published import SCOPES, published_rows
from tests.helpers.measured_run import write_measured_run


@pytest.fixture
def results(tmp_path: Path) -> Path:
    return write_measured_run(tmp_path / "run & results")


def test_scopes_never_share_a_column(results: Path) -> None:
    table = leaderboard([results])
    published = table[table["results"] == ""].merge(
        published_rows("cocostuff27"), on=["method", "backbone", "resolution"]
    )
    assert len(published) == len(published_rows("cocostuff27"))
    groups = {group: [name for name in SCORES if SCORES[name][0] == group] for group in (*SCOPES, "none")}
    for _, row in published.iterrows():
        filled = {group for group, names in groups.items() if row[names].notna().any()}
        assert filled == {row["scope"]}
    ours = table[table["results"] != ""]
    assert ours[groups["image"]].notna().all(axis=None)
    assert ours[[*groups["dataset"], *groups["named"]]].isna().all(axis=None)


def test_rows_are_ranked_within_their_scope(results: Path) -> None:
    table = leaderboard([results])
    names = [("image_miou", "per image"), ("dataset_miou", "data set"), ("named_miou", "named")]
    places = []
    for column, _ in names:
        scored = table[table[column].notna()]
        assert scored[column].is_monotonic_decreasing
        places += list(scored.index)
    assert places == list(range(len(table)))
    assert list(table["method"][:2]) == ["Falcon, PAMR", "Mine <b>"]


def test_a_data_set_without_published_numbers_stands_alone(results: Path) -> None:
    summary = pd.read_csv(results / "summary.csv")
    summary.assign(dataset="photos").to_csv(results / "summary.csv", index=False)
    (results / "config.yaml").unlink()
    table = leaderboard([results])
    assert set(table["dataset"]) == {"photos"}
    assert table["official_images"].isna().all()


def test_label_maps_of_other_programs_are_told_apart(results: Path, tmp_path: Path) -> None:
    folders = [results]
    for number, (run, maps) in enumerate((("run", "out/net_a"), ("run", "net_b"), ("MyNet", "net_c"))):
        folders.append(tmp_path / str(number))
        shutil.copytree(results, folders[-1])
        for name in ("summary", "per_class", "per_image"):
            table = pd.read_csv(folders[-1] / f"{name}.csv")
            table = table[table["row"] == "DiffSeg"].assign(row="files")
            if name == "summary":
                table = table.assign(experiment=run, segmenter="files", folder=maps)
            table.to_csv(folders[-1] / f"{name}.csv", index=False)
    table = leaderboard(folders)
    assert set(table[table["results"] != ""]["method"]) == {
        *("DiffSeg", "Mine <b>"),
        *("files, net_a", "files, net_b", "files, MyNet"),
    }


def test_cells_are_texts_of_the_scores_that_a_row_has(results: Path) -> None:
    table = leaderboard([results])
    shown = cells(table)
    assert list(shown)[:5] == ["method", "backbone", "px", "per image: ACC", "per image: mIoU official"]
    assert not any(heading in shown for heading in ("ARI", "VoI (bits)"))  # no row has them
    assert "ari" not in shown_columns(table)
    first = {heading: texts[shown["method"].index("Mine <b>")] for heading, texts in shown.items()}
    assert first["per image: mIoU official"] == "50.0 [25.0, 35.0]"
    assert first["data set: mIoU"] == ""
    assert first["images"] == "13 of 2,175"
    assert first["from"] == str(results)
    assert all("(" in text for text in shown["from"] if text != str(results))  # paper and source


def test_a_part_of_the_images_is_not_comparable(results: Path) -> None:
    table = leaderboard([results])
    assert caveats(table) == [
        "Not comparable with the published numbers, because only a part of the images was evaluated: Mine <b>, DiffSeg."
    ]
    assert caveats(table[table["results"] != ""]) == []  # nothing to compare with
    assert caveats(table.assign(images=2175)) == []
