"""Writes a comparison: text for the terminal and Markdown, and a LaTeX table that fits a column."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from eval.config import ConfigError
from eval.results.columns import BITS
from eval.results.latex import latex_table
from eval.results.markdown import caption, fixed, pipe_table, with_interval
from experiments.compare.comparing import WITHOUT_CLASSES
from experiments.published import published_rows

HEADINGS = {"acc": "ACC", "miou": "mIoU", "ari": "ARI", "voi": "VoI"}
LOWER_IS_BETTER = BITS
SIGNIFICANT = 0.05
FEW_PICTURES = 20
"""Below this number of pictures the text warns: on noise of 8 pictures, 11 % of the p are at most 0.05 (measured)."""
NOTE = (
    "Differences with paired 95 % bootstrap intervals over the pictures that both rows evaluated; p: two-sided, "
    "bootstrap; Holm: p corrected over the rows, for each score and protocol apart."
)


def text_of(table: pd.DataFrame) -> str:
    """The comparison as Markdown whose columns also line up in a terminal, one table for each protocol.

    Args:
        table: from `experiments.compare.comparing.compare_rows`.
    """
    blocks = [f"Compared with {table['to'].iloc[0]}. {NOTE}"]
    for protocol, lines in table.groupby("protocol", sort=False):
        heading = "Without matching" if protocol == WITHOUT_CLASSES else caption(str(protocol))
        blocks.append(f"{heading}\n\n{pipe_table(_cells(lines))}")
    if (fewest := int(table["pictures"].min())) < FEW_PICTURES:
        blocks.append(
            f"Over {fewest} pictures: intervals and p are coarse, and a bootstrap p is too small on few pictures."
        )
    return "\n\n".join(block.rstrip("\n") for block in blocks) + "\n"


def _heading(protocol: str, score: str) -> str:
    """Heading of a score. Covering is a mean over the pictures without matching, and pooled over them with regions."""
    return "mean covering" if (protocol, score) == (WITHOUT_CLASSES, "covering") else HEADINGS.get(score, score)


def _cells(lines: pd.DataFrame) -> dict[str, list[str]]:
    """Heading -> cells: a line for each row, three columns for each score."""
    by_row = {(line["row"], line["folder"], line["score"]): line for line in lines.to_dict("records")}
    names = list(dict.fromkeys((row, folder) for row, folder, _ in by_row))
    scores = list(dict.fromkeys(score for _, _, score in by_row))
    several = len({name for name, _ in names}) < len(names)
    columns = {"row": [f"{name} ({folder})" if several else name for name, folder in names]}
    columns["pictures"] = [str(by_row[(*name, scores[0])]["pictures"]) for name in names]
    for score in scores:
        heading, decimals = _heading(lines["protocol"].iloc[0], score), 2 if score in LOWER_IS_BETTER else 1
        own = [by_row[(*name, score)] for name in names]
        columns[heading] = [fixed(row["value"], decimals) for row in own]
        columns[f"Δ {heading} [95 %]"] = [
            with_interval(row["difference"], row["difference_low"], row["difference_high"], "+", decimals)
            for row in own
        ]
        columns[f"p (Holm) {heading}"] = [f"{fixed(row['p'], 4)} ({fixed(row['p_holm'], 4)})" for row in own]
    return columns


def chosen_columns(table: pd.DataFrame, scores: Sequence[str] | None) -> list[tuple[str, str]]:
    """The scores of the LaTeX table.

    Args:
        table: from `experiments.compare.comparing.compare_rows`.
        scores: ``PROTOCOL/SCORE`` or ``SCORE``, such as ``present/miou`` or ``ari``; None: ACC and mIoU of the last
            protocol, or all scores if it has neither.

    Raises:
        ConfigError: the comparison has no such score.
    """
    known = list(dict.fromkeys(zip(table["protocol"], table["score"], strict=True)))
    if scores is None:
        protocols = [protocol for protocol, score in known if score == "miou"]
        return [pair for pair in known if not protocols or pair[0] == protocols[-1]]
    chosen: list[tuple[str, str]] = []
    for name in scores:
        protocol, _, score = name.rpartition("/")
        matching = [pair for pair in known if pair[1] == score and protocol in ("", pair[0])]
        if not matching:
            names = ", ".join("/".join(pair) if pair[0] != WITHOUT_CLASSES else pair[1] for pair in known)
            raise ConfigError(f"--columns {name}: no such score; choose from: {names}")
        chosen += matching
    return chosen


def latex_of(
    table: pd.DataFrame, dataset: str, columns: Sequence[tuple[str, str]], published: bool = True, bold: bool = False
) -> str:
    """A LaTeX table that fits a column: scores, and in parentheses their differences from the reference.

    Args:
        table: from `experiments.compare.comparing.compare_rows`.
        dataset: name of the data set, for its published rows.
        columns: from `chosen_columns`.
        published: add published rows of the data set, if they have one of the scores.
        bold: print the best value of each column in bold face.
    """
    reference = table["to"].iloc[0]
    keys = ("row", "folder", "protocol", "score")
    lines = {tuple(line[key] for key in keys): line for line in table.to_dict("records")}
    names = list(dict.fromkeys(key[:2] for key in lines))
    others = _published(dataset, columns if published else [])
    cells: dict[str, list[str]] = {"method": list(others["method"])}
    cells["method"] += [reference, *(name for name, _ in names)]
    best = []
    for protocol, score in columns:
        heading = _heading(protocol, score) + (f" {protocol}" if protocol != WITHOUT_CLASSES else "")
        decimals = 2 if score in LOWER_IS_BETTER else 1
        own = [lines[(*name, protocol, score)] for name in names]
        values = [*(others[f"{protocol}/{score}"] if published else []), own[0]["reference"]]
        values += [row["value"] for row in own]
        texts = [fixed(value, decimals) for value in values[: len(values) - len(own)]]
        for row in own:
            mark = "*" if row["p_holm"] < SIGNIFICANT else ""
            texts.append(f"{fixed(row['value'], decimals)} ({fixed(row['difference'], decimals, '+')}{mark})")
        cells[heading] = texts
        if bold and not np.isnan(values).all():
            place = np.nanargmin(values) if score in LOWER_IS_BETTER else np.nanargmax(values)
            best.append((int(place), heading))
    text = f"{dataset}: in parentheses the difference from {reference}; *: p < {SIGNIFICANT} after Holm's correction."
    return latex_table(text, cells, f"compare-{dataset}", len(others), bold=best)


def _published(dataset: str, columns: Sequence[tuple[str, str]]) -> pd.DataFrame:
    """Published rows with at least one of the scores: ``method``, and a column for each ``PROTOCOL/SCORE``."""
    rows = published_rows(dataset)
    table = pd.DataFrame({"method": rows["method"]})
    for protocol, score in columns:
        known = rows[score] if score in rows else pd.Series(np.nan, rows.index)
        table[f"{protocol}/{score}"] = known.where(rows["protocol"] == protocol)
    return table.dropna(how="all", subset=[name for name in table if name != "method"])
