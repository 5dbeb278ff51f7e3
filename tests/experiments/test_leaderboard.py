"""The leaderboard: our results beside published numbers, its files, its errors, and `make leaderboard`."""

from __future__ import annotations

import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest

from eval.runs import Run
from experiments.leaderboard import SCORES, caveats, cells, leaderboard, main, tables_of
from experiments.plotting.shown import shown_rows
from experiments.published import SCOPES, published_rows
from tests.helpers.made_runs import PICTURES, grid, made_run
from tests.helpers.makefile import line_of

COCO = {"name": "cocostuff27"}
OFFICIAL = 2175  # so the evaluations are partial


@pytest.fixture
def results(tmp_path: Path) -> Run:
    rows = [{"name": name, "official_count": OFFICIAL, "segmenter.mine": name} for name in ("Mine <b>", "DiffSeg")]
    return made_run(tmp_path / "run & results", *rows, dataset=COCO)


@pytest.fixture
def table(results: Run) -> pd.DataFrame:
    return leaderboard(shown_rows([results]))


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


def test_rows_of_fewer_pictures_than_another_row_say_so(tmp_path: Path) -> None:
    runs = [made_run(tmp_path / "all", {}), made_run(tmp_path / "two", {"name": "Two"}, pictures=PICTURES[:2])]
    (rows,) = tables_of(leaderboard(shown_rows(runs))).values()
    images = dict(zip(rows["method"], cells(rows)["", "images"], strict=True))
    assert images == {"DiffSeg": "4", "Two": "2 (another row: 4)"}
    assert caveats(rows) == ["These rows were evaluated on different numbers of images; compare them with care."]


def test_only_columns_with_values_are_shown_and_partial_rows_are_named(table: pd.DataFrame) -> None:
    assert ("per image", "mIoU present") in cells(table)
    texts = {
        heading if group in ("", "per image") else group: column for (group, heading), column in cells(table).items()
    }
    assert {len(column) for column in texts.values()} == {len(table)}
    place = texts["method"].index("Mine <b>")
    assert texts["images"][place] == f"{len(PICTURES)} of {OFFICIAL:,}"
    assert "[" in texts["ACC"][place]
    (sentence,) = caveats(table)
    assert all(name in sentence for name in ("only a part of the images", "Mine <b>", "DiffSeg"))
    ours = table[table["results"] != ""]
    assert caveats(ours) == []
    assert ("named", "mIoU") in cells(table)
    assert ("named", "mIoU") not in cells(ours)


def test_rows_of_a_sweep_have_their_settings_in_their_names(tmp_path: Path) -> None:
    table = leaderboard(shown_rows([made_run(tmp_path, *grid(segmenter__tau=(0.3, 0.4)))]))
    assert sorted(table["method"]) == ["DiffSeg, tau=0.3", "DiffSeg, tau=0.4"]


@pytest.mark.parametrize(
    ("given", "folders"),
    [
        ("results/a results/b", ["results/a", "results/b"]),
        ("my run", ["my run"]),
        ("'my run' results/b", ["my run", "results/b"]),
        ("Jürgen's (2)", ["Jürgen's (2)"]),
    ],
)
def test_make_passes_on_each_folder(given: str, folders: list[str], tmp_path: Path) -> None:
    for name in ("my run", "results/a", "results/b", "Jürgen's (2)"):
        (tmp_path / name).mkdir(parents=True)
    line = line_of("leaderboard", f"RESULTS={given}", "PY=printf '%s\\n'")
    done = subprocess.run(["sh", "-c", line], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["-m", "experiments.leaderboard", *folders]


class Texts(HTMLParser):
    """All text of a page, and the number of its scripts."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.scripts = 0

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.scripts += tag == "script"


def test_the_command_writes_four_files_that_say_the_same(
    results: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert main([str(results.folder), "-o", str(out)]) == 0
    text = (out / "leaderboard.md").read_text()
    assert text in capsys.readouterr().out
    assert "4 of 2,175" in text
    table = pd.read_csv(out / "leaderboard.csv")
    (mine,) = table[table["method"] == "Mine <b>"].to_dict("records")
    assert r"run \& results" in (out / "leaderboard.tex").read_text()
    page = Texts()
    page.feed((out / "leaderboard.html").read_text())
    assert "Mine <b>" in page.texts
    assert page.scripts == 1
    assert f"[{mine['image_acc_low']:.1f},\u00a0{mine['image_acc_high']:.1f}]" in "".join(page.texts)
    assert f"[{mine['image_acc_low']:.1f}, {mine['image_acc_high']:.1f}]" in text
