"""A table for a LaTeX document that uses booktabs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

ESCAPES = str.maketrans(
    {
        **{character: f"\\{character}" for character in "%&#_$"},
        **{"±": r"$\pm$", "Δ": r"$\Delta$", "†": r"$^\dagger$", "‡": r"$^\ddagger$", "§": r"$^\S$", "¶": r"$^\P$"},
    }
)


def latex_table(
    caption: str, columns: Mapping[str, Sequence[str]], above: int, notes: Sequence[str] = (), texts: int = 1
) -> str:
    """The LaTeX source of a table. Escapes every text.

    Args:
        caption: caption of the table.
        columns: heading -> cells.
        above: number of rows above a horizontal rule; 0: no rule.
        notes: lines below the table.
        texts: number of columns, from the left, that hold text; the others are aligned to the right.
    """
    lines = [" & ".join(map(_escape, row)) + r" \\" for row in zip(*columns.values(), strict=True)]
    return "\n".join(
        [
            r"% needs \usepackage{booktabs}",
            r"\begin{table}\small",
            rf"\caption{{{_escape(caption)}}}",
            rf"\begin{{tabular}}{{{'l' * texts}{'r' * (len(columns) - texts)}}}",
            r"\toprule",
            " & ".join(map(_escape, columns)) + r" \\",
            r"\midrule",
            *lines[:above],
            *([r"\midrule"] if 0 < above < len(lines) else []),
            *lines[above:],
            r"\bottomrule",
            r"\end{tabular}",
            *(rf"\par\footnotesize {_escape(note)}" for note in notes),
            r"\end{table}",
            "",
        ]
    )


def _escape(text: str) -> str:
    return text.translate(ESCAPES)
