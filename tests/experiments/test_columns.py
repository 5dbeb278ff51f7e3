"""``COLUMNS.md`` is made from the code."""

from __future__ import annotations

from experiments.columns import MEANINGS, OTHERS, columns_of_tables, page
from tests.conftest import ROOT


def test_the_page_is_that_of_the_code() -> None:
    text = (ROOT / "experiments" / "COLUMNS.md").read_text(encoding="utf-8")
    assert text == page(), "make it again: python -m experiments.columns > experiments/COLUMNS.md"


def test_every_column_has_a_meaning_and_every_meaning_a_column() -> None:
    tables = columns_of_tables()
    named = {column for columns in tables.values() for column in columns}
    assert MEANINGS.keys() <= named
    assert all(column in tables[table] for table, column in OTHERS)
    for table, columns in tables.items():
        section = page().split(f"## `{table}`")[1].split("## ")[0]
        ends = sum(section.count(f", `{end}`") for end in ("_low", "_high"))
        assert section.count("\n| `") + ends == len(columns)
