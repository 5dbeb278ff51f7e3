"""Makes the tables of a run from its records. `retabulate` needs only the results folder."""

from __future__ import annotations

import sys
from pathlib import Path

from diffseg.texts import counted
from eval.results.run_results import RunResults, read_run_results
from eval.results.tables import TABLES, write_tables
from eval.storage.layout import PER_CLASS_CSV, PER_IMAGE_CSV, SUMMARY_CSV
from eval.storage.written import WrittenFiles
from experiments.paper.table import PAPER_TABLES, write_paper_table
from experiments.running.audit import AUDIT_TABLES, write_audit
from experiments.running.opening import JobOpen, RunOpen
from experiments.running.panels import write_panels, write_sheets


def write_report(folder: Path, results: RunResults) -> str:
    """Writes the tables of a run, and adds them to the list of written files (`eval.storage.written`).

    Returns:
        The tables as text for a terminal.

    Raises:
        WriteError: a file could not be written.
    """
    names = [*TABLES, *(PAPER_TABLES if results.published else ()), *(AUDIT_TABLES if results.audit else ())]
    WrittenFiles(folder).add(names)
    text = write_tables(folder, results.rows, results.classes, results.protocols, results.official_count)
    if results.published:
        text += "\n" + write_paper_table(folder, results.published, results.rows, results.official_count)
    if results.audit:
        text += "\n" + write_audit(folder, results.rows)
    return text


def retabulate(folder: Path) -> str:
    """Rewrites the tables of a results folder from its records, without a pass of the backbone.

    Args:
        folder: results folder of a run or of a job.

    Returns:
        See `write_report`.

    Raises:
        ConfigError, RecordError: see `eval.results.run_results.read_run_results`.
    """
    return write_report(folder, read_run_results(folder))


def report_jobs(run: RunOpen) -> list[int]:
    """Writes the tables of all jobs, draws panels, and prints the tables of a single run and the number of failures.

    Returns:
        For each job the number of failures. A picture counts once for each row in which it failed.
    """
    texts, failures = [], []
    for opened in run.jobs:
        results = run.results(opened)
        texts.append(write_report(opened.plan.folder, results))
        failures.append(sum(len(row.failed) for row in results.rows))
    if run.jobs[0].plan.together:
        _draw_sheets(run)
    else:
        _print_run(run, run.jobs[0], texts[0])
    for opened, failed in zip(run.jobs, failures, strict=True):
        opened.tracking.finish()
        if failed:
            print(
                f"{opened.plan.prefix}{counted(failed, 'evaluation')} failed; for the reasons, see "
                f"{opened.plan.folder / PER_IMAGE_CSV}",
                file=sys.stderr,
            )
    return failures


def _print_run(run: RunOpen, opened: JobOpen, text: str) -> None:
    """Draws the panels of a single run, and prints its tables."""
    panels = write_panels(run.folder, opened.job.rows, opened.job.panels)
    pictures = f"; pictures: {panels[-1]} and {len(panels) - 1} more" if panels else ""
    print(f"\n{text}\nTables: {run.folder / SUMMARY_CSV}, {PER_CLASS_CSV}, {PER_IMAGE_CSV}{pictures}", flush=True)


def _draw_sheets(run: RunOpen) -> None:
    """Draws one sheet per picture for the whole sweep, and prints which points the sheets show."""
    points = [(opened.plan.point, row) for opened in run.jobs for row in opened.job.rows]
    sheets, shown, count = write_sheets(run.folder, points, max(opened.job.panels for opened in run.jobs))
    if sheets:
        which = f", {len(shown)} of {count} points: {'; '.join(shown)}" if len(shown) < count else ""
        print(f"Sheets of the first pictures: {sheets[0].parent}{which}", flush=True)
