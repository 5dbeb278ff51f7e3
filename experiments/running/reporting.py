"""Makes the tables of a run from its records, and prints them with what a reader must know."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from datasets.base import Dataset
from datasets.remarks import truth_remarks
from eval.config import ConfigError
from eval.metrics import accuracy
from eval.protocols import SET_PROTOCOLS
from eval.results.tables import write_tables
from eval.row import Row
from eval.runs import Run
from eval.settings import leaves
from eval.storage.files import write_text
from eval.storage.layout import PER_CLASS_CSV, PER_IMAGE_CSV, SUMMARY_CSV, TABLE_MD
from eval.storage.locks import SHORT_WORK, locked
from experiments.paper.table import published_markdown, write_tex_table

FEW_NUMBERS = 1.25
"""Numbers of all pictures, as a multiple of those of the fullest one: up to this, they may be those of each picture."""
LARGE_LOSS = 0.75
"""Share of ACC that is left when the numbers are matched once; numbers with a common meaning keep more."""


def check_scale(scale: str | None, settings: Iterable[Mapping[str, Any]]) -> None:
    """Raises ConfigError if no row has the setting ``protocol.scale``, which families of rows differ in."""
    if scale and not any(scale in dict(leaves(row_settings)) for row_settings in settings):
        raise ConfigError(f"protocol.scale: no row has the setting {scale}; give one such as segmenter.tau")


def write_report(run: Run, rows: Sequence[Row] | None = None, scale: str | None = None) -> str:
    """Writes the tables of a run.

    Args:
        run: the run.
        rows: rows of the tables; None: those of the run.
        scale: see `eval.config.ProtocolSettings`; None: that of the newest command.

    Returns:
        The tables as text for a terminal.

    Raises:
        WriteError: a file could not be written.
    """
    rows = run.rows if rows is None else rows
    newest = run.commands[-1]
    with locked(run.folder / SUMMARY_CSV, SHORT_WORK):
        text = write_tables(run.folder, rows, scale or newest.scale)
        paper = write_tex_table(run.folder, newest.published, rows)
        if beside := [table for table in (paper, published_markdown(rows)) if table]:
            text = "\n".join([text, *beside])
            write_text(run.folder / TABLE_MD, text)
        if newest.audit:
            from experiments.running.audit import write_audit  # few commands need it

            own = {entry["key"] for entry in newest.rows}
            text += "\n" + write_audit(run.folder, [row for row in rows if row.key in own])
    return text


def print_report(run: Run, datasets: Mapping[str, Dataset], panels: Sequence[Path], lines: Iterable[str]) -> None:
    """Writes the tables, and prints them with what a reader must know about them.

    Args:
        run: the run, with all its records.
        datasets: key of each row of this command -> its data set.
        panels: pictures that were drawn; the overview is the last.
        lines: further lines about the files that were read.
    """
    text = write_report(run)
    pictures = f"; pictures: {panels[-1]} and {len(panels) - 1} more" if panels else ""
    known = remarks(run, [row for row in run.rows if row.key in datasets], datasets)
    print("\n".join(["", text, *dict.fromkeys(lines), *known]))
    print(f"Tables: {run.folder / SUMMARY_CSV}, {PER_CLASS_CSV}, {PER_IMAGE_CSV}{pictures}", flush=True)


def remarks(run: Run, rows: Sequence[Row], datasets: Mapping[str, Dataset] | None = None) -> list[str]:
    """Lines that change how scores are read: values and classes without a score, rows whose segments mean nothing.

    Args:
        run: the run.
        rows: the rows to speak of.
        datasets: key of a row -> its data set; None: they are not read.
    """
    lines: dict[str, None] = {}
    for row in rows:
        if datasets and row.key in datasets:
            lines |= dict.fromkeys(_of_truth(row, datasets[row.key]))
        lines |= dict.fromkeys([*_flat(row), *_numbered_by_picture(row)])
    if run.older:
        lines[f"{len(run.older)} older results of edited parts are kept; --tables DIR older=true shows them"] = None
    return list(lines)


def _of_truth(row: Row, dataset: Dataset) -> list[str]:
    """A line about classes that occur in no picture, and about values that are not scored."""
    tables = row.tables()
    if not tables:
        return []
    pixels = np.zeros(len(row.classes), dtype=np.int64)
    for table in tables:
        np.add.at(pixels, table.rows, table.pixels)
    lines = truth_remarks(dataset, pixels.tolist(), row.facts.unscored)
    if lines and not pixels.all() and "dataset" in row.protocols:
        lines[0] += "; STEGO and PiCIE count such a class as 0 if it takes a segment (protocol=dataset_all)"
    return lines


def _flat(row: Row) -> list[str]:
    """A line about a row that found a single segment in every picture."""
    if len(row.evaluated) < 2 or bool((row.facts.segments > 1).any()):
        return []
    hint = "; tau is too large for this attention" if row.settings["segmenter"].get("tau") is not None else ""
    return [f"{row.name}: a single segment in every picture{hint}"]


def _numbered_by_picture(row: Row) -> list[str]:
    """A line about a row that is matched once for all pictures, but whose numbers look like those of each picture."""
    if len(row.evaluated) < 2 or not set(SET_PROTOCOLS).intersection(row.protocols):
        return []
    numbers = [set(table.numbers.tolist()) - {-1} for table in row.tables()]
    counts = [len(of_picture) for of_picture in numbers]
    # A program that numbers the segments of each picture from 0 uses no more numbers than its fullest picture needs.
    # One that goes on counting uses each number once.
    distinct = len(set().union(*numbers))
    if FEW_NUMBERS * max(counts) < distinct < sum(counts):
        return []
    once, by_picture = (accuracy(row.counts(name).total) for name in ("dataset", "present"))
    if once >= LARGE_LOSS * by_picture:
        return []
    return [
        f"{row.name}: its numbers of segments look as if they had another meaning in each picture (ACC {once:.1%} "
        f"matched once, {by_picture:.1%} matched in each picture): if so, use protocol=both"
    ]
