"""The leaderboard: one table per data set, with results folders and published numbers.

Scores of different scopes have different columns. A scope says how segments got their classes, see
`experiments.paper.published.SCOPES`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from eval.results.reading import read_results
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from omegaconf import OmegaConf

from eval.config import ConfigError, RunConfig, build
from eval.results.columns import ENDS
from eval.results.markdown import fixed, pipe_table, with_interval
from eval.storage.layout import CONFIG
from experiments.paper.latex import latex_table
from experiments.paper.published import published_rows
from experiments.paper.table import images_cell

GROUPS = {
    "image": ("matched in each image", "per image: "),
    "dataset": ("matched once for the data set", "data set: "),
    "named": ("named by text, not matched", "named: "),
    "none": ("without classes", ""),
}
"""Scope -> heading above its columns, and prefix of its columns in tables with a single line of headings."""
SCORES = {
    "image_acc": ("image", "ACC"),
    "image_miou": ("image", "mIoU official"),
    "present_miou": ("image", "mIoU present"),
    "dataset_acc": ("dataset", "ACC"),
    "dataset_miou": ("dataset", "mIoU"),
    "named_acc": ("named", "ACC"),
    "named_miou": ("named", "mIoU"),
    "ari": ("none", "ARI"),
    "voi": ("none", "VoI (bits)"),
    "covering": ("none", "covering"),
}
"""Column -> its group and heading. Our rows also have ``*_low`` and ``*_high``, the ends of the 95 % interval."""
MEASURED = {
    "image_acc": (("official", "present"), "acc"),
    "image_miou": (("official",), "miou"),
    "present_miou": (("present",), "miou"),
    "dataset_acc": (("dataset",), "acc"),
    "dataset_miou": (("dataset",), "miou"),
    **{name: (("official", "present", "dataset"), name) for name in ("ari", "voi", "covering")},
}
"""Column -> its protocols and its column of ``summary.csv``. The first protocol that a run reports counts."""
FILES = "files"  # conf/segmenter/files.yaml
LEADERBOARD_COLUMNS = (
    *("dataset", "method", "backbone", "resolution", "results", "paper", "source"),
    *("images", "official_images", "failed"),
    *(f"{name}{end}" for name in SCORES for end in ENDS),
)
RANKED_BY = ("image_miou", "present_miou", "dataset_miou", "named_miou")
NOTES = (
    "In percent, VoI in bits. Our scores have the 95 % bootstrap interval over the images. Empty: not reported.",
    "Segments are matched in each image, matched once for the data set, or named by a language model. Scores of these "
    "three kinds are not comparable. Named are the rows that the DiffSeg paper marks as language dependent.",
    "Rows are ordered by mIoU: first those matched in each image, then those matched once, then those named.",
)


def leaderboard(folders: Sequence[Path]) -> pd.DataFrame:
    """Collects the rows of results folders and the published rows of the same data sets.

    Args:
        folders: results of runs or of sweeps (`eval.results.reading.read_results`); their data sets and protocols may
            differ.

    Returns:
        Columns `LEADERBOARD_COLUMNS`. ``results`` is the folder of our rows, empty for published ones; ``paper`` and
        ``source`` are empty for ours. Data sets in the order of the folders, rows ordered as `NOTES` says.

    Raises:
        ResultsError: a folder has no results.
    """
    measured = pd.concat([_measured(folder) for folder in folders], ignore_index=True)
    datasets = list(measured["dataset"].unique())
    table = pd.concat([measured, *map(_published, datasets)], ignore_index=True)
    order = sorted(table.index, key=lambda index: (datasets.index(table["dataset"][index]), *_rank(table.loc[index])))
    return table.loc[order, list(LEADERBOARD_COLUMNS)].reset_index(drop=True)


def _rank(row: pd.Series) -> tuple[int, float]:
    """Sort key of a row within its data set: the first column of `RANKED_BY` that it has, highest score first."""
    for place, name in enumerate(RANKED_BY):
        if pd.notna(row[name]):
            return place, -row[name]
    return len(RANKED_BY), 0.0


def _measured(folder: Path) -> pd.DataFrame:
    """Returns a row for each setting of a results folder."""
    results = read_results(folder)
    official = {job: _official_count(path) for job, path in results.folders.items()}
    rows: list[dict[str, Any]] = []
    for setting, protocols in results.summary.groupby("setting", sort=False):
        one, scores = protocols.iloc[0], protocols.set_index("protocol")
        row = {name: one[name] for name in ("dataset", "backbone", "images", "failed")}
        row |= {"method": _method(str(setting), one), "resolution": one["size"], "results": str(folder)}
        row["official_images"] = official[one["job"]]
        for column, (known, name) in MEASURED.items():
            reported = [protocol for protocol in known if protocol in scores.index]
            if reported and name in scores:
                row |= {f"{column}{end}": scores.loc[reported[0], f"{name}{end}"] for end in ENDS}
        rows.append(row)
    return _typed(pd.DataFrame(rows, columns=LEADERBOARD_COLUMNS))


def _method(setting: str, row: pd.Series) -> str:
    """Name of a method with its settings. Label maps of another program are named after their run or their folder."""
    if setting == row["name"] == FILES and "folder" in row:
        named = row["experiment"] != RunConfig.name
        return f"{FILES}, {row['experiment'] if named else Path(row['folder']).name}"
    return setting if setting.startswith(row["name"]) else f"{row['name']}, {setting}"


def _official_count(folder: Path) -> int | None:
    """Number of pictures in the published evaluation of a run's data set; None if unknown."""
    path = folder / CONFIG
    try:
        return build(OmegaConf.load(path).dataset, "dataset").official_count if path.is_file() else None
    except ConfigError:  # another version wrote the file, or a part that it names is not installed
        return None


