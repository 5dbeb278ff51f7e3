"""Finds the rows to compare, pairs their pictures, and computes the differences of all scores."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from typing import Any, NamedTuple, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from eval.config import ConfigError
from eval.metrics import PERCENT, totals
from eval.protocol_scores import boundary_counts, region_scores, scores_of
from eval.protocols import needs_classes
from eval.results.columns import AGREEMENT
from eval.results.names import telling_names
from eval.results.tables import SCALES
from eval.row import Row
from eval.runs import Run
from experiments.compare.statistics import (
    Difference,
    FloatArray,
    boundary_scores,
    class_scores,
    compare,
    holm,
    known_values,
    mean_scores,
)

WITHOUT_CLASSES = "-"
"""Stands for the protocol of scores that match nothing."""
COLUMNS = (
    "row",
    "folder",
    "to",
    "protocol",
    "score",
    "pictures",
    "value",
    "reference",
    "difference",
    "difference_low",
    "difference_high",
    "p",
    "p_holm",
)
MOST_NAMES = 20


@dataclass(frozen=True, eq=False)
class NamedRow:
    """A row with a name that tells it from others: in `named_rows` that of the column ``row`` of ``per_image.csv``."""

    name: str
    row: Row
    run: Run

    @property
    def folder(self) -> str:
        """Results folder of the run."""
        return str(self.run.folder)


Named = TypeVar("Named", bound=NamedRow)


class Sampled(NamedTuple):
    """Scores that are computed from sums over pictures: ``scores`` takes the sums of the ``columns``, see `totals`."""

    protocol: str
    columns: Sequence[NDArray[Any]]
    scores: Callable[..., Mapping[str, FloatArray]]


def named_rows(runs: Sequence[Run]) -> list[NamedRow]:
    """The rows of all runs, in order; of a row that several folders hold, the first.

    Names are those of the tables of its folder. Rows of several folders with the same name are told apart by settings.
    """
    rows: dict[str, NamedRow] = {}
    for run in runs:
        for name, row in zip(telling_names(run.rows), run.rows, strict=True):
            rows.setdefault(row.key, NamedRow(name, row, run))
    named = list(rows.values())
    names = Counter(entry.name for entry in named)
    telling = telling_names([entry.row for entry in named])
    return [
        replace(entry, name=name) if names[entry.name] > 1 else entry
        for entry, name in zip(named, telling, strict=True)
    ]


def find_row(rows: Sequence[Named], name: str, option: str = "--to ") -> Named:
    """The row of a name. Raises ConfigError if there is none, or several. ``option``: begins the message."""
    matching = [row for row in rows if row.name == name]
    if len(matching) == 1:
        return matching[0]
    if matching:
        folders = "; ".join(row.folder for row in matching)
        raise ConfigError(f"{option}{name}: several rows have this name: {folders}")
    names = list(dict.fromkeys(row.name for row in rows))
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    raise ConfigError(f"{option}{name}: no such row; choose from: {'; '.join(names[:MOST_NAMES])}{more}")


def compare_rows(rows: Sequence[NamedRow], reference: NamedRow) -> pd.DataFrame:
    """Compares every other row with the reference, on the pictures that both evaluated.

    Args:
        rows: all rows.
        reference: one of them.

    Returns:
        A line for each row, protocol and score: `COLUMNS`. Scores and differences in percent, of the variation of
        information in bits; ``p_holm`` is corrected over the rows, for each score and protocol apart.

    Raises:
        ConfigError: there is no other row, or a row was scored at another size, frame or truth.
    """
    others = [row for row in rows if row is not reference]
    if not others:
        raise ConfigError(f"{reference.folder}: has no other row than {reference.name}; give more folders")
    lines = [line for other in others for line in _lines(other, reference)]
    table = pd.DataFrame(lines, columns=COLUMNS[:-1])
    corrected = table.groupby(["protocol", "score"], sort=False)["p"].transform(lambda values: holm(list(values)))
    return table.assign(p_holm=corrected)


def _lines(row: NamedRow, reference: NamedRow) -> list[dict[str, Any]]:
    _check(row, reference)
    compared = differences(row.row, reference.row)
    if not compared:
        raise ConfigError(f"{_place(row)} and {_place(reference)} have no evaluated picture with classes in common")
    pictures = len(common_pictures(row.row, reference.row))
    facts = {"row": row.name, "folder": row.folder, "to": reference.name, "pictures": pictures}
    return [
        {**facts, "protocol": protocol, "score": score, **dict(zip(COLUMNS[6:12], difference, strict=True))}
        for (protocol, score), difference in compared.items()
    ]


def common_pictures(row: Row, reference: Row) -> list[str]:
    """Ids of the pictures that both rows evaluated, in the order of the reference."""
    evaluated = {record.picture for record in row.evaluated}
    return [record.picture for record in reference.evaluated if record.picture in evaluated]


def differences(row: Row, reference: Row) -> dict[tuple[str, str], Difference]:
    """(protocol, score) -> paired difference of two rows with the same truth, on the pictures that both evaluated.

    In the units of the tables; `WITHOUT_CLASSES` is the protocol of scores that match nothing. Empty without a picture
    in common.
    """
    pictures = common_pictures(row, reference)
    if not pictures:
        return {}
    ours, theirs = (_scores(side, pictures) for side in (row, reference))
    return {place: compare(ours[place], values) for place, values in theirs.items() if place in ours}


def _check(row: NamedRow, reference: NamedRow) -> None:
    """Raises ConfigError unless both rows were scored on the same pixels with the same truth."""
    for what, group, names in (
        ("truths", "dataset", ("name", "label_source", "fingerprint", "background")),
        ("frames", "scoring", ("frame",)),
        ("sizes", "scoring", ("size",)),
        ("segments (connected components or not)", "scoring", ("components",)),
    ):
        ours, theirs = (_settings(side.row, group, names) for side in (row, reference))
        if ours != theirs:
            shown = [_text({name: own[name] for name in names if ours[name] != theirs[name]}) for own in (ours, theirs)]
            raise ConfigError(
                f"{_place(row)} and {_place(reference)} were scored at different {what}: {shown[0]} and {shown[1]}"
            )


def _settings(row: Row, group: str, names: Sequence[str]) -> dict[str, Any]:
    settings = row.settings.get(group, {})
    return {name: settings.get(name) for name in names}


def _text(settings: Mapping[str, Any]) -> str:
    return ", ".join(f"{str(value)[:12]}" for value in settings.values())


def _place(row: NamedRow) -> str:
    return f"{row.name} ({row.folder})"


def _scores(row: Row, ids: Sequence[str]) -> dict[tuple[str, str], FloatArray]:
    """(protocol, score) -> the score of all pictures and of each resample, in the units of the tables."""
    records = {record.picture: record for record in row.evaluated}
    chosen = replace(row, records=[records[id] for id in ids])
    sampled = [*_with_classes(chosen), *_without_classes(chosen)]
    sums = iter(totals([column for part in sampled for column in part.columns]))
    return {
        (part.protocol, name): values
        for part in sampled
        for name, values in part.scores(*islice(sums, len(part.columns))).items()
    }


def _with_classes(row: Row) -> Iterator[Sampled]:
    """The scores of protocols that match classes, and those without a match."""
    if not all("classes" in record.stored_tables for record in row.records):
        return
    for protocol in filter(needs_classes, row.protocols):
        yield Sampled(protocol, [row.counts(protocol).pixels], class_scores)
    values = row.agreement * [SCALES[name] for name in AGREEMENT]
    yield Sampled(WITHOUT_CLASSES, known_values(values), partial(mean_scores, AGREEMENT))


def _without_classes(row: Row) -> Iterator[Sampled]:
    """The scores of protocols without classes. What the tables compute from sums is computed from sums here."""
    for protocol in row.protocols:
        if needs_classes(protocol):
            continue
        means = {
            name: values for name, values in scores_of(row, protocol).pictures.items() if not np.isnan(values).all()
        }
        if not means:
            continue
        yield Sampled(protocol, known_values(np.stack([*means.values()], axis=1)), partial(mean_scores, [*means]))
        if protocol == "boundaries":
            counts = [boundary_counts(record) or (0, 0, 0, 0) for record in row.evaluated]
            yield Sampled(protocol, [np.array(counts, float)], boundary_scores)
        if protocol == "regions":
            regions = [region_scores(record) for record in row.evaluated]
            covered = [float(region.areas @ region.overlaps) if region else 0.0 for region in regions]
            areas = [float(region.areas.sum()) if region else 0.0 for region in regions]
            yield Sampled(
                protocol, [PERCENT * np.array([covered]).T, np.array([areas]).T], partial(mean_scores, ["covering"])
            )
