"""Opens a run: locks its records, writes its descriptions, and begins to mirror it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from eval.config import build
from eval.results.row_results import RowResults
from eval.results.run_results import LABELS, RECORDS, RunResults
from eval.row_progress import Job
from eval.rows import RowToRun
from eval.storage.files import writing
from eval.storage.records import RecordFile, check_version
from eval.tracking.base import RunFacts, SafeTracking, Tracker, Tracking
from experiments.running.describing import add_provenance, check_files, read_provenance, write_config
from experiments.running.plan import RunPlan


@dataclass(frozen=True)
class JobOpen:
    """A job whose folder is open. A single run is one job.

    Attributes:
        plan: of the job.
        job: for the run loop.
        tracking: its mirror.
    """

    plan: RunPlan
    job: Job
    tracking: Tracking


@dataclass(frozen=True)
class RunOpen:
    """A run or sweep whose records are open and locked.

    Attributes:
        home: folder of the records and label maps: ``results_dir``.
        records: of all jobs.
        jobs: in order.
        code_changed: True if earlier records were made with other code.
    """

    home: Path
    records: RecordFile
    jobs: Sequence[JobOpen]
    code_changed: bool

    @property
    def labels(self) -> Path:
        """Folder of the label maps."""
        return self.home / LABELS

    @property
    def rows(self) -> list[RowToRun]:
        """The rows of all jobs. A row that several jobs share is listed for each of them."""
        return [row for each in self.jobs for row in each.job.rows]

    def results(self, opened: JobOpen) -> RunResults:
        """The results of a job so far."""
        config = opened.plan.rows[0]
        return RunResults(
            [RowResults(row, self.records.records(row.key, config.dataset.ids)) for row in opened.job.rows],
            config.dataset.classes,
            config.scoring.report,
            config.dataset.official_count,
            opened.plan.config.published,
            opened.plan.config.audit,
        )

    def mirror(self) -> None:
        """Sends all records so far to the mirrors, which ignore records that they already have."""
        for opened in self.jobs:
            for row in opened.job.rows:
                for record in self.records.records(row.key, row.config.dataset.ids):
                    opened.tracking.record(record)


@contextmanager
def open_run(home: Path, plans: Sequence[RunPlan], rows: Sequence[Sequence[RowToRun]]) -> Iterator[RunOpen]:
    """Opens the folder of a run or sweep, and the folders of its jobs.

    Args:
        home: ``results_dir``.
        plans: of the jobs.
        rows: of each plan.

    Raises:
        RecordError: another process has locked the records, a file is damaged or foreign, or an older version wrote it.
        WriteError: a file could not be written.
    """
    for path in sorted(home.glob(f"*/{RECORDS}")) if plans[0].together else ():
        if path.parent.name.isdecimal():
            check_version(path)
    if not (home / RECORDS).is_file():
        check_files(home, plans)
    with ExitStack() as stack:
        with writing(home):
            home.mkdir(parents=True, exist_ok=True)
        records = stack.enter_context(RecordFile(home / RECORDS))
        earlier = read_provenance(home)
        for row in (row for of_job in rows for row in of_job):
            records.declare(row.recorded)
        jobs = [
            stack.enter_context(_open_job(plan, of_job, shared))
            for plan, of_job, shared in zip(plans, rows, _shared_keys(rows), strict=True)
        ]
        changed = add_provenance(home, [row for of_job in rows for row in of_job], earlier)
        yield RunOpen(home, records, jobs, changed)


@contextmanager
def _open_job(plan: RunPlan, rows: Sequence[RowToRun], shared: Mapping[str, bool]) -> Iterator[JobOpen]:
    """Creates the folder of a job, writes its ``config.yaml``, and begins to mirror it."""
    with writing(plan.folder):
        plan.folder.mkdir(parents=True, exist_ok=True)
    write_config(plan, rows)
    config = plan.rows[0]
    tracker: Tracker = build(plan.config.tracker, "tracker")
    facts = RunFacts(
        plan.folder,
        rows,
        config.dataset.classes,
        config.scoring.report,
        len(config.dataset.ids),
        plan.sweep,
        plan.point,
        shared,
    )
    tracking = SafeTracking(lambda: tracker.open(facts))
    failed = True
    try:
        yield JobOpen(plan, Job(rows, plan.config.panels, tracking.record), tracking)
        failed = False
    finally:
        tracking.close(failed)


def _shared_keys(rows: Sequence[Sequence[RowToRun]]) -> list[dict[str, bool]]:
    """For each job: key of a row that other jobs also have -> True if an earlier job has it."""
    keys = [{(each.key, len(each.config.dataset.ids)) for each in job} for job in rows]
    jobs = Counter(key for job in keys for key in job)
    seen: set[tuple[str, int]] = set()
    found = []
    for job in keys:
        found.append({key: (key, pictures) in seen for key, pictures in job if jobs[key, pictures] > 1})
        seen |= job
    return found
