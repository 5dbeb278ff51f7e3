"""Methods: the rows of a run with all their parts built and checked against each other. Imports torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, cast

from diffseg.aggregation import Aggregation, side_weights
from diffseg.segmenters.base import Segmenter
from eval.class_counts import mean_classes
from eval.config import PROTOCOL_VERSION, ConfigError, Row, build


@dataclass(frozen=True, eq=False)
class Method:
    """A row with all its parts built, and its place in the records.

    Attributes:
        row: as configured.
        aggregation, segmenter: its parts, every open parameter filled in.
        settings: group -> name -> value: everything that changes what the row computes, and so its key.
    """

    row: Row
    aggregation: Aggregation
    segmenter: Segmenter
    settings: Mapping[str, Any]


def prepare(row: Row) -> Method:
    """Builds what is left of a row and checks the parts against each other.

    Raises:
        ConfigError: a value out of range for this backbone, or a parameter for which no value is known.
    """
    aggregation: Aggregation = build(row.config.aggregation, "aggregation")
    segmenter: Segmenter = build(row.config.segmenter, "segmenter")
    sides = row.backbone.sides
    try:
        side_weights(aggregation.weights, sides)
    except ValueError as error:
        raise ConfigError(f"aggregation.{error}") from None
    values = row.tuned(type(segmenter).__name__.lower())
    if getattr(segmenter, "clusters", 0) is None:
        values["clusters"] = mean_classes(row.dataset)
    try:
        segmenter = segmenter.resolved(max(sides), values)
    except ValueError as error:
        raise ConfigError(f"segmenter.{error}") from None
    return Method(row, aggregation, segmenter, _settings(row, aggregation, segmenter))


def _settings(row: Row, aggregation: Aggregation, segmenter: Segmenter) -> dict[str, Any]:
    backbone = asdict(cast(Any, row.backbone))
    # Where the weights lie changes nothing: their hash is there. What suits other parts is filled in where it counts.
    del backbone["path"], backbone["tuned"]
    dataset = row.dataset
    return {
        "protocol_version": PROTOCOL_VERSION,
        "dataset": {
            "name": dataset.name,
            "label_source": dataset.label_source,
            "fingerprint": dataset.fingerprint,
            # Only where there is one: the keys of records without stay what they were.
            **({} if dataset.background is None else {"background": dataset.background}),
        },
        "backbone": {
            "kind": type(row.backbone).__name__,
            **backbone,
            "sides": row.backbone.sides,
            "weights": row.backbone.fingerprint,
        },
        "aggregation": asdict(aggregation),
        "segmenter": {"kind": type(segmenter).__name__, **asdict(cast(Any, segmenter))},
        "scoring": {"size": row.size},
    }
