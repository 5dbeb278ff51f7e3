"""Chooses the scale parameter of each method: ``python -m experiments.tune DIR [DIR ...] [-o OUT]``.

DIR are results folders of ``experiment=tune``. The rows of one name that differ in one number are the points of a
method. One criterion chooses for all: mIoU of the protocol present on a data set with classes, else the covering of the
people's regions. Of equal scores, the one with fewer segments wins. All pictures that every row of a data set has
count, whatever their split. With two data sets, the table says what each method loses with the winner of the other.
Prints the table, and writes it to OUT/tuned.csv with plots beside it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from diffseg.cli.arguments import Parser, path_argument
from diffseg.cli.command import ERROR_STATUS, run_command

if TYPE_CHECKING:
    import pandas as pd

    from eval.records import Record
    from eval.row import Row
    from eval.runs import Run

OUT = Path("results/tuned")
PERCENT = 100
FURTHER = 4
"""Number of points that are suggested beyond an end of a grid."""
POINTS = 12
"""Number of points of a grid that was not widened."""


@dataclass(frozen=True)
class Curve:
    """Scores of one method on one data set.

    Attributes:
        dataset, method: names.
        parameter: path of the scale parameter, such as ``segmenter.tau``; "" for a method without one.
        values: its values, ascending; NaN for a method without one.
        scores: score of each value in percent.
        segments: mean number of segments of each value.
        rows: rows of each value, with the pictures that count.
    """

    dataset: str
    method: str
    parameter: str
    values: Sequence[float]
    scores: Sequence[float]
    segments: Sequence[float]
    rows: Sequence[Row]

    @property
    def best(self) -> int:
        """Number of the winner: the best score; of equal ones, the fewest segments, then the smallest value."""
        return min(range(len(self.values)), key=lambda at: (-self.scores[at], self.segments[at]))

    @property
    def has_classes(self) -> bool:
        """True if the score is mIoU present, False if it is covering."""
        return "classes" in self.rows[0].records[0].stored_tables

    @property
    def criterion(self) -> str:
        """Name of the score."""
        return "mIoU present" if self.has_classes else "covering"

    @property
    def of_similarity(self) -> bool:
        """See `are_similarities`."""
        return are_similarities(self.values)

    def lost(self, value: float) -> float:
        """Points that are lost with another value; NaN if it is not among the values."""
        known = dict(zip(self.values, self.scores, strict=True))
        return self.scores[self.best] - known.get(value, np.nan)

    def at_an_end(self) -> str:
        """A line if the winner is the smallest or largest value; else ""."""
        count, best = len(self.values), self.best
        if count < 2 or best not in (0, count - 1):
            return ""
        end = "largest" if best else "smallest"
        line = f"{self.method} on {self.dataset}: {self.values[best]:g} is the {end} of its {count} values"
        if count > POINTS:
            return f"{line}, after the grid was widened"
        further = ",".join(f"{value:.3g}" for value in beyond(self.values, low=best == 0))
        return f"{line}; widen the grid once: {self.parameter}={further}"


def curves(runs: Sequence[Run]) -> list[Curve]:
    """The curves of all methods of the runs, by data set.

    Raises:
        ConfigError: no picture is in all rows of a data set, or rows of one name differ in more than one number.
    """
    by_dataset: dict[str, dict[str, Row]] = {}
    for row in (row for run in runs for row in run.rows if row.evaluated):
        by_dataset.setdefault(row.dataset_name, {})[row.key] = row
    return [curve for name, rows in by_dataset.items() for curve in _of_dataset(name, list(rows.values()))]


def _of_dataset(dataset: str, rows: Sequence[Row]) -> Iterator[Curve]:
    from eval.config import ConfigError
    from eval.counts import Counts
    from eval.metrics import mean_iou
    from eval.protocol_scores import region_scores
    from eval.regions import pooled_covering
    from eval.results.scales import families

    # (method, parameter) -> value -> one row, and the records of all rows of this value, such as train and val.
    methods: dict[tuple[str, str], dict[float, tuple[Row, dict[str, Record]]]] = {}
    for family in families(rows):
        points = methods.setdefault((family.name, family.parameter), {})
        for value, row in zip(family.values, family.rows, strict=True):
            records = points.setdefault(value if family.parameter else 0, (row, {}))[1]
            if twice := [record.picture for record in row.evaluated if record.picture in records]:
                raise ConfigError(
                    f"{family.name}: several rows have {family.parameter}={value:g} for {twice[0]}; "
                    "rows of one name may differ in one number only"
                )
            records |= {record.picture: record for record in row.evaluated}
    pictures = [set(records) for points in methods.values() for _, records in points.values()]
    common = set.intersection(*pictures)
    if not common:
        raise ConfigError(
            f"{dataset}: no picture is in all rows; type the command of the run again, which completes it"
        )
    every = set.union(*pictures)
    if left_out := len(every - common):
        print(f"{dataset}: {left_out} of {len(every)} pictures are not in all rows, and do not count", file=sys.stderr)

    def score(row: Row) -> float:
        if "classes" in row.records[0].stored_tables:
            return PERCENT * mean_iou(sum(row.counts("present"), Counts.zeros(len(row.classes))))
        return PERCENT * pooled_covering([known for record in row.records if (known := region_scores(record))])

    for (method, parameter), points in methods.items():
        values = sorted(points)
        merged = []
        for value in values:
            row, records = points[value]
            merged.append(replace(row, records=[records[id] for id in sorted(common)]))
        segments = [float(np.mean([record.segments for record in row.records])) for row in merged]
        yield Curve(
            dataset, method, parameter, values if parameter else [np.nan], list(map(score, merged)), segments, merged
        )


def are_similarities(values: Sequence[float]) -> bool:
    """True if an ascending grid is more even on a logarithmic axis of 1 - value than on one of the value.

    >>> are_similarities([0.4, 0.76, 0.906]), are_similarities([0.9, 0.97, 0.99]), are_similarities([0.1, 0.2, 0.4])
    (True, True, False)
    """
    grid = np.array(values)
    if not (grid < 1).all():
        return False
    steps = np.diff(np.log(grid)), np.diff(np.log(1 - grid))
    even, even_below_one = (np.ptp(step) / abs(step.mean()) for step in steps)
    return bool(even_below_one < even)


def beyond(values: Sequence[float], low: bool) -> list[float]:
    """Continues a grid that is even on a logarithmic axis of the value, or of 1 - value for similarities.

    Args:
        values: the grid, ascending.
        low: below its smallest value; else above its largest.

    Returns:
        The next `FURTHER` values, ascending; whole numbers if all values are, and then perhaps fewer.
    """
    grid, similarity = np.array(values), are_similarities(values)
    logs = np.log(1 - grid if similarity else grid)
    step = (logs[-1] - logs[0]) / (len(logs) - 1)
    reached = logs[0] - step * np.arange(FURTHER, 0, -1) if low else logs[-1] + step * np.arange(1, FURTHER + 1)
    further = 1 - np.exp(reached) if similarity else np.exp(reached)
    if all(value == int(value) for value in values):
        further = np.array([value for value in np.unique(further.round()) if value > 0 and value not in values])
    return [float(value) for value in further]


def tuned_table(methods: Sequence[Curve]) -> pd.DataFrame:
    """A line for each method and data set: the winner, and what it loses with the winner of each other data set."""
    import pandas as pd

    datasets = list(dict.fromkeys(curve.dataset for curve in methods))
    lines = []
    for curve in methods:
        best = curve.best
        line = {
            "dataset": curve.dataset,
            "criterion": curve.criterion,
            "method": curve.method,
            "parameter": curve.parameter,
            "value": f"{curve.values[best]:g}" if curve.parameter else "",  # as typed: write_csv rounds numbers
            "score": curve.scores[best],
            "segments": curve.segments[best],
            "images": len(curve.rows[0].records),
            "points": len(curve.values),
        }
        for other in methods:
            if curve.parameter and other.dataset != curve.dataset and other.method == curve.method:
                value = other.values[other.best]
                line |= {f"value_{other.dataset}": f"{value:g}", f"lost_{other.dataset}": curve.lost(value)}
        lines.append(line)
    ranked = pd.DataFrame(lines).sort_values("score", ascending=False, kind="stable")
    return ranked.sort_values("dataset", key=lambda names: names.map(datasets.index), kind="stable")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line. Returns 0, or 2 after one line about an error."""
    usage = "python -m experiments.tune DIR [DIR ...] [-o OUT]"
    parser = Parser(prog="tune", usage=usage, description=__doc__)
    parser.add_argument("folders", nargs="+", type=path_argument, metavar="DIR", help="results_dir of experiment=tune")
    parser.add_argument("-o", "--out", type=path_argument, default=OUT, metavar="OUT", help="default: %(default)s")
    options = parser.parse_args(argv)
    # Imports pandas and matplotlib: wrong arguments have been reported before.
    from eval.config import ConfigError
    from eval.records import RecordError
    from eval.results.tables import write_csv
    from eval.runs import read_runs
    from eval.storage.files import WriteError, make_folder
    from experiments.plotting.drawing import save
    from experiments.plotting.tuning import calibration, tuning

    try:
        methods = curves(read_runs(*options.folders))
        if not methods:
            raise ConfigError(f"{options.folders[0]}: no picture was evaluated")
        table = tuned_table(methods)
        figures = {"tuning": tuning(methods)}
        if automatic := [curve for curve in methods if not curve.parameter and curve.has_classes]:
            figures["chosen"] = calibration(automatic)
        make_folder(options.out)
        write_csv(options.out / "tuned.csv", table)
        save(figures, options.out)
    except (ConfigError, RecordError, WriteError) as error:
        print(f"tune: {error}", file=sys.stderr)
        return ERROR_STATUS
    print(table.to_string(index=False, na_rep="", float_format="{:.4g}".format))
    print(*filter(None, (curve.at_an_end() for curve in methods)), sep="\n")
    print(f"\nwritten to {options.out}: tuned.csv, {', '.join(f'{name}.png' for name in figures)}")
    return 0


if __name__ == "__main__":
    sys.exit(run_command(main))
