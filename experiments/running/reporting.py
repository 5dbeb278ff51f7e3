"""Makes the tables of a run from its records. `retabulate` needs only the results folder."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np

from eval.protocols import SET_PROTOCOLS, needs_classes
from eval.results.tables import write_tables
from eval.runs import Row, Run, read_run
from eval.storage.files import write_text
from eval.storage.layout import PER_CLASS_CSV, PER_IMAGE_CSV, SUMMARY_CSV, TABLE_MD
from eval.storage.locks import locked_shortly
from experiments.paper.table import write_tex_table
from experiments.running.audit import write_audit

FEW_CLASSES = 5
"""Up to this number of classes that occur in no picture are named."""


def write_report(run: Run, rows: Sequence[Row] | None = None) -> str:
    """Writes the tables of a run.

    Args:
        run: the run.
        rows: rows of the tables; None: those of the run.

    Returns:
        The tables as text for a terminal.

    Raises:
        WriteError: a file could not be written.
    """
    rows = run.rows if rows is None else rows
    newest = run.commands[-1]
    with locked_shortly(run.folder / SUMMARY_CSV):
        text = write_tables(run.folder, rows, newest.scale)
        paper = write_tex_table(run.folder, newest.published, rows)
        if paper:
            text += "\n" + paper
            write_text(run.folder / TABLE_MD, text)
        if newest.audit:
            own = {entry["key"] for entry in newest.rows}
            text += "\n" + write_audit(run.folder, [row for row in rows if row.key in own])
    return text


def print_report(run: Run, keys: Collection[str], panels: Sequence[Path]) -> None:
    """Writes the tables, and prints them with what a reader must know about them.

    Args:
        run: the run, with all its records.
        keys: keys of the rows of this command.
        panels: pictures that were drawn; the overview is the last.
    """
    text = write_report(run)
    pictures = f"; pictures: {panels[-1]} and {len(panels) - 1} more" if panels else ""
    lines = remarks(run, [row for row in run.rows if row.key in keys])
    print("\n".join(["", text, *lines]))
    print(f"Tables: {run.folder / SUMMARY_CSV}, {PER_CLASS_CSV}, {PER_IMAGE_CSV}{pictures}", flush=True)


def remarks(run: Run, rows: Sequence[Row]) -> list[str]:
    """Lines about the data that change how scores are read: what is not scored, and classes that never occur."""
    lines: dict[str, None] = {}
    for row in rows:
        lines |= dict.fromkeys([*_unscored(row), *_absent(row), *_flat(row)])
    if run.older:
        lines[f"{len(run.older)} older results of edited parts are kept; --tables DIR older=true shows them"] = None
    return list(lines)


def _unscored(row: Row) -> list[str]:
    """A line about values of the label files that stand for no class."""
    pictures: dict[str, int] = {}
    for record in row.evaluated:
        for value in record.unscored:
            pictures[value] = pictures.get(value, 0) + 1
    count = len(row.evaluated)
    values = [f"{value} is not scored in {pictures[value]} of {count}" for value in sorted(pictures, key=int)]
    return [f"{row.dataset_name}: {', '.join(values)} pictures (dataset.void)"] if values else []


def _absent(row: Row) -> list[str]:
    """A line about classes that occur in no picture."""
    tables = row.tables()
    if not tables or not any(map(needs_classes, row.protocols)):
        return []
    seen = np.zeros(len(row.classes), dtype=bool)
    for table in tables:
        seen[table.rows] = True
    absent = [name for name, there in zip(row.classes, seen, strict=True) if not there]
    if not absent:
        return []
    names = ", ".join(absent[:FEW_CLASSES]) + (f" and {len(absent) - FEW_CLASSES} more" * (len(absent) > FEW_CLASSES))
    verb = "occurs" if len(absent) == 1 else "occur"
    line = f"{row.dataset_name}: {names} {verb} in no picture"
    if set(row.protocols) & {*SET_PROTOCOLS}:
        line += "; STEGO and PiCIE count such a class as 0 if it takes a segment (protocol=dataset_all)"
    return [line]


def _flat(row: Row) -> list[str]:
    """A line about a row that found a single segment in every picture."""
    if len(row.evaluated) < 2 or any(record.segments > 1 for record in row.evaluated):
        return []
    hint = "; tau is too large for this attention" if row.settings["segmenter"].get("tau") is not None else ""
    return [f"{row.name}: a single segment in every picture{hint}"]


def retabulate(folder: Path, protocols: Sequence[str] | None = None, older: bool = False) -> str:
    """Rewrites the tables of a results folder from its records, without a pass of the backbone.

    Args:
        folder: results folder.
        protocols: protocols of the tables; None: those of the commands.
        older: show also rows of which a newer code exists, with the code's first digits behind the name.

    Returns:
        See `write_report`.

    Raises:
        ConfigError, RecordError: see `eval.runs.read_run`.
    """
    from dataclasses import replace

    run = read_run(folder)
    rows = run.rows
    if older:
        rows = [replace(row, name=f"{row.name} ({row.code[:6]})" if row.code else row.name) for row in rows + run.older]
    if protocols:
        rows = [replace(row, protocols=[*protocols]) for row in rows]
    text = write_report(run, rows)
    return "\n".join([text, *remarks(run, run.rows)])
