"""Renders the HTML pages of reports and leaderboards: one template, one style, one script, and tables as data.

A page contains everything that it shows and opens from disk. Its content security policy forbids network access.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from eval.results.markdown import fixed

FILES = Path(__file__).with_name("page")


@dataclass(frozen=True)
class Cell:
    """A cell of a table.

    Attributes:
        text: its text.
        value: number by which its column is sorted; None: the text.
        small: a second line in small letters.
        bar: lower end, value and upper end of an interval from 0 to 100, drawn as a bar.
        heat: number from 0 to 100 that colours the cell.
        swatch: ``#rrggbb`` before the text.
        title: shown when the pointer rests on the cell.
    """

    text: str
    value: float | None = None
    small: str = ""
    bar: tuple[float, float, float] | None = None
    heat: float | None = None
    swatch: str = ""
    title: str = ""


@dataclass(frozen=True)
class Column:
    """A column of a table: heading, the common heading of a group of columns, and an explanation."""

    heading: str
    group: str = ""
    number: bool = True
    title: str = ""


@dataclass(frozen=True)
class Table:
    """A table whose columns can be sorted.

    Attributes:
        name: says what it shows, for screen readers.
        columns: the columns; the first names the rows.
        rows: cells, one for each column.
        marks: class of each row in the style: ``ours``, ``partial`` or "".
        protocol: shown only while this protocol is chosen; "": always.
        heading: heading above it.
        notes: sentences below it.
    """

    name: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]
    marks: Sequence[str] = ()
    protocol: str = ""
    heading: str = ""
    notes: Sequence[str] = ()

    @property
    def groups(self) -> list[tuple[str, int]]:
        """(common heading, number of its columns) in order; empty without groups."""
        groups: list[tuple[str, int]] = []
        for column in self.columns:
            if groups and groups[-1][0] == column.group:
                groups[-1] = (column.group, groups[-1][1] + 1)
            else:
                groups.append((column.group, 1))
        return groups if any(name for name, _ in groups) else []


@dataclass(frozen=True)
class Section:
    """A section of a page: heading, paragraphs, tables and plots (name -> data URI)."""

    heading: str
    paragraphs: Sequence[str] = ()
    tables: Sequence[Table] = ()
    plots: Mapping[str, str] = field(default_factory=dict)


def score_cell(value: float, low: float = float("nan"), high: float = float("nan"), decimals: int = 1) -> Cell:
    """A score with its interval below it; a score in percent has a bar. Empty for NaN."""
    if pd.isna(value):
        return Cell("", float("nan"))
    if pd.isna(low):
        return Cell(fixed(value, decimals), value)
    bar = (low, value, high) if decimals == 1 else None
    return Cell(fixed(value, decimals), value, f"{fixed(low, decimals)}, {fixed(high, decimals)}", bar)


def render(title: str, sections: Sequence[Section], **more: Any) -> str:
    """Renders a page. Every text is escaped.

    Args:
        title: title and first heading.
        sections: its sections.
        more: what only reports have: ``facts``, ``made_with``, ``failures``, ``protocols`` and ``gallery``.
    """
    script = (FILES / "page.js").read_text(encoding="utf-8")
    environment = Environment(
        loader=FileSystemLoader(FILES), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["fixed"] = fixed
    nothing: dict[str, Any] = {"facts": {}, "made_with": (), "failures": (), "protocols": {}, "gallery": None}
    return environment.get_template("page.html").render(
        title=title,
        sections=sections,
        style=Markup((FILES / "page.css").read_text(encoding="utf-8")),
        script=Markup(script),
        # The page's policy runs only the script with this hash, so a script hidden in a result cannot run.
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        **{**nothing, **more},
    )
