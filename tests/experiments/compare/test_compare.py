"""Comparing rows of results folders: pairs, refusals, and what is written."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from eval.counts import Counts
from eval.metrics import accuracy
from eval.protocol_scores import COLUMNS, scores_of
from eval.records import Record, SparseTable
from eval.row import Row
from experiments.compare.__main__ import main
from experiments.compare.comparing import compare_rows, differences, find_row, named_rows
from experiments.compare.statistics import holm
from tests.helpers.changes import change_intervals
from tests.helpers.made_runs import grid, made_run

ROWS = [*grid(segmenter__tau=(0.2, 0.3)), {"name": "K-Means", "segmenter.name": "kmeans_c"}]
Compare = Callable[..., str]


@pytest.fixture
def compare(capsys: pytest.CaptureFixture[str]) -> Compare:
    """Runs the command: returns what it prints, or the line of its error."""

    def call(*arguments: object) -> str:
        status = main([str(argument) for argument in arguments])
        printed = capsys.readouterr()
        if status:
            (line,) = printed.err.splitlines()
            return line
        assert not printed.err
        return printed.out

    return call


def test_differences_are_on_the_pictures_of_both_rows(tmp_path: Path) -> None:
    first = made_run(tmp_path / "one", *ROWS)
    second = made_run(tmp_path / "two", {"segmenter.tau": 0.9}, pictures=("b", "c", "e"), failed=("c",), seed=5)
    rows = named_rows([first, second])
    table = compare_rows(rows, find_row(rows, "K-Means"))
    assert set(table["row"]) == {"DiffSeg, tau=0.2", "DiffSeg, tau=0.3", "DiffSeg"}
    lines = table.set_index(["row", "protocol", "score"])
    assert set(lines["pictures"]["DiffSeg, tau=0.2"]) == {4}
    assert set(lines["pictures"]["DiffSeg"]) == {1}
    ours, theirs = first.rows[0].counts("present"), first.rows[2].counts("present")
    line = lines.loc[("DiffSeg, tau=0.2", "present", "acc")]
    assert line["value"] == pytest.approx(100 * accuracy(sum(ours)))
    assert line["difference"] == pytest.approx(100 * (accuracy(sum(ours)) - accuracy(sum(theirs))))
    assert [line["difference_low"], line["difference_high"]] == pytest.approx(change_intervals(theirs, ours)[0])
    voi = lines.loc[("DiffSeg, tau=0.2", "-", "voi")]
    assert voi["value"] == pytest.approx(first.rows[0].agreement[:, 1].mean())
    for _, group in table.groupby(["protocol", "score"]):
        assert list(group["p_holm"]) == pytest.approx(holm(list(group["p"])), nan_ok=True)
    alone = lines.loc[("DiffSeg", "present", "acc")]
    (shared,) = [place for place, record in enumerate(first.rows[2].evaluated) if record.picture == "b"]
    assert alone["reference"] == pytest.approx(100 * accuracy(theirs[shared] + Counts.zeros(3)))
    assert np.isnan(alone["p"])


def test_a_row_against_itself_in_another_folder_is_one_row(tmp_path: Path, compare: Compare) -> None:
    for name in ("one", "two"):
        made_run(tmp_path / name, ROWS[0])
    assert "has no other row than DiffSeg; give more folders" in compare(
        tmp_path / "one", tmp_path / "two", "--to", "DiffSeg"
    )


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"scoring.size": 8}, "were scored at different sizes: 8 and 16"),
        ({"scoring.frame": "whole"}, "were scored at different frames: whole and square"),
        ({"dataset.fingerprint": "another"}, "were scored at different truths: another and f"),
    ],
)
def test_rows_of_other_sizes_frames_or_truths_are_refused_in_one_line(
    other: dict[str, object], message: str, tmp_path: Path, compare: Compare
) -> None:
    made_run(tmp_path / "one", ROWS[0])
    made_run(tmp_path / "two", {"name": "Mine", **other})
    line = compare(tmp_path / "one", tmp_path / "two", "--to", "DiffSeg", "-o", tmp_path / "out")
    assert line == f"compare: Mine ({tmp_path / 'two'}) and DiffSeg ({tmp_path / 'one'}) {message}"
    assert not (tmp_path / "out").exists()


def test_unknown_and_ambiguous_names_are_refused_with_the_names(tmp_path: Path, compare: Compare) -> None:
    made_run(tmp_path / "one", *ROWS)
    made_run(tmp_path / "two", {"name": "K-Means", "segmenter.name": "other"})
    assert "no such row; choose from: DiffSeg, tau=0.2; DiffSeg, tau=0.3; K-Means" in compare(
        tmp_path / "one", "--to", "DiffSeg"
    )
    line = compare(tmp_path / "one", tmp_path / "two", "--to", "K-Means")
    assert "no such row; choose from: " in line
    assert line.endswith("K-Means, segmenter=other")
    assert "holds no results" in compare(tmp_path, "--to", "K-Means")
    assert "no such score; choose from: official/acc" in compare(tmp_path / "one", "--to", "K-Means", "--columns", "f1")


def test_files_hold_the_comparison(tmp_path: Path, compare: Compare) -> None:
    made_run(tmp_path / "one", *ROWS, dataset={"name": "cocostuff27"})
    printed = compare(tmp_path / "one", "--to", "K-Means", "-o", tmp_path / "out", "--bold")
    table = pd.read_csv(tmp_path / "out" / "compare.csv")
    assert set(table["to"]) == {"K-Means"}
    assert printed.startswith((tmp_path / "out" / "compare.md").read_text("utf-8"))
    value = table.set_index(["row", "protocol", "score"]).loc[("DiffSeg, tau=0.3", "present", "miou")]
    assert f"{value['difference']:+z.1f} [{value['difference_low']:+z.1f}" in printed
    assert "2,000" not in printed
    latex = (tmp_path / "out" / "compare.tex").read_text("utf-8")
    assert "DiffSeg, tau=0.3 & " in latex
    assert f"{value['value']:.1f} ({value['difference']:+z.1f}" in latex
    assert latex.count(r"\textbf{") == 2
    assert r"\label{tab:compare-cocostuff27}" in latex
    assert r"\toprule" in latex
    assert "STEGO" not in latex, "a published row of another protocol"
    official = ("--to", "K-Means", "-o", tmp_path / "out", "--columns", "official/miou", "ari")
    compare(tmp_path / "one", *official)
    latex = (tmp_path / "out" / "compare.tex").read_text("utf-8")
    assert re.search(r"method & mIoU official & ARI \\", latex)
    assert re.search(r"DiffSeg & 43.6 & - \\", latex), "published by the paper"
    compare(tmp_path / "one", *official, "--no-published")
    assert "43.6" not in (tmp_path / "out" / "compare.tex").read_text("utf-8")


def test_scores_without_classes_are_those_of_the_tables() -> None:
    def row(seed: int) -> Row:
        random = np.random.default_rng(seed)
        records = []
        for place in range(5):
            tables = {
                name: SparseTable.of(random.integers(1, 20, (3, 4))).to_json()
                for name in ("person 1", "person 2", "instances", "instance_classes")
            }
            matched = random.integers(1, 50, 2)
            counts = {"boundaries": [int(matched[0]), 60, int(matched[1]), 70]}
            records.append(Record("key", str(place), stored_tables=tables, counts=counts))
        return Row(f"{seed}", "made", {}, (), tuple(COLUMNS), records)

    first, second = row(0), row(1)
    line = differences(first, second)
    assert set(line) == {(protocol, name) for protocol, names in COLUMNS.items() for name in names}
    for (protocol, name), difference in line.items():
        ours, theirs = (scores_of(each, protocol).of_set[name] for each in (first, second))
        assert difference.value == pytest.approx(ours), name
        assert difference.difference == pytest.approx(ours - theirs, abs=1e-9), name
