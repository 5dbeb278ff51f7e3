"""Families of rows that differ in one number, and their lines in ``scales.csv``."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from eval.records import Record, SparseTable
from eval.results.scales import SCALE_COLUMNS, families, scales_table
from eval.runs import Row


def row(name: str = "A", frame: str = "whole", code: str = "", **segmenter: Any) -> Row:
    settings = {"experiment": code, "scoring": {"frame": frame}, "segmenter": {"code": code, **segmenter}}
    return Row("", name, settings, (), ["regions"])


def of(*rows: Row, parameter: str | None = None) -> list[tuple[str, str, list[float]]]:
    return [(family.name, family.parameter, list(family.values)) for family in families(rows, parameter)]


def test_a_family_differs_in_one_number() -> None:
    taus = [row(tau=tau, anchors=4) for tau in (0.3, 0.1)]
    assert of(*taus, row("B", eps=2), row("B", eps=3)) == [
        ("A", "segmenter.tau", [0.3, 0.1]),
        ("B", "segmenter.eps", [2, 3]),
    ]
    grid = [row(tau=tau, anchors=anchors) for anchors in (4, 8) for tau in (0.1, 0.2, 0.3)]
    assert of(*grid) == [("A", "segmenter.tau", [0.1, 0.2, 0.3])] * 2  # the number that leaves the fewest families
    assert of(*grid, parameter="segmenter.anchors") == [("A", "segmenter.anchors", [4, 8])] * 3


def test_other_settings_part_families_and_code_does_not() -> None:
    rows = [row(tau=tau, frame=frame) for frame in ("whole", "square") for tau in (0.1, 0.2)]
    assert of(*rows) == [("A", "segmenter.tau", [0.1, 0.2])] * 2
    assert of(row(tau=0.1, code="x"), row(tau=0.2, code="y")) == [("A", "segmenter.tau", [0.1, 0.2])]


def test_rows_without_a_common_number_stand_alone() -> None:
    for rows in ([row(rule="a"), row(rule="b")], [row(soft=True), row(soft=False)], [row(tau=None), row(tau=1)]):
        assert [(name, parameter, len(values)) for name, parameter, values in of(*rows)] == [("A", "", 1)] * 2
    ((_, _, (value,)),) = of(row(tau=0.3))
    assert math.isnan(value)


def test_only_pictures_of_all_rows_count() -> None:
    def record(id: str, cut: int) -> Record:
        table = SparseTable.of(np.array([[4 - cut, cut]])).to_json()
        return Record("", id, stored_tables={"person 1": table}, counts={"boundaries": (1, 2, 1, 2)})

    fine = replace(row(tau=0.1), records=[record("a", 1), record("b", 2), record("c", 0)])
    coarse = replace(row(tau=0.2), records=[record("b", 0), record("a", 1), Record("", "c", "failed", "torn")])
    other = Row("", "without people", {}, (), ["regions"], [Record("", "a")])
    (line,) = scales_table([fine, coarse, other]).to_dict("records")
    assert tuple(line) == SCALE_COLUMNS
    assert (line["family"], line["parameter"], line["images"]) == ("A", "segmenter.tau", 2)
    assert (line["covering_ods_at"], line["covering_ods"]) == (0.2, pytest.approx(100 * (4 + 3) / 8))
    assert (line["covering_ois"], line["f_ods"]) == (pytest.approx(100 * (4 + 3) / 8), 50)
