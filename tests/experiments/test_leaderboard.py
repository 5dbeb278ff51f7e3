"""The leaderboard: our results beside published numbers, each scope in its own columns."""

from __future__ import annotations

import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest

from eval.results.columns import PER_CLASS, PER_IMAGE, SUMMARY
from experiments.leaderboard import main
from experiments.paper.leaderboard import SCORES, leaderboard
from experiments.paper.published import FOLDER, SCOPES, published_rows
from tests.helpers.makefile import line_of

INTERVAL = {"acc": 60, "acc_low": 55, "acc_high": 65, "miou": 30, "miou_low": 25, "miou_high": 35}


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Tables of a run of two methods on 13 images of COCO-Stuff-27, scores official and present."""
    folder = tmp_path / "run & results"
    folder.mkdir()
    methods = {"DiffSeg": 44.0, "Mine <b>": 50.0}
    common = {"experiment": "run", "dataset": "cocostuff27", "backbone": "sd14", "size": 512, "images": 13, "failed": 0}
    summary = [
        {**common, **INTERVAL, "number": number, "row": method, "segmenter": method, "protocol": protocol, "miou": miou}
        for number, (method, miou) in enumerate(methods.items())
        for protocol in ("official", "present")
    ]
    pd.DataFrame(summary, columns=SUMMARY).to_csv(folder / "summary.csv", index=False)
    for name, columns in {"per_class": PER_CLASS, "per_image": PER_IMAGE}.items():
        rows = [{key: row[key] for key in ("number", "row", "protocol")} for row in summary]
        pd.DataFrame(rows, columns=columns).to_csv(folder / f"{name}.csv", index=False)
    (folder / "config.yaml").write_text(
        "dataset: {_target_: datasets.cocostuff27.CocoStuff27, root: null, split_file: null, limit: null}\n"
    )
    return folder


def test_every_published_row_names_paper_source_and_scope() -> None:
    files = [pd.read_csv(path) for path in FOLDER.glob("*.csv")]
    rows = pd.concat(files, ignore_index=True)
    assert rows[["method", "dataset", "scope", "paper", "source"]].notna().all(axis=None)
    assert set(rows["scope"]) == set(SCOPES)
    assert rows["miou"].between(0, 100).all()
    assert (rows["dataset"].isin(["cocostuff27", "cityscapes27"])).all()
    assert not rows.duplicated(["dataset", "method", "resolution", "backbone"]).any()


def test_published_rows_are_those_of_the_data_set() -> None:
    rows = published_rows("cocostuff27").set_index(["method", "backbone", "resolution"])
    assert rows.loc[("DiffSeg", "Stable Diffusion v1.4", "512"), "miou"] == 43.6
    assert rows.loc[("CAUSE-TR", "DINOv2 ViT-B/14", ""), "scope"] == "dataset"
    assert published_rows("photos").empty


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
    assert list(table["method"][:2]) == ["Mine <b>", "DiffCut, PAMR"]


def test_a_data_set_without_published_numbers_stands_alone(results: Path) -> None:
    summary = pd.read_csv(results / "summary.csv")
    summary.assign(dataset="photos").to_csv(results / "summary.csv", index=False)
    (results / "config.yaml").unlink()
    table = leaderboard([results])
    assert set(table["dataset"]) == {"photos"}
    assert table["official_images"].isna().all()


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


class Texts(HTMLParser):
    """All text of a page, and the names of its tags."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.tags: set[str] = set()

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.add(tag)


def test_the_command_writes_four_files_that_say_the_same(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert main([str(results), "-o", str(out)]) == 0
    text = (out / "leaderboard.md").read_text()
    assert text in capsys.readouterr().out
    assert "13 of 2,175" in text
    assert "because only a part of the images was evaluated: Mine <b>, DiffSeg" in text
    assert len(pd.read_csv(out / "leaderboard.csv")) == len(leaderboard([results]))
    assert r"run \& results" in (out / "leaderboard.tex").read_text()
    page = Texts()
    page.feed((out / "leaderboard.html").read_text())
    assert "Mine <b>" in page.texts
    assert not {"b", "script"} & page.tags
    assert "[25.0, 35.0]" in page.texts


def test_a_folder_without_results_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path), "-o", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err.startswith(f"leaderboard: {tmp_path}: no summary.csv")
    assert not (tmp_path / "out").exists()