def _published(dataset: str) -> pd.DataFrame:
    rows = published_rows(dataset)
    for metric in ("acc", "miou"):
        for scope in ("image", "dataset", "named"):
            rows[f"{scope}_{metric}"] = rows[metric].where(rows["scope"] == scope)
    return _typed(rows.reindex(columns=LEADERBOARD_COLUMNS))


def _typed(rows: pd.DataFrame) -> pd.DataFrame:
    texts = LEADERBOARD_COLUMNS[: LEADERBOARD_COLUMNS.index("images")]
    counts = dict.fromkeys(("images", "official_images", "failed"), "Int64")
    scores = dict.fromkeys(LEADERBOARD_COLUMNS[LEADERBOARD_COLUMNS.index("failed") + 1 :], float)
    return rows.fillna(dict.fromkeys(texts, "")).astype({**dict.fromkeys(texts, str), **counts, **scores})


def shown_columns(rows: pd.DataFrame) -> list[str]:
    """The columns of `SCORES` that have a value in at least one row."""
    return [name for name in SCORES if rows[name].notna().any()]


def cells(rows: pd.DataFrame) -> dict[str, list[str]]:
    """Heading -> texts of the rows of one data set. Of the scores, only the `shown_columns`."""
    every = [row for _, row in rows.iterrows()]
    scores = {
        GROUPS[group][1] + heading: [_score(row, name) for row in every]
        for name, (group, heading) in SCORES.items()
        if name in shown_columns(rows)
    }
    return {
        "method": list(rows["method"]),
        "backbone": list(rows["backbone"]),
        "px": list(rows["resolution"]),
        **scores,
        "images": [images_cell(row) for row in every],
        "from": [row["results"] or f"{row['paper']} ({row['source']})" for row in every],
    }


def _score(row: pd.Series, name: str) -> str:
    value, low, high = (row[f"{name}{end}"] for end in ENDS)
    decimals = 2 if name == "voi" else 1
    if pd.isna(value):
        return ""
    return fixed(value, decimals) if pd.isna(low) else with_interval(value, low, high, decimals=decimals)


def _is_partial(row: pd.Series) -> bool:
    """True if a row of ours has fewer images than the published evaluation."""
    return bool(pd.notna(row["official_images"]) and row["images"] < row["official_images"])


def caveats(rows: pd.DataFrame) -> list[str]:
    """A sentence that names the rows of a data set that are not comparable with the published ones, if any."""
    published = rows["source"] != ""
    partial = rows[[_is_partial(row) for _, row in rows.iterrows()]]
    if not published.any() or partial.empty:
        return []
    names = ", ".join(dict.fromkeys(partial["method"]))
    return [f"Not comparable with the published numbers, because only a part of the images was evaluated: {names}."]


def markdown_page(table: pd.DataFrame) -> str:
    """The leaderboard as Markdown, one section per data set."""
    blocks = ["# Leaderboard\n", *(f"{note}\n" for note in NOTES)]
    for dataset, rows in table.groupby("dataset", sort=False):
        blocks += [f"## {dataset}\n", pipe_table(cells(rows)), *(f"{caveat}\n" for caveat in caveats(rows))]
    return "\n".join(blocks)


def latex_page(table: pd.DataFrame) -> str:
    """The leaderboard as LaTeX, one table per data set, without the sources of published rows."""
    tables = []
    for dataset, rows in table.groupby("dataset", sort=False):
        columns = cells(rows)
        columns["from"] = [row["results"] or row["paper"] for _, row in rows.iterrows()]
        tables.append(latex_table(f"{dataset}. {' '.join(NOTES)}", columns, 0, caveats(rows), texts=2))
    return "\n".join(tables)


def html_page(table: pd.DataFrame) -> str:
    """The leaderboard as one HTML page that needs no other file and no network."""
    folder = Path(__file__).parent
    environment = Environment(
        loader=FileSystemLoader(folder), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    sections = []
    for dataset, rows in table.groupby("dataset", sort=False):
        shown = shown_columns(rows)
        groups = {name: [column for column in shown if SCORES[column][0] == name] for name in GROUPS}
        every = [
            row.to_dict()
            | {
                "count": images_cell(row),
                "partial": _is_partial(row),
                "scores": {name: _score(row, name).split(" ", 1) for name in shown},
            }
            for _, row in rows.iterrows()
        ]
        sections.append(
            {
                "dataset": dataset,
                "rows": every,
                "groups": {GROUPS[name][0]: columns for name, columns in groups.items() if columns},
                "caveats": caveats(rows),
            }
        )
    headings = {name: heading for name, (_, heading) in SCORES.items()}
    return environment.get_template("leaderboard.html").render(sections=sections, headings=headings, notes=NOTES)
