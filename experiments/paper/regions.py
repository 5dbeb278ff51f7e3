"""Published scores of BSDS500 beside those of a run on the same pictures."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from eval.protocols import REGION_PROTOCOLS
from eval.results.markdown import SCALE_TITLES, fixed, pipe_table
from eval.runs import Row
from experiments.paper.published import published_scores

PUBLISHED_ON = "groundTruth/test"
"""Source of the people's segmentations in the published evaluations (`datasets.bsds500`): all 200 test pictures."""
SOURCES = "experiments/paper/published/regions/bsds500.csv"
COLUMNS = {name: title for name, title in SCALE_TITLES.items() if not name.endswith("_at")}


def published_regions(row: Row) -> pd.DataFrame:
    """Published scores on the pictures of a row, see `published_scores`; none for other pictures, or a square."""
    scores = published_scores("regions")
    comparable = row.settings["dataset"]["label_source"] == PUBLISHED_ON and row.frame == "whole"
    return scores[(scores["dataset"] == row.dataset_name) & comparable].reset_index(drop=True)


def published_markdown(rows: Sequence[Row]) -> str:
    """A table of published scores, in the columns of the best scales; "" if there are none for these rows."""
    own = [row for row in rows if set(row.protocols) & set(REGION_PROTOCOLS)]
    scores = next((table for row in own if not (table := published_regions(row)).empty), None)
    if scores is None:
        return ""
    cells: dict[str, Sequence[str]] = {"method": list(scores["method"])}
    cells["trained on boundaries"] = list(scores["trained_on_boundaries"])
    for name, title in COLUMNS.items():
        cells[title] = [fixed(value, 2 if name.startswith("voi") else 1) for value in scores[name]]
    return f"Published, on all {_count(own)} test pictures ({SOURCES} says where it was read)\n\n{pipe_table(cells)}"


def _count(rows: Sequence[Row]) -> int:
    """Number of pictures in the published evaluation."""
    return next(row.official_count for row in rows if row.official_count)
