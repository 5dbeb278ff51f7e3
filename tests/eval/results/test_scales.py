"""Families of rows that differ in one number, and their lines in ``scales.csv``."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from eval.boundaries import BoundaryCounts
from eval.records import Record, SparseTable
from eval.regions import RegionScores
from eval.results.scales import SCALE_COLUMNS, families, scales, scales_table
from eval.row import Row


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


def region(overlaps: list[float], pri: float, voi: float) -> RegionScores:
    return RegionScores(np.array([10, 30]), np.array(overlaps), pri, voi / 2, voi / 2)


FINE = [region([0.9, 0.2], 0.7, 2.0), region([0.6, 0.6], 0.8, 1.0)]
COARSE = [region([0.1, 0.5], 0.9, 1.5), region([0.5, 0.6], 0.5, 3.0)]


def test_regions() -> None:
    columns = scales([0.4, 0.1], regions=[COARSE, FINE])  # in any order
    assert columns["images"] == 2
    # Covering of a picture: (10 a + 30 b) / 40. Fine 0.375 and 0.6, coarse 0.4 and 0.575: equal sums, the first counts.
    assert columns["covering_ods_at"] == 0.1
    assert columns["covering_ods"] == pytest.approx(100 * (0.375 + 0.6) / 2)
    assert columns["covering_ois"] == pytest.approx(100 * (0.4 + 0.6) / 2)
    assert columns["covering_best"] == pytest.approx(100 * ((10 * 0.9 + 30 * 0.5) + 40 * 0.6) / 80)
    assert (columns["pri_ods_at"], columns["pri_ods"], columns["pri_ois"]) == (
        0.1,
        pytest.approx(75),
        pytest.approx(85),
    )
    assert (columns["voi_ods_at"], columns["voi_ods"], columns["voi_ois"]) == (0.1, 1.5, 1.25)
    assert math.isnan(columns["f_ods"])


def test_boundaries() -> None:
    """ODS lies between two rows, where recall and precision are interpolated; OIS takes rows as they are."""
    fine, coarse = [BoundaryCounts(9, 10, 3, 10)] * 2, [BoundaryCounts(3, 10, 9, 10), BoundaryCounts(8, 10, 8, 10)]
    columns = scales([1, 2], boundaries=[fine, coarse])
    assert columns["f_ois"] == pytest.approx(100 * 2 * 0.85 * 0.55 / 1.4)  # fine for the first, coarse for the second
    total = {1: (0.9, 0.3), 2: (0.55, 0.85)}
    points = [[a * (1 - s) + b * s for a, b in zip(total[1], total[2], strict=True)] for s in np.linspace(0, 1, 100)]
    best = max(2 * r * p / (r + p) for r, p in points)
    assert columns["f_ods"] == pytest.approx(100 * best)
    assert 1 < columns["f_ods_at"] < 2
    recalls = np.arange(0.55, 0.9001, 0.01)
    assert columns["ap"] == pytest.approx(sum(np.interp(recalls, (0.55, 0.9), (0.85, 0.3))))


def test_a_row_without_parameter_is_a_family() -> None:
    columns = scales([math.nan], [FINE], [[BoundaryCounts(1, 2, 1, 2)] * 2])
    assert columns["covering_ods"] == columns["covering_ois"] == columns["covering_best"]
    assert (columns["f_ods"], math.isnan(columns["ap"]), math.isnan(columns["f_ods_at"])) == (50, True, True)
