"""Compares this code with alternatives and goals: ``make bench``, or ``python -m experiments.benchmark``.

Needs no network. A line whose hardware or weights are missing says "unmeasured" and why. Writes the table to
``experiments/bench/results/DATE-DEVICE.txt`` and the same as JSON.
"""

from __future__ import annotations

import argparse
import datetime
import json
import platform
import re
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from pkgutil import resolve_name
from typing import TYPE_CHECKING

from diffseg.command import run_command
from diffseg.command_line import Parser, path_argument, positive_int
from eval.storage.files import write_text

if TYPE_CHECKING:  # torch takes seconds to import: wrong arguments are reported before
    from experiments.bench.measuring import Line, Settings

FOLDER = Path(__file__).parent / "bench" / "results"
QUICK_FOLDER = Path(__file__).parents[1] / "results" / "bench"  # not under version control
# Group -> module and function in experiments.bench. The function takes `Settings` and returns a list of `Line`.
GROUPS = {
    "merging": "merging:lines",
    "kmeans": "clustering:kmeans_lines",
    "dbscan": "clustering:dbscan_lines",
    "dinov2": "vit:picture_lines",
    "memory": "vit:memory_lines",
    "sweep": "sweep:lines",
    "table1": "table1:lines",
    "precision": "precision:lines",
    "unet": "unet:collecting_lines",
    "pictures": "unet:picture_lines",
    "scaling": "merging:scaling",
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the chosen lines, prints the table and writes it."""
    options = _parse(arguments)
    options.out.mkdir(parents=True, exist_ok=True)  # fails before anything is measured
    from eval.storage.provenance import provenance
    from experiments.bench.measuring import GOLDEN, Settings
    from experiments.bench.table import table

    settings = Settings(options.quick, 1 if options.quick else options.repeats, options.golden or GOLDEN)
    lines: list[Line] = []
    for name in options.only or GROUPS:
        print(f"{name} ...", file=sys.stderr, flush=True)
        lines += resolve_name(f"experiments.bench.{GROUPS[name]}")(settings)
    if settings.quick:  # the goals are for the full sizes
        lines = [replace(line, goal=None, goal_ratio=None) for line in lines]
    text = f"{_headline(settings)}\n\n{table(lines)}\n"
    print(text, end="")
    stem = options.out / f"{datetime.date.today().isoformat()}-{_slug(_device())}{'-quick' * options.quick}"
    facts = {"headline": _headline(settings), "settings": {"quick": settings.quick, "repeats": settings.repeats}}
    record = {**facts, **provenance([]), "lines": [asdict(line) | {"met": line.met} for line in lines]}
    write_text(stem.with_suffix(".txt"), text)
    write_text(stem.with_suffix(".json"), json.dumps(record, indent=1) + "\n")
    print(f"written to {stem}.txt and .json", file=sys.stderr)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser(prog="python -m experiments.benchmark", description=__doc__)
    add = parser.add_argument
    add("--quick", action="store_true", help="run small inputs once; shows that the lines run, not how fast")
    add("--only", nargs="+", choices=GROUPS, metavar="NAME", help=f"measure only these: {', '.join(GROUPS)}")
    repeats = "time each line N times and report the median (default: %(default)s)"
    add("--repeats", type=positive_int, default=5, metavar="N", help=repeats)
    golden = "folder of reference results of the authors' code (default: tests/golden)"
    add("--golden", type=path_argument, metavar="DIR", help=golden)
    out = "folder for the results (default: experiments/bench/results; with --quick results/bench)"
    add("--out", type=path_argument, metavar="DIR", help=out)
    options = parser.parse_args(arguments)
    if options.golden and not options.golden.is_dir():
        parser.error(f"argument --golden: {options.golden} is not a folder")
    options.out = options.out or (QUICK_FOLDER if options.quick else FOLDER)
    return options


def _headline(settings: Settings) -> str:
    import torch

    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    quick = ", QUICK: not for comparison" if settings.quick else ""
    return f"{now}, {_device()}, {torch.get_num_threads()} threads, torch {torch.__version__}{quick}"


def _device() -> str:
    """Name of the GPU, or of the processor."""
    import torch

    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    cpuinfo = Path("/proc/cpuinfo")
    names = re.findall(r"model name\s*:\s*(.+)", cpuinfo.read_text(encoding="utf-8")) if cpuinfo.exists() else []
    return f"{names[0] if names else platform.machine()}, {len(names) or '?'} cores"


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


if __name__ == "__main__":
    run_command(main)
