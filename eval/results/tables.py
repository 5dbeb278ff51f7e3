"""Makes tables from records: CSVs (summary, per class, per image, confusion), and the summary as Markdown.

Scores are in percent, times in seconds. A cell that does not apply is empty. The same records give the same bytes.
Repeated runs differ only in the timings, ``seconds_per_image`` and ``seconds``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from diffseg.files import replacing
from eval.metrics import (
    ResampledCounts,
    accuracy,
    interval_of,
    intervals,
    iou,
    iou_intervals,
    mean_iou,
    resample,
)
from eval.protocol_scores import COLUMNS, scores_of
from eval.protocols import REGION_PROTOCOLS, ProtocolName, needs_classes
from eval.results.columns import (
    AGREEMENT,
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
from eval.runs import Row, ids_of
from eval.scores import confusion_matrix
from eval.storage.files import write_text, writing
from eval.storage.layout import CONFUSION_CSV, PER_CLASS_CSV, PER_IMAGE_CSV, SCALES_CSV, SUMMARY_CSV, TABLE_MD

PERCENT = 100
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
    write_parts(folder / PER_IMAGE_CSV, per_image(rows, names))
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
            total = counts.total
            ends = np.full((len(classes), 2), np.nan)
            if len(counts) > 1:
                ends = iou_intervals(resampled(row).counts[protocol])
            columns = {
                "number": number,
                "row": name,
                "protocol": protocol,
                "class_id": np.arange(len(classes)),
                "class": list(classes),
                "iou": PERCENT * iou(total),
                **dict(zip(("iou_low", "iou_high"), PERCENT * ends.T, strict=True)),
                "tp": total.tp,
                "fp": total.fp,
                "fn": total.fn,
                "images": (counts.pixels[:, 0] + counts.pixels[:, 2] > 0).sum(axis=0),
            }
            parts.append(pd.DataFrame(columns, columns=PER_CLASS))
    return pd.concat(parts[1:] or parts, ignore_index=True)


def per_image(rows: Sequence[Row], names: Sequence[str]) -> Iterator[pd.DataFrame]:
    """Makes a line for each row, protocol and image: `PER_IMAGE`, in parts. Arguments as in `per_class`.

    ``tp``, ``fp`` and ``fn`` list pixels in the order of ``class_id``, such as ``[0,512,0]``. ``acc`` and ``miou`` are
    scores of this image. The scores in `summary` are not means of them: they come from the sums of ``tp``, ``fp`` and
    ``fn``. A failed image has a ``reason`` and no numbers.

    Yields:
        At least one table; each has up to `PART` lines.
    """
    numbers = {**dict.fromkeys(("segments", "labelled"), "Int64"), **dict.fromkeys(AGREEMENT, float)}
    protocols = dict.fromkeys(protocol for row in rows for protocol in row.protocols)
    further = [name for each in protocols for name in COLUMNS.get(each, ()) if name not in PER_IMAGE]
    numbers |= dict.fromkeys(("acc", "miou", "seconds", *further), float)
    lines = (
        {"number": number, "row": name, "protocol": protocol, **line}
        for number, (name, row) in enumerate(zip(names, rows, strict=True))
        for protocol in row.protocols
        for line in _image_lines(row, protocol)
    )
    first = True
    while (part := list(islice(lines, PART))) or first:
        yield pd.DataFrame(part, columns=[*PER_IMAGE, *further]).astype(numbers)
        first = False


def _image_lines(row: Row, protocol: ProtocolName) -> Iterator[dict[str, Any]]:
    """The cells of each image of a row under a protocol."""
    failed = {record.picture: record for record in row.failed}
    others = {} if needs_classes(protocol) else scores_of(row, protocol).pictures
    places = {id: place for place, id in enumerate(ids_of(row.evaluated))}
    for id in ids_of(row.records):
        if id in failed:
            yield {"image": id, "status": failed[id].status, "reason": failed[id].reason or None}
            continue
        if id not in places:
            continue
        place = places[id]
        line: dict[str, Any] = {"image": id, "status": "ok", "reason": None}
        line |= {"segments": row.facts.segments[place], "seconds": row.facts.seconds[place]}
        line |= {name: values[place] for name, values in others.items()}
        if needs_classes(protocol):
            image = row.counts(protocol)[place]
            line |= {
                "labelled": image.labelled,
                "acc": PERCENT * accuracy(image),
                "miou": PERCENT * mean_iou(image),
                **{name: SCALES[name] * value for name, value in zip(AGREEMENT, row.agreement[place], strict=True)},
                **{name: _listed(getattr(image, name)) for name in ("tp", "fp", "fn")},
            }
        yield line


def confusion(rows: Sequence[Row], names: Sequence[str]) -> pd.DataFrame:
    """Makes a line for each row, protocol, and pair of true and matched class that share pixels.

    Columns `CONFUSION`. Arguments as in `per_class`. ``matched`` is the class of the segment; it is empty if the
    segment has no class.
    """
    lines: list[tuple[Any, ...]] = []
    for number, (name, row) in enumerate(zip(names, rows, strict=True)):
        classes = row.classes
        for protocol in filter(needs_classes, row.protocols if row.tables() else ()):
            matrix = confusion_matrix(row.tables(), protocol, row.background, row.reads_files)
            for label, matched in np.argwhere(matrix).tolist():
                other = (matched, classes[matched]) if matched < len(classes) else (None, None)
                lines.append((number, name, protocol, label, classes[label], *other, matrix[label, matched]))
    return pd.DataFrame(lines, columns=CONFUSION).astype({"matched_id": "Int64", "pixels": "Int64"})


def write_csv(path: Path, frame: pd.DataFrame, decimals: int = 4) -> None:
    """Writes a table atomically."""
    write_parts(path, [frame], decimals)


def write_parts(path: Path, parts: Iterable[pd.DataFrame], decimals: int = 4) -> None:
    """Writes the parts of a table, one after the other, like `write_csv`."""
    with writing(path), replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        for number, part in enumerate(parts):
            part.to_csv(file, index=False, header=not number, float_format=f"%.{decimals}f", lineterminator="\n")


def _listed(pixels: NDArray[np.int64]) -> str:
    return json.dumps(pixels.tolist(), separators=(",", ":"))


def _protocol_scores(row: Row, protocol: ProtocolName) -> Mapping[str, float]:
    """Scores of a row under a protocol, and the ends of their intervals."""
    if needs_classes(protocol):
        return _scores(row, protocol) | _agreement(row)
    return scores_of(row, protocol).of_set


class Resampled(NamedTuple):
    """Sums over the images of each resample of a row.

    Attributes:
        counts: protocol -> sums of the counts.
        agreement: ``(resamples, 3)`` means of the class-agnostic scores.
    """

    counts: Mapping[ProtocolName, ResampledCounts]
    agreement: NDArray[np.float64]


def resampled(row: Row) -> Resampled:
    """Resamples all that the tables need of a row at once: drawing takes longer than summing. Kept with the row."""
    if "resampled" not in row.__dict__:
        protocols = list(filter(needs_classes, row.protocols))
        counts = [row.counts(protocol) for protocol in protocols]
        sums = resample([*(each.pixels for each in counts), row.agreement])
        agreement = sums.pop() / len(row.agreement)
        row.__dict__["resampled"] = Resampled(
            dict(zip(protocols, map(ResampledCounts.of, sums), strict=True)), agreement
        )
    found: Resampled = row.__dict__["resampled"]
    return found


def _agreement(row: Row) -> dict[str, float]:
    """Means over the images, and their intervals if there are two images or more."""
    scores: dict[str, float] = {}
    if not len(row.agreement):
        return scores
    for column, name in enumerate(AGREEMENT):
        scores[name] = float((SCALES[name] * row.agreement[:, column]).mean())
        if len(row.agreement) > 1:
            ends = interval_of(SCALES[name] * resampled(row).agreement[:, column])
            scores |= zip((f"{name}_low", f"{name}_high"), ends, strict=True)
    return scores


def _scores(row: Row, protocol: ProtocolName) -> dict[str, float]:
    """ACC and mIoU in percent, and their intervals if there are two images or more."""
    counts = row.counts(protocol)
    if not counts:
        return {}
    total = counts.total
    scores = {
        "acc": PERCENT * accuracy(total),
        "miou": PERCENT * mean_iou(total),
        "classes": int(np.isfinite(iou(total)).sum()),
    }
    if len(counts) == 1:
        return scores
    for name, interval in zip(("acc", "miou"), intervals(resampled(row).counts[protocol]), strict=True):
        scores |= {f"{name}_low": PERCENT * interval.low, f"{name}_high": PERCENT * interval.high}
    return scores
