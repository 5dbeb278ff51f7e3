"""Chooses the settings and rows that plots show and compare, and describes them for headings."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from eval.results.reading import Results, ResultsError, swept

from eval.protocols import ALL_PROTOCOLS
from eval.results.columns import setting_names

MOST_ROWS = 20
INTERVALS = "95 % intervals"


def criterion(summary: pd.DataFrame) -> str:
    """Name of the score that ranks settings: mIoU of the last reported protocol, such as ``mIoU present``."""
    return f"mIoU {reported_protocols(summary)[-1]}"


def best(summary: pd.DataFrame) -> str:
    """The setting with the highest `criterion`."""
    return str(_ranked(summary).iloc[0])


def contrast(summary: pd.DataFrame, wanted: Sequence[str] | None = None) -> tuple[str, str, str]:
    """Chooses two settings to compare; returns them and a text that says how they were chosen.

    They are the best K-Means and the best DiffSeg by `criterion`. Without both methods, they are the worst and the best
    setting.

    Args:
        summary: summary of one data set.
        wanted: two settings to return instead, with an empty text.

    Raises:
        ResultsError: the results do not have these two.
    """
    if wanted:
        check_settings(summary, wanted)
        first, second = wanted
        return first, second, ""
    known = summary.dropna(subset=["miou"])  # leaves out settings that failed on every image
    ranked = _ranked(known if known["setting"].nunique() > 1 else summary)
    segmenter = summary.drop_duplicates("setting").set_index("setting")["segmenter"][ranked]
    kmeans, diffseg = (ranked[segmenter.str.startswith(name).to_numpy()] for name in ("kmeans", "diffseg"))
    if len(kmeans) and len(diffseg):
        chosen = f"the best K-Means and the best DiffSeg by {criterion(summary)}"
        return str(kmeans.iloc[0]), str(diffseg.iloc[0]), chosen
    return str(ranked.iloc[-1]), str(ranked.iloc[0]), f"the worst and the best setting by {criterion(summary)}"


def check_settings(summary: pd.DataFrame, wanted: Sequence[str]) -> None:
    """Raises `ResultsError` if the results lack a wanted setting, or if a setting is wanted twice."""
    if len(set(wanted)) < len(wanted):
        raise ResultsError(f"{wanted[0]}: cannot be compared with itself; give two settings")
    settings = list(summary["setting"].unique())
    for name in wanted:
        if name not in settings:
            more = f" and {len(settings) - MOST_ROWS} more" if len(settings) > MOST_ROWS else ""
            raise ResultsError(f"{name}: no such setting; choose from: {'; '.join(settings[:MOST_ROWS])}{more}")


def shown_settings(summary: pd.DataFrame) -> tuple[list[str], str]:
    """All settings in the order of the results, or the `MOST_ROWS` best by `criterion` with a note for the title."""
    settings = list(summary["setting"].unique())
    if len(settings) <= MOST_ROWS:
        return settings, ""
    return list(
        _ranked(summary)[:MOST_ROWS]
    ), f"the {MOST_ROWS} best of {len(settings)} settings by {criterion(summary)}"


def _ranked(summary: pd.DataFrame) -> pd.Series:
    """Settings by `criterion`, best first."""
    last = reported_protocols(summary)[-1]
    return summary[summary["protocol"] == last].sort_values("miou", ascending=False, kind="stable")["setting"]


def distinguishing_column(summary: pd.DataFrame, most: int) -> str:
    """The first of ``setting``, ``name`` (the method) and the parameters with 2 to ``most`` values; "" if none has."""
    columns = ["setting", "name", *swept(summary)]
    return next((name for name in columns if 2 <= summary[name].nunique() <= most and (summary[name] != "").all()), "")


def comparable(table: pd.DataFrame, parameter: str) -> pd.DataFrame:
    """Rows that can be compared along a parameter.

    A combination of the other parameters is kept only if it was evaluated with the most values of this parameter. A
    mean over the others then compares like with like, even in an incomplete grid or if one choice varies at a time.
    """
    rows = table[table[parameter] != ""]
    others = [name for name in swept(rows) if name != parameter]
    if rows.empty or not others:
        return rows
    values = rows.groupby(others)[parameter].transform("nunique")
    return rows[values == values.max()]


def overview(summary: pd.DataFrame, by: str = "setting") -> pd.DataFrame:
    """Table of segments, ACC and mIoU for each setting, or their means for each value of a parameter (`comparable`)."""
    rows = summary if by == "setting" else comparable(summary, by)
    means = rows.groupby([by, "protocol"], sort=False)[["segments", "acc", "miou"]].mean().unstack()
    names = reported_protocols(rows)
    columns = {"segments": means["segments", names[0]], "ACC": means["acc", names[0]]}
    return pd.DataFrame(columns | {f"mIoU {name}": means["miou", name] for name in names})


def reported_protocols(table: pd.DataFrame) -> list[str]:
    """The protocols of a table: first those of this project, in the order of `ALL_PROTOCOLS`, then all others."""
    found = list(table["protocol"].unique())
    return [*(name for name in ALL_PROTOCOLS if name in found), *(name for name in found if name not in ALL_PROTOCOLS)]


def seeds_together(summary: pd.DataFrame) -> pd.DataFrame:
    """Merges settings that differ only in the seed into one row with the means of their numbers."""
    settings = [
        ", ".join(part for part in setting.split(", ") if not part.startswith("seed=")) or name
        for setting, name in zip(summary["setting"], summary["name"], strict=True)
    ]
    keys = ["setting", "name", *(name for name in setting_names(summary) if name != "seed"), "protocol"]
    return summary.assign(setting=settings).groupby(keys, sort=False).mean(numeric_only=True).reset_index()


def by_image(per_image: pd.DataFrame, protocol: str, metric: str) -> pd.DataFrame:
    """Table of scores with one row per image and one column per setting; NaN if the image failed."""
    return per_image[per_image["protocol"] == protocol].pivot(index="image", columns="setting", values=metric)


def rows_of_one_protocol(table: pd.DataFrame) -> pd.DataFrame:
    """Rows of the first protocol, for columns with the same value in every protocol."""
    return table[table["protocol"] == table["protocol"].iloc[0]]


def describe_data(results: Results) -> str:
    """Data set, backbone and number of images, for a heading."""
    summary = results.summary
    names = ", ".join(dict.fromkeys([*summary["dataset"], *summary["backbone"]]))
    return f"{names}, {summary['images'].max()} images"
