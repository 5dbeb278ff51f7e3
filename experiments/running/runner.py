"""Turns composed rows into result files in four steps: open, warn, evaluate, report."""

from __future__ import annotations

import logging
import shlex
import sys
from collections.abc import Sequence
from dataclasses import replace

from datasets.base import DatasetError
from diffseg.texts import counted
from eval.config import ConfigError, build, config_errors
from eval.cores import worker_count
from eval.results.names import telling_names
from eval.results.tables import per_class
from eval.row_progress import RowProgress
from eval.rows import RowConfig
from eval.run import evaluate
from eval.runs import Run
from eval.settings import of_method
from eval.shards import Shard, join_shards
from eval.storage.layout import PER_IMAGE_CSV
from eval.storage.provenance import add_provenance
from eval.storage.record_files import Records
from eval.tracking.base import NoTracker, Tracker, Tracking, final_scores
from experiments.published import published_score
from experiments.running.arguments import Arguments
from experiments.running.compose import Composed
from experiments.running.panels import write_panels
from experiments.running.reporting import check_scale, print_report

logger = logging.getLogger(__name__)


def run_rows(composed: Composed, arguments: Arguments) -> tuple[int, float | None]:
    """Evaluates the rows of a command, and writes the tables of its folder.

    Under torchrun, each process evaluates its share of the pictures, and the leading process does the rest.

    Returns:
        The number of evaluations that failed (a picture counts once for each row in which it failed), and the mIoU of
        the first row in percent, for sweepers; None if there is none.

    Raises:
        ConfigError, RecordError: a setting is wrong, or the folder cannot be used.
        WriteError: a result file could not be written. Earlier records are kept.
    """
    config = composed.config
    shard = join_shards(config.shard)
    logging.basicConfig(format="%(message)s", level=logging.WARNING if shard.leads else logging.ERROR)
    tracker: Tracker = build(composed.tracker, "tracker") if shard.leads else NoTracker()
    rows = prepared(composed.rows)
    device = _device(config.device, shard, rows)
    workers = _workers(config.workers, device)
    if not shard.leads:
        shard.wait()  # the leading process has then opened the folder
    with (
        Run.open(composed.folder, rows, arguments.for_config, shard.number) as run,
        Tracking(tracker, run.folder, run.token) as tracking,
    ):
        if shard.leads:
            _warn(run, rows, arguments)
            shard.wait()
        own = run.rows_of(rows)
        for name, described in zip(telling_names(own), own, strict=True):
            tracking.start(described, name)
        progress = [
            RowProgress(row, run, config.kept(row.dataset.ids), "labels=all" in arguments.overrides, tracking.record)
            for row in rows
        ]
        evaluate(progress, device, shard, config.batch_size, workers)
        shard.wait()  # the other processes have then written their records
        if not shard.leads:
            return shard.broadcast(0), None
        records = Records(run.folder) if shard.count > 1 else run.records
        finished = Run(run.folder, run.commands, records, run.token)
        failed, score = _report(finished, rows, progress, config.panels, tracking)
    # torchrun ends the other processes if this one ends with failures, so they must know first.
    return shard.broadcast(failed), score


def _report(
    run: Run, rows: Sequence[RowConfig], progress: Sequence[RowProgress], panels: int, tracking: Tracking
) -> tuple[int, float | None]:
    """Draws panels, writes and prints the tables, and tracks final scores. Returns what `run_rows` does."""
    own, drawn = run.rows_of(rows), write_panels(run, rows, panels)
    lines = [line for one in progress for line in one.remark_lines()]
    print_report(run, {row.key: row.dataset for row in rows}, drawn, lines)
    table = run.table()
    for row in own if tracking.follows else ():
        scores = final_scores(table[table["key"] == row.key])
        tracking.finish(row, scores, drawn[::-1], per_class([row], [row.name]))
    failures = [record for row in own for record in row.failed]
    if failures:
        first = f"the first, {failures[0].picture}: {failures[0].reason}"
        place = run.folder / PER_IMAGE_CSV
        print(f"{counted(len(failures), 'evaluation')} failed; {first}; all reasons: {place}", file=sys.stderr)
    miou = table["miou"].dropna()
    return len(failures), float(miou.iloc[0]) if len(miou) else None


def prepared(rows: Sequence[RowConfig]) -> list[RowConfig]:
    """Builds the parts that need torch, adds published scores, and makes equal rows one, with the protocols of all."""
    distinct: dict[str, RowConfig] = {}
    for row in rows:
        row = replace(row, published=published_score(row.composed.published, row.name, row.backbone.size))
        row.prepare()
        known = distinct.get(row.key)
        distinct[row.key] = known.with_protocols(row.protocols) if known else row
    prepared_rows = list(distinct.values())
    for scale in {row.protocol.scale for row in prepared_rows} - {None}:
        check_scale(scale, [row.line.settings for row in prepared_rows])
    return prepared_rows


def _device(name: str, shard: Shard, rows: Sequence[RowConfig]) -> str:
    """Device of this process; the CPU, without importing torch, if no row needs a tensor."""
    if name in ("auto", "cpu") and all(row.reads_maps for row in rows):
        return "cpu"
    from diffseg.backbones.device import pick_device

    with config_errors():
        return str(pick_device(shard.device(name)))


def _workers(typed: str, device: str) -> int:
    """Number of processes that share the pictures on a CPU. A GPU has one."""
    if device != "cpu":
        if typed not in ("auto", "1"):
            raise ConfigError(f"workers: the device {device} is used by a single process; use workers=auto or 1")
        return 1
    workers = worker_count(typed)
    if typed not in ("auto", str(workers)):
        logger.warning("workers: %s processes need as many cores; this one may use %d", typed, workers)
    return workers


def _warn(run: Run, rows: Sequence[RowConfig], arguments: Arguments) -> None:
    """Tells the user which results are resumed, and what in the folder differs from this command."""
    keys = {row.key for row in rows}
    others = [of_method(line.settings) for key, line in run.records.rows.items() if key not in keys]
    for row in rows:
        if row.key not in run.records.newest and of_method(row.line.settings) in others:
            logger.warning(
                "%s: its code has changed, so its pictures are evaluated again; the older results are kept", row.name
            )
    for dataset in {id(row.dataset): row.dataset for row in rows}.values():
        try:
            listed = len(dataset.listed)
        except DatasetError:
            continue
        if dataset.official_count not in (None, listed):
            logger.warning(
                "%s: %s pictures are listed, the published evaluation has %s; the table says how many were evaluated",
                *(dataset.name, f"{listed:,}", f"{dataset.official_count:,}"),
            )
    recorded = sum(len(row.records) - len(row.failed) for row in run.rows_of(rows))
    if recorded:
        verb = "is" if recorded == 1 else "are"
        print(f"{run.folder}: resuming, {counted(recorded, 'result')} {verb} already there", file=sys.stderr)
    command = shlex.join(["python", "-m", "experiments.evaluate", *arguments.typed])
    settings = [row.line.settings for row in rows]
    if add_provenance(run.folder, settings, command):
        logger.warning(
            "%s: the project's code has changed since pictures were recorded here; their records are kept. To evaluate "
            "all pictures with the present code, give another results_dir",
            run.folder,
        )
