"""The content of a report: tables of rows and classes, plots, and facts about the runs."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from eval.metrics import PERCENT, iou, recall
from eval.protocols import PROTOCOLS, ProtocolName, needs_classes
from eval.results.markdown import caption, coarse, fixed, image_count, with_interval
from eval.runs import Run
from eval.storage.provenance import read_provenance
from experiments.plotting.colours import data_uri
from experiments.plotting.plots import all_plots
from experiments.plotting.shown import ShownRow, by_dataset, protocols_of, swept
from experiments.report.gallery import GalleryPicture, Place, gallery_data
from experiments.report.page import Section, Table, render

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
ROWS_ACROSS = 12  # rows of one table of classes: more would need sideways scrolling


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
    texts.append("Mean over the pictures: ARI (0 is chance), VoI (0 is best), covering of the truth by the segments.")
    texts += coarse([len(row.row.evaluated) for row in rows])
    classes = (
        "Accuracy: share of the pixels of a class that are right. IoU: intersection over union. Over all pictures."
    )
    headings = {place: f"{place[0]}, {place[1]} frame" if len(groups) > 1 else "Rows" for place in groups}
    plots = {name.replace("_", " "): _svg_uri(figure) for name, figure in all_plots(rows).items()}
    sections = [
        Section("Summary", texts, [summary_table(group, headings[place]) for place, group in groups.items()]),
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
        gallery={"reasons": reasons, **gallery_data(rows, pictures)} if protocols else None,
    )


def summary_table(rows: Sequence[ShownRow], heading: str) -> Table:
    """The table of rows of one data set and frame: settings that vary, scores, segments, pictures, time."""
    protocols = list(dict.fromkeys(name for row in rows for name in row.scores if needs_classes(name)))
    within = [name for name in protocols if name in PROTOCOLS]  # they share ACC
    settings = [name for name in swept(rows) if name != "segmenter"]
    first = protocols[0] if protocols else next(iter(rows[0].scores))
    scores: dict[str, tuple[ProtocolName, str]] = {}
    for protocol in protocols:
        if protocol not in within[1:]:
            scores["ACC" if protocol in within else f"ACC {protocol}"] = protocol, "acc"
        scores[f"mIoU {protocol}"] = protocol, "miou"
    covering = "Mean covering" if protocols else "Covering"
    scores |= {"ARI": (first, "ari"), "VoI (bits)": (first, "voi"), covering: (first, "covering")}
    columns = {"Row": [row.row.name if settings else row.name for row in rows]}
    columns |= {name: [row.text(name) for row in rows] for name in settings}
    for title, (protocol, name) in scores.items():
        decimals = 2 if name == "voi" else 1
        columns[title] = [with_interval(*row.estimate(protocol, name), decimals=decimals) for row in rows]
    columns["Segments"] = [fixed(row.score(first, "segments")) for row in rows]
    counts = [(len(row.row.evaluated), len(row.row.failed), row.row.official_count) for row in rows]
    columns["Pictures"] = [image_count(*count) for count in counts]
    columns["s / picture"] = [fixed(row.score(first, "seconds_per_image"), 2) for row in rows]
    if any(row.row.published for row in rows):
        paper = [[fixed(row.score("official", f"published_{name}")) for name in ("acc", "miou")] for row in rows]
        columns["Paper ACC / mIoU (official)"] = [" / ".join(pair) for pair in paper]
    return Table(heading, {("", title): texts for title, texts in columns.items()})


def class_tables(rows: Sequence[ShownRow]) -> list[Table]:
    """For each protocol, accuracy and IoU of each class in all rows; several tables if there are many rows."""
    rows = [row for row in rows if row.row.evaluated and any(map(needs_classes, row.scores))]
    starts = range(0, len(rows), ROWS_ACROSS)
    protocols = protocols_of(rows) if rows else []
    return [_class_table(rows[start : start + ROWS_ACROSS], protocol) for protocol in protocols for start in starts]


def _class_table(rows: Sequence[ShownRow], protocol: ProtocolName) -> Table:
    totals = [row.row.counts(protocol).total for row in rows]
    scores = [{"acc.": PERCENT * recall(total), "IoU": PERCENT * iou(total)} for total in totals]
    known = [np.flatnonzero(~np.isnan(values)) for of_row in scores for values in of_row.values()]
    labels = np.unique(np.concatenate(known))
    images = sum(table.dense().sum(axis=1) > 0 for table in rows[0].row.tables())
    cells = {("", "Class"): [rows[0].row.classes[label] for label in labels]}
    cells["", "Pictures"] = [str(int(images[label])) for label in labels]
    for row, of_row in zip(rows, scores, strict=True):
        cells |= {(row.name, title): [fixed(values[label]) for label in labels] for title, values in of_row.items()}
    return Table(f"Classes, protocol {protocol}", cells, protocol=protocol, percent=True)


def _facts(rows: Sequence[ShownRow]) -> dict[str, str]:
    """Facts at the head of the page: label -> text."""
    facts = {
        label: ", ".join(filter(None, dict.fromkeys(row.text(name) for row in rows))) for name, label in FACTS.items()
    }
    groups = by_dataset(rows).values()
    counts = [len({record.picture for row in group for record in row.row.records}) for group in groups]
    facts["Pictures"] = ", ".join(f"{count:,}" for count in counts)
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


def _svg_uri(figure: Figure) -> str:
    """A figure as a data URI. Equal figures give equal bytes. In data URIs, the ids of several SVGs cannot collide."""
    file = io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": "report"}):
        figure.savefig(file, format="svg", bbox_inches="tight", metadata={"Date": None})
    return data_uri(file.getvalue(), "svg+xml")
