"""``backbone=none``, for segmenters that read only the picture, or label maps from files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Never


@dataclass(frozen=True)
class NoBackbone:
    """A backbone without weights or attention, for segmenters that need none.

    Attributes:
        size: side P in pixels of the square that is segmented and scored.

    Raises:
        ValueError: ``size`` is below 1.
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
        """Does nothing: there are no weights."""

    def load(self, device: str = "auto") -> Never:
        """Always raises ValueError, because there is no model."""
        raise ValueError("backbone=none has no model to load")
