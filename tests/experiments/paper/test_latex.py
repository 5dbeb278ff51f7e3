"""Tables for LaTeX: escaped texts, columns and rules."""

from __future__ import annotations

import pytest

from experiments.paper.latex import latex_table

COLUMNS = {"method & k": ["K-Means ±", "DiffSeg_1"], "ACC %": ["60", "70 Δ"], "note": ["#1", "†"]}


def test_every_text_is_escaped() -> None:
    assert latex_table("100 % & more", COLUMNS, 0, ["50 $"], texts=2).splitlines() == [
        r"% needs \usepackage{booktabs}",
        r"\begin{table}\small",
        r"\caption{100 \% \& more}",
        r"\begin{tabular}{llr}",
        r"\toprule",
        r"method \& k & ACC \% & note \\",
        r"\midrule",
        r"K-Means $\pm$ & 60 & \#1 \\",
        r"DiffSeg\_1 & 70 $\Delta$ & $^\dagger$ \\",
        r"\bottomrule",
        r"\end{tabular}",
        r"\par\footnotesize 50 \$",
        r"\end{table}",
    ]


@pytest.mark.parametrize(("above", "rules"), [(0, 1), (1, 2), (2, 1)])
def test_a_rule_stands_between_rows_only(above: int, rules: int) -> None:
    lines = latex_table("", COLUMNS, above).splitlines()
    assert lines.count(r"\midrule") == rules
    if rules == 2:
        assert [line[:7] for line in lines[6:11]] == [r"\midrul", "K-Means", r"\midrul", "DiffSeg", r"\bottom"]
