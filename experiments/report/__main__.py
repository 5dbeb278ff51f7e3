"""Writes results folders as one HTML page of tables, plots and a gallery: ``python -m experiments.report DIR...``.

The page contains everything that it shows and opens from disk. Its content security policy forbids network access.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from diffseg.cli.arguments import Parser, path_argument, positive_int
from diffseg.cli.command import ERROR_STATUS, run_command
from eval.config import ConfigError
from eval.records import RecordError
from eval.runs import read_runs
from eval.storage.files import WriteError, write_text
from experiments.plotting.shown import shown_rows

PICTURES = 48  # 2 MB with four rows


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command line."""
    parser = Parser(prog="python -m experiments.report", description=__doc__)
    add = parser.add_argument
    add("results", nargs="+", type=path_argument, help="results_dir of a run")
    add("-o", "--output", type=path_argument, help="the page (default: report.html in the first results folder)")
    number = "number of pictures in the gallery, those with the lowest mIoU (default: %(default)s)"
    add("--pictures", type=positive_int, default=PICTURES, metavar="N", help=number)
    options = parser.parse_args(arguments)
    output = options.output or options.results[0] / "report.html"
    try:
        rows = shown_rows(read_runs(*options.results))
        from experiments.report.content import report  # imports torch
        from experiments.report.gallery import read_gallery

        pictures, reasons = read_gallery(rows, options.pictures)
        write_text(output, report(rows, pictures, reasons))
    except (ConfigError, RecordError, WriteError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(ERROR_STATUS)
    for reason in reasons:
        print(f"not in the gallery: {reason}", file=sys.stderr)
    print(f"Report: {output} ({output.stat().st_size / 1e6:.1f} MB, {len(pictures)} pictures in the gallery)")


if __name__ == "__main__":
    run_command(main)
