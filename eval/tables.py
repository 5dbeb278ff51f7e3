"""Tables from records: summary, per class and per image as CSV, and the summary as a readable text.

Scores are in percent, times in seconds; a cell that does not apply is empty. The same records give the same bytes;
only the columns ``seconds_per_image`` and ``seconds`` hold timings.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from eval.columns import (
    PER_CLASS,
    PER_IMAGE,
    PUBLISHED,
    SCORES,
    SETTINGS,
    SUMMARY,
    setting_columns,
    setting_text,
)
from eval.files import write_text
from eval.markdown import markdown
from eval.matching import Counts
from eval.metrics import accuracy, bootstrap, bootstrap_iou, iou, mean_iou
from eval.protocols import PROTOCOLS, ProtocolName
from eval.records import Record
from eval.rows import Row, telling_names

PERCENT = 100


Records = Mapping[str, Sequence[Record]]
"""Key of a row -> its image records, in the order of the data set (the intervals depend on it)."""


def write_tables(
    folder: Path,
    rows: Sequence[Row],
    records: Records,
    classes: Sequence[str],
    protocols: Sequence[ProtocolName] = PROTOCOLS,
    official_count: int | None = None,
) -> str:
    """Writes ``summary.csv``, ``summary.md``, ``per_class.csv`` and ``per_image.csv``, each whole or not at all.

    Args:
        folder: where to, must exist.
        rows: in order.
        records: image records of each row.
        classes: names; the position is the label.
        protocols: scores to report.
        official_count: images of the published evaluation, None where there is none.

    Returns:
        The text of ``summary.md``, fit for a terminal.
    """
    overview = summary(rows, records, protocols)
    text = markdown(overview, telling_names(rows), official_count)
    write_csv(folder / "summary.csv", overview)
    write_csv(folder / "per_class.csv", per_class(rows, records, classes, protocols))
    write_csv(folder / "per_image.csv", per_image(rows, records, protocols))
    write_text(folder / "summary.md", text)
    return text


def summary(rows: Sequence[Row], records: Records, protocols: Sequence[ProtocolName] = PROTOCOLS) -> pd.DataFrame:
    """One line a row and protocol, columns `SUMMARY` and then those that `setting_columns` adds.

    Arguments as in `write_tables`.

    ``images`` counts those evaluated, ``failed`` those that could not be; ``*_low`` and ``*_high`` bound the 95 %
    bootstrap interval over the images. Published numbers stand in the ``official`` rows alone: they were scored so.
    """
    lines = []
    columns = setting_columns(row.settings for row in rows)
    for row in rows:
        evaluated, failed = _split(records[row.key])
        shared: dict[str, Any] = {
            "row": row.name,
            **{name: setting_text(row.settings, path) for name, path in columns.items()},
            "images": len(evaluated),
            "failed": len(failed),
        }
        if evaluated:
            shared["segments"] = np.mean([record["segments"] for record in evaluated])
            shared["seconds_per_image"] = np.mean([_seconds(record) for record in evaluated])
        for protocol in protocols:
            published = row.published if protocol == "official" and row.published else {}
            lines.append(
                {
                    **shared,
                    "protocol": protocol,
                    **_scores([_counts(record, protocol) for record in evaluated]),
                    **{f"published_{metric}": value for metric, value in published.items()},
                }
            )
    numbers = dict.fromkeys([*SCORES, *PUBLISHED, "seconds_per_image"], float)
    further = [name for name in columns if name not in SETTINGS]
    return pd.DataFrame(lines, columns=[*SUMMARY, *further]).astype(numbers)


def per_class(
    rows: Sequence[Row],
    records: Records,
    classes: Sequence[str],
    protocols: Sequence[ProtocolName] = PROTOCOLS,
) -> pd.DataFrame:
    """One line a row (`telling_names`), protocol and class, columns `PER_CLASS`. Arguments as in `write_tables`.

    ``iou_low`` and ``iou_high`` bound the 95 % bootstrap interval over the images. ``tp``, ``fp`` and ``fn`` are
    pixels, ``images`` the number of images in which the class is present.
    """
    parts = []
    for name, row in zip(telling_names(rows), rows, strict=True):
        evaluated, _ = _split(records[row.key])
        for protocol in protocols:
            counts = [_counts(record, protocol) for record in evaluated]
            total = sum(counts, Counts.zeros(len(classes)))
            ends = np.full((len(classes), 2), np.nan)
            if counts:
                tp, fp, fn = zip(*((image.tp, image.fp, image.fn) for image in counts), strict=True)
                ends = bootstrap_iou(tp, fp, fn)
            columns = {
                "row": name,
                "protocol": protocol,
                "class_id": np.arange(len(classes)),
                "class": list(classes),
                "iou": PERCENT * iou(total),
                **dict(zip(("iou_low", "iou_high"), PERCENT * ends.T, strict=True)),
                "tp": total.tp,
                "fp": total.fp,
                "fn": total.fn,
                "images": sum((image.tp + image.fn > 0 for image in counts), np.zeros_like(total.tp)),
            }
            parts.append(pd.DataFrame(columns, columns=PER_CLASS))
    return pd.concat(parts, ignore_index=True)


def per_image(rows: Sequence[Row], records: Records, protocols: Sequence[ProtocolName] = PROTOCOLS) -> pd.DataFrame:
    """One line a row (`telling_names`), protocol and image, columns `PER_IMAGE`. Arguments as in `write_tables`.

    ``acc`` and ``miou`` are the image's own. Those of a set of images, which `summary` has, are no mean of them: they
    come from sums of ``tp``, ``fp`` and ``fn``, the pixels by class, lists such as ``[0,512,0]`` in the order of
    ``class_id``. A failed image has its ``reason`` and no numbers.
    """
    lines = []
    for name, row in zip(telling_names(rows), rows, strict=True):
        for protocol in protocols:
            for record in records[row.key]:
                line = {
                    "row": name,
                    "protocol": protocol,
                    **{name: record.get(name) for name in ("image", "status", "reason", "segments")},
                }
                if record["status"] == "ok":
                    counts = _counts(record, protocol)
                    line |= {
                        "labelled": counts.labelled,
                        "acc": PERCENT * accuracy(counts),
                        "miou": PERCENT * mean_iou(counts),
                        "seconds": _seconds(record),
                        **{name: _listed(getattr(counts, name)) for name in ("tp", "fp", "fn")},
                    }
                lines.append(line)
    numbers = {"segments": "Int64", "labelled": "Int64", "acc": float, "miou": float, "seconds": float}
    return pd.DataFrame(lines, columns=PER_IMAGE).astype(numbers)


def write_csv(path: Path, frame: pd.DataFrame) -> None:
    """Writes a table with four decimals, whole or not at all."""
    write_text(path, frame.to_csv(index=False, float_format="%.4f", lineterminator="\n"))


def _split(records: Iterable[Record]) -> tuple[list[Record], list[Record]]:
    """Evaluated images and failed ones."""
    parts: dict[str, list[Record]] = {"ok": [], "failed": []}
    for record in records:
        parts[record["status"]].append(record)
    return parts["ok"], parts["failed"]


def _counts(record: Record, protocol: ProtocolName) -> Counts:
    return Counts.from_json(record["counts"][protocol])


def _listed(pixels: NDArray[np.int64]) -> str:
    return json.dumps(pixels.tolist(), separators=(",", ":"))


def _seconds(record: Record) -> float:
    return record["seconds"]["attention"] + record["seconds"]["segment"]


def _scores(counts: Sequence[Counts]) -> dict[str, float]:
    """ACC, mIoU and their intervals in percent; nothing without images."""
    if not counts:
        return {}
    total = sum(counts[1:], counts[0])
    acc, miou = bootstrap(
        tp=[image.tp for image in counts],
        fp=[image.fp for image in counts],
        fn=[image.fn for image in counts],
        labelled=[image.labelled for image in counts],
    )
    fractions = {
        **{"acc": accuracy(total), "acc_low": acc.low, "acc_high": acc.high},
        **{"miou": mean_iou(total), "miou_low": miou.low, "miou_high": miou.high},
    }
    return {name: PERCENT * value for name, value in fractions.items()}
