"""Names the columns of the tables, and finds the settings that fill them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from eval.settings import normalise

COLUMNS: Mapping[str, Sequence[str]] = {
    "regions": ("covering", "pri", "voi", "voi_over", "voi_under"),
    "boundaries": ("boundary_recall", "boundary_precision", "boundary_f"),
    "instances": ("mbo_i", "mbo_c", "fg_ari", "instance_miou", "corloc"),
}
"""Protocol without classes -> its scores."""
FURTHER: Mapping[str, Sequence[str]] = {"instances": ("fg_ari_with_objects", "without_objects")}
"""Protocol -> further columns of ``summary.csv``, without intervals."""
BITS = frozenset({"voi", "voi_over", "voi_under"})
"""Scores in bits; all others are in percent."""

# Column of summary.csv -> path in the settings of a row. `setting_columns` appends columns for further settings of
# segmenters.
SETTINGS: Mapping[str, tuple[str, ...]] = {
    "experiment": ("experiment",),
    "dataset": ("dataset", "name"),
    "label_source": ("dataset", "label_source"),
    "frame": ("scoring", "frame"),
    "backbone": ("backbone", "name"),
    **{name: ("backbone", name) for name in ("size", "positions", "sides", "layers", "timestep")},
    **{name: ("aggregation", name) for name in ("scheme", "weights", "bounces")},
    "segmenter": ("segmenter", "name"),
    **{name: ("segmenter", name) for name in ("tau", "anchors", "iterations", "rule", "precision", "grid")},
    **{name: ("segmenter", name) for name in ("clusters", "eps", "min_samples", "noise", "seed", "n_init")},
    "upsample": ("segmenter", "upsample"),
}
ENDS = ("", "_low", "_high")  # of the 95 % interval
AGREEMENT = ("ari", "voi", "covering")  # see `eval.regions.agreement`
SCORES = ("segments", *(f"{name}{end}" for name in ("acc", "miou", *AGREEMENT) for end in ENDS))
PUBLISHED = ("published_acc", "published_miou")
MADE_ON = ("device", "dtype")  # columns with all values in the records
SUMMARY = (
    *("number", "row", *SETTINGS, "protocol", "images", "failed", "classes"),
    *SCORES,
    *PUBLISHED,
    "seconds_per_image",
    *MADE_ON,
    "backbone_weights",
    "key",
)
PER_CLASS = ("number", "row", "protocol", "class_id", "class", "iou", "iou_low", "iou_high", "tp", "fp", "fn", "images")
PER_IMAGE = (
    *("number", "row", "protocol", "image", "status", "reason"),
    *("segments", "labelled", "acc", "miou", *AGREEMENT, "seconds"),
    *("tp", "fp", "fn"),
)
CONFUSION = ("number", "row", "protocol", "class_id", "class", "matched_id", "matched", "pixels")
NOT_A_SETTING = frozenset({*SUMMARY, *PER_CLASS, *PER_IMAGE, *CONFUSION}) - SETTINGS.keys()
HIDDEN = frozenset({"kind", "name", "code", "reads_files", "common_labels"})
"""Settings of a segmenter that have no column."""


def protocol_columns(protocols: Iterable[str]) -> list[str]:
    """Columns of ``summary.csv`` for the scores of protocols without classes that `SUMMARY` lacks."""
    reported = list(dict.fromkeys(protocols))
    names = [
        name
        for protocol in reported
        for score in COLUMNS.get(protocol, ())
        for name in (f"{score}{end}" for end in ENDS)
    ]
    names += [name for protocol in reported for name in FURTHER.get(protocol, ())]
    return [name for name in names if name not in SUMMARY]


def setting_columns(settings: Iterable[Mapping[str, Any]]) -> dict[str, tuple[str, ...]]:
    """`SETTINGS`, and one more column for each further setting of the rows' segmenters.

    Such a column has the name of the setting, such as ``alpha``, or ``segmenter.NAME`` if NAME is already a column.

    Args:
        settings: settings of each row, `eval.row.Row.settings`.
    """
    columns = dict(SETTINGS)
    for row_settings in settings:
        for name in row_settings.get("segmenter", {}):
            path = ("segmenter", name)
            if name not in HIDDEN and SETTINGS.get(name) != path:
                columns[f"segmenter.{name}" if name in SETTINGS or name in NOT_A_SETTING else name] = path
    return columns


def setting_text(settings: Any, path: Sequence[str]) -> str:
    """A setting in the notation of the command line, such as ``[32,16,8]``; empty if it does not apply."""
    for name in path:
        settings = settings.get(name) if isinstance(settings, Mapping) else None
    if settings is None:
        return ""
    return settings if isinstance(settings, str) else json.dumps(normalise(settings), separators=(",", ":"))
