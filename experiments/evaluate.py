"""Evaluates segmenters: ``python -m experiments.evaluate experiment=demo`` (``--help`` lists groups and keys)."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from diffseg.command import interruptible, run_command
from eval.config import ConfigError
from experiments.running.arguments import Arguments, key_of, quote_path, read_arguments
from experiments.running.compose import compose_rows
from experiments.running.errors import PicturesFailed, one_line_errors
from experiments.running.hydra_program import is_for_hydra, points_one_by_one, start_hydra


def main() -> None:
    """Runs the command line."""
    with interruptible("recorded results are kept, and the same command resumes the run"), one_line_errors():
        arguments = read_arguments(sys.argv[1:])
        if arguments.tables or arguments.rescore:
            from experiments.running.finished import tables_of_finished

            print(tables_of_finished(arguments))
        elif arguments.rerun:
            failed = [evaluate(command) for command in commands_of(arguments)]
            if any(failed):
                raise PicturesFailed
        elif evaluate(arguments):
            raise PicturesFailed


def evaluate(arguments: Arguments) -> bool:
    """Evaluates the rows of a command. Returns True if pictures failed and the user does not allow it."""
    if is_for_hydra(arguments):
        return start_hydra(arguments)
    failed = False
    for point in points_one_by_one(arguments):
        composed = compose_rows(point)
        # Imports torch, which takes seconds. Missing data and weights have been reported before.
        from experiments.running.runner import run_rows

        failed |= bool(run_rows(composed, point).failed) and not composed.config.allow_failures
    return failed


def commands_of(arguments: Arguments) -> Sequence[Arguments]:
    """The commands that made the results folder after ``--rerun``; further arguments change each of them.

    Raises:
        ConfigError: the folder holds no results.
    """
    from eval.runs import read_run  # imports scipy, which --help need not wait for

    assert arguments.rerun is not None
    commands = read_run(arguments.rerun).commands
    if not commands:
        raise ConfigError(f"--rerun: {arguments.rerun} lists no command")
    typed = {key_of(each) for each in arguments.overrides}
    place = [] if "results_dir" in typed else [quote_path(f"results_dir={arguments.rerun}")]
    again = []
    for command in commands:
        kept = [each for each in command.arguments if key_of(each) not in typed]
        swept = ["-m"] * arguments.swept
        again.append(read_arguments([*kept, *swept, *place, *arguments.overrides]))
    return again


if __name__ == "__main__":
    run_command(main)
