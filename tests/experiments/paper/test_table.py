"""The table beside the paper's, from synthetic records: our numbers, the published ones, and notes on missing ones."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from eval.protocols import PROTOCOLS
from eval.results.tables import summary
from eval.row import Row
from experiments.paper.table import key_without_seed, write_tex_table
from experiments.published import published_table
from tests.helpers import made_records
from tests.helpers.made_runs import grid, made_run

TABLE1 = "table1_cocostuff27"
NOTE = "eps & min_samples are untuned: 100 % ours"


def row(name: str, size: int = 512, note: str | None = None, seed: int = 0, failed: int = 0, **segmenter: Any) -> Row:
    settings = {
        "dataset": {"name": "cocostuff27", "label_source": "stuffthingmaps"},
        "backbone": {"size": size},
        "segmenter": segmenter,
    }
    missing = ("000000000098", "000000000099")[:failed]
    classes = [f"class {number}" for number in range(made_records.CLASSES)]
    return Row(
        f"{name} {size} {segmenter}",
        name,
        settings,
        classes,
        PROTOCOLS,
        made_records.records(seed, 8 - failed, missing),
        note=note,
        official_count=2175,
    )


SEEDS = [
    replace(made, settings={**made.settings, "segmenter": {"seed": seed}})
    for seed, made in enumerate(row("K-Means-C", seed=seed) for seed in range(3))
]
DBSCAN = row("DBSCAN", note=NOTE, seed=9, failed=2)
OWN = row("K-Means-C, own k", note="k is ours", seed=3)
ROWS = [*SEEDS, OWN, DBSCAN, row("DiffSeg", 320, seed=5), row("DiffSeg", seed=6)]


def lines_of(text: str) -> list[dict[str, str]]:
    """The rows of a Markdown table: heading -> cell."""
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]
    return [dict(zip(rows[0], row, strict=True)) for row in rows[2:]]


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, str]]:
    return lines_of(write_tex_table(tmp_path_factory.mktemp("table"), TABLE1, ROWS))


def test_every_published_row_is_there_once_with_ours_beside_it(table: list[dict[str, str]]) -> None:
    published = published_table(TABLE1)
    plain = {(line["method"].rstrip("†‡"), line["size"]) for line in table}
    assert {*zip(published["method"], published["resolution"], strict=True)} < plain
    assert len(plain) == len(published) + 1 == len(table)
    ours = [line for line in table if line["images"]]
    assert [(line["method"].rstrip("†‡"), line["size"]) for line in ours] == [
        *(("K-Means-C", "512"), ("K-Means-C, own k", "512"), ("DBSCAN", "512"), ("DiffSeg", "320"), ("DiffSeg", "512"))
    ]
    assert {line["LD"] for line in ours} == {line["UA"] for line in ours} == {"no"}
    (stego,) = [line for line in table if line["method"] == "STEGO"]
    assert (stego["paper ACC"], stego["paper mIoU"], stego["UA"], stego["our ACC"]) == ("56.9", "28.2", "yes", "-")


def test_numbers_and_differences_are_those_of_the_summary(table: list[dict[str, str]]) -> None:
    scores = summary([ROWS[-1]]).set_index("protocol")
    official, diffseg = scores.loc["official"], table[-1]
    assert diffseg["our ACC"] == f"{official['acc']:.1f} [{official['acc_low']:.1f}, {official['acc_high']:.1f}]"
    assert diffseg["our mIoU"].startswith(f"{official['miou']:.1f} [")
    assert diffseg["Δ ACC"] == f"{official['acc'] - 72.5:+.1f}"
    assert diffseg["Δ mIoU"] == f"{official['miou'] - 43.6:+.1f}"
    assert diffseg["mIoU present"] == f"{scores.loc['present', 'miou']:.1f}"
    (own,) = [line for line in table if "own k" in line["method"]]
    assert own["Δ mIoU"] == "-"


def test_seeds_become_mean_and_deviation(table: list[dict[str, str]]) -> None:
    scores = summary(SEEDS).query("protocol == 'official'")
    (row,) = [line for line in table if line["method"] == "K-Means-C" and line["size"] == "512"]
    deviation = np.sqrt(((scores["miou"] - scores["miou"].mean()) ** 2).sum() / 2)
    assert row["our mIoU"].startswith(f"{scores['miou'].sum() / 3:.1f} ± {deviation:.1f} [")
    assert row["Δ ACC"] == f"{scores['acc'].mean() - 58.9:+.1f}"


def test_only_the_seed_of_the_segmenter_does_not_matter() -> None:
    def key(name: str = "K-Means-C", size: int = 448, **segmenter: Any) -> str:
        settings = {"backbone": {"size": size}, "segmenter": {"clusters": 6, **segmenter}}
        return key_without_seed(Row("", name, settings, (), ()))

    assert key() == key(seed=0) == key(seed=1)
    assert len({key(), key("K-Means-S"), key(size=224), key(clusters=7), key(n_init=3)}) == 5


def test_the_text_says_what_is_missing_and_untuned(tmp_path: Path) -> None:
    text = write_tex_table(tmp_path, TABLE1, ROWS)
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


def test_the_text_of_a_complete_run_has_no_caveats(tmp_path: Path) -> None:
    whole = write_tex_table(tmp_path, TABLE1, [replace(ROWS[-1], official_count=8)])
    assert "Not comparable" not in whole
    assert "Failed" not in whole
    assert "†" not in whole
    other = write_tex_table(tmp_path, TABLE1, [replace(ROWS[-1], official_count=None)])
    assert "Not comparable with the published numbers, which were measured on other images" in other


def test_a_run_without_published_numbers_has_a_table_for_each_data_set(tmp_path: Path) -> None:
    first = made_run(tmp_path / "my run", *grid(segmenter__tau=(0.2, 0.3)), protocols=("present",))
    other = made_run(tmp_path / "other", {"name": "k_1 & ^"}, dataset={"name": "camvid"})
    assert write_tex_table(first.folder, None, [*first.rows, *other.rows]) == ""
    one, two = (first.folder / "table.tex").read_text("utf-8").split(r"\end{table}")[:2]
    assert r"\label{tab:my-run-photos-square}" in one
    assert re.search(r"DiffSeg, tau=0.3 & \d+\.\d \[", one)
    assert r"k\_1 \& \textasciicircum{}" in two
    assert "ACC official" in two
    assert "ACC official" not in one


def test_latex_is_well_formed(tmp_path: Path, table: list[dict[str, str]]) -> None:
    write_tex_table(tmp_path, TABLE1, ROWS)
    comment, text = (tmp_path / "table.tex").read_text(encoding="utf-8").split("\n", 1)
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
