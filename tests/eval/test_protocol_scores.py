"""Scores of a row under the protocols without classes, from its records; `test_instances` tests those of objects."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from eval.metrics import resample_weights
from eval.protocol_scores import COLUMNS, scores_of
from eval.records import Record, SparseTable
from eval.regions import compare_regions
from eval.row import Row

PEOPLE = [np.array([[3, 1], [0, 4]]), np.array([[2, 2], [1, 3], [0, 0]])]
OTHER = [np.array([[8, 0]]), np.array([[1, 7]])]


def record(id: str, people: Sequence[np.ndarray] = (), boundaries: Sequence[int] | None = None) -> Record:
    tables = {f"person {number}": SparseTable.of(table).to_json() for number, table in enumerate(people, start=1)}
    tables["classes"] = SparseTable.of(np.array([[1]])).to_json()
    return Record("", id, stored_tables=tables, counts={} if boundaries is None else {"boundaries": boundaries})


def row(*records: Record, protocol: str = "present") -> Row:
    return Row("", "row", {}, (), (protocol,), (*records, Record("", "z", "failed", "torn")))


def test_regions_are_pooled_over_people_and_pictures() -> None:
    scores = scores_of(row(record("a", PEOPLE), record("b", OTHER), record("c")), "regions")
    each = [compare_regions([SparseTable.of(table) for table in people]) for people in (PEOPLE, OTHER)]
    assert scores.pictures["pri"].tolist() == pytest.approx([100 * each[0].pri, 100 * each[1].pri, np.nan], nan_ok=True)
    assert scores.pictures["voi"].tolist() == pytest.approx([each[0].voi, each[1].voi, np.nan], nan_ok=True)  # bits
    assert scores.of_set["pri"] == pytest.approx(50 * (each[0].pri + each[1].pri))
    # Person 2 of the first picture: 4 pixels of 2/4 and 4 of 3/6, and so on; 16 pixels a picture.
    covered = [8 * 0.5 * (3 / 4 + 4 / 5) + 4 * 2 / 5 + 4 * 3 / 6, 8 + 8 * 7 / 8]
    assert scores.of_set["covering"] == pytest.approx(100 * sum(covered) / 32)
    drawn = resample_weights(2, 2000, 0)
    pooled = 100 * (drawn @ covered) / (drawn @ [16, 16])
    ends = scores.of_set["covering_low"], scores.of_set["covering_high"]
    assert ends == pytest.approx(tuple(np.quantile(pooled, [0.025, 0.975])))


def test_boundaries_are_those_of_the_sum_of_all_pictures() -> None:
    scores = scores_of(row(record("a", boundaries=(3, 4, 1, 2)), record("b", boundaries=(1, 4, 3, 6))), "boundaries")
    assert scores.pictures["boundary_recall"].tolist() == [75, 25]
    assert scores.pictures["boundary_precision"].tolist() == [50, 50]
    assert scores.of_set == {"boundary_recall": 50, "boundary_precision": 50, "boundary_f": 50}


@pytest.mark.parametrize("protocol", COLUMNS)
def test_without_the_truth_there_are_no_scores(protocol: str) -> None:
    scores = scores_of(row(record("a")), protocol)
    assert not {*scores.of_set} & {*COLUMNS[protocol]}
    assert all(np.isnan(values).all() for values in scores.pictures.values())
