"""The content of a report: tables of rows and classes, plots, facts, and what its gallery shows."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from diffseg.pictures import palette
from eval.metrics import accuracy, iou, mean_iou
from eval.protocols import PROTOCOLS, ProtocolName, needs_classes
from eval.regions import conditional_entropies
from eval.results.markdown import caption, coarse, fixed, image_count
from eval.results.tables import PERCENT
from eval.runs import Run
from eval.storage.provenance import read_provenance
from experiments.plotting.all_plots import all_plots
from experiments.plotting.data_uri import data_uri
from experiments.plotting.plots import class_accuracy, class_counts
from experiments.plotting.shown import ShownRow, by_dataset, protocols_of, swept
from experiments.report.gallery import GalleryPicture, Place
from experiments.report.page import Cell, Column, Section, Table, render, score_cell

FACTS = {
    "dataset": "Data set",
    "label_source": "Ground truth",
    "frame": "Frame",
    "backbone": "Backbone",
    "size": "Input side in pixels",
    "sides": "Sides of the attention maps",
    "layers": "Layers",
    "timestep": "Time step",
}
MOST_COLUMNS = 4  # rows that the gallery compares when the page opens
ROWS_ACROSS = 12  # rows of one table of classes: more would need sideways scrolling
SORTS = {
    "name": "name",
    "acc": "ACC",
    "miou": "mIoU",
    "segments": "segments",
    "voi": "VoI",
    "mixed": "VoI: mixed classes",
    "split": "VoI: split classes",
}


def report(rows: Sequence[ShownRow], pictures: Mapping[Place, GalleryPicture], reasons: Sequence[str]) -> str:
    """Renders the HTML page.

    Args:
        rows: the rows.
        pictures, reasons: from `experiments.report.gallery.read_gallery` for these rows.
    """
    protocols = list(dict.fromkeys(name for row in rows for name in row.scores if needs_classes(name)))
    groups = by_dataset(rows)
    captions = {protocol: caption(protocol).replace("`", "") for protocol in protocols}
    texts = ["Percent, with the 95 % bootstrap interval over the pictures. Click a heading to sort."]
    texts += [f"{text}." for text in captions.values()]
    texts += coarse([len(row.row.evaluated) for row in rows])
    classes = (
        "Accuracy: share of the pixels of a class that are right. IoU: intersection over union. Over all pictures."
    )
    plots = {name.replace("_", " "): _svg_uri(figure) for name, figure in all_plots(rows).items()}
    sections = [
        Section("Summary", texts, [summary_table(group, place, len(groups) > 1) for place, group in groups.items()]),
        Section("Plots", [], [], plots),
        Section("Classes", [classes], [table for group in groups.values() for table in class_tables(group)]),
    ]
    names = list(dict.fromkeys([*(row.text("experiment") for row in rows), *(row.text("dataset") for row in rows)]))
    return render(
        ", ".join(filter(None, names)),
        sections,
        facts=_facts(rows),
        made_with=_made_with(list({id(row.run): row.run for row in rows}.values())),
        failures=_failures(rows),
        protocols=captions,
        gallery={"reasons": reasons, "sorts": SORTS, "data": _gallery_data(rows, pictures)} if protocols else None,
    )


def summary_table(rows: Sequence[ShownRow], place: tuple[str, str], several: bool) -> Table:
    """The table of rows of one data set and frame: settings that vary, scores, segments, pictures, time."""
    protocols = list(dict.fromkeys(name for row in rows for name in row.scores if needs_classes(name)))
    within = [name for name in protocols if name in PROTOCOLS]  # they share ACC
    settings = [name for name in swept(rows) if name != "segmenter"]
    scores: list[tuple[ProtocolName, str, Column]] = []
    for protocol in protocols:
        if protocol not in within[1:]:
            scores.append((protocol, "acc", Column("ACC" if protocol in within else f"ACC {protocol}")))
        scores.append((protocol, "miou", Column(f"mIoU {protocol}")))
    first = protocols[0] if protocols else next(iter(rows[0].scores))
    scores += [
        (first, "ari", Column("ARI", title="adjusted Rand index, mean over the pictures; 0 is chance")),
        (first, "voi", Column("VoI (bits)", title="variation of information, mean over the pictures; 0 is best")),
        (first, "covering", Column("Covering", title="covering of the ground truth by the segments")),
    ]
    published = any(row.row.published for row in rows)
    columns = [Column("Row", number=False), *(Column(name, number=False) for name in settings)]
    columns += [column for _, _, column in scores]
    columns += [Column("Segments", title="segments in a picture, mean"), Column("Pictures"), Column("s / picture")]
    columns += [Column("Paper ACC / mIoU", title="protocol official")] if published else []
    lines = []
    for row in rows:
        cells = [Cell(row.row.name if settings else row.name, title=row.name)]
        cells += [Cell(row.text(name)) for name in settings]
        cells += [
            score_cell(*row.estimate(protocol, name), decimals=2 if name == "voi" else 1)
            for protocol, name, _ in scores
        ]
        segments, seconds = row.score(first, "segments"), row.score(first, "seconds_per_image")
        evaluated, failed = len(row.row.evaluated), len(row.row.failed)
        count = image_count(evaluated, failed, row.row.official_count)
        cells += [Cell(fixed(segments), segments), Cell(count, evaluated), Cell(fixed(seconds, 2), seconds)]
        if published:
            acc, miou = (row.score("official", f"published_{name}") for name in ("acc", "miou"))
            cells.append(Cell(f"{fixed(acc)} / {fixed(miou)}", miou))
        lines.append(cells)
    return Table("Summary", columns, lines, heading=f"{place[0]}, {place[1]} frame" if several else "")


def class_tables(rows: Sequence[ShownRow]) -> list[Table]:
    """For each protocol, accuracy and IoU of each class in all rows; several tables if there are many rows."""
    rows = [row for row in rows if row.row.evaluated and any(map(needs_classes, row.scores))]
    tables = []
    for protocol in protocols_of(rows) if rows else ():
        for start in range(0, len(rows), ROWS_ACROSS):
            tables.append(_class_table(rows[start : start + ROWS_ACROSS], protocol))
    return tables


def _class_table(rows: Sequence[ShownRow], protocol: ProtocolName) -> Table:
    classes = rows[0].row.classes
    colours = palette(len(classes)).tolist()
    totals = [class_counts(row, protocol) for row in rows]
    images = sum(table.dense().sum(axis=1) > 0 for table in rows[0].row.tables())
    scores = [scores for total in totals for scores in (PERCENT * class_accuracy(total), PERCENT * iou(total))]
    columns = [Column("Class", number=False), Column("Pictures")]
    columns += [Column(heading, row.name) for row in rows for heading in ("acc.", "IoU")]
    lines = []
    for label, name in enumerate(classes):
        if all(np.isnan(values[label]) for values in scores):
            continue
        colour = "#" + bytes(colours[label]).hex()
        cells = [Cell(str(name), swatch=colour), Cell(str(int(images[label])), float(images[label]))]
        for values in scores:
            value = float(values[label])
            cells.append(Cell("" if np.isnan(value) else fixed(value), value, heat=value))
        lines.append(cells)
    return Table(f"Classes, protocol {protocol}", columns, lines, protocol=protocol)


def _facts(rows: Sequence[ShownRow]) -> dict[str, str]:
    """Facts at the head of the page: label -> text."""
    texts = {label: dict.fromkeys(row.text(name) for row in rows) for name, label in FACTS.items()}
    facts = {label: ", ".join(filter(None, values)) for label, values in texts.items()}
    pictures: dict[tuple[str, str], set[str]] = {}
    for place, group in by_dataset(rows).items():
        pictures[place] = {record.picture for row in group for record in row.row.records}
    facts["Pictures"] = ", ".join(f"{len(ids):,}" for ids in pictures.values())
    facts["Folders"] = ", ".join(dict.fromkeys(str(row.run.folder) for row in rows))
    facts["Last command"] = max(command.date for row in rows for command in row.run.commands)
    return {label: value for label, value in facts.items() if value}


def _made_with(runs: Sequence[Run]) -> list[dict[str, str]]:
    """Code, versions and hardware of the runs, without repetitions."""
    made: list[dict[str, str]] = []
    for run in runs:
        for facts in read_provenance(run.folder):
            hardware = facts["hardware"]
            machine = [hardware["system"], hardware["machine"], f"{hardware['cpu_cores']} cores", *hardware["gpus"]]
            lines = {
                "Commit": facts["git_commit"] or "unknown",
                "Code": f"sha256 {facts['code'][:16]}",
                "Python": facts["python"],
                "Packages": ", ".join(f"{name} {version}" for name, version in facts["versions"].items() if version),
                "Hardware": ", ".join(machine),
            }
            if lines not in made:
                made.append(lines)
    return made


def _failures(rows: Sequence[ShownRow]) -> list[dict[str, str]]:
    """Pictures that could not be evaluated, each with its reason and the rows that failed."""
    failed: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        for record in row.row.failed:
            failed.setdefault((record.picture, record.reason), []).append(row.name)
    return [{"picture": id, "reason": reason, "rows": "; ".join(names)} for (id, reason), names in failed.items()]


def _gallery_data(rows: Sequence[ShownRow], pictures: Mapping[Place, GalleryPicture]) -> dict[str, Any]:
    """The data that the script reads: every picture with its scores by row, and its tiles if it is shown."""
    entries: dict[Place, dict[str, Any]] = {}
    for number, row in enumerate(rows):
        place = row.row.dataset_name, row.row.frame
        scores = _picture_scores(row)
        for record in row.row.records:
            entry = entries.setdefault((place, record.picture), {"id": record.picture, "scores": [None] * len(rows)})
            entry["scores"][number] = scores[record.picture] if record.ok else f"failed: {record.reason}"
    number_of = {row.name: number for number, row in enumerate(rows)}
    for key, picture in pictures.items():
        labels = {number_of[name]: uri for name, uri in picture.labels.items()}
        entries[key] |= {**vars(picture), "labels": labels}
    hardest = ", those with the lowest mIoU, mean over the rows" if 0 < len(pictures) < len(entries) else ""
    return {
        "rows": [row.name for row in rows],
        "columns": _first_columns(rows),
        "chosen": hardest,
        "pictures": list(entries.values()),
    }


def _picture_scores(row: ShownRow) -> dict[str, dict[str, Any]]:
    """Picture -> its scores: segments, halves of VoI in bits, and for each protocol ACC and mIoU."""
    scores: dict[str, dict[str, Any]] = {}
    for record in row.row.evaluated:
        scores[record.picture] = {"segments": record.segments, "protocols": {}}
        if "classes" in record.stored_tables:
            split, mixed = conditional_entropies(record.tables["classes"].dense())
            scores[record.picture] |= {"mixed": _json_number(mixed), "split": _json_number(split)}
    for protocol in filter(needs_classes, row.scores):
        for record, counts in zip(row.row.evaluated, row.row.counts(protocol), strict=True):
            both = [_json_number(PERCENT * score(counts)) for score in (accuracy, mean_iou)]
            scores[record.picture]["protocols"][protocol] = both
    return scores


def _first_columns(rows: Sequence[ShownRow]) -> list[int]:
    """Numbers of the rows shown when the page opens: the first of each method; of one method the first and last."""
    first: dict[str, int] = {}
    for number, row in enumerate(rows):
        first.setdefault(row.row.name, number)
    chosen = list(first.values()) if len(first) > 1 else list(dict.fromkeys([0, len(rows) - 1]))
    return chosen[:MOST_COLUMNS]


def _json_number(value: float) -> float | None:
    """The value, or None for NaN, which JSON does not have."""
    return None if np.isnan(value) else float(value)


def _svg_uri(figure: Figure) -> str:
    """A figure as a data URI. Equal figures give equal bytes. In data URIs, the ids of several SVGs cannot collide."""
    file = io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": "report"}):
        figure.savefig(file, format="svg", bbox_inches="tight", metadata={"Date": None})
    return data_uri(file.getvalue(), "svg+xml")
