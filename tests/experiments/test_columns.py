"""The data dictionary names every column of every table, and no other."""

from __future__ import annotations

import re
from collections import defaultdict

import pandas as pd

from eval.protocol_scores import COLUMNS as WITHOUT_CLASSES
from eval.protocols import ALL_PROTOCOLS
from eval.results.columns import CONFUSION, PER_CLASS, PER_IMAGE, SUMMARY, protocol_columns
from eval.results.scales import SCALE_COLUMNS
from experiments.compare.comparing import COLUMNS as COMPARE
from experiments.paper.leaderboard import LEADERBOARD_COLUMNS as LEADERBOARD
from experiments.paper.published import FOLDER
from experiments.paper.table import PAPER_COLUMNS as PAPER_TABLE
from experiments.running.audit import AUDIT_COLUMNS as AUDIT
from tests.conftest import ROOT


def dictionary() -> dict[str, list[str]]:
    """Heading of a section -> columns in its table."""
    columns: dict[str, list[str]] = defaultdict(list)
    for line in (ROOT / "experiments" / "COLUMNS.md").read_text(encoding="utf-8").splitlines():
        if heading := re.match(r"## `(.+)`", line):
            table = heading[1]
        elif line.startswith("| `"):
            columns[table] += re.findall(r"`(\w+)`", line.split("|")[1])
    return columns


def test_the_data_dictionary_lists_exactly_the_columns_of_the_tables() -> None:
    published = {tuple(pd.read_csv(path, nrows=0)) for path in FOLDER.glob("*.csv")}
    assert len(published) == 1
    expected = {
        "summary.csv": (*SUMMARY, *protocol_columns(ALL_PROTOCOLS)),
        "per_class.csv": PER_CLASS,
        "per_image.csv": {*PER_IMAGE, *(name for names in WITHOUT_CLASSES.values() for name in names)},
        "confusion.csv": CONFUSION,
        "scales.csv": SCALE_COLUMNS,
        "audit.csv": AUDIT,
        "compare.csv": COMPARE,
        "table.csv": PAPER_TABLE,
        "leaderboard.csv": LEADERBOARD,
        "experiments/paper/published/*.csv": published.pop(),
    }
    found = dictionary()
    assert {name: sorted(columns) for name, columns in found.items()} == {
        name: sorted(columns) for name, columns in expected.items()
    }
