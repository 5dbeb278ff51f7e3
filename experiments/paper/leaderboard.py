"""The leaderboard: one table per data set and frame, with results folders and published numbers.

Scores of different scopes have different columns. A scope says how segments got their classes, see
`experiments.paper.published.SCOPES`. Rows of few images stand in a table of their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from eval.config import RunConfig
from eval.results.columns import ENDS
from eval.results.latex import latex_table
from eval.results.markdown import image_count, pipe_table, with_interval
from experiments.paper.published import published_rows
from experiments.plotting.shown import ShownRow
from experiments.report.page import Cell, Column, Section, Table, render, score_cell

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
SET_PROTOCOLS = ("dataset_all", "dataset")  # published rows match all classes, as dataset_all does
MEASURED = {
    "image_acc": (("official", "present"), "acc"),
    "image_miou": (("official",), "miou"),
    "present_miou": (("present",), "miou"),
    "dataset_acc": (SET_PROTOCOLS, "acc"),
    "dataset_miou": (SET_PROTOCOLS, "miou"),
    **{name: (("official", "present", *SET_PROTOCOLS), name) for name in ("ari", "voi", "covering")},
}
"""Column -> its protocols and its column of ``summary.csv``. The first protocol that a row reports counts."""
LEADERBOARD_COLUMNS = (
    *("dataset", "frame", "method", "backbone", "resolution", "results", "paper", "source"),
    *("images", "official_images", "failed"),
    *(f"{name}{end}" for name in SCORES for end in ENDS),
)
SQUARE = "square"  # the frame of the published rows
FEW_IMAGES = 100
"""Fewer images than this, and fewer than the published evaluation has, are a small set."""
RANKED_BY = ("image_miou", "present_miou", "dataset_miou", "named_miou")
NOTES = (
    "In percent, VoI in bits. Our scores have the 95 % bootstrap interval over the images. Empty: not reported.",
    "Segments are matched in each image, matched once for the data set, or named by a language model. Scores of these "
    "three kinds are not comparable. Named are the rows that the DiffSeg paper marks as language dependent.",
    "Rows are ordered by mIoU: first those matched in each image, then those matched once, then those named.",
)


def leaderboard(rows: Sequence[ShownRow]) -> pd.DataFrame:
    """Collects measured rows and the published rows of the same data sets.

    Args:
        rows: rows of any data sets, frames and protocols.

    Returns:
        Columns `LEADERBOARD_COLUMNS`. ``results`` is the folder of our rows, empty for published ones; ``paper`` and
        ``source`` are empty for ours. Data sets in the order of the rows, which are ordered as `NOTES` says.
    """
    ours = pd.DataFrame([_measured(row) for row in rows], columns=LEADERBOARD_COLUMNS)
    places = list(dict.fromkeys(zip(ours["dataset"], ours["frame"], strict=True)))
    published = [_published(dataset) for dataset, frame in places if frame == SQUARE]
    table = _typed(pd.concat([ours, *(rows for rows in published if not rows.empty)], ignore_index=True))
    order = sorted(
        table.index,
        key=lambda place: (places.index((table["dataset"][place], table["frame"][place])), *_rank(table.loc[place])),
    )
    return table.loc[order].reset_index(drop=True)


def _rank(row: pd.Series) -> tuple[int, float]:
    """Sort key of a row within its data set: the first column of `RANKED_BY` that it has, highest score first."""
    for place, name in enumerate(RANKED_BY):
        if pd.notna(row[name]):
            return place, -row[name]
    return len(RANKED_BY), 0.0


def _measured(row: ShownRow) -> dict[str, object]:
    """A row of ours."""
    line: dict[str, object] = {
        "dataset": row.row.dataset_name,
        "frame": row.row.frame,
        "method": _method(row),
        "backbone": row.text("backbone"),
        "resolution": row.text("size"),
        "results": str(row.run.folder),
        "images": len(row.row.evaluated),
        "official_images": row.row.official_count,
        "failed": len(row.row.failed),
    }
    for column, (known, name) in MEASURED.items():
        protocol = next((protocol for protocol in known if protocol in row.scores), None)
        if protocol:
            line |= zip((f"{column}{end}" for end in ENDS), row.estimate(protocol, name), strict=True)
    return line


def _method(row: ShownRow) -> str:
    """Name of a method with its settings. Label maps of another program are named after their run or their folder."""
    if not row.row.reads_files or row.name != row.text("segmenter"):
        return row.name
    experiment, folder = row.text("experiment"), row.text("folder")
    return f"{row.name}, {experiment if experiment not in ('', row.row.name, RunConfig.name) else Path(folder).name}"


def _published(dataset: str) -> pd.DataFrame:
    """The published rows of a data set, each score in the columns of its scope."""
    rows = published_rows(dataset)
    for scope in rows["scope"].unique():
        own = rows["scope"] == scope
        rows.loc[own, [f"{scope}_acc", f"{scope}_miou"]] = rows.loc[own, ["acc", "miou"]].to_numpy()
    return rows.assign(results="", frame=SQUARE).reindex(columns=LEADERBOARD_COLUMNS)


def _typed(rows: pd.DataFrame) -> pd.DataFrame:
    first = LEADERBOARD_COLUMNS.index("images")
    texts, counts = LEADERBOARD_COLUMNS[:first], LEADERBOARD_COLUMNS[first : first + 3]
    scores = dict.fromkeys(LEADERBOARD_COLUMNS[first + 3 :], float)
    filled = rows.assign(**{name: rows[name].fillna("") for name in texts})
    return filled.astype({**dict.fromkeys(texts, str), **dict.fromkeys(counts, "Int64"), **scores})


def shown_columns(rows: pd.DataFrame) -> list[str]:
    """The columns of `SCORES` that have a value in at least one row."""
    return [name for name in SCORES if rows[name].notna().any()]


def is_small(row: pd.Series) -> bool:
    """True if a row of ours has so few images that it stands in a table of its own."""
    official = row["official_images"] if pd.notna(row["official_images"]) else FEW_IMAGES + 1
    return bool(row["results"] and row["images"] < min(FEW_IMAGES, official))


def is_partial(row: pd.Series) -> bool:
    """True if a row of ours has fewer images than the published evaluation."""
    return bool(pd.notna(row["official_images"]) and row["images"] < row["official_images"])


def tables_of(table: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Heading -> rows: for each data set and frame those with enough images, then those of small sets.

    Rows of a data set without other rows are not apart.
    """
    tables: dict[str, pd.DataFrame] = {}
    for (dataset, frame), rows in table.groupby(["dataset", "frame"], sort=False):
        heading = dataset if frame == SQUARE else f"{dataset}, {frame} frame"
        small = rows.apply(is_small, axis=1)
        if small.all():
            tables[heading] = rows
        else:
            tables |= {heading: rows[~small]} | ({f"{heading}, small sets": rows[small]} if small.any() else {})
    return tables


