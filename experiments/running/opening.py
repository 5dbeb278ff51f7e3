"""Opens a run: locks its records, writes its configuration and provenance, and begins to track it."""

from __future__ import annotations

import shlex
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from eval.config import build
from eval.results.run_config import write_config
from eval.results.run_results import RunResults
from eval.row_progress import Job
from eval.rows import Row
from eval.storage.files import make_folder
from eval.storage.layout import RECORDS
from eval.storage.provenance import add_provenance, read_provenance
from eval.storage.records import RecordFile, check_version
from eval.tracking.base import RunFacts, SafeTracking, Tracker, Tracking
from experiments.running.arguments import COMMAND
from experiments.running.plan import RunPlan
from experiments.running.sweep_table import list_jobs
from experiments.running.user_files import check_files


@dataclass(frozen=True)
class JobOpen:
    """A job whose folder is open. A single run is one job.

    Attributes:
        plan: plan of the job.
        job: rows of the job, for the run loop.
        tracking: tracking of the job.
    """

    plan: RunPlan
    job: Job
    tracking: Tracking


@dataclass(frozen=True)
class RunOpen:
    """A run or sweep whose records are open and locked.

    Attributes:
        folder: folder of the records and label maps: ``results_dir``.
        records: records of all jobs.
        jobs: the jobs, in order.
        code_changed: True if earlier records were made with other code.
    """

    folder: Path
    records: RecordFile
    jobs: Sequence[JobOpen]
    code_changed: bool

    @property
    def rows(self) -> list[Row]:
        """The rows of all jobs. A row that several jobs share is listed for each of them."""
        return [row for each in self.jobs for row in each.job.rows]

    def results(self, opened: JobOpen) -> RunResults:
        """The results of a job so far."""
        config = opened.plan.rows[0]
        return RunResults.of(
            [row.results() for row in opened.job.rows],
            self.records,
            config.dataset.ids,
            config.dataset,
            config.protocol,
            opened.plan.config,
        )

    def send_records(self) -> None:
        """Sends all records so far to the trackers, which ignore records that they already have."""
        for opened in self.jobs:
            for row in opened.job.rows:
                for record in self.records.records(row.key, row.config.dataset.ids):
                    opened.tracking.record(record)


@contextmanager
def open_run(folder: Path, plans: Sequence[RunPlan], rows: Sequence[Sequence[Row]]) -> Iterator[RunOpen]:
    """Opens the folder of a run or sweep, and the folders of its jobs.

    Args:
        folder: ``results_dir``.
        plans: plans of the jobs.
        rows: rows of each plan.

    Raises:
        RecordError: another process has locked the records; or a file is damaged, the user's, or from an older version.
        WriteError: a file could not be written.
    """
    for path in sorted(folder.glob(f"*/{RECORDS}")) if plans[0].together else ():
        if path.parent.name.isdecimal():
            check_version(path)
    if not (folder / RECORDS).is_file():
        check_files(folder, plans)
    with ExitStack() as stack:
        make_folder(folder)
        records = stack.enter_context(RecordFile(folder / RECORDS))
        earlier = read_provenance(folder)
        for row in (row for of_job in rows for row in of_job):
            records.declare(row.recorded)
        jobs = [
            stack.enter_context(_open_job(plan, of_job, shared))
            for plan, of_job, shared in zip(plans, rows, _shared_keys(rows), strict=True)
        ]
        command = shlex.join([*COMMAND.split(), *sys.argv[1:]])
        changed = add_provenance(folder, [row.settings for of_job in rows for row in of_job], earlier, command)
        if plans[0].together:
            list_jobs(folder, [plan.folder for plan in plans])
        yield RunOpen(folder, records, jobs, changed)


@contextmanager
def _open_job(plan: RunPlan, rows: Sequence[Row], shared: Mapping[str, bool]) -> Iterator[JobOpen]:
    """Creates the folder of a job, writes its ``config.yaml``, and begins to track it."""
    make_folder(plan.folder)
    described = [row.results() for row in rows]
    write_config(plan.folder, plan.config, plan.overrides, described)
    config = plan.rows[0]
    tracker: Tracker = build(plan.config.tracker, "tracker")
    facts = RunFacts(
        plan.folder,
        described,
        config.dataset.classes,
        config.protocol.report,
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


def _shared_keys(rows: Sequence[Sequence[Row]]) -> list[dict[str, bool]]:
    """For each job: key of a row that other jobs also have -> True if an earlier job has it."""
    keys = [{(each.key, len(each.config.dataset.ids)) for each in job} for job in rows]
    jobs = Counter(key for job in keys for key in job)
    seen: set[tuple[str, int]] = set()
    found = []
    for job in keys:
        found.append({key: (key, pictures) in seen for key, pictures in job if jobs[key, pictures] > 1})
        seen |= job
    return found
