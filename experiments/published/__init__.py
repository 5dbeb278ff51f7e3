"""Published scores, in percent, from the CSV files of this folder.

``table*.csv`` are the tables of the DiffSeg paper. ``others_*.csv`` are scores of other papers on the same data sets.
The folders ``instances`` and ``regions`` hold scores without classes (`published_scores`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pandas as pd

from eval.config import ConfigError
from eval.row import Row

FOLDER = Path(__file__).parent
REQUIREMENTS = {"LD": "language_dependency", "AX": "auxiliary_images", "UA": "unsupervised_adaptation"}
"""Abbreviation in the paper -> column: what a method needs."""
SCOPES = ("image", "dataset", "named")
"""A scope says how segments got their classes: matched in each image, matched once for the whole data set, or named by
a language model. Scores of different scopes are not comparable."""
BSDS500_TEST = "groundTruth/test"
"""Source of the people's segmentations in the published evaluations (`datasets.bsds500`): all 200 test pictures."""


def published_table(name: str) -> pd.DataFrame:
    """The rows of a table of the DiffSeg paper.

    Args:
        name: name of a CSV file ``table*.csv``, without the suffix.

    Returns:
        Columns ``method``; ``resolution``, the side of the square that enters the backbone in pixels, as text, empty
        if the method has none; `REQUIREMENTS`, yes or no; ``published_acc`` and ``published_miou`` in percent, NaN
        if the paper leaves the cell empty.

    Raises:
        ConfigError: there is no such table.
    """
    known = {path.stem: path for path in sorted(FOLDER.glob("table*.csv"))}
    if name not in known:
        raise ConfigError(f"published: must be one of {', '.join(known)}, got {name!r}")
    table = _read(known[name]).rename(columns={"acc": "published_acc", "miou": "published_miou"})
    return table[["method", "resolution", *REQUIREMENTS.values(), "published_acc", "published_miou"]]


def published_score(table: str | None, method: str, resolution: int) -> dict[str, float | None] | None:
    """The published ``acc`` and ``miou`` of a method in percent; None if there is no such row, or no table.

    Args:
        table: see `published_table`.
        method: name of the method in the table.
        resolution: side of the square that enters the backbone, in pixels.

    Raises:
        ConfigError: there is no such table.
    """
    if table is None:
        return None
    rows = published_table(table).set_index(["method", "resolution"])
    if (method, str(resolution)) not in rows.index:
        return None
    scores = rows.loc[(method, str(resolution))]
    return {
        name: None if pd.isna(score) else float(score) for name, score in zip(_SCORES, scores[_PUBLISHED], strict=True)
    }


def published_rows(dataset: str) -> pd.DataFrame:
    """All published rows of a data set.

    Args:
        dataset: its name, such as ``cocostuff27``.

    Returns:
        Columns ``method``, ``resolution``, `REQUIREMENTS`, ``acc`` and ``miou`` in percent, ``dataset``, ``backbone``,
        ``scope`` (one of `SCOPES`), ``protocol``, ``paper`` and ``source`` (where the numbers were read). Unknown text
        is empty. No rows for a data set without published scores.
    """
    rows = pd.concat([_read(path) for path in sorted(FOLDER.glob("*.csv"))], ignore_index=True)
    return rows[rows["dataset"] == dataset].reset_index(drop=True)


def published_scores(kind: Literal["instances", "regions"]) -> pd.DataFrame:
    """Published scores without classes, of all data sets.

    Args:
        kind: ``instances``, object-centric scores (columns ``mbo_c``, ``mbo_i``, ``instance_miou``, ``fg_ari``), or
            ``regions``, those of BSDS500 (``covering_ods`` ... ``ap``). In percent, VoI in bits, NaN: not reported.

    Returns:
        Columns ``method``, the scores, ``dataset``, ``paper``, ``source``, and ``convention`` or
        ``trained_on_boundaries``. Unknown text is empty.
    """
    files = sorted((FOLDER / kind).glob("*.csv"))
    table = pd.concat([pd.read_csv(path) for path in files], ignore_index=True)
    texts = list(table.columns.intersection(["convention", "backbone"]))
    return table.fillna(dict.fromkeys(texts, ""))


def published_regions(row: Row) -> pd.DataFrame:
    """Published scores on the pictures of a row, see `published_scores`; none for other pictures, or a square."""
    scores = published_scores("regions")
    comparable = row.settings["dataset"]["label_source"] == BSDS500_TEST and row.frame == "whole"
    return scores[(scores["dataset"] == row.dataset_name) & comparable].reset_index(drop=True)


_SCORES = ("acc", "miou")
_PUBLISHED = [f"published_{name}" for name in _SCORES]


def _read(path: Path) -> pd.DataFrame:
    texts = [name for name in pd.read_csv(path, nrows=0) if name not in _SCORES]
    return pd.read_csv(path, dtype=dict.fromkeys(texts, str)).fillna(dict.fromkeys(texts, ""))
