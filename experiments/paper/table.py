"""Writes ``table.tex`` of a run: a table of the paper with our rows added, or our rows alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from eval.protocols import needs_classes
from eval.results.latex import latex_table
from eval.results.markdown import coarse, fixed, image_count, pipe_table, with_interval
from eval.results.names import telling_names
from eval.results.tables import summary
from eval.runs import Row
from eval.storage.files import write_text
from eval.storage.layout import TABLE_TEX
from experiments.paper.published import REQUIREMENTS, published_table
from experiments.paper.seeds import key_without_seed

MEASURED = ("acc", "acc_low", "acc_high", "miou", "miou_low", "miou_high")
PAPER_COLUMNS = (
    *("method", "resolution", *REQUIREMENTS.values(), "published_acc", "published_miou"),
    *(*MEASURED, "acc_deviation", "miou_deviation", "acc_difference", "miou_difference", "present_miou"),
    *("seeds", "images", "official_images", "failed", "note"),
)
MARKS = ("†", "‡", "§", "¶")
FAILED_SHOWN = 10


def write_tex_table(folder: Path, published: str | None, results: Sequence[Row]) -> str:
    """Writes ``table.tex``: the paper's table with our rows, or one table for each data set and frame.

    Returns the paper's table with our rows as Markdown; "" without published numbers.

    Args:
        folder: an existing folder.
        published: name of the paper's table, see `published_table`; None: no paper.
        results: our rows, in order. Rows that differ only in the seed become one row.
    """
    if published is None:
        write_text(folder / TABLE_TEX, "\n".join(_plain_tables(folder, results)))
        return ""
    table = paper_table(published, results, results[0].official_count)
    dataset = results[0].settings["dataset"]
    caption = (
        f"{published}: published numbers, and ours on {dataset['name']} (labels: {dataset['label_source']}). In %, "
        "protocol official. Ours: with the 95 % interval over the images; several seeds: mean ± standard deviation. "
        "Δ: ours - published. mIoU present: our mIoU if only the classes present in an image are matched. "
        "LD, AX, UA: needs language, auxiliary images, unsupervised adaptation."
    )
    cells = _cells(table)
    caveats = coarse(table["images"].dropna())
    footnotes = [*_notes(table), *_shortcomings(table), *caveats, *_failures(results)]
    text = "\n".join([caption, "", pipe_table(cells), *(f"{note}\n" for note in footnotes)])
    above = int(table["images"].isna().sum())
    write_text(folder / TABLE_TEX, latex_table(caption, cells, published, above, footnotes))
    return text


def _plain_tables(folder: Path, rows: Sequence[Row]) -> list[str]:
    """A LaTeX table for each data set and frame, without published numbers."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.dataset_name, row.frame), []).append(row)
    tables = []
    for (dataset, frame), group in groups.items():
        overview = summary(group).set_index(["number", "protocol"])
        cells: dict[str, list[str]] = {"method": telling_names(group)}
        for protocol in dict.fromkeys(name for row in group for name in row.protocols if needs_classes(name)):
            for score, heading in (("acc", "ACC"), ("miou", "mIoU")):
                ends = [overview.reindex([(number, protocol)]).iloc[0] for number in range(len(group))]
                cells[f"{heading} {protocol}"] = [
                    with_interval(line[score], line[f"{score}_low"], line[f"{score}_high"]) for line in ends
                ]
        cells["images"] = [image_count(len(row.evaluated), len(row.failed), row.official_count) for row in group]
        caption = f"{dataset} ({frame}), in %, with 95 % intervals over the images."
        tables.append(latex_table(caption, cells, f"{folder.name}-{dataset}-{frame}"))
    return tables


def paper_table(published: str, results: Sequence[Row], official_count: int | None) -> pd.DataFrame:
    """A row for each method and resolution: first the published ones that were not run, then ours.

    Columns `PAPER_COLUMNS`. Arguments as in `write_tex_table`; ``official_count``: see `eval.runs.Row`. ``acc`` and
    ``miou`` are our scores in percent. If a method has several seeds, they and the ends of their intervals are means
    over the seeds, ``*_deviation`` is the standard deviation, and ``images`` is the smallest number of images.
    """
    prior = {(row["method"], row["resolution"]): row for row in published_table(published).to_dict("records")}
    ours = []
    for seeds in _seeds_together(results):
        method, resolution = seeds[0].name, str(seeds[0].settings["backbone"]["size"])
        # The paper does not list methods that this project adds. They need none of the three.
        unlisted = {"method": method, "resolution": resolution, **dict.fromkeys(REQUIREMENTS.values(), "no")}
        line = prior.pop((method, resolution), unlisted)
        ours.append({**line, **_measured(seeds), "official_images": official_count, "note": seeds[0].note})
    table = pd.DataFrame([*prior.values(), *ours], columns=PAPER_COLUMNS)
    for metric in ("acc", "miou"):
        table[f"{metric}_difference"] = table[metric] - table[f"published_{metric}"]
    return table.astype(dict.fromkeys(("seeds", "images", "official_images", "failed"), "Int64"))


