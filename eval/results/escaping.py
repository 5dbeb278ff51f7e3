"""Escapes texts, such as names of rows and folders, for tables in LaTeX and in Markdown."""

from __future__ import annotations

import re

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


def latex_text(text: str) -> str:
    r"""A text for LaTeX, on one line. Escapes the ten special characters, and some that need another font or mode.

    A text that begins a row must not be taken for an option of the ``\\`` before it: ``[`` and ``*`` get braces there.

    >>> print(latex_text("50 % of k_1, 3^2 & {a}\\b ~ #1 $"))
    50 \% of k\_1, 3\textasciicircum{}2 \& \{a\}\textbackslash{}b \textasciitilde{} \#1 \$
    """
    escaped = on_one_line(text).translate(_LATEX).replace("--", "-{}-")
    return f"{{{escaped[0]}}}{escaped[1:]}" if escaped[:1] in ("[", "*") else escaped


def markdown_cell(text: str) -> str:
    r"""A text for a cell of a Markdown table, on one line, without what would end the cell or change its look.

    >>> print(markdown_cell("a|b `x`"))
    a\|b \`x\`
    """
    escaped = re.sub(r"[\\|`*<~$]", r"\\\g<0>", on_one_line(text))
    escaped = re.sub(r"(?<!\w)_|_(?!\w)", r"\\_", escaped)  # inside a word, an underscore is only an underscore
    return re.sub(r"\](?=[(\[])|&(?=#?\w+;)", r"\\\g<0>", escaped)  # links and entities