def caveats(rows: pd.DataFrame) -> list[str]:
    """A sentence that names the rows of a table that are not comparable with the published ones, if any."""
    partial = rows[rows.apply(is_partial, axis=1)]
    if not (rows["source"] != "").any() or partial.empty:
        return []
    names = ", ".join(dict.fromkeys(partial["method"]))
    return [f"Not comparable with the published numbers, because only a part of the images was evaluated: {names}."]


def images_cell(row: pd.Series) -> str:
    """Number of images of our row, such as ``13 of 2,175, 1 failed``; empty for a published row."""
    official = row["official_images"]
    if not row["results"]:
        return ""
    return image_count(row["images"], row["failed"], None if pd.isna(official) else official)


def cells(rows: pd.DataFrame) -> dict[str, list[str]]:
    """Heading -> texts of the rows of one table. Of the scores, only the `shown_columns`."""
    lines = [row for _, row in rows.iterrows()]
    columns = {"method": list(rows["method"]), "backbone": list(rows["backbone"]), "px": list(rows["resolution"])}
    for name in shown_columns(rows):
        group, heading = SCORES[name]
        columns[GROUPS[group][1] + heading] = [_score(row, name) for row in lines]
    columns["images"] = [images_cell(row) for row in lines]
    columns["from"] = [row["results"] or f"{row['paper']} ({row['source']})" for row in lines]
    return columns


def _score(row: pd.Series, name: str) -> str:
    if pd.isna(row[name]):
        return ""
    value, low, high = (row[f"{name}{end}"] for end in ENDS)
    return with_interval(value, low, high, decimals=2 if name == "voi" else 1)


def markdown_page(table: pd.DataFrame) -> str:
    """The leaderboard as Markdown, one section per table."""
    blocks = ["# Leaderboard\n", *(f"{note}\n" for note in NOTES)]
    for heading, rows in tables_of(table).items():
        blocks += [f"## {heading}\n", pipe_table(cells(rows)), *(f"{caveat}\n" for caveat in caveats(rows))]
    return "\n".join(blocks)


def latex_page(table: pd.DataFrame) -> str:
    """The leaderboard as LaTeX, without the sources of published rows."""
    tables = []
    for heading, rows in tables_of(table).items():
        columns = cells(rows)
        columns["from"] = [row["results"] or row["paper"] for _, row in rows.iterrows()]
        text = f"{heading}. {' '.join(NOTES)}"
        tables.append(latex_table(text, columns, f"leaderboard-{heading}", notes=caveats(rows), texts=2))
    return "\n".join(tables)


def html_page(table: pd.DataFrame) -> str:
    """The leaderboard as one HTML page that needs no other file and no network."""
    notes = [*NOTES, "Shaded rows were measured with this project; the other rows are published."]
    notes.append("Italics: only a part of the images was evaluated. Click a heading to sort.")
    tables = [_html_table(heading, rows) for heading, rows in tables_of(table).items()]
    return render("Leaderboard", [Section("Rows", notes, tables)])


def _html_table(heading: str, rows: pd.DataFrame) -> Table:
    shown = shown_columns(rows)
    columns = [Column("method", number=False), Column("backbone", number=False), Column("px")]
    columns += [Column(SCORES[name][1], GROUPS[SCORES[name][0]][0]) for name in shown]
    columns += [Column("images"), Column("from", number=False)]
    lines, marks = [], []
    for _, row in rows.iterrows():
        pixels = float(row["resolution"]) if row["resolution"].isdecimal() else None
        scores = []
        for name in shown:
            value, low, high = (row[f"{name}{end}"] for end in ENDS)
            scores.append(score_cell(value, low, high, 2 if name == "voi" else 1))
        images = Cell(images_cell(row), None if pd.isna(row["images"]) else float(row["images"]))
        source = Cell(row["results"] or row["paper"], small=row["source"])
        first = [Cell(row["method"]), Cell(row["backbone"]), Cell(row["resolution"], pixels)]
        lines.append([*first, *scores, images, source])
        marks.append(("ours partial" if is_partial(row) else "ours") if row["results"] else "")
    return Table(heading, columns, lines, marks, heading=heading, notes=caveats(rows))
