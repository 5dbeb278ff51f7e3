"""``python -m experiments.leaderboard``: its files, its errors, and `make leaderboard`."""

from __future__ import annotations

import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest

from experiments.leaderboard import main
from tests.helpers.made_runs import made_run
from tests.helpers.makefile import line_of


@pytest.fixture
def results(tmp_path: Path) -> Path:
    rows = [{"name": name, "official_count": 2175, "segmenter.x": name} for name in ("Mine <b>", "DiffSeg")]
    return made_run(tmp_path / "run & results", *rows, dataset={"name": "cocostuff27"}).folder


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
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert main([str(results), "-o", str(out)]) == 0
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
    assert f"{mine['image_acc_low']:.1f}, {mine['image_acc_high']:.1f}" in page.texts
    assert f"[{mine['image_acc_low']:.1f}, {mine['image_acc_high']:.1f}]" in text


def test_a_folder_without_results_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path), "-o", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err.startswith(f"leaderboard: {tmp_path}: holds no results")
    assert not (tmp_path / "out").exists()
