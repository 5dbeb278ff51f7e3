"""A table for a LaTeX document that uses booktabs."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence

from eval.results.escaping import latex_text


def latex_table(
    caption: str,
    columns: Mapping[str, Sequence[str]],
    label: str,
    above: int = 0,
    notes: Sequence[str] = (),
    texts: int = 1,
    bold: Collection[tuple[int, str]] = (),
) -> str:
    r"""The LaTeX source of a table. Escapes every text.

    Args:
        caption: caption of the table.
        columns: heading -> cells.
        label: name for ``\ref``, after ``tab:``; other characters than letters, digits, ``:``, ``.`` and ``-`` become
            ``-``.
        above: number of rows above a horizontal rule; 0: no rule.
        notes: lines below the table.
        texts: number of columns, from the left, that hold text; the others are aligned to the right.
        bold: row and heading of the cells in bold face.
    """
    cells = [[latex_text(cell) for cell in column] for column in columns.values()]
    for row, heading in bold:
        column = cells[list(columns).index(heading)]
        column[row] = rf"\textbf{{{column[row]}}}"
    lines = [" & ".join(row) + r" \\" for row in zip(*cells, strict=True)]
    return "\n".join(
        [
            r"% needs \usepackage{booktabs}",
            r"\begin{table}\small\centering",
            rf"\caption{{{latex_text(caption)}}}",
            rf"\label{{tab:{re.sub('[^A-Za-z0-9:.-]+', '-', label)}}}",
            rf"\begin{{tabular}}{{{'l' * texts}{'r' * (len(columns) - texts)}}}",
            r"\toprule",
            " & ".join(map(latex_text, columns)) + r" \\",
            r"\midrule",
            *lines[:above],
            *([r"\midrule"] if 0 < above < len(lines) else []),
            *lines[above:],
            r"\bottomrule",
            r"\end{tabular}",
            *(rf"\par\footnotesize {latex_text(note)}" for note in notes),
            r"\end{table}",
            "",
        ]
    )
