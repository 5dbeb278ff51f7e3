"""Compares results folders with published numbers: ``python -m experiments.leaderboard DIR... [-o OUT]``.

Writes ``leaderboard.csv``, ``.md``, ``.tex`` and ``.html`` into OUT and prints the Markdown: one table per data set and
frame. Scores of different scopes have different columns. A scope says how segments got their classes, see
`experiments.published.SCOPES`. Rows of few images stand in a table of their own.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from diffseg.cli.arguments import Parser, path_argument
from diffseg.cli.command import ERROR_STATUS, run_command
from eval.config import ConfigError, RunConfig
from eval.records import RecordError
from eval.results.columns import ENDS
from eval.results.latex import latex_table
from eval.results.markdown import image_count, pipe_table, with_interval
from eval.results.tables import write_csv
from eval.runs import read_runs
from eval.storage.files import WriteError, make_folder, write_text
from experiments.plotting.shown import ShownRow, shown_rows
from experiments.published import published_rows
from experiments.report.page import Section, Table, render

GROUPS = {"image": "per image", "dataset": "data set", "named": "named", "none": ""}
"""Scope -> heading above its columns."""
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
    "covering": ("none", "mean covering"),
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
TEXTS = ("dataset", "frame", "method", "backbone", "resolution", "results", "paper", "source")
COUNTS = ("images", "official_images", "failed")
LEADERBOARD_COLUMNS = (*TEXTS, *COUNTS, *(f"{name}{end}" for name in SCORES for end in ENDS))
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
    table = pd.concat([ours, *(rows for rows in published if not rows.empty)], ignore_index=True)
    table = table.astype(dict.fromkeys(TEXTS, object)).fillna(dict.fromkeys(TEXTS, ""))
    scores = dict.fromkeys(LEADERBOARD_COLUMNS[len(TEXTS) + len(COUNTS) :], float)
    table = table.astype({**dict.fromkeys(TEXTS, str), **dict.fromkeys(COUNTS, "Int64"), **scores})

    def rank(index: int) -> tuple[float, ...]:
        row = table.loc[index]
        first = next((place for place, name in enumerate(RANKED_BY) if pd.notna(row[name])), len(RANKED_BY))
        score = row[RANKED_BY[first]] if first < len(RANKED_BY) else 0.0
        return places.index((row["dataset"], row["frame"])), first, -score

    return table.loc[sorted(table.index, key=rank)].reset_index(drop=True)


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


def tables_of(table: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Heading -> rows: for each data set and frame those with enough images, then those of small sets.

    Rows of a data set without other rows are not apart.
    """
    tables: dict[str, pd.DataFrame] = {}
    enough = table["official_images"].fillna(FEW_IMAGES + 1).clip(upper=FEW_IMAGES)
    few = (table["results"] != "") & (table["images"] < enough).fillna(False)
    for (dataset, frame), rows in table.groupby(["dataset", "frame"], sort=False):
        heading = dataset if frame == SQUARE else f"{dataset}, {frame} frame"
        small = few[rows.index]
        if small.all() or not small.any():
            tables[heading] = rows
        else:
            tables |= {heading: rows[~small], f"{heading}, small sets": rows[small]}
    return tables


def partial(rows: pd.DataFrame) -> pd.Series:
    """Marks our rows of a table with fewer images than the published evaluation, or than another of our rows."""
    return (rows["images"] < rows["official_images"].fillna(rows["images"].max())).fillna(False)


def caveats(rows: pd.DataFrame) -> list[str]:
    """Sentences that name the rows of a table that are not comparable with the published ones, or with each other."""
    sentences = []
    behind = rows[(rows["images"] < rows["official_images"]).fillna(False)]
    if (rows["source"] != "").any() and not behind.empty:
        names = ", ".join(dict.fromkeys(behind["method"]))
        sentences.append(
            f"Not comparable with the published numbers, because only a part of the images was evaluated: {names}."
        )
    if rows["images"].nunique() > 1:
        sentences.append("These rows were evaluated on different numbers of images; compare them with care.")
    return sentences


