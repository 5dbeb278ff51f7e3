"""Columns of the tables, and how the settings of a variant fill them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from eval.settings import normalise

# Column of summary.csv -> where the settings of a variant hold it. What else a segmenter can be told has a column of
# its own behind these, see `setting_columns`.
SETTINGS: Mapping[str, tuple[str, ...]] = {
    "experiment": ("experiment",),
    "dataset": ("dataset", "name"),
    "label_source": ("dataset", "label_source"),
    "backbone": ("backbone", "name"),
    **{name: ("backbone", name) for name in ("size", "sides", "layers", "timestep")},
    **{name: ("aggregation", name) for name in ("scheme", "weights")},
    "segmenter": ("segmenter", "name"),
    **{name: ("segmenter", name) for name in ("tau", "anchors", "iterations", "rule", "precision", "grid")},
    **{name: ("segmenter", name) for name in ("clusters", "eps", "min_samples", "noise", "seed", "n_init")},
    "upsample": ("segmenter", "upsample"),
}
SCORES = ("segments", "acc", "acc_low", "acc_high", "miou", "miou_low", "miou_high")
PUBLISHED = ("published_acc", "published_miou")
SUMMARY = (
    *("variant", *SETTINGS, "protocol", "images", "failed"),
    *SCORES,
    *PUBLISHED,
    "seconds_per_image",
)
PER_CLASS = ("variant", "protocol", "class_id", "class", "iou", "iou_low", "iou_high", "tp", "fp", "fn", "images")
PER_IMAGE = (
    *("variant", "protocol", "image", "status", "reason"),
    *("segments", "labelled", "acc", "miou", "seconds"),
    *("tp", "fp", "fn"),
)
RESULTS = ("job", "row", "setting", "name")  # added where the tables of several runs are read together
NOT_A_SETTING = frozenset({*SUMMARY, *PER_CLASS, *PER_IMAGE, *RESULTS}) - SETTINGS.keys()


@dataclass(frozen=True)
class Variant:
    """One row of the tables: a method with all its settings.

    Attributes:
        name: how the tables call it.
        key: its key in the records.
        settings: group -> name -> value, as `SETTINGS` looks them up; what is missing or None does not apply.
        published: ``acc`` and ``miou`` of the paper in percent; None where it gives none.
        note: a footnote for the table that stands beside the paper's.
    """

    name: str
    key: str
    settings: Mapping[str, Any]
    published: Mapping[str, float | None] | None = None
    note: str | None = None


def setting_columns(variants: Iterable[Variant]) -> dict[str, tuple[str, ...]]:
    """`SETTINGS`, and one more column for each setting of the variants' segmenters that has none there.

    Such a column is called what the setting is called, such as ``alpha``; ``segmenter.NAME`` where NAME is taken.
    """
    columns = dict(SETTINGS)
    for variant in variants:
        for name in variant.settings.get("segmenter", {}):
            path = ("segmenter", name)
            if name not in ("kind", "name") and SETTINGS.get(name) != path:
                columns[f"segmenter.{name}" if name in SETTINGS or name in NOT_A_SETTING else name] = path
    return columns


def setting_names(columns: Iterable[str]) -> list[str]:
    """Those of the columns of a table of results that hold settings, in their order."""
    return [name for name in columns if name not in NOT_A_SETTING]


def telling_names(variants: Sequence[Variant]) -> list[str]:
    """Names with the settings that tell namesakes apart, such as ``K-Means-C, seed=3``.

    A value that most of the namesakes share goes without saying.
    """
    names = []
    for variant in variants:
        namesakes = [other for other in variants if other.name == variant.name]
        parts = [variant.name]
        for column, path in _telling_columns(namesakes).items():
            values = [setting_text(other.settings, path) for other in namesakes]
            value = setting_text(variant.settings, path)
            if 2 * values.count(value) <= len(values):
                parts.append(f"{column}={value}")
        names.append(", ".join(parts))
    return names


def _telling_columns(namesakes: Sequence[Variant]) -> dict[str, tuple[str, ...]]:
    """Columns that tell namesakes apart, each where those before it do not, and where the settings hold them."""
    columns: dict[str, tuple[str, ...]] = {}
    apart = 1
    # The side of the scored label map has no column.
    for column, path in {**setting_columns(namesakes), "protocol.size": ("scoring", "size")}.items():
        paths = [*columns.values(), path]
        kinds = len({tuple(setting_text(each.settings, path) for path in paths) for each in namesakes})
        if kinds > apart:
            columns[column] = path
            apart = kinds
    return columns


def setting_text(settings: Any, path: Sequence[str]) -> str:
    """A setting as the command line writes it, such as ``[32,16,8]``; empty where it does not apply."""
    for name in path:
        settings = settings.get(name) if isinstance(settings, Mapping) else None
    if settings is None:
        return ""
    return settings if isinstance(settings, str) else json.dumps(normalise(settings), separators=(",", ":"))
