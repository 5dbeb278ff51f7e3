"""Makes ``scales.csv``: the best scale of each family of segmentations, rows that differ in one number.

Three readings of a family (Arbelaez et al., TPAMI 2011, Section 3): ODS, the parameter that is best for the whole data
set; OIS, the best for each picture; "best" (covering only), the best for each region. Of equal ones, the first wins.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from eval.boundaries import BoundaryCounts, add_counts, average_precision, best_point, first_best
from eval.metrics import PERCENT
from eval.protocol_scores import boundary_counts, region_scores
from eval.regions import RegionScores, pooled_covering
from eval.results.names import telling_names
from eval.row import Row
from eval.settings import is_number, of_method

SCORE_COLUMNS = (
    *("covering_ods_at", "covering_ods", "covering_ois", "covering_best"),
    *("pri_ods_at", "pri_ods", "pri_ois", "voi_ods_at", "voi_ods", "voi_ois"),
    *("f_ods_at", "f_ods", "f_ois", "ap"),
)
SCALE_COLUMNS = ("family", "parameter", "images", *SCORE_COLUMNS)


@dataclass(frozen=True)
class Family:
    """Rows that differ in one number.

    Attributes:
        name: name of the rows.
        parameter: path of the number in the settings, such as ``segmenter.tau``; "" for a single row without one.
        values: the number in each row; NaN for a single row.
        rows: the rows, in the same order.
    """

    name: str
    parameter: str
    values: Sequence[float]
    rows: Sequence[Row]


def families(rows: Sequence[Row], parameter: str | None = None) -> list[Family]:
    """Groups rows of one name into families.

    Args:
        rows: the rows.
        parameter: path of the number, such as ``segmenter.tau``; None: the number that leaves the fewest families.
    """
    result = []
    for name in dict.fromkeys(row.name for row in rows):
        namesakes = [row for row in rows if row.name == name]
        settings = [of_method(row.settings) for row in namesakes]
        candidates = [parameter] if parameter else _varying_numbers(settings)
        grouped = {path: _without(settings, path) for path in candidates}
        best = min(candidates, key=lambda path: len(set(grouped[path])), default=None)
        groups: dict[Any, list[int]] = {}
        for index in range(len(namesakes)):
            groups.setdefault(grouped[best][index] if best else index, []).append(index)
        for members in groups.values():
            values = [settings[index].get(best or "") for index in members]
            numbers = [float(value) if is_number(value) else np.nan for value in values]
            parameter_of_group = best if best and not np.isnan(numbers).any() else ""
            result.append(Family(name, parameter_of_group, numbers, [namesakes[index] for index in members]))
    return result


def scales_table(rows: Sequence[Row], parameter: str | None = None) -> pd.DataFrame:
    """Makes a line for each family. Columns `SCALE_COLUMNS`; only pictures that all rows of a family have count."""
    lines = []
    all_families = families(rows, parameter)
    names = telling_names([family.rows[0] for family in all_families])  # with the settings that are fixed in a family
    for name_of_family, family in zip(names, all_families, strict=True):
        known = [{record.picture: record for record in row.evaluated} for row in family.rows]
        pictures = [id for id in known[0] if all(id in records for records in known)]
        columns: dict[str, list[list[Any]]] = {}
        for name, compute in (("regions", region_scores), ("boundaries", boundary_counts)):
            values = [[compute(records[id]) for id in pictures] for records in known]
            if pictures and all(value is not None for of_row in values for value in of_row):
                columns[name] = values
        if columns:
            of_family = scales(family.values, **columns)
            lines.append({"family": name_of_family, "parameter": family.parameter, **of_family})
    return pd.DataFrame(lines, columns=SCALE_COLUMNS)


def _varying_numbers(settings: Sequence[Mapping[str, Any]]) -> list[str]:
    paths = dict.fromkeys(path for row_settings in settings for path in row_settings)
    varying = [path for path in paths if len({repr(row_settings.get(path)) for row_settings in settings}) > 1]
    return [path for path in varying if all(is_number(row_settings.get(path)) for row_settings in settings)]


def _without(settings: Sequence[Mapping[str, Any]], path: str) -> list[tuple[str, ...]]:
    return [
        tuple(f"{name}={value!r}" for name, value in sorted(row_settings.items()) if name != path)
        for row_settings in settings
    ]


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
    """
    order = np.argsort(parameters, kind="stable")
    sorted_parameters = [float(parameters[row]) for row in order]
    images = max(len(rows[0]) for rows in (regions, boundaries) if rows)
    of_regions = _of_regions(sorted_parameters, [regions[row] for row in order]) if regions else {}
    of_boundaries = _of_boundaries(sorted_parameters, [boundaries[row] for row in order]) if boundaries else {}
    return {"images": images, **dict.fromkeys(SCORE_COLUMNS, float("nan")), **of_regions, **of_boundaries}


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
