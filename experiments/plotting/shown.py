"""The rows of runs as plots and pages show them: with one name each, scores by protocol, and settings as values.

A setting is a column of ``summary.csv`` (`eval.results.columns.setting_columns`); its value is the one in
`eval.row.Row.settings`, a number, a text or a tuple, never a formatted text.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from eval.config import ConfigError
from eval.protocols import ALL_PROTOCOLS, ProtocolName, needs_classes
from eval.results.columns import ENDS, setting_columns, setting_text
from eval.results.names import telling_names
from eval.runs import Run
from eval.settings import is_number, normalise
from experiments.compare.comparing import NamedRow

MOST_ROWS = 20
NOT_SWEPT = ("experiment", "dataset", "label_source", "frame")
"""Settings that only name a run, or that group the rows (`by_dataset`)."""
SEED = "seed"
SCORING = {"frame": ("scoring", "frame"), "protocol.size": ("scoring", "size")}
"""Settings without a column."""
NUMBERS = (int, float, np.number)


@dataclass(frozen=True, eq=False)
class ShownRow(NamedRow):
    """A row with a name that no other shown row has.

    Attributes:
        name, row, run: see `NamedRow`.
        scores: protocol -> column of ``summary.csv`` -> number, not rounded.
        settings: setting -> value; a setting that does not apply is missing.
        seeds: rows that differ only in the seed and whose means this row shows; empty for a single row.
    """

    scores: Mapping[ProtocolName, Mapping[str, float]]
    settings: Mapping[str, Hashable]
    seeds: Sequence[ShownRow] = ()

    def score(self, protocol: ProtocolName, name: str) -> float:
        """A number of ``summary.csv``; NaN if the row lacks it."""
        return self.scores.get(protocol, {}).get(name, np.nan)

    def estimate(self, protocol: ProtocolName, name: str) -> tuple[float, float, float]:
        """A score and the ends of its interval."""
        value, low, high = (self.score(protocol, f"{name}{end}") for end in ENDS)
        return value, low, high

    def text(self, setting: str) -> str:
        """A setting in the notation of the command line; empty if it does not apply."""
        return setting_text({setting: self.settings.get(setting)}, (setting,))


def shown_rows(runs: Sequence[Run]) -> list[ShownRow]:
    """The rows of all runs, in order. A row in several folders with the same pictures is shown once."""
    places = {(row.key, row.pictures): (row, run) for run in reversed(runs) for row in reversed(run.rows)}
    pairs = list(places.values())[::-1]
    # The name of an experiment tells nothing about a row.
    names = telling_names([replace(row, settings={**row.settings, "experiment": ""}) for row, _ in pairs])
    columns = setting_columns(row.settings for row, _ in pairs) | SCORING
    lines = {id(run): run.table().groupby("number") for run in runs}
    shown = []
    for name, (row, run) in zip(names, pairs, strict=True):
        scores = {
            line["protocol"]: {key: float(value) for key, value in line.items() if isinstance(value, NUMBERS)}
            for line in lines[id(run)].get_group(run.rows.index(row)).to_dict("records")
        }
        values = {column: _value(row.settings, path) for column, path in columns.items()}
        settings = {column: value for column, value in values.items() if value is not None}
        # Rows of the same settings on other pictures have the same name.
        distinct = f"{name} ({run.folder})" if names.count(name) > 1 else name
        shown.append(ShownRow(distinct, row, run, scores, settings))
    return shown


def _value(settings: Any, path: Sequence[str]) -> Hashable:
    for name in path:
        settings = settings.get(name) if isinstance(settings, Mapping) else None
    value = normalise(settings)
    return tuple(value) if isinstance(value, list) else value


def by_dataset(rows: Iterable[ShownRow]) -> dict[tuple[str, str], list[ShownRow]]:
    """(data set, frame) -> its rows: those that can stand in one plot."""
    groups: dict[tuple[str, str], list[ShownRow]] = {}
    for row in rows:
        groups.setdefault((row.row.dataset_name, row.row.frame), []).append(row)
    return groups


def protocols_of(rows: Sequence[ShownRow]) -> list[ProtocolName]:
    """The protocols with classes that all rows have, first those of this project in their order, then all others.

    Raises:
        ConfigError: the rows have none in common.
    """
    common = [name for name in rows[0].scores if needs_classes(name) and all(name in row.scores for row in rows)]
    if not common:
        raise ConfigError("these rows have no protocol with classes in common; plot them separately")
    known = [name for name in ALL_PROTOCOLS if name in common]
    return known + [name for name in common if name not in known]


def criterion(rows: Sequence[ShownRow]) -> str:
    """Name of the score that ranks rows: mIoU of the last protocol, such as ``mIoU present``."""
    return f"mIoU {protocols_of(rows)[-1]}"


def ranked(rows: Sequence[ShownRow]) -> list[ShownRow]:
    """The rows by `criterion`, best first; rows without the score last."""
    last = protocols_of(rows)[-1]
    return sorted(rows, key=lambda row: -np.nan_to_num(row.score(last, "miou"), nan=-1))


def most(rows: Sequence[ShownRow]) -> tuple[list[ShownRow], str]:
    """All rows in their order, or the `MOST_ROWS` best with a note for the heading."""
    if len(rows) <= MOST_ROWS:
        return list(rows), ""
    return ranked(rows)[:MOST_ROWS], f"the {MOST_ROWS} best of {len(rows)} rows by {criterion(rows)}"


def swept(rows: Sequence[ShownRow]) -> list[str]:
    """Settings that vary independently: they have several values while all earlier swept settings are fixed.

    ``timestep`` and ``tau`` are examples. ``sides`` follow from ``size``, and ``clusters`` from the segmenter, so these
    do not count.
    """
    varying: list[str] = []
    for setting in dict.fromkeys(name for row in rows for name in row.settings):
        if setting in NOT_SWEPT:
            continue
        groups: dict[tuple[Hashable, ...], set[Hashable]] = {}
        for row in rows:
            if setting in row.settings:
                fixed = tuple(row.settings.get(name) for name in varying)
                groups.setdefault(fixed, set()).add(row.settings[setting])
        if any(len(values) > 1 for values in groups.values()):
            varying.append(setting)
    return varying


def comparable(rows: Sequence[ShownRow], setting: str) -> list[ShownRow]:
    """Rows that can be compared along a setting.

    A combination of the other settings is kept only if it has the most values of this one. A mean over the others then
    compares like with like, even in an incomplete grid or if one choice varies at a time.
    """
    applies = [row for row in rows if setting in row.settings]
    others = [name for name in swept(applies) if name != setting]
    values: dict[tuple[Hashable, ...], set[Hashable]] = {}
    for row in applies:
        values.setdefault(tuple(row.settings.get(name) for name in others), set()).add(row.settings[setting])
    largest = max(map(len, values.values()), default=0)
    return [row for row in applies if len(values[tuple(row.settings.get(name) for name in others)]) == largest]


def axis_settings(rows: Sequence[ShownRow]) -> list[str]:
    """The settings that can be the axis of a plot."""
    return [
        setting
        for setting in swept(rows)
        if setting not in ("segmenter", SEED) and len({row.settings[setting] for row in comparable(rows, setting)}) > 1
    ]


def seeds_together(rows: Sequence[ShownRow]) -> list[ShownRow]:
    """Merges rows that differ only in the seed: one row with the means of their numbers."""
    groups: dict[Hashable, list[ShownRow]] = {}
    for row in rows:
        settings = frozenset((name, value) for name, value in row.settings.items() if name not in (SEED, "experiment"))
        groups.setdefault((row.row.name, settings, row.row.pictures), []).append(row)
    unseeded = []
    for first, *_ in groups.values():
        segmenter = {name: value for name, value in first.row.settings.get("segmenter", {}).items() if name != SEED}
        unseeded.append(replace(first.row, settings={**first.row.settings, "segmenter": segmenter}))
    merged = []
    for name, group in zip(telling_names(unseeded), groups.values(), strict=True):
        if len(group) > 1:
            scores = {
                protocol: pd.DataFrame([row.scores[protocol] for row in group]).mean().to_dict()
                for protocol in protocols_of(group)
            }
            kept = {setting: value for setting, value in group[0].settings.items() if setting != SEED}
            merged.append(replace(group[0], name=name, scores=scores, settings=kept, seeds=tuple(group)))
        else:
            merged.append(group[0])
    return merged


def sorted_values(values: Iterable[Hashable]) -> list[Hashable]:
    """The distinct values in the order of numbers if all are numbers, else in their order."""
    distinct = list(dict.fromkeys(values))
    return sorted(distinct) if all(map(is_number, distinct)) else distinct  # type: ignore[type-var]


def describe_data(rows: Sequence[ShownRow]) -> str:
    """Data set, backbone and number of images, for a heading."""
    names = [row.text(setting) for setting in ("dataset", "backbone") for row in rows]
    return f"{', '.join(dict.fromkeys(filter(None, names)))}, {max(len(row.row.evaluated) for row in rows)} images"
