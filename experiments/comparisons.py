"""Which settings of results to show and compare, and by how much they differ on the same images."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from eval.columns import setting_names
from eval.matching import Counts
from eval.metrics import accuracy, bootstrap_change, mean_iou, resample_weights
from eval.protocols import PROTOCOLS
from eval.tables import PERCENT
from experiments.results import ResultsError, swept

MOST_ROWS = 20
RESAMPLES, LEVEL = 2000, 0.95

Point = tuple[float, float, float]
"""A value and the ends of its interval."""


def criterion(summary: pd.DataFrame) -> str:
    """By what settings are ranked: ``mIoU present`` where it is reported, else ``mIoU official``."""
    return f"mIoU {reported(summary)[-1]}"


def best(summary: pd.DataFrame) -> str:
    """The first setting by `criterion`."""
    return str(_ranked(summary).iloc[0])


def contrast(summary: pd.DataFrame, wanted: Sequence[str] | None = None) -> tuple[str, str, str]:
    """Two settings to compare, and how they were chosen.

    The best K-Means and the best DiffSeg by `criterion`; without these two, the worst and the best setting.

    Args:
        summary: of one data set.
        wanted: two settings to take instead.

    Raises:
        ResultsError: the results do not have these two.
    """
    if wanted:
        check_settings(summary, wanted)
        first, second = wanted
        return first, second, ""
    known = summary.dropna(subset=["miou"])  # without those that failed on every image
    ranked = _ranked(known if known["setting"].nunique() > 1 else summary)
    segmenter = summary.drop_duplicates("setting").set_index("setting")["segmenter"][ranked]
    kmeans, diffseg = (ranked[segmenter.str.startswith(name).to_numpy()] for name in ("kmeans", "diffseg"))
    if len(kmeans) and len(diffseg):
        chosen = f"the best K-Means and the best DiffSeg by {criterion(summary)}"
        return str(kmeans.iloc[0]), str(diffseg.iloc[0]), chosen
    return str(ranked.iloc[-1]), str(ranked.iloc[0]), f"the worst and the best setting by {criterion(summary)}"


def check_settings(summary: pd.DataFrame, wanted: Sequence[str]) -> None:
    """Raises `ResultsError` where the results lack one of these settings, or one is there twice."""
    if len(set(wanted)) < len(wanted):
        raise ResultsError(f"{wanted[0]}: cannot be compared with itself; give two settings")
    settings = list(summary["setting"].unique())
    for name in wanted:
        if name not in settings:
            more = f" and {len(settings) - MOST_ROWS} more" if len(settings) > MOST_ROWS else ""
            raise ResultsError(f"{name}: no such setting; there are: {'; '.join(settings[:MOST_ROWS])}{more}")


def shown_settings(summary: pd.DataFrame) -> tuple[list[str], str]:
    """Settings in the order of the results, or the first `MOST_ROWS` by `criterion`, and a title that says so."""
    settings = list(summary["setting"].unique())
    if len(settings) <= MOST_ROWS:
        return settings, ""
    return list(
        _ranked(summary)[:MOST_ROWS]
    ), f"the {MOST_ROWS} best of {len(settings)} settings by {criterion(summary)}"


def _ranked(summary: pd.DataFrame) -> pd.Series:
    """Settings, the best first."""
    last = reported(summary)[-1]
    return summary[summary["protocol"] == last].sort_values("miou", ascending=False, kind="stable")["setting"]


def told_apart_by(summary: pd.DataFrame, most: int) -> str:
    """The column that tells settings apart by two to ``most`` values: setting, method, or a parameter; "": none."""
    columns = ["setting", "name", *swept(summary)]
    return next((name for name in columns if 2 <= summary[name].nunique() <= most and (summary[name] != "").all()), "")


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
    """Image x setting -> the image's own score; NaN where the image failed."""
    return per_image[per_image["protocol"] == protocol].pivot(index="image", columns="setting", values=metric)


def counts_by_image(per_image: pd.DataFrame, protocol: str, setting: str) -> dict[str, Counts]:
    """Image -> its pixels by class, in the order of the table; those that failed are left out."""
    rows = per_image[(per_image["protocol"] == protocol) & (per_image["setting"] == setting)].dropna(subset=["tp"])
    columns = (rows["image"], *(rows[name].map(json.loads) for name in ("tp", "fp", "fn")), rows["labelled"])
    return {
        image: Counts.from_json({"tp": tp, "fp": fp, "fn": fn, "labelled": labelled})
        for image, tp, fp, fn, labelled in zip(*columns, strict=True)
    }


def change(before: Mapping[str, Counts], after: Mapping[str, Counts]) -> dict[str, Point]:
    """How far ACC and mIoU of the images that both have are apart, in points, with the paired 95 % interval.

    Each score is that of the tables, of the pixels of all images together (`eval.metrics.bootstrap_change`).

    Args:
        before, after: image -> its counts.

    Returns:
        ``acc`` and ``miou``; NaN where no image is in both.
    """
    images = [image for image in before if image in after]
    if not images:
        return dict.fromkeys(("acc", "miou"), (np.nan, np.nan, np.nan))
    old, new = ([counts[image] for image in images] for counts in (before, after))
    old_total, new_total = (sum(counts, Counts.zeros(len(counts[0].tp))) for counts in (old, new))
    intervals = dict(zip(("acc", "miou"), bootstrap_change(old, new, RESAMPLES, level=LEVEL), strict=True))
    return {
        name: (
            PERCENT * (score(new_total) - score(old_total)),
            PERCENT * intervals[name].low,
            PERCENT * intervals[name].high,
        )
        for name, score in {"acc": accuracy, "miou": mean_iou}.items()
    }


def mean_interval(values: pd.Series) -> Point:
    """Mean over the images and its 95 % bootstrap interval (resamples as in `eval.metrics.bootstrap`), NaN left out."""
    known = values.dropna().to_numpy(dtype=float)
    if not len(known):
        return np.nan, np.nan, np.nan
    means = resample_weights(len(known), RESAMPLES, seed=0) @ known / len(known)
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(known.mean()), float(low), float(high)
