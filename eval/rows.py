"""A row of a run, with its aggregation and segmenter built and checked.

A row is an `eval.config.RowConfig` as configured, and a `Row` when it is ready to run. `eval.row_progress.RowProgress`
evaluates its pictures, and `eval.results.row_results.RowResults` holds its records for the tables.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, cast

from diffseg.aggregation import Aggregation, side_weights
from diffseg.backbones.saved import Saved, recorded_settings
from diffseg.backbones.weights.locating import name_of
from diffseg.segmenters.base import (
    ReadsFiles,
    Segmenter,
    has_common_labels,
    needs_attention,
    needs_mean_classes,
    resolve,
)
from eval.class_counts import mean_classes
from eval.config import PROTOCOL_VERSION, ConfigError, RowConfig, build
from eval.results.row_results import RowResults
from eval.settings import row_key

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Row:
    """A row of a run, made by `prepare`.

    Attributes:
        config: the row as configured.
        aggregation, segmenter: its parts, without open parameters.
        recorded: the settings that affect the results.
        settings: ``recorded``, and the names that the tables show, see `eval.results.columns.SETTINGS`.
        published: ``acc`` and ``miou`` of the paper in percent; None if the paper has no such row.
    """

    config: RowConfig
    aggregation: Aggregation
    segmenter: Segmenter
    recorded: Mapping[str, Any]
    settings: Mapping[str, Any]
    published: Mapping[str, float | None] | None = None

    @property
    def name(self) -> str:
        """Its name in the tables; several rows may have the same name."""
        return self.config.name

    @cached_property
    def key(self) -> str:
        """Its key in the records: the hash of ``recorded``, see `eval.settings.row_key`."""
        return row_key(self.recorded)

    def results(self) -> RowResults:
        """The row for tables and trackers, still without records."""
        return RowResults(self.name, self.key, self.settings, published=self.published, note=self.config.note)


def prepare(row: RowConfig, published: Mapping[str, float | None] | None = None) -> Row:
    """Builds aggregation and segmenter of a row, and fills in their open parameters.

    Args:
        row: the row as configured.
        published: see `Row`.

    Raises:
        ConfigError: a value is out of range for this backbone, or no value is known for an open parameter.
    """
    aggregation: Aggregation = build(row.composed.aggregation, "aggregation")
    segmenter: Segmenter = build(row.composed.segmenter, "segmenter")
    _check_scope(row, segmenter)
    sides = row.backbone.sides
    if sides:
        try:
            side_weights(aggregation.weights, sides)
        except ValueError as error:
            raise ConfigError(f"aggregation.{error}") from None
    elif needs_attention(segmenter):
        raise ConfigError(
            f"segmenter={row.choices['segmenter']}: needs attention maps, and backbone={row.choices['backbone']} has "
            "none; choose another backbone"
        )
    if isinstance(row.backbone, Saved):
        try:
            for line in row.backbone.check_files(row.dataset.ids, "square"):
                logger.warning("%s", line)
        except ValueError as error:
            raise ConfigError(f"backbone.{error}") from None
    values = {"clusters": mean_classes(row.dataset)} if needs_mean_classes(segmenter) else {}
    try:
        segmenter = resolve(segmenter, row.backbone, row.dataset.name, **values)
        if isinstance(segmenter, ReadsFiles):
            for line in segmenter.check_files(row.dataset.ids, row.dataset.listed):
                logger.warning("%s", line)
    except ValueError as error:
        raise ConfigError(f"segmenter.{error}") from None
    recorded = _recorded_settings(row, aggregation, segmenter)
    return Row(row, aggregation, segmenter, recorded, _shown_settings(row, recorded), published)


def _check_scope(row: RowConfig, segmenter: Segmenter) -> None:
    """Raises ConfigError if protocol ``dataset`` is reported, but a label means another class in each image."""
    if "dataset" in row.protocol.report and not has_common_labels(segmenter):
        raise ConfigError(
            "protocol.report: dataset matches label numbers once for all images, but the numbers of "
            f"segmenter={row.choices['segmenter']} have another meaning in each image; use protocol=both, or label "
            "maps with common numbers (segmenter=files)"
        )


def _recorded_settings(row: RowConfig, aggregation: Aggregation, segmenter: Segmenter) -> dict[str, Any]:
    """See `Row.recorded`."""
    dataset = row.dataset
    return {
        "protocol_version": PROTOCOL_VERSION,
        "dataset": {
            "name": dataset.name,
            "label_source": dataset.label_source,
            "fingerprint": dataset.fingerprint,
            "background": dataset.background,
        },
        "backbone": recorded_settings(row.backbone),
        "aggregation": asdict(aggregation) if row.backbone.sides else {},
        "segmenter": {"kind": type(segmenter).__name__, **asdict(cast(Any, segmenter))},
        "scoring": {"size": row.size},
    }


def _shown_settings(row: RowConfig, recorded: Mapping[str, Any]) -> dict[str, Any]:
    """The recorded settings, and the names of experiment, backbone, weights and segmenter, which the key leaves out."""
    shown = {**recorded, "experiment": row.composed.name}
    for group in ("backbone", "segmenter"):
        part = row.backbone if group == "backbone" else None
        shown[group] = {**recorded[group], "name": part.name if isinstance(part, Saved) else row.choices[group]}
    shown["backbone"]["weights_name"] = name_of(row.backbone)
    return shown
