"""Turns checked rows into result files in four steps: open, warn, evaluate, report.

A run has one plan. A sweep has one plan per job, and its jobs are evaluated together.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from diffseg.backbones.device import pick_device
from eval.config import ConfigError, build
from eval.row_progress import Job
from eval.rows import Row, prepare
from eval.run import record_order, run
from eval.shards import Shard, join_shards
from eval.storage.layout import RECORDS
from eval.storage.records import RecordFile
from experiments.paper.published import published_score, published_table
from experiments.running.notices import warn
from experiments.running.opening import RunOpen, open_run
from experiments.running.plan import RunPlan
from experiments.running.reporting import report_jobs
from experiments.running.sweep_table import remove_stale_sweep_table, write_sweep_table


def run_plans(plans: Sequence[RunPlan]) -> list[int]:
    """Evaluates the rows of all plans, and writes the tables of each plan into its folder.

    Under torchrun, each process evaluates its share of the pictures, and the leading process does the rest.

    Args:
        plans: plans of a run, or of the jobs of a sweep.

    Returns:
        For each plan the number of failures. A picture counts once for each row in which it failed.

    Raises:
        ConfigError, RecordError: see `eval.rows.prepare` and `experiments.running.opening.open_run`.
        WriteError: a result file could not be written. Earlier records are kept.
    """
    shard = join_shards()
    _warn_only_in_lead(shard)
    device, batch_size = _device(plans, shard), _batch_size(plans)
    rows = [_prepare(plan) for plan in plans]
    folder = plans[0].records_folder
    if not shard.leads:
        _evaluate_share(folder, plans, rows, device, shard, batch_size)
        return [shard.broadcast(0) for _ in plans]
    with open_run(folder, plans, rows) as opened:
        warn(opened)
        _evaluate(opened, device, shard, batch_size)
        failures = _report(opened)
    # Before the broadcast, after which other processes end: torchrun ends this process if another ends with failures.
    _write_sweep_table(folder, plans)
    return [shard.broadcast(failed) for failed in failures]


def _evaluate(opened: RunOpen, device: str, shard: Shard, batch_size: int | None) -> None:
    """Evaluates the share of the leading process, and waits for the others."""
    opened.send_records()
    shard.wait()  # the other processes wait until the folders are open
    run([each.job for each in opened.jobs], opened.records, opened.folder, device, shard, batch_size)
    shard.wait()  # the other processes have then written their records


def _write_sweep_table(folder: Path, plans: Sequence[RunPlan]) -> None:
    """Writes the table of a sweep. A single run deletes that of an earlier sweep in its folder."""
    if plans[0].together:
        write_sweep_table(folder, [plan.folder for plan in plans])
    else:
        remove_stale_sweep_table(folder)


def _report(opened: RunOpen) -> list[int]:
    """Sorts all records, and makes tables and panels from them. Returns the number of failures of each job."""
    rows = opened.rows
    opened.records.gather([*((row.key, "") for row in rows), *record_order(rows)])
    opened.send_records()  # records of other processes
    return report_jobs(opened)


def _evaluate_share(
    folder: Path,
    plans: Sequence[RunPlan],
    rows: Sequence[Sequence[Row]],
    device: str,
    shard: Shard,
    batch_size: int | None,
) -> None:
    """Evaluates the share of a process that does not lead."""
    shard.wait()  # the leading process has then opened the folders
    jobs = [Job(of_job, plan.config.panels) for plan, of_job in zip(plans, rows, strict=True)]
    with RecordFile(folder / RECORDS, shard.index) as records:
        run(jobs, records, folder, device, shard, batch_size)
    shard.wait()


def _warn_only_in_lead(shard: Shard) -> None:
    """Hides the warnings of all processes except the leading one."""
    logging.basicConfig(format="%(message)s", level=logging.WARNING if shard.leads else logging.ERROR)


def _prepare(plan: RunPlan) -> list[Row]:
    """Checks the parts of a plan that need torch, and prepares its rows."""
    try:
        build(plan.config.tracker, "tracker")
        if plan.config.published:
            published_table(plan.config.published)
        return [prepare(row, published_score(plan.config.published, row.name, row.backbone.size)) for row in plan.rows]
    except ConfigError as error:
        raise ConfigError(f"{plan.prefix}{error}") from None


def _device(plans: Sequence[RunPlan], shard: Shard) -> str:
    """The device that all plans share."""
    _check_shared(plans, "device")
    try:
        return str(pick_device(shard.device(plans[0].config.device)))
    except ValueError as error:
        raise ConfigError(str(error)) from None


def _batch_size(plans: Sequence[RunPlan]) -> int | None:
    """The batch size that all plans share."""
    _check_shared(plans, "batch_size")
    batch_size: int | None = plans[0].config.batch_size
    if batch_size is not None and batch_size < 1:
        raise ConfigError(f"batch_size: must be at least 1, or null, got {batch_size}")
    return batch_size


def _check_shared(plans: Sequence[RunPlan], key: str) -> None:
    if len(given := {str(plan.config[key]) for plan in plans}) > 1:
        raise ConfigError(
            f"{key}: the jobs of a sweep share one, got {', '.join(sorted(given))}; add hydra/launcher=basic to run "
            "them one after the other"
        )
