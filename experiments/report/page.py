"""Renders the HTML pages of reports and leaderboards: one template, one style, one script.

A page contains everything that it shows and opens from disk. Its content security policy forbids network access.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

FILES = Path(__file__).with_name("page")
NUMBER = re.compile(r"[+-]?\d[\d,]*(\.\d+)?")
EMPTY = ("", "-")


@dataclass(frozen=True)
class Table:
    """A table whose columns can be sorted.

    Attributes:
        name: heading above it, and its name for screen readers.
        cells: (heading of a group of columns, heading) -> texts of the rows; the first column names the rows.
        marks: class of each row in the style: ``ours``, ``partial`` or "".
        protocol: shown only while this protocol is chosen; "": always.
        percent: numbers in groups of columns are from 0 to 100, and colour their cells.
        notes: sentences below it.
    """

    name: str
    cells: Mapping[tuple[str, str], Sequence[str]]
    marks: Sequence[str] = ()
    protocol: str = ""
    percent: bool = False
    notes: Sequence[str] = ()

    @property
    def groups(self) -> list[tuple[str, int]]:
        """(common heading, number of its columns) in order; empty without groups."""
        groups = [(name, len(list(columns))) for name, columns in groupby(name for name, _ in self.cells)]
        return groups if any(name for name, _ in groups) else []

    @property
    def numbers(self) -> list[bool]:
        """For each column, True if its cells begin with a number or are empty. False for the first column."""
        columns = list(self.cells.values())
        return [False, *(all(text in EMPTY or NUMBER.match(text) for text in column) for column in columns[1:])]


@dataclass(frozen=True)
class Section:
    """A section of a page: heading, paragraphs, tables and plots (name -> data URI)."""

    heading: str
    paragraphs: Sequence[str] = ()
    tables: Sequence[Table] = ()
    plots: Mapping[str, str] = field(default_factory=dict)


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
    environment.filters["number"] = _number
    environment.globals["zip"] = zip
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


def _number(text: str) -> str:
    """The number with which a cell begins, by which its column is sorted; "" without one."""
    number = NUMBER.match(text)
    return number[0].replace(",", "") if number else ""
