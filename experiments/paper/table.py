"""Writes ``table.tex`` of a run: a table of the paper with our rows added, or our rows alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from eval.protocols import REGION_PROTOCOLS, needs_classes
from eval.results.latex import latex_table
from eval.results.markdown import SCALE_TITLES, coarse, estimates, fixed, image_count, pipe_table, with_interval
from eval.results.names import telling_names
from eval.results.tables import summary
from eval.row import Row
from eval.settings import row_key
from eval.storage.files import write_text
from eval.storage.layout import TABLE_TEX
from experiments.published import REQUIREMENTS, published_regions, published_table

HEADINGS = {"acc": "ACC", "miou": "mIoU"}
MARKS = ("†", "‡", "§", "¶")
FAILED_SHOWN = 10


def key_without_seed(row: Row) -> str:
    """A key that rows share if they have the same name and, except for the seed, the same settings."""
    segmenter = {name: value for name, value in row.settings["segmenter"].items() if name != "seed"}
    return row_key({**row.settings, "segmenter": segmenter, "row": row.name})


def write_tex_table(folder: Path, published: str | None, results: Sequence[Row]) -> str:
    """Writes ``table.tex``: the paper's table with our rows, or one table for each data set and frame.

    In the paper's table, rows that differ only in the seed become one row. First come the published rows that were not
    run, then ours.

    Args:
        folder: an existing folder.
        published: name of the paper's table, see `experiments.published.published_table`; None: no paper.
        results: our rows, in order.

    Returns:
        The paper's table with our rows as Markdown; "" without published numbers.
    """
    if published is None:
        write_text(folder / TABLE_TEX, "\n".join(_plain_tables(folder, results)))
        return ""
    prior = {(row["method"], row["resolution"]): row for row in published_table(published).to_dict("records")}
    groups: dict[str, list[Row]] = {}
    for row in results:
        groups.setdefault(key_without_seed(row), []).append(row)
    notes = dict.fromkeys(seeds[0].note for seeds in groups.values() if seeds[0].note)
    marks: dict[str | None, str] = dict(zip(notes, MARKS, strict=False))
    ours = []
    for seeds in groups.values():
        method, size = seeds[0].name, str(seeds[0].settings["backbone"]["size"])
        # The paper does not list methods that this project adds. They need none of the three.
        unlisted = {"method": method, "resolution": size, **dict.fromkeys(REQUIREMENTS.values(), "no")}
        ours.append(_cells(prior.pop((method, size), unlisted), seeds, marks.get(seeds[0].note, "")))
    lines = [*(_cells(row) for row in prior.values()), *ours]
    cells = {heading: [line[heading] for line in lines] for heading in lines[0]}
    dataset = results[0].settings["dataset"]
    caption = (
        f"{published}: published numbers, and ours on {dataset['name']} (labels: {dataset['label_source']}). In %, "
        "protocol official. Ours: with the 95 % interval over the images; several seeds: mean ± standard deviation. "
        "Δ: ours - published. mIoU present: our mIoU if only the classes present in an image are matched. "
        "LD, AX, UA: needs language, auxiliary images, unsupervised adaptation."
    )
    counts = [min(len(row.evaluated) for row in seeds) for seeds in groups.values()]
    footnotes = [f"{mark} {note}." for note, mark in marks.items()]
    footnotes += [*_caveats(counts, results[0].official_count), *coarse(counts), *_failures(results)]
    write_text(folder / TABLE_TEX, latex_table(caption, cells, published, len(prior), footnotes))
    return "\n".join([caption, "", pipe_table(cells), *(f"{note}\n" for note in footnotes)])


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
            lines = overview.reindex([(number, protocol) for number in range(len(group))])
            cells |= {f"{heading} {protocol}": estimates(lines, score) for score, heading in HEADINGS.items()}
        cells["images"] = [image_count(len(row.evaluated), len(row.failed), row.official_count) for row in group]
        caption = f"{dataset} ({frame}), in %, with 95 % intervals over the images."
        tables.append(latex_table(caption, cells, f"{folder.name}-{dataset}-{frame}"))
    return tables


def _cells(published: Mapping[str, Any], seeds: Sequence[Row] = (), mark: str = "") -> dict[str, str]:
    """Heading -> cell of a published row, or of the rows of our seeds beside it."""
    cells = {"method": published["method"] + mark, "size": published["resolution"]}
    cells |= {short: published[name] for short, name in REQUIREMENTS.items()}
    paper = {metric: published.get(f"published_{metric}", float("nan")) for metric in HEADINGS}
    cells |= {f"paper {heading}": fixed(paper[metric]) for metric, heading in HEADINGS.items()}
    if not seeds:
        headings = [f"{kind} {heading}" for kind in ("our", "Δ") for heading in HEADINGS.values()]
        return {**cells, **dict.fromkeys([*headings, "mIoU present"], "-"), "images": ""}
    scores = summary(seeds).set_index("protocol")
    official, present = (scores[scores.index == protocol] for protocol in ("official", "present"))
    cells |= {f"our {heading}": _over_seeds(official, metric) for metric, heading in HEADINGS.items()}
    for metric, heading in HEADINGS.items():
        cells[f"Δ {heading}"] = fixed(official[metric].mean() - paper[metric], sign="+")
    cells["mIoU present"] = fixed(present["miou"].mean())
    evaluated, failed = min(len(row.evaluated) for row in seeds), max(len(row.failed) for row in seeds)
    cells["images"] = image_count(evaluated, failed, seeds[0].official_count)
    return cells


def _over_seeds(scores: pd.DataFrame, metric: str) -> str:
    """``58.9 [57.9, 59.9]``; with several seeds ``58.9 ± 0.2 [57.9, 59.9]``, of which the ends are means, too."""
    value, low, high = (scores[f"{metric}{end}"].mean() for end in ("", "_low", "_high"))
    text = with_interval(value, low, high)
    return text if len(scores) < 2 else f"{fixed(value)} ± {fixed(scores[metric].std())}{text[len(fixed(value)) :]}"


def _caveats(counts: Sequence[int], official_count: int | None) -> list[str]:
    """A sentence that says why our rows are not comparable with the published ones, if they are not."""
    if official_count is None:
        return ["Not comparable with the published numbers, which were measured on other images."]
    if min(counts) >= official_count:
        return []
    count = image_count(min(counts), 0, official_count)
    return [f"Not comparable with the published numbers, because the run is partial ({count} images)."]


def _failures(results: Sequence[Row]) -> list[str]:
    """A sentence that names the failed images and the rows in which each failed, if any."""
    methods: dict[str, list[str]] = {}
    for row in results:
        for record in row.failed:
            methods.setdefault(record.picture, []).append(row.name)
    if not methods:
        return []
    named = [f"{image} ({', '.join(dict.fromkeys(names))})" for image, names in list(methods.items())[:FAILED_SHOWN]]
    more = f" and {len(methods) - FAILED_SHOWN} more" if len(methods) > FAILED_SHOWN else ""
    return [f"Failed, see per_image.csv: {', '.join(named)}{more}."]


def published_markdown(rows: Sequence[Row]) -> str:
    """A table of published scores of BSDS500, in the columns of the best scales; "" if there are none for the rows."""
    own = [row for row in rows if set(row.protocols) & set(REGION_PROTOCOLS)]
    scores = next((table for row in own if not (table := published_regions(row)).empty), None)
    if scores is None:
        return ""
    cells = {"method": list(scores["method"]), "trained on boundaries": list(scores["trained_on_boundaries"])}
    for name, title in SCALE_TITLES.items():
        if not name.endswith("_at"):
            cells[title] = [fixed(value, 2 if name.startswith("voi") else 1) for value in scores[name]]
    count = next(row.official_count for row in own if row.official_count)
    source = "experiments/published/regions/bsds500.csv"
    return f"Published, on all {count} test pictures ({source} says where it was read)\n\n{pipe_table(cells)}"
