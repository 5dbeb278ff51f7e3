"""From checked rows to result files: records, tables, panels, and what they were made with.

A run has one plan; the jobs of a sweep have one each, and are evaluated together.
"""

from __future__ import annotations

import json
import logging
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from transformers.utils import logging as transformers_logging

from diffseg.backbones.device import pick_device
from eval.config import ConfigError, RowConfig, build
from eval.files import write_text, writing
from eval.provenance import provenance
from eval.records import Record, RecordFile
from eval.row_progress import Job
from eval.row_setup import prepare
from eval.rows import RowToRun
from eval.run import record_order, run
from eval.settings import differences
from eval.shards import Shard, join_shards
from eval.tables import write_tables
from eval.tracking.base import RunFacts, SafeTracking, Tracker, Tracking
from experiments.paper.published import published_score, published_table
from experiments.paper.table import write_paper_table
from experiments.running.audit import write_audit
from experiments.running.panels import write_panels
from experiments.running.plan import RunPlan
from experiments.running.sweep_folders import LABELS, PROVENANCE, RECORDS, recorded_with, settle

logger = logging.getLogger(__name__)
# Files of a results folder that are made from its records and label maps: every run writes its own anew.
COMPUTED = (
    *("summary.csv", "summary.md", "per_class.csv", "per_image.csv", "audit.csv", "audit.md"),
    *("table.csv", "table.md", "table.tex", "panels/**/*.png"),
)


def run_plans(
    plans: Sequence[RunPlan],
    sweep: Path | None = None,
    begin: Callable[[], None] = lambda: None,
    conclude: Callable[[], None] = lambda: None,
) -> list[int]:
    """Evaluates the rows of all plans, each into its folder.

    Under torchrun each process evaluates its share of the pictures, and the first does the rest.

    Args:
        plans: of one device.
        sweep: whose jobs they are: `settle` moves records of the same settings into their folders.
        begin, conclude: what the first process does when all folders are open, and when all files are written.

    Returns:
        For each plan the number of failures: pictures that could not be evaluated, once for each row.

    Raises:
        ConfigError, RecordError: see `eval.row_setup.prepare` and `eval.records.RecordFile`.
        WriteError: a result file could not be written; what was recorded before stays.
    """
    shard = join_shards()
    logging.basicConfig(format="%(message)s", level=logging.WARNING if shard.leads else logging.ERROR)
    transformers_logging.disable_progress_bar()  # a bar for loading weights says nothing that ours does not
    for key in ("device", "batch_size"):
        if len(given := {str(plan.config[key]) for plan in plans}) > 1:
            raise ConfigError(
                f"{key}: the jobs of a sweep share one, got {', '.join(sorted(given))}; add hydra/launcher=basic to "
                "run them one after the other"
            )
    batch_size = plans[0].config.batch_size
    if batch_size is not None and batch_size < 1:
        raise ConfigError(f"batch_size: must be at least 1, or null, got {batch_size}")
    rows = [_prepare(plan) for plan in plans]
    try:
        device = str(pick_device(shard.device(plans[0].config.device)))
    except ValueError as error:
        raise ConfigError(str(error)) from None
    evaluate = partial(run, device=device, shard=shard, batch_size=batch_size)
    if shard.leads:
        failures = _lead(plans, rows, sweep, begin, evaluate, shard)
        conclude()  # before the others can end: torchrun ends this process as soon as another has ended with failures
        return [shard.broadcast(failed) for failed in failures]
    shard.wait()  # until the first has opened the folders
    with ExitStack() as stack:
        jobs = [
            Job(
                of_plan,
                stack.enter_context(RecordFile(plan.folder / RECORDS, shard.index)),
                plan.folder / LABELS,
                plan.config.panels,
            )
            for plan, of_plan in zip(plans, rows, strict=True)
        ]
        evaluate(jobs)
    shard.wait()
    return [shard.broadcast(0) for _ in plans]


def _prepare(plan: RunPlan) -> list[RowToRun]:
    try:
        build(plan.config.tracker, "tracker")
        if plan.config.published:
            published_table(plan.config.published)
        return [prepare(row, published_score(plan.config.published, row.name, row.backbone.size)) for row in plan.rows]
    except ConfigError as error:
        raise ConfigError(f"{plan.title}{error}") from None


def _lead(
    plans: Sequence[RunPlan],
    rows: Sequence[Sequence[RowToRun]],
    sweep: Path | None,
    begin: Callable[[], None],
    evaluate: Callable[[Sequence[Job]], None],
    shard: Shard,
) -> list[int]:
    """What the first process does: its share, and all that is done once. Returns the numbers of failures."""
    with ExitStack() as stack:
        opened = [stack.enter_context(_open(*each)) for each in zip(plans, rows, _shared(rows), strict=True)]
        begin()
        if sweep:
            origins = settle([(each.job, each.job.rows) for each in opened], sweep)
        else:
            origins = [{plans[0].folder}]
            _warn_other_records(opened[0])
        earlier = [recorded_with(came) for came in origins]  # all, before the first is written anew
        changed = [
            each.plan.folder for each, facts in zip(opened, earlier, strict=True) if _add_provenance(each, facts)
        ]
        _warn_other_pictures(plans[0].rows[0])
        if kept := sum(len(records) for each in opened for records in each.results().values()):
            print(f"{sweep or opened[0].job.records.path}: goes on from {kept} records", file=sys.stderr)
        if changed:
            logger.warning(
                "%s: the code has changed since pictures were recorded here, and their records are kept; to evaluate "
                "all with the code as it is, give another results_dir",
                changed[0],
            )
        for each in opened:
            each.mirror()
        shard.wait()
        evaluate([each.job for each in opened])
        shard.wait()  # until the others have written theirs
        return [_report(each) for each in opened]


