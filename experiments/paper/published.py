"""Reads published scores, ACC and mIoU in percent, from the CSV files in ``published/``.

``table*.csv`` are the tables of the DiffSeg paper. ``others_*.csv`` are scores of other papers on the same data sets.
The folders ``instances`` and ``regions`` hold scores without classes (`published_scores`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pandas as pd

from eval.config import ConfigError

FOLDER = Path(__file__).parent / "published"
REQUIREMENTS = {"LD": "language_dependency", "AX": "auxiliary_images", "UA": "unsupervised_adaptation"}
"""Abbreviation in the paper -> column: what a method needs."""
SCOPES = ("image", "dataset", "named")
"""A scope says how segments got their classes: matched in each image, matched once for the whole data set, or named by
a language model. Scores of different scopes are not comparable."""


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


def published_score(table: str | None, method: str, resolution: int) -> dict[str, float | None] | None:
    """The published ACC and mIoU of a method.

    Args:
        table: name of a table, see `published_table`; None: no table.
        method: name of the method in the table.
        resolution: side of the square that enters the backbone, in pixels.

    Returns:
        ``acc`` and ``miou`` in percent (None if the paper leaves the cell empty); None if the table has no such row.

    Raises:
        ConfigError: there is no such table.
    """
    if table is None:
        return None
    for row in published_table(table).itertuples():
        if (row.method, row.resolution) == (method, str(resolution)):
            scores = {"acc": row.published_acc, "miou": row.published_miou}
            return {name: None if pd.isna(value) else value for name, value in scores.items()}
    return None


def _read(path: Path) -> pd.DataFrame:
    numbers = ("acc", "miou")
    texts = [name for name in pd.read_csv(path, nrows=0) if name not in numbers]
    return pd.read_csv(path, dtype=dict.fromkeys(texts, str)).fillna(dict.fromkeys(texts, ""))
