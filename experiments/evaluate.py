"""Evaluates segmenters: ``python -m experiments.evaluate experiment=demo`` (``--help`` lists groups and keys)."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace

from diffseg.cli.command import interruptible, run_command
from eval.config import ConfigError
from experiments.running.arguments import Arguments, key_of, read_arguments
from experiments.running.compose import compose_rows
from experiments.running.errors import PicturesFailed, one_line_errors

ONE_BY_ONE = "hydra/launcher=basic"
OURS = (ONE_BY_ONE, "hydra/sweeper=basic")
"""Hydra's own launcher and sweeper, which this project replaces."""


def main() -> None:
    """Runs the command line."""
    with interruptible("recorded results are kept, and the same command resumes the run"), one_line_errors():
        arguments = read_arguments(sys.argv[1:])
        if arguments.help:
            from experiments.running.help import help_text

            print(help_text(arguments))
        elif arguments.cfg:
            from omegaconf import OmegaConf

            for row in compose_rows(arguments, checked=False).rows:
                print(f"# {row.name}\n{OmegaConf.to_yaml(row.composed)}")
        elif arguments.tables or arguments.rescore:
            from experiments.running.finished import tables_of_finished

            print(tables_of_finished(arguments))
        else:
            commands = commands_of(arguments) if arguments.rerun else [arguments]
            if any([evaluate(command) for command in commands]):
                raise PicturesFailed


def evaluate(arguments: Arguments) -> bool:
    """Evaluates the rows of a command. Returns True if pictures failed and the user does not allow it."""
    if not {*arguments.hydra} <= {*OURS}:
        from experiments.running.sweepers import sweep

        return sweep(arguments)
    composed = compose_rows(arguments)
    runs = [replace(composed, rows=[row]) for row in composed.rows] if ONE_BY_ONE in arguments.hydra else [composed]
    # Imports torch, which takes seconds. Missing data and weights have been reported before.
    from experiments.running.runner import run_rows

    failed = any([run_rows(run, arguments)[0] for run in runs])
    return failed and not composed.config.allow_failures


def commands_of(arguments: Arguments) -> Sequence[Arguments]:
    """The commands that made the results folder after ``--rerun``; further arguments change each of them.

    Raises:
        ConfigError: the folder holds no results.
    """
    from eval.runs import read_run  # imports scipy, which --help need not wait for

    assert arguments.rerun is not None
    commands = list({tuple(command.arguments): command for command in read_run(arguments.rerun).commands}.values())
    if not commands:
        raise ConfigError(f"--rerun: {arguments.rerun} lists no command")
    typed = {key_of(override) for override in arguments.overrides}
    place = [] if "results_dir" in typed else [f'results_dir="{arguments.rerun}"']
    swept = ["-m"] * arguments.swept
    return [
        read_arguments(
            [
                *(override for override in command.arguments if key_of(override) not in typed),
                *swept,
                *place,
                *arguments.overrides,
            ]
        )
        for command in commands
    ]


if __name__ == "__main__":
    run_command(main)
