"""The records of a row, and what follows from them."""

from __future__ import annotations

from dataclasses import replace

from eval.agreement import agreement
from tests.helpers.worked_results import DIFFSEG, FAILED, RECORDS, ok

ROW = replace(DIFFSEG, records=RECORDS["d"])


def test_evaluated_and_failed_pictures_are_told_apart() -> None:
    assert [record["image"] for record in ROW.evaluated] == ["a", "c"]
    assert ROW.failed == [FAILED]


def test_tables_and_scores_are_those_of_the_evaluated_pictures() -> None:
    assert [table.dense().tolist() for table in ROW.tables] == [
        [[3, 1, 0], [0, 0, 0], [0, 0, 0]],
        [[0] * 8, [0, 0, 0, 0, 0, 2, 0, 0], [0, 0, 0, 0, 0, 1, 0, 1]],
    ]
    assert ROW.agreement == [agreement(table.dense()) for table in ROW.tables]


def test_counts_of_a_protocol_are_computed_once() -> None:
    present = ROW.counts("present")
    assert [counts.tp.tolist() for counts in present] == [[3, 0, 0], [0, 2, 1]]
    assert ROW.counts("present") is present
    assert ROW.counts("official") is not present


def test_the_background_of_the_data_set_may_take_several_segments() -> None:
    record = ok("a", [0, 0, 1, 2], [0, 0, 0, 1], seconds=1.0)
    row = replace(DIFFSEG, records=[record], settings={"dataset": {"background": 0}})
    assert (row.background, DIFFSEG.background) == (0, None)
    (with_background,), (without,) = row.counts("present"), replace(DIFFSEG, records=[record]).counts("present")
    assert with_background.tp.tolist() == [3, 1, 0]
    assert without.tp.tolist() == [2, 1, 0]
