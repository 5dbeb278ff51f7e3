"""Tables for LaTeX, and the texts in them and in Markdown tables."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from eval.results.latex import latex_table, latex_text
from eval.results.markdown import markdown_cell

COLUMNS = {"method & k": ["K-Means ±", "DiffSeg_1"], "ACC %": ["60", "70 Δ"], "note": ["#1", "†"]}
TEN = "# $ % & ~ _ ^ \\ { }"
NAMES = [f"[{TEN}", f"*{TEN.replace(' ', '')}", "C:\\o ~x", "k^2 {a}", 'say "hi" <b> a|b --x it\'s `q`', "two\nlines"]


def test_every_text_of_a_table_is_escaped() -> None:
    assert latex_table(
        "100 % & more", COLUMNS, "my run_1", notes=["50 $"], texts=2, bold=[(1, "ACC %")]
    ).splitlines() == [
        r"% needs \usepackage{booktabs}",
        r"\begin{table}\small\centering",
        r"\caption{100 \% \& more}",
        r"\label{tab:my-run-1}",
        r"\begin{tabular}{llr}",
        r"\toprule",
        r"method \& k & ACC \% & note \\",
        r"\midrule",
        r"K-Means $\pm$ & 60 & \#1 \\",
        r"DiffSeg\_1 & \textbf{70 $\Delta$} & \dag{} \\",
        r"\bottomrule",
        r"\end{tabular}",
        r"\par\footnotesize 50 \$",
        r"\end{table}",
    ]


@pytest.mark.parametrize(("above", "rules"), [(0, 1), (1, 2), (2, 1)])
def test_a_rule_stands_between_rows_only(above: int, rules: int) -> None:
    lines = latex_table("", COLUMNS, "x", above).splitlines()
    assert lines.count(r"\midrule") == rules
    if rules == 2:
        assert [line[:7] for line in lines[7:12]] == [r"\midrul", "K-Means", r"\midrul", "DiffSeg", r"\bottom"]


def test_all_ten_special_characters_of_latex_are_escaped() -> None:
    words = [r"\#", r"\$", r"\%", r"\&", r"\textasciitilde{}", r"\_", r"\textasciicircum{}", r"\textbackslash{}"]
    assert latex_text(TEN) == " ".join([*words, r"\{", r"\}"])
    assert latex_text("a\n b") == "a b"
    assert latex_text("[a]") == "{[}a]", r"an option of the \\ before it"


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no TeX here: apt-get install texlive-latex-base")
def test_tex_typesets_hard_names(tmp_path: Path) -> None:
    table = latex_table(
        NAMES[0], {NAMES[0]: NAMES, "ACC": ["1"] * len(NAMES)}, NAMES[0], 1, NAMES, bold=[(1, NAMES[0])]
    )
    rules = "".join(rf"\let\{name}rule\hline" for name in ("top", "mid", "bottom"))
    booktabs = rf"\IfFileExists{{booktabs.sty}}{{\usepackage{{booktabs}}}}{{{rules}}}"
    head = rf"\documentclass{{article}}{booktabs}\begin{{document}}"
    (tmp_path / "main.tex").write_text(f"{head}\n{table}See \\ref{{tab:-}}.\\end{{document}}\n", encoding="utf-8")
    command = ["pdflatex", "-halt-on-error", "-interaction=nonstopmode", "main.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:]
    assert "Missing character" not in (tmp_path / "main.log").read_text(encoding="latin-1")


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("a|b", r"a\|b"),
        ("`x`\ny", r"\`x\` y"),
        ("C:\\o *x* <b>", r"C:\\o \*x\* \<b>"),
        ("_x_ kmeans_c", r"\_x\_ kmeans_c"),
        ("[a](http://b)", r"[a\](http://b)"),
        ("&amp; a & b ~x $1", r"\&amp; a & b \~x \$1"),
        ("63.0 [60.1, 65.9]", "63.0 [60.1, 65.9]"),
    ],
)
def test_a_cell_of_markdown_shows_its_text(text: str, cell: str) -> None:
    assert markdown_cell(text) == cell
