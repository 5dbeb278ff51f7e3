"""A results folder grows: later commands add rows, the tables show all, and nothing else is touched."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pandas as pd
import pytest

from eval.runs import read_run
from experiments.leaderboard import main as leaderboard
from experiments.report.__main__ import main as report
from tests.helpers.folder_rows import folder_overrides
from tests.helpers.runs import Run, command, evaluate, without_timings

Evaluate = Callable[..., Run]
CLASSES = "value,label,name\n0,0,road\n1,1,sky\n2,2,tree\n"
SEGMENTER = """
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Halves:
    needs_attention = False

    def resolved(self, side, tuned):
        return self

    def __call__(self, scene):
        height, width = scene.size
        return (torch.arange(width) < {left}).long().expand(height, width).contiguous()
"""


@pytest.fixture
def data(tmp_path: Path) -> tuple[str, ...]:
    """Overrides for three pictures of three classes."""
    (tmp_path / "classes.csv").write_text(CLASSES)
    return (*folder_overrides(tmp_path / "data", "abc", classes=3), f"dataset.classes={tmp_path / 'classes.csv'}")


@pytest.fixture
def run(data: tuple[str, ...], tmp_path: Path) -> Evaluate:
    def call(*overrides: str, folder: str = "run", multirun: bool = False) -> Run:
        settings = (*data, "segmenter=kmeans_rgbxy", *overrides)
        return evaluate(tmp_path / folder, *settings, multirun=multirun)

    return call


def test_a_later_command_adds_its_rows_and_the_tables_show_all(run: Evaluate, tmp_path: Path) -> None:
    first = run("segmenter.clusters=2,3", multirun=True)
    kept = (first.folder / "records.jsonl").read_bytes()
    grown = run("segmenter.clusters=4,3", multirun=True)
    assert "resuming, 3 results are already there" in grown.err
    assert list(grown.table()["clusters"]) == [4, 4, 3, 3, 2, 2]
    assert (grown.folder / "records.jsonl").read_bytes().startswith(kept)
    assert len(grown.images()) == 9
    fresh = run("segmenter.clusters=4,3,2", folder="fresh", multirun=True)
    files, of_fresh = without_timings(grown.folder), without_timings(fresh.folder)
    assert files.keys() == of_fresh.keys()
    for name in files.keys() - {"records.jsonl", "config.yaml", "provenance.json", "table.tex"}:
        assert files[name] == of_fresh[name], name
    # A command with fewer pictures: its table has these, with a line.
    few = run("segmenter.clusters=2", "dataset.limit=1")
    assert few.table().groupby("clusters")["images"].first().to_dict() == {2: 1, 3: 3, 4: 3}

    # All three commands again, in another folder; in their own folder, everything is there.
    again = command("--rerun", str(few.folder), f"results_dir={tmp_path / 'again'}")
    assert again.status == 0, again.err
    assert without_timings(tmp_path / "again")["summary.csv"] == without_timings(few.folder)["summary.csv"]
    lines = (few.folder / "records.jsonl").read_text().count('"record"')
    assert command("--rerun", str(few.folder)).status == 0
    assert (few.folder / "records.jsonl").read_text().count('"record"') == lines
    typed, repeated = (read_run(folder).commands for folder in (few.folder, tmp_path / "again"))
    assert [listed.arguments for listed in typed] == [listed.arguments for listed in repeated]


def test_tables_of_a_folder_need_no_data_and_keep_what_was_evaluated(run: Evaluate, tmp_path: Path) -> None:
    done = run()
    tables = {path.name: path.read_bytes() for path in done.folder.iterdir() if path.suffix in (".csv", ".md", ".tex")}

    def tables_again(*arguments: str) -> Run:
        again = command("--tables", str(done.folder), *arguments, folder=done.folder)
        assert again.status == 0, again.err
        return again

    assert set(tables_again("protocol=present").table()["protocol"]) == {"present"}
    assert "have changed" not in tables_again().out
    for name in tables:
        (done.folder / name).unlink()
    # The names of two classes change places, and a picture disappears.
    (tmp_path / "classes.csv").write_text(CLASSES.replace("road", "x").replace("sky", "road").replace("x", "sky"))
    for kind in ("images", "maps"):
        (tmp_path / "data" / kind / "b.png").unlink()
    line = "folder: its pictures or classes have changed; the tables show those that were evaluated"
    assert line in tables_again().out.splitlines()
    assert {name: (done.folder / name).read_bytes() for name in tables} == tables
    shutil.rmtree(tmp_path / "data")
    tables_again()
    assert {name: (done.folder / name).read_bytes() for name in tables} == tables
    for argument in ("segmenter.clusters=3", "-m"):
        refused = command("--tables", str(done.folder), argument)
        message = "--tables: takes a results folder, protocol=... and older=true; leave out"
        assert (refused.status, refused.err) == (2, f"error: {message} {argument}\n")


def test_an_edited_segmenter_is_evaluated_again(
    data: tuple[str, ...],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import sys

    from eval.code import _module_code

    (tmp_path / "conf" / "segmenter").mkdir(parents=True)
    (tmp_path / "conf" / "segmenter" / "halves.yaml").write_text("_target_: halves_of_a_user.Halves\n")
    monkeypatch.setattr(sys, "path", [*sys.path])

    def start(left: int) -> Run:
        """A new process imports the module again."""
        (tmp_path / "halves_of_a_user.py").write_text(SEGMENTER.format(left=left))
        sys.modules.pop("halves_of_a_user", None)
        _module_code.cache_clear()
        caplog.clear()
        settings = (*data, "segmenter=halves", "protocol=present")
        return evaluate(tmp_path / "run", *settings, config_dir=tmp_path / "conf")

    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    first = start(left=40)
    line = "halves: its code has changed, so its pictures are evaluated again; the older results are kept"
    assert (first.status, len(first.images())) == (0, 3), first.err
    assert line not in caplog.messages
    second = start(left=4)
    assert line in caplog.messages
    assert len(second.images()) == 6
    assert "1 older results of edited parts are kept; --tables DIR older=true shows them" in second.out
    assert second.table()["segments"].tolist() == [2]
    for argument, segments in (("older=false", [2]), ("older=True", [2, 1]), ("+older=true", [2, 1])):
        older = command("--tables", str(second.folder), argument, folder=second.folder)
        assert older.table()["segments"].tolist() == segments
    wrong = command("--tables", str(second.folder), "older=yes")
    assert (wrong.status, wrong.err) == (2, "error: older: must be true or false, got yes\n")
    codes = [row.code[:6] for row in (*read_run(second.folder).rows, *read_run(second.folder).older)]
    assert older.table()["row"].tolist() == [f"halves ({code})" for code in codes]
    assert len(start(left=40).images()) == 6  # the first code again: its results are there


def test_the_name_of_a_row_stands_everywhere(run: Evaluate, tmp_path: Path) -> None:
    done = run("name=mine", "panels=1")
    assert set(done.table()["row"]) == set(done.table("per_image")["row"]) == set(done.table("per_class")["row"])
    assert set(done.table()["row"]) == {"mine"}
    assert "| mine " in done.out
    report([str(done.folder)])
    leaderboard([str(done.folder), "-o", str(tmp_path / "leaderboard")])
    page = (done.folder / "report.html").read_text(encoding="utf-8")
    assert "mine" in page
    assert "kmeans_rgbxy" not in page.partition("<h2")[0]
    assert "mine" in pd.read_csv(tmp_path / "leaderboard" / "leaderboard.csv").astype(str).to_numpy()


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        (
            "records.jsonl",
            '{"type": "row", "key": "k"}\n',
            "holds results of another version of this project, which stay as they are; give another results_dir, or "
            "move the folder",
        ),
        ("thesis.txt", "mine", "holds files but no results of this project, such as thesis.txt; give another results"),
        ("summary.csv", "row,acc\n", "holds files but no results of this project, such as summary.csv; give another"),
    ],
)
def test_a_folder_of_others_is_refused_and_stays(
    run: Evaluate, tmp_path: Path, file: str, content: str, message: str
) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / file).write_text(content)
    for name in (".hidden", "wandb"):
        (tmp_path / "run" / name).mkdir()
    refused = run()
    assert refused.status == 2
    assert refused.err.startswith(f"error: {tmp_path / 'run'}: {message}")
    assert refused.err.count("\n") == 1
    files = {path.name for path in (tmp_path / "run").iterdir() if not path.name.startswith(".records")}
    assert files == {file, ".hidden", "wandb"}
    assert (tmp_path / "run" / file).read_text() == content
    (tmp_path / "run" / file).unlink()
    assert run().status == 0


@pytest.mark.parametrize(("labels", "maps"), [("all", 3), ("panels", 2), ("none", 0)])
def test_label_maps_are_kept_as_asked(run: Evaluate, labels: str, maps: int) -> None:
    done = run(f"labels={labels}", "panels=2")
    assert done.status == 0, done.err
    assert len(list(done.folder.glob("labels/*/*.png"))) == maps
    assert len(list(done.folder.glob("panels/*.png"))) == (0 if labels == "none" else 3)
    records = (done.folder / "records.jsonl").read_text().count('"record"')
    assert len(list(run("labels=all", "panels=0").folder.glob("labels/*/*.png"))) == 3  # the missing maps are made
    assert (done.folder / "records.jsonl").read_text().count('"record"') == records


def test_the_provenance_names_the_packages_that_a_segmenter_uses(run: Evaluate) -> None:
    done = run("segmenter=slic")
    (facts,) = json.loads((done.folder / "provenance.json").read_text())
    assert facts["versions"]["scikit-image"] == version("scikit-image")
