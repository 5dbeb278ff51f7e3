"""The best scale of a family of segmentations: rows that differ in one parameter, or a hierarchy at several thresholds.

Three readings of a family (Arbelaez et al., TPAMI 2011, Section 3): ODS, the parameter that is best for the whole data
set; OIS, the best for each picture; "best" (covering only), the best for each region. Of equal ones the first counts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from eval.boundaries import BoundaryCounts, add_counts, average_precision, best_point, first_best
from eval.regions import RegionScores, pooled_covering

PERCENT = 100

COLUMNS = (
    *("covering_ods_at", "covering_ods", "covering_ois", "covering_best"),
    *("pri_ods_at", "pri_ods", "pri_ois", "voi_ods_at", "voi_ods", "voi_ois"),
    *("f_ods_at", "f_ods", "f_ois", "ap"),
)
"""Columns of `scales`, after ``images``."""


def scales(
    parameters: Sequence[float],
    regions: Sequence[Sequence[RegionScores]] = (),
    boundaries: Sequence[Sequence[BoundaryCounts]] = (),
) -> dict[str, float]:
    """The columns of ``scales.csv`` after ``family`` and ``parameter``.

    Args:
        parameters: parameter of each row, in any order; at least one. NaN for a row without a parameter.
        regions: for each row the scores of each picture; the same pictures in the same order in all rows. Empty: not
            compared.
        boundaries: for each row the counts of each picture, in the same way.

    Returns:
        Column -> value. Covering, PRI, F and AP in percent, VoI in bits; NaN if not compared. A single row has no AP.

    Raises:
        ValueError: a row is missing, or rows have different pictures.
    """
    order = np.argsort(parameters, kind="stable")
    sorted_parameters = [float(parameters[row]) for row in order]
    for name, rows in (("regions", regions), ("boundaries", boundaries)):
        if rows and (len(rows) != len(parameters) or len({len(row) for row in rows}) > 1 or not rows[0]):
            raise ValueError(f"{name}: must have a row for each parameter, and the same pictures in all rows")
    images = max(len(rows[0]) for rows in (regions, boundaries) if rows)
    of_regions = _of_regions(sorted_parameters, [regions[row] for row in order]) if regions else {}
    of_boundaries = _of_boundaries(sorted_parameters, [boundaries[row] for row in order]) if boundaries else {}
    return {"images": images, **dict.fromkeys(COLUMNS, float("nan")), **of_regions, **of_boundaries}


def _of_regions(parameters: Sequence[float], rows: Sequence[Sequence[RegionScores]]) -> Mapping[str, float]:
    covering = [pooled_covering(row) for row in rows]
    ods = int(np.argmax(covering))
    pictures = list(zip(*rows, strict=True))
    ois = pooled_covering([max(picture, key=lambda scores: scores.covering) for picture in pictures])
    covered = [picture[0].areas @ np.max([scores.overlaps for scores in picture], axis=0) for picture in pictures]
    best = float(sum(covered)) / sum(int(picture[0].areas.sum()) for picture in pictures)

    pri = np.array([[scores.pri for scores in row] for row in rows])
    voi = np.array([[scores.voi for scores in row] for row in rows])
    pri_ods, voi_ods = int(pri.mean(axis=1).argmax()), int(voi.mean(axis=1).argmin())
    return {
        "covering_ods_at": parameters[ods],
        "covering_ods": PERCENT * covering[ods],
        "covering_ois": PERCENT * ois,
        "covering_best": PERCENT * best,
        "pri_ods_at": parameters[pri_ods],
        "pri_ods": PERCENT * float(pri[pri_ods].mean()),
        "pri_ois": PERCENT * float(pri.max(axis=0).mean()),
        "voi_ods_at": parameters[voi_ods],
        "voi_ods": float(voi[voi_ods].mean()),
        "voi_ois": float(voi.min(axis=0).mean()),
    }


def _of_boundaries(parameters: Sequence[float], rows: Sequence[Sequence[BoundaryCounts]]) -> Mapping[str, float]:
    totals = [add_counts(row) for row in rows]
    ods = best_point(parameters, totals)
    ois = add_counts([first_best(picture) for picture in zip(*rows, strict=True)])
    return {
        "f_ods_at": ods.at,
        "f_ods": PERCENT * ods.f,
        "f_ois": PERCENT * ois.f,
        "ap": PERCENT * average_precision(totals) if len(totals) > 1 else float("nan"),
    }
