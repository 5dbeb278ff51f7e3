"""Prints notices before a run evaluates pictures."""

from __future__ import annotations

import logging
import sys

from eval.config import RowConfig
from eval.settings import differences
from experiments.running.opening import RunOpen

logger = logging.getLogger(__name__)
FEW_ROWS = 3
"""Up to this number, rows of other settings are described; more are only counted."""


def warn(run: RunOpen) -> None:
    """Tells the user which results are resumed, which records are not used, and whether code or data set differ."""
    warn_other_records(run)
    warn_other_pictures(run.jobs[0].plan.rows[0])
    recorded = {(row.key, image) for row in run.rows for image in row.config.dataset.ids} & {
        (row.key, image) for row in run.rows for image in run.records.images(row.key)
    }
    if recorded:
        print(f"{run.folder}: resuming, {len(recorded)} results are already there", file=sys.stderr)
    if run.code_changed:
        logger.warning(
            "%s: the code has changed since pictures were recorded here; their records are kept. To evaluate all "
            "pictures with the present code, give another results_dir",
            run.folder,
        )


def warn_other_records(run: RunOpen) -> None:
    """Tells the user that records of other settings in this folder are kept but not used."""
    others = run.records.other_settings({row.key for row in run.rows})
    path = run.records.path
    if len(others) > FEW_ROWS:
        logger.warning("%s also holds results of %d other rows; they are kept, and not used here", path, len(others))
        return
    for other in others:
        nearest = min((differences(other, row.recorded) for row in run.rows), key=len)
        logger.warning(
            "%s also holds results of other settings; they are kept, and not used here: %s", path, "; ".join(nearest)
        )


def warn_other_pictures(row: RowConfig) -> None:
    """Tells the user that the published numbers were measured on other pictures."""
    dataset = row.dataset
    if dataset.official_count not in (None, len(dataset.listed)):
        logger.warning(
            "%s: %s pictures are listed, the published evaluation has %s; the table says how many were evaluated",
            dataset.name,
            f"{len(dataset.listed):,}",
            f"{dataset.official_count:,}",
        )
