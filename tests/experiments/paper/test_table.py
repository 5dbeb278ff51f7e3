"""The table beside the paper's, from synthetic records: our numbers, the published ones, and notes on missing ones."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from eval.results.row_results import RowResults

from eval.results.tables import summary
from experiments.paper.published import published_table
from experiments.paper.table import PAPER_COLUMNS, paper_table, write_paper_table
from tests.helpers.made_records import records, results_of

TABLE1 = "table1_cocostuff27"
NOTE = "eps & min_samples are untuned: 100 % ours"


def row(name: str, size: int = 512, note: str | None = None, **segmenter: Any) -> RowResults:
    settings = {
        "dataset": {"name": "cocostuff27", "label_source": "stuffthingmaps"},
        "backbone": {"size": size},
        "segmenter": segmenter,
    }
    return RowResults(name, f"{name} {size} {segmenter}", settings, note=note)


SEEDS = [row("K-Means-C", seed=seed, clusters=6) for seed in range(3)]
DBSCAN = row("DBSCAN", note=NOTE)
OWN = row("K-Means-C, own k", note="k is ours")
ROWS = [*SEEDS, OWN, DBSCAN, row("DiffSeg", 320), row("DiffSeg")]
RECORDS = {each.key: records(number, 8) for number, each in enumerate(ROWS)}
RECORDS[DBSCAN.key] = records(9, 6, failed=["000000000098", "000000000099"])


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return paper_table(TABLE1, results_of(ROWS, RECORDS), 2175)


@pytest.fixture
def written(tmp_path: Path) -> Path:
    write_paper_table(tmp_path, TABLE1, results_of(ROWS, RECORDS), 2175)
    return tmp_path


def test_every_published_row_is_there_once_with_ours_beside_it(table: pd.DataFrame) -> None:
    assert tuple(table.columns) == PAPER_COLUMNS
    published = published_table(TABLE1)
    both = table.merge(published, on=[*published.columns])
    assert len(both) == len(published) == len(table) - 1
    ours = table[table["images"].notna()]
    assert list(zip(ours["method"], ours["resolution"], strict=True)) == [
        *(("K-Means-C", "512"), ("K-Means-C, own k", "512"), ("DBSCAN", "512"), ("DiffSeg", "320"), ("DiffSeg", "512"))
    ]
    assert set(ours["language_dependency"]) == set(ours["unsupervised_adaptation"]) == {"no"}
    stego = table.set_index("method").loc["STEGO"]
    assert (stego["published_acc"], stego["published_miou"], stego["unsupervised_adaptation"]) == (56.9, 28.2, "yes")
    assert pd.isna(stego["acc"])


def test_numbers_and_differences_are_those_of_the_summary(table: pd.DataFrame) -> None:
    rows = table.set_index(["method", "resolution"])
    scores = summary(results_of([ROWS[-1]], RECORDS)).set_index("protocol")
    diffseg = rows.loc[("DiffSeg", "512")]
    for name in ("acc", "acc_low", "acc_high", "miou", "miou_low", "miou_high"):
        assert diffseg[name] == pytest.approx(scores.loc["official", name])
    assert diffseg["acc_difference"] == pytest.approx(scores.loc["official", "acc"] - 72.5)
    assert diffseg["miou_difference"] == pytest.approx(scores.loc["official", "miou"] - 43.6)
    assert diffseg["present_miou"] == pytest.approx(scores.loc["present", "miou"])
    assert pd.isna(diffseg["acc_deviation"])
    assert pd.isna(rows.loc[("K-Means-C, own k", "512"), "miou_difference"])


def test_seeds_become_mean_and_deviation(table: pd.DataFrame) -> None:
    scores = summary(results_of(SEEDS, RECORDS), ["official"])
    row = table.set_index("method").loc["K-Means-C"]
    assert row["seeds"] == 3
    assert row["miou"] == pytest.approx(scores["miou"].sum() / 3)
    assert row["miou_deviation"] == pytest.approx(np.sqrt(((scores["miou"] - scores["miou"].mean()) ** 2).sum() / 2))
    assert row["acc_difference"] == pytest.approx(scores["acc"].mean() - 58.9)


def test_the_text_says_what_is_missing_and_untuned(written: Path) -> None:
    text = (written / "table.md").read_text(encoding="utf-8")
    lines = {line.split("|")[1].strip(): line for line in text.splitlines() if line.startswith("|")}
    assert "6 of 2,175, 2 failed" in lines["DBSCAN‡"]
    assert "8 of 2,175" in lines["DiffSeg"]
    assert f"‡ {NOTE}." in text
    assert "† k is ours." in text
    assert lines["K-Means-C, own k†"]
    assert "because the run is partial (6 of 2,175 images)" in text
    assert "Intervals over 6 images: coarse." in text
    assert "000000000098 (DBSCAN), 000000000099 (DBSCAN)" in text
    assert re.search(r"\d\d\.\d ± \d\.\d \[\d\d\.\d, \d\d\.\d\]", lines["K-Means-C"])
    assert re.search(r"[+-]\d+\.\d", lines["K-Means-C"])
    assert pd.read_csv(written / "table.csv")["note"].dropna().tolist() == ["k is ours", NOTE]


def test_the_text_of_a_complete_run_has_no_caveats(tmp_path: Path) -> None:
    whole = write_paper_table(tmp_path, TABLE1, results_of(ROWS[-1:], RECORDS), 8)
    assert "Not comparable" not in whole
    assert "Failed" not in whole
    assert "†" not in whole
    other = write_paper_table(tmp_path, TABLE1, results_of(ROWS[-1:], RECORDS), None)
    assert "Not comparable with the published numbers, which were measured on other images" in other


def test_latex_is_well_formed(written: Path, table: pd.DataFrame) -> None:
    comment, text = (written / "table.tex").read_text(encoding="utf-8").split("\n", 1)
    assert "booktabs" in comment
    assert text.isascii()
    assert not re.search(r"(?<!\\)[%#_]", text)
    assert r"eps \& min\_samples are untuned: 100 \% ours" in text
    begun, ended = (re.findall(rf"\\{word}{{(\w+)}}", text) for word in ("begin", "end"))
    assert begun == ended[::-1] == ["table", "tabular"]
    assert text.count("{") == text.count("}")
    assert len(re.findall(r"(?<!\\)\$", text)) % 2 == 0
    columns = len(re.search(r"{tabular}{(\w+)}", text)[1])
    rows = [line for line in text.splitlines() if line.endswith(r"\\")]
    assert len(rows) == 1 + len(table)
    assert {len(re.findall(r"(?<!\\)&", row)) for row in rows} == {columns - 1}
    assert [rule for rule in re.findall(r"\\(\w+rule)", text)] == ["toprule", "midrule", "midrule", "bottomrule"]
