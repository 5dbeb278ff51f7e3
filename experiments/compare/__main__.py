"""Compares rows with one of them: ``python -m experiments.compare DIR [DIR ...] --to ROW [-o OUT]``.

ROW is a name in the column ``row`` of ``per_image.csv``. Each score of each other row is compared with that of ROW, on
the pictures that both evaluated: difference, paired 95 % bootstrap interval, two-sided p, p after Holm's correction.
Prints the tables. With ``-o`` it also writes ``compare.csv``, ``compare.md`` and ``compare.tex``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from diffseg.cli.arguments import Parser, path_argument
from diffseg.cli.command import ERROR_STATUS, run_command


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line. Returns 0, or 2 after one line about an error."""
    options = _parse(argv)
    # Imports pandas: wrong arguments have been reported before.
    from eval.config import ConfigError
    from eval.records import RecordError
    from eval.results.tables import write_csv
    from eval.runs import read_runs
    from eval.storage.files import WriteError, make_folder, write_text
    from experiments.compare.comparing import compare_rows, find_row, named_rows
    from experiments.compare.writing import chosen_columns, latex_of, text_of

    try:
        rows = named_rows(read_runs(*options.folders))
        reference = find_row(rows, options.to)
        table = compare_rows(rows, reference)
        columns = chosen_columns(table, options.columns)
        text = text_of(table)
        if options.out:
            latex = latex_of(table, reference.row.dataset_name, columns, options.published, options.bold)
            make_folder(options.out)
            write_csv(options.out / "compare.csv", table)
            write_text(options.out / "compare.md", text)
            write_text(options.out / "compare.tex", latex)
    except (ConfigError, RecordError, WriteError) as error:
        print(f"compare: {error}", file=sys.stderr)
        return ERROR_STATUS
    print(text, end="")
    if options.out:
        print(f"\nwritten to {options.out}: compare.csv, compare.md, compare.tex")
    return 0


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser(
        prog="compare",
        usage="python -m experiments.compare DIR [DIR ...] --to ROW [-o OUT] [options]",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("folders", nargs="+", type=path_argument, metavar="DIR", help="results_dir of a run")
    add("--to", required=True, metavar="ROW", help="the row with which the others are compared")
    add("-o", "--out", type=path_argument, metavar="OUT", help="folder for the files, made if missing")
    columns = "scores of the LaTeX table: PROTOCOL/SCORE or SCORE; default: ACC and mIoU of the last protocol"
    add("--columns", nargs="+", metavar="SCORE", help=columns)
    published = "leave published rows out of the LaTeX table"
    add("--no-published", dest="published", action="store_false", help=published)
    add("--bold", action="store_true", help="print the best value of each column of the LaTeX table in bold face")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(run_command(main))