def cells(rows: pd.DataFrame) -> dict[tuple[str, str], list[str]]:
    """(group of columns, heading) -> texts of the rows of one table. Columns of scores without a value are left out."""
    most = rows["images"].max()
    columns = {("", "method"): list(rows["method"]), ("", "backbone"): list(rows["backbone"])}
    columns["", "px"] = list(rows["resolution"])
    for name, (group, heading) in SCORES.items():
        if rows[name].notna().any():
            ends = rows[[f"{name}{end}" for end in ENDS]].to_numpy()
            decimals = 2 if name == "voi" else 1
            columns[GROUPS[group], heading] = [
                "" if pd.isna(value) else with_interval(value, low, high, decimals=decimals)
                for value, low, high in ends
            ]
    columns["", "images"] = [_images(row, most) for _, row in rows.iterrows()]
    columns["", "from"] = [row["results"] or f"{row['paper']} ({row['source']})" for _, row in rows.iterrows()]
    return columns


def _images(row: pd.Series, most: int) -> str:
    """Images of our row: ``13 of 2,175, 1 failed``, or ``2 (another row: 8)`` without a published evaluation."""
    if not row["results"]:
        return ""
    official = None if pd.isna(row["official_images"]) else row["official_images"]
    text = image_count(row["images"], row["failed"], official)
    return f"{text} (another row: {most:,})" if row["images"] < most else text


def _joined(rows: pd.DataFrame) -> dict[str, list[str]]:
    """The columns of `cells` with a single line of headings."""
    return {": ".join(filter(None, place)): texts for place, texts in cells(rows).items()}


def markdown_page(table: pd.DataFrame) -> str:
    """The leaderboard as Markdown, one section per table."""
    blocks = ["# Leaderboard\n", *(f"{note}\n" for note in NOTES)]
    for heading, rows in tables_of(table).items():
        blocks += [f"## {heading}\n", pipe_table(_joined(rows)), *(f"{caveat}\n" for caveat in caveats(rows))]
    return "\n".join(blocks)


def latex_page(table: pd.DataFrame) -> str:
    """The leaderboard as LaTeX, without the sources of published rows."""
    tables = []
    for heading, rows in tables_of(table).items():
        columns = _joined(rows) | {"from": list(rows["results"].where(rows["results"] != "", rows["paper"]))}
        text = f"{heading}. {' '.join(NOTES)}"
        tables.append(latex_table(text, columns, f"leaderboard-{heading}", notes=caveats(rows), texts=2))
    return "\n".join(tables)


def html_page(table: pd.DataFrame) -> str:
    """The leaderboard as one HTML page that needs no other file and no network."""
    notes = [*NOTES, "Shaded rows were measured with this project; the other rows are published."]
    notes.append("Italics: only a part of the images was evaluated. Click a heading to sort.")
    tables = []
    for heading, rows in tables_of(table).items():
        kinds = zip(rows["results"], partial(rows), strict=True)
        marks = [("ours partial" if part else "ours") if results else "" for results, part in kinds]
        tables.append(Table(heading, cells(rows), marks, notes=caveats(rows)))
    return render("Leaderboard", [Section("Rows", notes, tables)])


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line. Returns 0, or 2 after one line about an error."""
    parser = Parser(prog="leaderboard", usage="python -m experiments.leaderboard DIR... [-o OUT]", description=__doc__)
    add = parser.add_argument
    add("results", nargs="+", type=path_argument, metavar="DIR", help="results_dir of a run")
    out = "folder for the tables, made if missing; default: %(default)s"
    add("-o", "--out", type=path_argument, default=Path("results/leaderboard"), metavar="OUT", help=out)
    args = parser.parse_args(argv)
    try:
        table = leaderboard(shown_rows(read_runs(*args.results)))
        make_folder(args.out)
        text = markdown_page(table)
        write_csv(args.out / "leaderboard.csv", table)
        for kind, page in {"md": text, "tex": latex_page(table), "html": html_page(table)}.items():
            write_text(args.out / f"leaderboard.{kind}", page)
    except (ConfigError, RecordError, WriteError) as error:
        print(f"leaderboard: {error}", file=sys.stderr)
        return ERROR_STATUS
    print(f"{text}\nLeaderboard: {args.out}/leaderboard.html, .csv, .md, .tex")
    return 0


if __name__ == "__main__":
    sys.exit(run_command(main))
