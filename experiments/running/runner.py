"""Turns composed rows into result files in four steps: open, warn, evaluate, report."""

from __future__ import annotations

import logging
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from datasets.base import DatasetError
from diffseg.texts import counted
from eval.config import ConfigError, RunConfig, build
from eval.cores import worker_count
from eval.results.names import telling_names
from eval.results.tables import per_class
from eval.row_progress import RowProgress
from eval.rows import RowConfig
from eval.run import evaluate
from eval.runs import Run, read_run
from eval.settings import leaves, normalise
from eval.shards import Shard, join_shards
from eval.storage.layout import PER_IMAGE_CSV
from eval.storage.provenance import add_provenance
from eval.tracking.base import NoTracker, Tracker, Tracking, final_scores
from experiments.published import published_score, published_table
from experiments.running.arguments import Arguments
from experiments.running.compose import Composed
from experiments.running.panels import write_panels
from experiments.running.reporting import check_scale, print_report

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Outcome:
    """The outcome of a command.

    Attributes:
        failed: evaluations that failed; a picture counts once for each row in which it failed.
        score: mIoU of its first row in percent, for sweepers; None if there is none.
    """

    failed: int
    score: float | None = None


def run_rows(composed: Composed, arguments: Arguments) -> Outcome:
    """Evaluates the rows of a command, and writes the tables of its folder.

    Under torchrun, each process evaluates its share of the pictures, and the leading process does the rest.

    Raises:
        ConfigError, RecordError: a setting is wrong, or the folder cannot be used.
        WriteError: a result file could not be written. Earlier records are kept.
    """
    config = composed.config
    shard = join_shards(config.shard)
    logging.basicConfig(format="%(message)s", level=logging.WARNING if shard.leads else logging.ERROR)
    tracker: Tracker = build(composed.tracker, "tracker") if shard.leads else NoTracker()
    rows = prepared(composed.rows)
    own = {row.key for row in rows}
    device = _device(config.device, shard, rows)
    workers = _workers(config.workers, device)
    if not shard.leads:
        shard.wait()  # the leading process has then opened the folder
    with Run.open(composed.folder, rows, arguments.for_config, shard.number) as run:
        if shard.leads:
            _warn(run, rows, arguments)
            shard.wait()
        with _tracked(tracker, run, rows) as tracking:
            progress = _progress(rows, run, config, "labels=all" in arguments.overrides, tracking)
            evaluate(progress, device, shard, config.batch_size, workers)
            shard.wait()  # the other processes have then written their records
            if not shard.leads:
                return Outcome(shard.broadcast(0))
            finished = read_run(composed.folder) if shard.count > 1 else run
            finished.refresh()
            panels = write_panels(finished, rows, config.panels)
            lines = [line for one in progress for line in one.remark_lines()]
            print_report(finished, {row.key: row.dataset for row in rows}, panels, lines)
            table = finished.table()
            for number, row in enumerate(finished.rows):
                if row.key in own and not isinstance(tracker, NoTracker):
                    scores = final_scores(table[table["number"] == number])
                    tracking.finish(row, scores, panels[::-1], per_class([row], [row.name]))
    failures = [record for row in finished.rows if row.key in own for record in row.failed]
    if failures:
        first = f"the first, {failures[0].picture}: {failures[0].reason}"
        place = composed.folder / PER_IMAGE_CSV
        print(f"{counted(len(failures), 'evaluation')} failed; {first}; all reasons: {place}", file=sys.stderr)
    # torchrun ends the other processes if this one ends with failures, so they must know first.
    miou = table["miou"].dropna()
    return Outcome(shard.broadcast(len(failures)), float(miou.iloc[0]) if len(miou) else None)


def prepared(rows: Sequence[RowConfig]) -> list[RowConfig]:
    """Builds the parts that need torch, adds published scores, and makes equal rows one, with the protocols of all."""
    distinct: dict[str, RowConfig] = {}
    for row in rows:
        table = row.composed.published
        if table:
            published_table(table)
        row = replace(row, published=published_score(table, row.name, row.backbone.size))
        row.prepare()
        known = distinct.get(row.key)
        distinct[row.key] = known.with_protocols(row.protocols) if known else row
    prepared_rows = list(distinct.values())
    for scale in {row.protocol.scale for row in prepared_rows} - {None}:
        check_scale(scale, [row.line.settings for row in prepared_rows])
    return prepared_rows


@contextmanager
def _tracked(tracker: Tracker, run: Run, configs: Sequence[RowConfig]) -> Iterator[Tracking]:
    """Tracks the rows of a command while the block runs."""
    tracking = Tracking(tracker, run.folder, run.token)
    failed = True
    try:
        rows = [row for row in run.rows if row.key in {config.key for config in configs}]
        for name, row in zip(telling_names(rows), rows, strict=True):
            tracking.start(row, name)
        yield tracking
        failed = False
    finally:
        tracking.close(failed)


def _progress(
    rows: Sequence[RowConfig], run: Run, config: RunConfig, again: bool, tracking: Tracking
) -> list[RowProgress]:
    """The progress of each row; it knows which label maps are kept. ``again``: segment again if one is missing."""
    described = {row.key: row for row in run.rows}
    progress = []
    for row in rows:
        ids = row.dataset.ids
        kept = {"all": ids, "panels": ids[: config.panels], "none": ()}[config.labels]
        progress.append(RowProgress(row, run, frozenset(kept), again, partial(tracking.record, described[row.key])))
    return progress


def _device(name: str, shard: Shard, rows: Sequence[RowConfig]) -> str:
    """Device of this process; the CPU, without importing torch, if no row needs a tensor."""
    if name in ("auto", "cpu") and all(row.reads_maps for row in rows):
        return "cpu"
    from diffseg.backbones.device import pick_device

    try:
        return str(pick_device(shard.device(name)))
    except ValueError as error:
        raise ConfigError(str(error)) from None


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
    known = [run.records.of(row.key, row.dataset.ids) for row in rows]
    recorded = sum(len(records.where(lambda truths: truths is not None)) for records in known)
    _warn_other_rows(run, rows)
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


def _warn_other_rows(run: Run, rows: Sequence[RowConfig]) -> None:
    """Tells the user that the code of a part has changed."""
    keys = {row.key for row in rows}
    earlier = [_without_code(line.settings) for key, line in run.records.rows.items() if key not in keys]
    for row in rows:
        if row.key not in run.records.newest and _without_code(row.line.settings) in earlier:
            logger.warning(
                "%s: its code has changed, so its pictures are evaluated again; the older results are kept", row.name
            )


def _without_code(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a row without the code of its parts, to compare."""
    return {path: value for path, value in leaves(normalise(settings)) if not path.endswith(".code")}
