"""Chooses the settings of results that are shown and compared."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from eval.columns import setting_names
from eval.protocols import ALL_PROTOCOLS
from eval.results import ResultsError, swept

MOST_ROWS = 20


def criterion(summary: pd.DataFrame) -> str:
    """The score that ranks settings: mIoU of the last protocol that is reported, such as ``mIoU present``."""
    return f"mIoU {reported_protocols(summary)[-1]}"


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
    last = reported_protocols(summary)[-1]
    return summary[summary["protocol"] == last].sort_values("miou", ascending=False, kind="stable")["setting"]


def distinguishing_column(summary: pd.DataFrame, most: int) -> str:
    """The first column with two to ``most`` values: ``setting``, ``name`` (the method) or a parameter; "": none."""
    columns = ["setting", "name", *swept(summary)]
    return next((name for name in columns if 2 <= summary[name].nunique() <= most and (summary[name] != "").all()), "")


def comparable(table: pd.DataFrame, parameter: str) -> pd.DataFrame:
    """Rows that can be compared along a parameter.

    Of the settings of the other parameters only those with the most values of this one are kept. So a mean over the
    others compares like with like, also in a grid with holes, or where one choice is varied at a time.
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
    names = reported_protocols(rows)
    columns = {"segments": means["segments", names[0]], "ACC": means["acc", names[0]]}
    return pd.DataFrame(columns | {f"mIoU {name}": means["miou", name] for name in names})


def reported_protocols(table: pd.DataFrame) -> list[str]:
    """The protocols of a table: those of this project in the order of `ALL_PROTOCOLS`, then all others."""
    found = list(table["protocol"].unique())
    return [*(name for name in ALL_PROTOCOLS if name in found), *(name for name in found if name not in ALL_PROTOCOLS)]


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
