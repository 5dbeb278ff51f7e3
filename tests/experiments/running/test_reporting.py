"""The tables of a run: which are written, and which are on the list of written files."""

from __future__ import annotations

from pathlib import Path

import pytest
from eval.results.run_results import RunResults
from eval.storage.written import WrittenFiles

from eval.results.tables import TABLES
from experiments.paper.table import PAPER_TABLES
from experiments.running.audit import AUDIT_TABLES
from experiments.running.reporting import write_report
from tests.helpers.made_records import results_of
from tests.helpers.worked_results import CLASSES, RECORDS, ROWS


@pytest.mark.parametrize(
    ("options", "tables"),
    [
        ({}, TABLES),
        ({"published": "table1_cocostuff27"}, (*TABLES, *PAPER_TABLES)),
        ({"audit": True}, (*TABLES, *AUDIT_TABLES)),
    ],
)
def test_tables_are_written_and_listed(tmp_path: Path, options: dict[str, object], tables: tuple[str, ...]) -> None:
    results = RunResults(results_of(ROWS[:1], RECORDS), CLASSES, ["present"], 2175, **options)  # type: ignore[arg-type]
    text = write_report(tmp_path, results)
    assert {path.name for path in tmp_path.iterdir() if not path.name.startswith(".")} == set(tables)
    assert WrittenFiles(tmp_path).names == set(tables)
    assert text.startswith((tmp_path / "summary.md").read_text(encoding="utf-8"))
    assert ("K-Means-C" in text) == ("published" in options)  # a row of the paper
