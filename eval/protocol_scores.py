"""Scores of protocols that need no classes: ``regions``, ``boundaries`` and ``instances``, in the units of the tables.

Percent, but bits for the variation of information.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eval.boundaries import BoundaryCounts, add_counts
from eval.instances import InstanceScores, instance_scores
from eval.metrics import PERCENT, bootstrap_mean, bootstrap_ratio
from eval.protocols import ProtocolName
from eval.records import PERSON, Record
from eval.regions import RegionScores, compare_regions
from eval.results.columns import BITS, COLUMNS
from eval.row import Row


@dataclass(frozen=True)
class Scores:
    """The scores of a row under one protocol.

    Attributes:
        pictures: score -> value of each evaluated picture; NaN: the mean leaves the picture out.
        of_set: score -> value of the set, and the ends of its interval under ``NAME_low`` and ``NAME_high``.
    """

    pictures: Mapping[str, NDArray[np.float64]]
    of_set: Mapping[str, float]


def scores_of(row: Row, protocol: ProtocolName) -> Scores:
    """Computes the scores of a row, see `COLUMNS`. Records without the truth of the protocol count as NaN."""
    compute = {"regions": _regions, "boundaries": _boundaries, "instances": _instances}[protocol]
    return compute(row.evaluated)


def region_scores(record: Record) -> RegionScores | None:
    """Scores against each person's regions; None if the record has none."""
    tables = [table for name, table in record.tables.items() if name.startswith(PERSON)]
    return compare_regions(tables) if tables else None


def boundary_counts(record: Record) -> BoundaryCounts | None:
    """Counts of boundary pixels; None if the record has none."""
    return BoundaryCounts(*record.counts["boundaries"]) if "boundaries" in record.counts else None


def _regions(records: Sequence[Record]) -> Scores:
    scored = [region_scores(record) for record in records]
    pictures = {name: _column(scored, name, 1 if name in BITS else PERCENT) for name in COLUMNS["regions"]}
    of_set = _means({name: values for name, values in pictures.items() if name != "covering"})
    known = [score for score in scored if score is not None]
    if known:
        covered = np.array([float(score.areas @ score.overlaps) for score in known])
        areas = np.array([float(score.areas.sum()) for score in known])
        of_set |= {"covering": PERCENT * float(covered.sum() / areas.sum())}
        if len(known) > 1:
            low, high = bootstrap_ratio(covered, areas)
            of_set |= {"covering_low": PERCENT * low, "covering_high": PERCENT * high}
    return Scores(pictures, of_set)


def _boundaries(records: Sequence[Record]) -> Scores:
    counts = [boundary_counts(record) for record in records]
    names = {"boundary_recall": "recall", "boundary_precision": "precision", "boundary_f": "f"}
    pictures = {name: _column(counts, own) for name, own in names.items()}
    known = [count for count in counts if count is not None]
    total = add_counts(known) if known else None
    return Scores(pictures, {name: PERCENT * getattr(total, own) for name, own in names.items()} if total else {})


def _instances(records: Sequence[Record]) -> Scores:
    scored = [_instance_scores(record) for record in records]
    columns = {name: _column(scored, name) for name in COLUMNS["instances"]}
    objects = ~np.isnan(columns["mbo_i"])
    known = ~np.isnan(columns["fg_ari"])
    further = {"without_objects": float((known & ~objects).sum())}
    if objects.any():
        further["fg_ari_with_objects"] = float(columns["fg_ari"][objects].mean())
    return Scores(columns, {**_means(columns), **further})


def _instance_scores(record: Record) -> InstanceScores | None:
    if "instances" not in record.stored_tables:
        return None
    instances, classes = record.tables["instances"], record.tables["instance_classes"]
    return instance_scores(instances.dense(), classes.dense(), (instances.missed, classes.missed))


def _column(scores: Sequence[Any], name: str, unit: float = PERCENT) -> NDArray[np.float64]:
    """An attribute of the scores of each picture; NaN for a picture without."""
    return unit * np.array([np.nan if score is None else getattr(score, name) for score in scores])


def _means(columns: Mapping[str, NDArray[np.float64]]) -> dict[str, float]:
    """Mean over the pictures, and its interval if there are two pictures or more."""
    scores: dict[str, float] = {}
    for name, values in columns.items():
        known = values[~np.isnan(values)]
        if known.size:
            scores[name] = float(known.mean())
        if known.size > 1:
            scores |= zip((f"{name}_low", f"{name}_high"), bootstrap_mean(values), strict=True)
    return scores
