"""Checks that a new run replaces no file of the user."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from eval.results.run_config import RESOLVED
from eval.results.tables import TABLES
from eval.storage.layout import CONFIG, PROVENANCE, SWEEP_CSV
from eval.storage.records import RecordError
from eval.storage.written import WrittenFiles
from experiments.paper.table import PAPER_TABLES
from experiments.running.audit import AUDIT_TABLES
from experiments.running.plan import RunPlan

ALL_TABLES = (*TABLES, *PAPER_TABLES, *AUDIT_TABLES)


def check_files(folder: Path, plans: Sequence[RunPlan]) -> None:
    """Checks that a new run replaces no file of the user.

    Args:
        folder: folder for the records, which has none yet.
        plans: plans of the run, or of the jobs of a sweep.

    Raises:
        RecordError: a file with the name of a result file is there, and no run of this version wrote it.
    """
    marks = {folder / PROVENANCE: '"git_commit":', **{plan.folder / CONFIG: f"\n{RESOLVED}:" for plan in plans}}
    foreign = [path for path, mark in marks.items() if path.is_file() and mark not in _text(path)]
    _refuse(foreign)
    for place, names in {**{plan.folder: ALL_TABLES for plan in plans}, folder: (*ALL_TABLES, SWEEP_CSV)}.items():
        check_names(place, names)


def check_names(folder: Path, names: Sequence[str]) -> None:
    """Raises RecordError if a file of the user has one of these names: it is there, but no run has listed it."""
    written = WrittenFiles(folder).names
    _refuse([folder / name for name in names if name not in written and (folder / name).is_file()])


def _refuse(foreign: Sequence[Path]) -> None:
    if foreign:
        raise RecordError(f"{foreign[0]}: no run of this version wrote this file; move it, or give another results_dir")


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace")
