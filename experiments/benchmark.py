"""Compares this code with alternatives and goals: ``make bench``, or ``python -m experiments.benchmark``.

Needs no network. A line whose hardware or weights are missing says "unmeasured" and why. Prints the table and writes
it to ``results/bench/DATE.txt``.
"""

from __future__ import annotations

import datetime
import platform
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from diffseg.cli.arguments import Parser, path_argument, positive_int
from diffseg.cli.command import run_command
from eval.storage.files import write_text

GROUPS = ("merging", "kmeans", "dbscan", "picture", "sweep", "peers")  # of `experiments.bench.lines`
OUT = Path(__file__).parents[1] / "results" / "bench"


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the chosen lines, prints the table and writes it."""
    parser = Parser(prog="python -m experiments.benchmark", description=__doc__)
    add = parser.add_argument
    add("--quick", action="store_true", help="run small inputs once; shows that the lines run, not how fast")
    add("--only", nargs="+", choices=GROUPS, metavar="NAME", help=f"measure only these: {', '.join(GROUPS)}")
    repeats = "time each line N times and report the median (default: %(default)s)"
    add("--repeats", type=positive_int, default=5, metavar="N", help=repeats)
    add("--out", type=path_argument, metavar="DIR", default=OUT, help="folder for the results (default: results/bench)")
    options = parser.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)  # fails before anything is measured
    # Imports torch, which takes seconds: wrong arguments have been reported before.
    from experiments.bench.lines import GROUPS as lines_of
    from experiments.bench.measuring import Line, table

    lines: list[Line] = []
    for name in options.only or GROUPS:
        print(f"{name} ...", file=sys.stderr, flush=True)
        lines += lines_of[name](options.quick, 1 if options.quick else options.repeats)
    if options.quick:  # the goals are for the full sizes
        lines = [replace(line, goal="") for line in lines]
    text = f"{_headline(options.quick)}\n\n{table(lines)}\n"
    print(text, end="")
    path = options.out / f"{datetime.date.today().isoformat()}{'-quick' if options.quick else ''}.txt"
    write_text(path, text)
    print(f"written to {path}", file=sys.stderr)


def _headline(quick: bool) -> str:
    import torch

    device = torch.cuda.get_device_name() if torch.cuda.is_available() else platform.processor() or platform.machine()
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    note = ", QUICK: not for comparison" if quick else ""
    return f"{now}, {device}, {torch.get_num_threads()} threads, torch {torch.__version__}{note}"


if __name__ == "__main__":
    run_command(main)
