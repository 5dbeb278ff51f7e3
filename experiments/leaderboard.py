"""Compares results folders with published numbers: ``python -m experiments.leaderboard DIR... [-o OUT]``.

Writes ``leaderboard.csv``, ``.md``, ``.tex`` and ``.html`` into OUT and prints the Markdown.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from diffseg.command import ERROR_STATUS, run_command
from diffseg.command_line import Parser, path_argument
from eval.config import ConfigError
from eval.records import RecordError
from eval.results.tables import write_csv
from eval.runs import read_runs
from eval.storage.files import WriteError, make_folder, write_text
from experiments.paper.leaderboard import html_page, latex_page, leaderboard, markdown_page
from experiments.plotting.shown import shown_rows


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line. Returns 0, or 2 after one line about an error."""
    parser = Parser(
        prog="leaderboard",
        usage="python -m experiments.leaderboard DIR... [-o OUT]",
        description="Compares results folders with each other and with the published numbers of their data sets.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("results", nargs="+", type=path_argument, metavar="DIR", help="results_dir of a run")
    out = "folder for the tables, made if missing; default: %(default)s"
    add("-o", "--out", type=path_argument, default=Path("results/leaderboard"), metavar="OUT", help=out)
    args = parser.parse_args(argv)
    try:
        table = leaderboard(shown_rows(read_runs(*args.results)))
        make_folder(args.out)
        text = markdown_page(table)
        write_csv(args.out / "leaderboard.csv", table)
        write_text(args.out / "leaderboard.md", text)
        write_text(args.out / "leaderboard.tex", latex_page(table))
        write_text(args.out / "leaderboard.html", html_page(table))
    except (ConfigError, RecordError, WriteError) as error:
        print(f"leaderboard: {error}", file=sys.stderr)
        return ERROR_STATUS
    print(f"{text}\nLeaderboard: {args.out}/leaderboard.html, .csv, .md, .tex")
    return 0


if __name__ == "__main__":
    sys.exit(run_command(main))