@dataclass(frozen=True)
class JobOpen:
    """A plan whose folder is open.

    Attributes:
        plan, job: what is wanted, as configured and as run.
        tracking: its mirror.
    """

    plan: RunPlan
    job: Job
    tracking: Tracking

    def results(self) -> dict[str, list[Record]]:
        """Key -> the records so far, in the order of the data set."""
        return {row.key: self.job.records.records(row.key, row.config.dataset.ids) for row in self.job.rows}

    def mirror(self) -> None:
        """Shows the mirror the records that it has not seen."""
        for records in self.results().values():
            for record in records:
                self.tracking.record(record)


def _shared(rows: Sequence[Sequence[RowToRun]]) -> list[dict[str, bool]]:
    """For each job: key of a row that other jobs have, too -> True if an earlier job has it."""
    keys = [{(each.key, len(each.config.dataset.ids)) for each in job} for job in rows]
    jobs = Counter(key for job in keys for key in job)
    seen: set[tuple[str, int]] = set()
    found = []
    for job in keys:
        found.append({key: (key, pictures) in seen for key, pictures in job if jobs[key, pictures] > 1})
        seen |= job
    return found


@contextmanager
def _open(plan: RunPlan, rows: Sequence[RowToRun], shared: Mapping[str, bool]) -> Iterator[JobOpen]:
    """Opens the folder of a plan, writes what the run is made with, and begins to mirror it; ``shared``: its rows."""
    with writing(plan.folder):
        plan.folder.mkdir(parents=True, exist_ok=True)
    dataset = plan.rows[0].dataset
    tracker: Tracker = build(plan.config.tracker, "tracker")
    with RecordFile(plan.folder / RECORDS) as records:
        for row in rows:
            records.declare(row.recorded)
        _describe(plan, rows)
        report, pictures = plan.rows[0].scoring.report, len(dataset.ids)
        facts = RunFacts(plan.folder, rows, dataset.classes, report, pictures, plan.sweep, plan.point, shared)
        tracking = SafeTracking(lambda: tracker.open(facts))
        failed = True
        try:
            job = Job(rows, records, plan.folder / LABELS, plan.config.panels, tracking.record)
            yield JobOpen(plan, job, tracking)
            failed = False
        finally:
            tracking.close(failed)


def _report(opened: JobOpen) -> int:
    """Writes tables and panels, prints the summary. Returns the number of failures."""
    plan, rows = opened.plan, opened.job.rows
    config, folder, dataset = plan.config, plan.folder, plan.rows[0].dataset
    opened.job.records.gather([*((row.key, "") for row in rows), *record_order(rows)])
    opened.mirror()  # those of other processes
    results = opened.results()
    text = write_tables(folder, rows, results, dataset.classes, plan.rows[0].scoring.report, dataset.official_count)
    if config.published:
        text += "\n" + write_paper_table(folder, config.published, rows, results, dataset.official_count)
    if config.audit:
        text += "\n" + write_audit(folder, rows, results)
    panels = write_panels(folder, rows, config.panels)
    opened.tracking.finish()
    if not plan.title:
        pictures = f"; pictures: {folder}/panels/overview.png and {len(panels) - 1} more" if panels else ""
        print(f"\n{text}\nTables: {folder}/summary.csv, per_class.csv, per_image.csv{pictures}", flush=True)
    failed = sum(record["status"] == "failed" for records in results.values() for record in records)
    if failed:
        print(
            f"{plan.title}{failed} evaluations failed; their reasons stand in {folder}/per_image.csv", file=sys.stderr
        )
    return failed


def _warn_other_pictures(row: RowConfig) -> None:
    """Says when the pictures are others than those on which the published numbers were measured."""
    dataset = row.dataset
    if dataset.official_count not in (None, len(dataset.listed)):
        logger.warning(
            "%s: %s pictures are listed, the published evaluation has %s; the table says how many were evaluated",
            dataset.name,
            f"{len(dataset.listed):,}",
            f"{dataset.official_count:,}",
        )


def _warn_other_records(opened: JobOpen) -> None:
    """Says what sets records of earlier settings in this folder apart; they stay, and enter no table of this run."""
    records = opened.job.records
    for other in records.other_settings([row.key for row in opened.job.rows]):
        nearest = min((differences(other, row.recorded) for row in opened.job.rows), key=len)
        logger.warning("%s keeps records of other settings, not used here: %s", records.path, "; ".join(nearest))


def _describe(plan: RunPlan, rows: Sequence[RowToRun]) -> None:
    """Writes ``config.yaml``, and removes what was computed for another; where the results lie changes nothing."""
    given = OmegaConf.to_container(plan.config, resolve=True)
    assert isinstance(given, dict)
    del given["results_dir"]
    given["resolved"] = [{"name": row.name, **row.recorded} for row in rows]
    plain = json.loads(json.dumps(given))  # tuples become lists
    text, path = OmegaConf.to_yaml(OmegaConf.create(plain)), plan.folder / "config.yaml"
    if path.is_file() and path.read_text(encoding="utf-8") != text:
        for stale in (each for pattern in COMPUTED for each in plan.folder.glob(pattern)):
            with writing(stale):
                stale.unlink()
    write_text(path, text)


def _add_provenance(opened: JobOpen, earlier: Sequence[Mapping[str, Any]]) -> bool:
    """Writes ``provenance.json``: ``earlier``, and what this process works with. Returns whether the code differs."""
    facts = provenance([row.recorded for row in opened.job.rows])
    together = earlier if facts in earlier else [*earlier, facts]
    write_text(opened.plan.folder / PROVENANCE, json.dumps(together, indent=2) + "\n")
    return any(each["code"] != facts["code"] for each in earlier)