def _seeds_together(results: Iterable[Row]) -> list[list[Row]]:
    """Groups the rows that differ only in the seed, in order."""
    groups: dict[str, list[Row]] = {}
    for each in results:
        groups.setdefault(key_without_seed(each), []).append(each)
    return list(groups.values())


def _measured(seeds: Sequence[Row]) -> dict[str, Any]:
    """Scores of a method: mean and standard deviation over its seeds."""
    scores = summary(seeds)
    official, present = (scores[scores["protocol"] == protocol] for protocol in ("official", "present"))
    return {
        **official[list(MEASURED)].mean(),
        **{f"{metric}_deviation": official[metric].std() for metric in ("acc", "miou")},
        "present_miou": present["miou"].mean(),
        "seeds": len(seeds),
        "images": official["images"].min(),
        "failed": official["failed"].max(),
    }


def _cells(table: pd.DataFrame) -> dict[str, list[str]]:
    """Columns of the readable table."""
    rows = [row for _, row in table.iterrows()]
    marks = _marks(table)
    return {
        "method": [row["method"] + marks.get(row["note"], "") for row in rows],
        "size": list(table["resolution"]),
        **{short: list(table[name]) for short, name in REQUIREMENTS.items()},
        "paper ACC": [fixed(value) for value in table["published_acc"]],
        "paper mIoU": [fixed(value) for value in table["published_miou"]],
        "our ACC": [_score(row, "acc") for row in rows],
        "our mIoU": [_score(row, "miou") for row in rows],
        "Δ ACC": [fixed(value, sign="+") for value in table["acc_difference"]],
        "Δ mIoU": [fixed(value, sign="+") for value in table["miou_difference"]],
        "mIoU present": [fixed(value) for value in table["present_miou"]],
        "images": [images_cell(row) for row in rows],
    }


def _score(row: pd.Series, metric: str) -> str:
    """``58.9 [57.9, 59.9]``; with several seeds ``58.9 ± 0.2 [57.9, 59.9]``."""
    value, low, high, deviation = (row[f"{metric}{end}"] for end in ("", "_low", "_high", "_deviation"))
    if pd.isna(deviation):
        return with_interval(value, low, high)
    ends = "" if pd.isna(low) else f" [{fixed(low)}, {fixed(high)}]"
    return f"{fixed(value)} ± {fixed(deviation)}{ends}"


def images_cell(row: pd.Series) -> str:
    """Number of images of our row, such as ``13 of 2,175, 1 failed``; empty for a published row."""
    if pd.isna(row["images"]):
        return ""
    return image_count(
        row["images"], row["failed"], None if pd.isna(row["official_images"]) else row["official_images"]
    )


def _marks(table: pd.DataFrame) -> dict[str, str]:
    """Note -> the mark of its footnote."""
    return dict(zip(table["note"].dropna().unique(), MARKS, strict=False))


def _notes(table: pd.DataFrame) -> list[str]:
    return [f"{mark} {note}." for note, mark in _marks(table).items()]


def _shortcomings(table: pd.DataFrame) -> list[str]:
    """A sentence that says why our rows are not comparable with the published ones, if they are not."""
    ours = table[table["images"].notna()]
    if ours["official_images"].isna().all():
        return ["Not comparable with the published numbers, which were measured on other images."]
    partial = ours[ours["images"] < ours["official_images"]]
    if partial.empty:
        return []
    count = image_count(partial["images"].min(), 0, partial["official_images"].iloc[0])
    return [f"Not comparable with the published numbers, because the run is partial ({count} images)."]


def _failures(results: Sequence[Row]) -> list[str]:
    """A sentence that names the failed images and the rows in which each failed, if any."""
    methods: dict[str, list[str]] = {}
    for each in results:
        for record in each.failed:
            methods.setdefault(record.picture, []).append(each.name)
    if not methods:
        return []
    named = [f"{image} ({', '.join(dict.fromkeys(names))})" for image, names in list(methods.items())[:FAILED_SHOWN]]
    more = f" and {len(methods) - FAILED_SHOWN} more" if len(methods) > FAILED_SHOWN else ""
    return [f"Failed, see per_image.csv: {', '.join(named)}{more}."]
