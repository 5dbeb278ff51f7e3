"""Makes tables from records: CSVs (summary, per class, per image, confusion), and the summary as Markdown.

Scores are in percent, times in seconds. A cell that does not apply is empty. The same records give the same bytes.
Repeated runs differ only in the timings, ``seconds_per_image`` and ``seconds``.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from itertools import repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from diffseg.files.writing import replacing
from eval.metrics import PERCENT, acc_and_miou, interval, iou_of, totals
from eval.protocols import REGION_PROTOCOLS, ProtocolName, needs_classes
from eval.results.columns import (
    AGREEMENT,
    COLUMNS,
    CONFUSION,
    PER_CLASS,
    PER_IMAGE,
    PUBLISHED,
    SCORES,
    SETTINGS,
    SUMMARY,
    protocol_columns,
    setting_columns,
    setting_text,
)
from eval.results.markdown import markdown, scales_markdown
from eval.results.names import telling_names
from eval.row import Row, ids_of
from eval.storage.files import write_text, writing
from eval.storage.layout import CONFUSION_CSV, PER_CLASS_CSV, PER_IMAGE_CSV, SCALES_CSV, SUMMARY_CSV, TABLE_MD

if TYPE_CHECKING:
    from eval.protocol_scores import Scores

PART = 1000
"""Lines of ``per_image.csv`` that are in memory at once."""
SCALES_DECIMALS = 6  # the published variation of information of BSDS500 has five
SCALES = {"ari": PERCENT, "voi": 1, "covering": PERCENT}
"""Factors of the class-agnostic scores in tables: percent, but bits for the variation of information."""


def write_tables(folder: Path, rows: Sequence[Row], scale: str | None = None) -> str:
    """Writes ``summary.csv``, ``table.md`` and the tables by class, image and matched class, each atomically.

    Args:
        folder: an existing folder.
        rows: the rows, in order.
        scale: the setting in which rows of one family differ; None: see `eval.results.scales.families`.

    Returns:
        The text of ``table.md``, which also lines up in a terminal.
    """
    overview, names = summary(rows), telling_names(rows)
    text = markdown(overview, rows, names)
    write_csv(folder / SUMMARY_CSV, overview)
    write_csv(folder / PER_CLASS_CSV, per_class(rows, names))
    write_per_image(folder / PER_IMAGE_CSV, rows, names)
    write_csv(folder / CONFUSION_CSV, confusion(rows, names))
    if any(protocol in REGION_PROTOCOLS for row in rows for protocol in row.protocols):
        from eval.results.scales import scales_table  # takes a second to import

        best = scales_table([row for row in rows if set(row.protocols) & {*REGION_PROTOCOLS}], scale)
        write_csv(folder / SCALES_CSV, best, SCALES_DECIMALS)
        text += "\n" + scales_markdown(best)
    write_text(folder / TABLE_MD, text)
    return text


def summary(rows: Sequence[Row]) -> pd.DataFrame:
    """Makes a line for each row and protocol. Columns `SUMMARY`, then those that `setting_columns` adds.

    ``number`` is the number of the row in all tables, counted from 0. ``images`` counts evaluated images, ``failed``
    failed ones. ``classes`` is the number of classes that the mean of mIoU is over. ``*_low`` and ``*_high`` are the
    ends of the 95 % bootstrap interval over the images; a single image has none. Published numbers are only in the
    lines of ``official``, the protocol of the paper. ``device`` and ``dtype`` list all values in the records.
    """
    lines = []
    add_up(rows)
    columns = setting_columns(row.settings for row in rows)
    for number, row in enumerate(rows):
        evaluated = row.evaluated
        shared: dict[str, Any] = {
            "number": number,
            "row": row.name,
            **{name: setting_text(row.settings, path) for name, path in columns.items()},
            "images": len(evaluated),
            "failed": len(row.failed),
            "device": ", ".join(sorted(row.facts.devices)),
            "dtype": ", ".join(sorted(row.facts.dtypes)),
            "backbone_weights": setting_text(row.settings, ("backbone", "weights_name")),
            "key": row.key,
        }
        if evaluated:
            shared["segments"] = row.facts.segments.mean()
            shared["seconds_per_image"] = row.facts.seconds.mean()
        for protocol in row.protocols:
            published = row.published if protocol == "official" and row.published else {}
            lines.append(
                {
                    **shared,
                    "protocol": protocol,
                    **_protocol_scores(row, protocol),
                    **{f"published_{metric}": value for metric, value in published.items()},
                }
            )
    scores = protocol_columns(protocol for row in rows for protocol in row.protocols)
    numbers = dict.fromkeys([*SCORES, *PUBLISHED, "seconds_per_image", *scores], float)
    further = [name for name in columns if name not in SETTINGS]
    return pd.DataFrame(lines, columns=[*SUMMARY, *scores, *further]).astype({**numbers, "classes": "Int64"})


def per_class(rows: Sequence[Row], names: Sequence[str]) -> pd.DataFrame:
    """Makes a line for each row, protocol and class: `PER_CLASS`.

    ``iou_low`` and ``iou_high`` are the ends of the 95 % bootstrap interval over the images; a single image has none.
    ``tp``, ``fp`` and ``fn`` are pixels; ``images`` is the number of images that contain the class.

    Args:
        rows: the rows.
        names: their `telling_names`.
    """
    parts = [pd.DataFrame(columns=PER_CLASS)]
    for number, (name, row) in enumerate(zip(names, rows, strict=True)):
        for protocol in filter(needs_classes, row.protocols):
            counts, classes = row.counts(protocol), row.classes
            total = counts.pixels.sum(axis=0, dtype=np.int64)
            ends = np.full((len(classes), 2), np.nan)
            if len(counts) > 1:
                ends = np.array([interval(values) for values in iou_of(sums_of(row)[protocol][1:]).T])
            columns = {
                "number": number,
                "row": name,
                "protocol": protocol,
                "class_id": np.arange(len(classes)),
                "class": list(classes),
                "iou": PERCENT * iou_of(total),
                **dict(zip(("iou_low", "iou_high"), PERCENT * ends.T, strict=True)),
                **dict(zip(("tp", "fp", "fn"), total, strict=True)),
                "images": (counts.pixels[:, [0, 2]].sum(axis=1) > 0).sum(axis=0),
            }
            parts.append(pd.DataFrame(columns, columns=PER_CLASS))
    return pd.concat(parts[1:] or parts, ignore_index=True)


def write_per_image(path: Path, rows: Sequence[Row], names: Sequence[str]) -> None:
    """Writes a line for each row, protocol and image: `PER_IMAGE`, and the scores of protocols without classes.

    ``tp``, ``fp`` and ``fn`` list pixels in the order of ``class_id``, such as ``[0,512,0]``. ``acc`` and ``miou`` are
    scores of this image. The scores in `summary` are not means of them: they come from the sums of ``tp``, ``fp`` and
    ``fn``. A failed image has a ``reason`` and no numbers. Arguments as in `per_class`.
    """
    protocols = dict.fromkeys(protocol for row in rows for protocol in row.protocols)
    further = [name for protocol in protocols for name in COLUMNS.get(protocol, ()) if name not in PER_IMAGE]
    columns = [*PER_IMAGE, *further]
    with writing(path), replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        for number, (name, row) in enumerate(zip(names, rows, strict=True)):
            for protocol in row.protocols:
                same = {"number": str(number), "row": name, "protocol": protocol}
                for cells in _image_cells(row, protocol):
                    lines = len(cells["image"])
                    writer.writerows(
                        zip(
                            *(cells.get(column) or repeat(same.get(column, ""), lines) for column in columns),
                            strict=True,
                        )
                    )


def _image_cells(row: Row, protocol: ProtocolName) -> Iterator[dict[str, Sequence[str]]]:
    """Yields the cells of up to `PART` images of a row under a protocol, by column."""
    failed = {record.picture: record.reason for record in row.failed}
    evaluated = ids_of(row.evaluated)
    known = {*evaluated, *failed}
    ids = [id for id in ids_of(row.records) if id in known]
    others = {} if needs_classes(protocol) else _without_classes(row, protocol).pictures
    done = 0
    for start in range(0, len(ids), PART):
        part = ids[start : start + PART]
        scored = slice(done, done := done + sum(id not in failed for id in part))
        cells = {"segments": list(map(str, row.facts.segments[scored].tolist()))}
        cells |= {"seconds": _decimals(row.facts.seconds[scored])}
        cells |= {name: _decimals(values[scored]) for name, values in others.items()}
        if needs_classes(protocol):
            pixels = row.counts(protocol).pixels[scored]
            acc, miou = acc_and_miou(pixels)
            cells["labelled"] = list(map(str, pixels[:, [0, 2]].sum(axis=(1, 2)).tolist()))
            cells |= {"acc": _decimals(PERCENT * acc), "miou": _decimals(PERCENT * miou)}
            cells |= {
                name: _decimals(SCALES[name] * row.agreement[scored, place]) for place, name in enumerate(AGREEMENT)
            }
            cells |= {name: _lists(pixels[:, place]) for place, name in enumerate(("tp", "fp", "fn"))}
        places = iter(range(scored.stop - scored.start))
        place_of = [None if id in failed else next(places) for id in part]
        yield {
            "image": part,
            "status": ["failed" if id in failed else "ok" for id in part],
            "reason": [failed.get(id, "") for id in part],
            **{name: ["" if place is None else values[place] for place in place_of] for name, values in cells.items()},
        }


def _decimals(values: NDArray[np.float64], decimals: int = 4) -> list[str]:
    return ["" if value != value else f"{value:.{decimals}f}" for value in values.tolist()]


def _lists(pixels: NDArray[np.integer]) -> list[str]:
    """Each line of an array as a list in JSON."""
    return [str(line).replace(" ", "") for line in pixels.tolist()]


def confusion(rows: Sequence[Row], names: Sequence[str]) -> pd.DataFrame:
    """Makes a line for each row, protocol, and pair of true and matched class that share pixels.

    Columns `CONFUSION`. Arguments as in `per_class`. ``matched`` is the class of the segment; it is empty if the
    segment has no class.
    """
    lines: list[tuple[Any, ...]] = []
    for number, (name, row) in enumerate(zip(names, rows, strict=True)):
        classes = row.classes
        for protocol in filter(needs_classes, row.protocols):
            matrix = row.counts(protocol).confusion
            for label, matched in np.argwhere(matrix).tolist():
                other = (matched, classes[matched]) if matched < len(classes) else (None, None)
                lines.append((number, name, protocol, label, classes[label], *other, matrix[label, matched]))
    return pd.DataFrame(lines, columns=CONFUSION).astype({"matched_id": "Int64", "pixels": "Int64"})


def write_csv(path: Path, frame: pd.DataFrame, decimals: int = 4) -> None:
    """Writes a table atomically."""
    with writing(path), replacing(path) as temporary:
        frame.to_csv(temporary, index=False, float_format=f"%.{decimals}f", lineterminator="\n")


def _protocol_scores(row: Row, protocol: ProtocolName) -> Mapping[str, float]:
    """Scores of a row under a protocol, and the ends of their intervals if there are two images or more."""
    if not needs_classes(protocol):
        return _without_classes(row, protocol).of_set
    counts = row.counts(protocol)
    if not len(counts):
        return {}
    pixels, agreement = sums_of(row)[protocol], sums_of(row)[""]
    line: dict[str, float] = {"classes": int(np.isfinite(iou_of(pixels[0])).sum())}
    for name, values in zip(("acc", "miou", *AGREEMENT), (*acc_and_miou(pixels), *agreement.T), strict=True):
        scores = SCALES.get(name, PERCENT) * values
        line[name] = float(scores[0])
        if len(scores) > 1:
            line |= zip((f"{name}_low", f"{name}_high"), interval(scores[1:]), strict=True)
    return line


def _without_classes(row: Row, protocol: ProtocolName) -> Scores:
    from eval.protocol_scores import scores_of  # imports modules that few commands need

    return scores_of(row, protocol)


def sums_of(row: Row) -> Mapping[ProtocolName, NDArray[np.float64]]:
    """Sums over all images of a row, and over each resample, see `eval.metrics.totals`; at least one image.

    Returns:
        Protocol -> sums of TP, FP and FN, ``(1 + resamples, 3, n_classes)``; and under "" the means of the
        class-agnostic scores, ``(1 + resamples, 3)``.
    """
    add_up([row])
    return row.sums


def add_up(rows: Sequence[Row]) -> None:
    """Computes `sums_of` rows, and keeps it with them. Rows with the same number of images share the draw."""
    groups: dict[int, list[tuple[Row, ProtocolName]]] = {}
    for row in rows:
        protocols = list(filter(needs_classes, row.protocols))
        if protocols and row.evaluated and not row.sums:
            groups.setdefault(len(row.evaluated), []).extend((row, protocol) for protocol in [*protocols, ""])
    for images, group in groups.items():
        columns = [row.counts(protocol).pixels if protocol else row.agreement for row, protocol in group]
        for (row, protocol), sums in zip(group, totals(columns), strict=True):
            row.sums[protocol] = sums if protocol else sums / images
