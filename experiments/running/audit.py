"""The audit of a protocol: compares each choice with the first row of its method."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from eval.metrics import PERCENT, accuracy, mean_iou, official_over_numberings, totals
from eval.protocols import PROTOCOLS, ProtocolName
from eval.results.markdown import coarse, fixed, image_count, pipe_table, with_interval
from eval.results.tables import write_csv
from eval.row import Row, ids_of
from eval.settings import differences
from eval.storage.files import write_text
from eval.storage.layout import AUDIT_CSV, AUDIT_MD
from experiments.compare.statistics import class_scores, compare

NUMBERINGS = 100
METRICS = {"acc": "ACC", "miou": "mIoU"}
CHANGE = ("change", "change_low", "change_high")
AUDIT_COLUMNS = (
    *("method", "choice", "protocol", "images", "failed", "underflow"),
    *(f"{metric}{part}" for metric in METRICS for part in ("", *(f"_{ending}" for ending in CHANGE))),
)
CAPTION = (
    "Effect of each choice on the scores, in %, compared with the first row of its method. A change is measured on the "
    "images that both rows have, with its 95 % interval over these images. If the interval contains 0, the change may "
    "be chance. "
    "Underflow: the share of the attention that is 0 in float16."
)


def write_audit(folder: Path, results: Sequence[Row]) -> str:
    """Writes ``audit.csv`` and ``audit.md``, each atomically.

    Args:
        folder: an existing folder.
        results: results of each row. Rows are compared with the first row of the same name.

    Returns:
        The text of ``audit.md``, which also lines up in a terminal.
    """
    table = audit(results)
    lines = [line for _, line in table.iterrows()]
    cells = {"method": list(table["method"]), "choice": list(table["choice"]), "protocol": list(table["protocol"])}
    for metric, title in METRICS.items():
        cells[title] = [fixed(value) for value in table[metric]]
        changes = table[[f"{metric}_{part}" for part in CHANGE]].to_numpy()
        cells[f"Δ {title}"] = [with_interval(value, low, high, sign="+") for value, low, high in changes]
    cells["underflow"] = [fixed(value, 2) for value in table["underflow"]]
    cells["images"] = [image_count(line["images"], line["failed"], None) for line in lines]
    text = "".join([f"{CAPTION}\n\n{pipe_table(cells)}", *(f"\n{caveat}\n" for caveat in coarse(table["images"]))])
    write_csv(folder / AUDIT_CSV, table)
    write_text(folder / AUDIT_MD, text)
    return text


def audit(results: Sequence[Row]) -> pd.DataFrame:
    """Table of the effect of each choice, in percent. Columns `AUDIT_COLUMNS`. Arguments as in `write_audit`.

    For each method, the first line is its first row in protocol ``official``, and the second the same row in
    ``present``, because the protocol is a choice, too. Three lines say what the numbers of the segments are worth, see
    `_numberings`. Then each other row follows in both protocols, compared with the first row in the same protocol. A
    row with the settings of the first is left out.
    """
    lines = []
    for name in dict.fromkeys(result.name for result in results):
        first, *others = (result for result in results if result.name == name)
        reference = _facts(first, "")
        lines.append(reference | {"protocol": "official"} | _scores(first, "official"))
        lines.append(
            reference | {"choice": "protocol: official -> present"} | _compared(first, first, "present", "official")
        )
        lines += [reference | line for line in _numberings(first)]
        for other in others:
            choice = "; ".join(differences(first.settings, other.settings))
            if choice:
                facts = _facts(other, choice)
                lines += [facts | _compared(first, other, protocol, protocol) for protocol in PROTOCOLS]
    return pd.DataFrame(lines, columns=AUDIT_COLUMNS)


def _numberings(row: Row) -> list[dict[str, Any]]:
    """Lowest, mean and highest mIoU over 100 random numberings of the segments, which only ``official`` reads."""
    if not row.tables():
        return []
    spread = official_over_numberings(row.tables(), row.background, NUMBERINGS)
    given = _scores(row, "official")
    return [
        {
            **{"choice": f"segments: as numbered -> {end} of {NUMBERINGS} numberings", "protocol": "official"},
            **{"acc": given["acc"], "acc_change": 0.0},
            **{"miou": PERCENT * miou, "miou_change": PERCENT * miou - given["miou"]},
        }
        for end, miou in zip(("lowest", "mean", "highest"), spread, strict=True)
    ]


def _facts(results: Row, choice: str) -> dict[str, Any]:
    """All columns of a row except its scores."""
    underflow = [record.underflow for record in results.evaluated if record.underflow is not None]
    return {
        "method": results.name,
        "choice": choice,
        "images": len(results.evaluated),
        "failed": len(results.failed),
        "underflow": PERCENT * np.mean(underflow) if underflow else np.nan,
    }


def _compared(before: Row, after: Row, protocol: ProtocolName, old_protocol: ProtocolName) -> dict[str, Any]:
    """Scores of ``after``, and their change from ``before`` under ``old_protocol``, on the images of both."""
    line = {"protocol": protocol} | _scores(after, protocol)
    place_of = {id: place for place, id in enumerate(ids_of(after.evaluated))}
    common = [(place, place_of[id]) for place, id in enumerate(ids_of(before.evaluated)) if id in place_of]
    if not common:
        return line
    earlier, later = np.array(common).T
    old_pixels, new_pixels = before.counts(old_protocol).pixels[earlier], after.counts(protocol).pixels[later]
    old, new = map(class_scores, totals([old_pixels, new_pixels]))
    for metric in METRICS:
        change = compare(new[metric], old[metric])
        line |= dict(zip((f"{metric}_{part}" for part in CHANGE), change[2:5], strict=True))
    return line


def _scores(row: Row, protocol: ProtocolName) -> dict[str, float]:
    """ACC and mIoU in percent; empty without images."""
    total = row.counts(protocol).total
    return {"acc": PERCENT * accuracy(total), "miou": PERCENT * mean_iou(total)} if row.evaluated else {}
