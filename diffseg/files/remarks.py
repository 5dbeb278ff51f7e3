"""Remarks about files that can be read but may not be what the user means. A run says each kind once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple


class Remark(NamedTuple):
    """A remark about one picture.

    Attributes:
        kind: what is the matter and what to do; the same text for all pictures, so that a run can count them.
        detail: numbers of this picture.
    """

    kind: str
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.kind} ({self.detail})" if self.detail else self.kind


def remark_lines(source: str, remarks: Mapping[str, Iterable[Remark]]) -> list[str]:
    """A line for each kind of remark, which begins with ``source``, a data set or folder. ``remarks`` has all ids.

    >>> remark_lines("folder", {"a": [Remark("almost black", "brightest 15 of 255")], "b": []})
    ['folder: 1 of 2 pictures: almost black (the first: a, brightest 15 of 255)']
    """
    by_kind: dict[str, dict[str, Remark]] = {}
    for id, of_picture in remarks.items():
        for remark in of_picture:
            by_kind.setdefault(remark.kind, {}).setdefault(id, remark)
    lines = []
    for kind, pictures in by_kind.items():
        first, remark = next(iter(pictures.items()))
        example = f"{first}, {remark.detail}" if remark.detail else first
        lines.append(f"{source}: {len(pictures):,} of {len(remarks):,} pictures: {kind} (the first: {example})")
    return lines
