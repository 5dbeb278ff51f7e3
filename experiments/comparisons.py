"""Which settings of results to show and compare, and by how much they differ, image by image."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from eval.columns import setting_names
from eval.metrics import resample_weights
from eval.protocols import PROTOCOLS
from experiments.results import swept

MOST_ROWS = 20
RESAMPLES, LEVEL = 2000, 0.95

Point = tuple[float, float, float]
"""A mean and the ends of its interval."""


def best(summary: pd.DataFrame) -> str:
    """The setting of the highest mIoU, in score ``present`` where it is reported."""
    return str(_ranked(summary).iloc[0])


def contrast(summary: pd.DataFrame) -> tuple[str, str]:
    """Two settings to compare: the best K-Means and the best DiffSeg; without these two, the worst and the best."""
    ranked = _ranked(summary)
    segmenter = summary.drop_duplicates("setting").set_index("setting")["segmenter"][ranked]
    kmeans, diffseg = (ranked[segmenter.str.startswith(name).to_numpy()] for name in ("kmeans", "diffseg"))
    if len(kmeans) and len(diffseg):
        return str(kmeans.iloc[0]), str(diffseg.iloc[0])
    return str(ranked.iloc[-1]), str(ranked.iloc[0])


def shown_settings(summary: pd.DataFrame) -> tuple[list[str], str]:
    """Settings in the order of the results, or of more than `MOST_ROWS` the best by mIoU, and a title that says so."""
    settings = list(summary["setting"].unique())
    if len(settings) <= MOST_ROWS:
        return settings, ""
    return list(_ranked(summary)[:MOST_ROWS]), f"the {MOST_ROWS} best of {len(settings)} settings by mIoU"


def _ranked(summary: pd.DataFrame) -> pd.Series:
    """Settings, the best first."""
    last = reported(summary)[-1]
    return summary[summary["protocol"] == last].sort_values("miou", ascending=False, kind="stable")["setting"]


def comparable(table: pd.DataFrame, parameter: str) -> pd.DataFrame:
    """Rows to which a parameter applies, of those settings of the others that have most of its values.

    A mean over the others then compares like with like, in a grid with holes as well as where one choice is varied at
    a time.
    """
    rows = table[table[parameter] != ""]
    others = [name for name in swept(rows) if name != parameter]
    if rows.empty or not others:
        return rows
    values = rows.groupby(others)[parameter].transform("nunique")
    return rows[values == values.max()]


def overview(summary: pd.DataFrame, by: str = "setting") -> pd.DataFrame:
    """Segments, ACC and mIoU of each setting, or the mean for each value of a parameter (see `comparable`)."""
    rows = summary if by == "setting" else comparable(summary, by)
    means = rows.groupby([by, "protocol"], sort=False)[["segments", "acc", "miou"]].mean().unstack()
    names = reported(rows)
    columns = {"segments": means["segments", names[0]], "ACC": means["acc", names[0]]}
    return pd.DataFrame(columns | {f"mIoU {name}": means["miou", name] for name in names})


def reported(table: pd.DataFrame) -> list[str]:
    """The protocols of a table, in the order of `PROTOCOLS`."""
    return [name for name in PROTOCOLS if name in set(table["protocol"])]


def seeds_together(summary: pd.DataFrame) -> pd.DataFrame:
    """One row for settings that differ in no more than the seed: the means of their numbers."""
    settings = [
        ", ".join(part for part in setting.split(", ") if not part.startswith("seed=")) or name
        for setting, name in zip(summary["setting"], summary["name"], strict=True)
    ]
    keys = ["setting", "name", *(name for name in setting_names(summary) if name != "seed"), "protocol"]
    return summary.assign(setting=settings).groupby(keys, sort=False).mean(numeric_only=True).reset_index()


def by_image(per_image: pd.DataFrame, protocol: str, metric: str) -> pd.DataFrame:
    """Image x setting -> score; NaN where the image failed."""
    return per_image[per_image["protocol"] == protocol].pivot(index="image", columns="setting", values=metric)


def mean_interval(values: pd.Series) -> Point:
    """Mean over the images and its 95 % bootstrap interval (resamples as in `eval.metrics.bootstrap`), NaN left out."""
    known = values.dropna().to_numpy(dtype=float)
    if not len(known):
        return np.nan, np.nan, np.nan
    means = _resamples(len(known)) @ known / len(known)
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(known.mean()), float(low), float(high)


@lru_cache(maxsize=1)
def _resamples(images: int) -> NDArray[np.float64]:
    return resample_weights(images, RESAMPLES, seed=0)
