"""A table for a LaTeX document that uses booktabs."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence

from diffseg.texts import on_one_line

_LATEX = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "{": r"\{",
        "}": r"\}",
        "#": r"\#",
        "$": r"\$",
        "%": r"\%",
        "&": r"\&",
        "_": r"\_",
        "^": r"\textasciicircum{}",
        "~": r"\textasciitilde{}",
        # Others that the usual fonts of LaTeX lack or draw as something else.
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        "|": r"\textbar{}",
        '"': "''",  # \textquotedbl needs another font encoding
        "`": r"\textasciigrave{}",
        "±": r"$\pm$",
        "Δ": r"$\Delta$",
        "τ": r"$\tau$",
        "†": r"\dag{}",
        "‡": r"\ddag{}",
        "§": r"\S{}",
        "¶": r"\P{}",
    }
)


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


def latex_text(text: str) -> str:
    r"""A text for LaTeX, on one line. Escapes the ten special characters, and some that need another font or mode.

    A text that begins a row must not be taken for an option of the ``\\`` before it: ``[`` and ``*`` get braces there.

    >>> print(latex_text("50 % of k_1, 3^2 & {a}\\b ~ #1 $"))
    50 \% of k\_1, 3\textasciicircum{}2 \& \{a\}\textbackslash{}b \textasciitilde{} \#1 \$
    """
    escaped = on_one_line(text).translate(_LATEX).replace("--", "-{}-")
    return f"{{{escaped[0]}}}{escaped[1:]}" if escaped[:1] in ("[", "*") else escaped
