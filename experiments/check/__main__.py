"""Checks data and backbones before a run takes hours: ``python -m experiments.check``.

    python -m experiments.check dataset=camvid dataset.root=DIR [-o CLASSES.csv]
    python -m experiments.check backbone=sd14 backbone.path=DIR
    python -m experiments.check experiment=table1 dataset.root=DIR

Takes the keys of `experiments.evaluate`. ``dataset=`` reads all pictures and their truth; ``backbone=`` passes one
picture through the network; both keys: both. Writes nothing but the table of classes after ``-o``. Exit status: 1 if a
file of the data set is damaged, 2 if the run would fail.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from datasets.base import Dataset
from diffseg.cli.command import run_command
from diffseg.files.paths import expanded
from eval.config import ConfigError, config_errors
from experiments.check.truth import read_truth, report, write_csv
from experiments.evaluate import commands_of
from experiments.running.arguments import key_of, read_arguments
from experiments.running.compose import Composed, compose_rows
from experiments.running.errors import FAILED_STATUS, one_line_errors

OUTPUT_OPTIONS = ("-o", "--output")


def main() -> None:
    """Runs the command line."""
    with one_line_errors():
        if {"-h", "--help"} & {*sys.argv[1:]}:
            print(__doc__)
            return
        typed, output = _without_output(sys.argv[1:])
        arguments = read_arguments(typed)
        if arguments.rerun is not None:
            commands = commands_of(arguments)
            if len(commands) > 1:
                raise ConfigError(f"--rerun: {arguments.rerun} lists {len(commands)} commands; type the one to check")
            arguments = commands[0]
        arguments.refuse_options("check")
        keys = {key_of(argument) for argument in arguments.overrides}
        truth = "dataset" in keys
        backbone = not truth or bool(keys & {"backbone", "experiment", "rows"})
        if output is not None and not truth:
            raise ConfigError(f"{OUTPUT_OPTIONS[0]}: writes the classes of a data set; name it with dataset=NAME")
        composed = compose_rows(arguments, checked=backbone)
        damaged = truth and check_truth(composed.rows[0].dataset, output)
        if backbone:
            check_backbones(composed)
    if damaged:
        sys.exit(FAILED_STATUS)


def check_truth(dataset: Dataset, output: Path | None) -> bool:
    """Reads and describes the truth. Returns True if a file is damaged. ``output``: file for the table of classes."""
    dataset.check()
    truth = read_truth(dataset)
    for line in report(truth):
        print(line, flush=True)
    if output is not None:
        write_csv(truth, output)
    return bool(truth.damaged)


def check_backbones(composed: Composed) -> None:
    """Passes a picture through each backbone, and describes the attention."""
    # Imports torch, which takes seconds. Missing data and weights have been reported before.
    from experiments.check import backbone

    with config_errors():  # a device or weights that cannot be used
        for line in backbone.report(composed.rows, composed.config.device):
            print(line, flush=True)


def _without_output(arguments: Sequence[str]) -> tuple[list[str], Path | None]:
    """The arguments without ``-o FILE``, and the file."""
    for index, argument in enumerate(arguments):
        option, equals, value = argument.partition("=")
        if option in OUTPUT_OPTIONS:
            following = list(arguments[index + 1 :])
            value = value if equals else following.pop(0) if following else ""
            path = expanded(value).absolute()
            if not value or not path.parent.is_dir():
                got = value or "nothing"
                raise ConfigError(f"{option}: must be followed by a file in a folder that exists, got {got}")
            return [*arguments[:index], *following], path
    return list(arguments), None


if __name__ == "__main__":
    run_command(main)
