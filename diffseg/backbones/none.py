"""No network: for segmenters that look at the picture alone, or read label maps from files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Never


@dataclass(frozen=True)
class NoBackbone:
    """Stands for a backbone where none is needed: there are no weights, no attention maps and no pass.

    Attributes:
        size: side P in pixels of the square that is segmented and scored.

    Raises:
        ValueError: a value out of range; the message starts with the field's name.
    """

    path: ClassVar[str] = ""
    sides: ClassVar[tuple[int, ...]] = ()
    tuned: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    fingerprint: ClassVar[str] = ""

    size: int = 512

    def __post_init__(self) -> None:
        if self.size < 1:
            raise ValueError(f"size: must be at least 1 pixel, got {self.size}")

    @property
    def encoder(self) -> tuple[str, int]:
        """Rows of one size share the decoded pictures."""
        return "none", self.size

    def check(self) -> None:
        """Nothing can be missing."""

    def load(self, device: str = "auto") -> Never:
        """Raises ValueError: there is no model, so a run must not ask for one."""
        raise ValueError("backbone=none has no model to load")
