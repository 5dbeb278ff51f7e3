"""``backbone=none``, for segmenters that read only the picture, or label maps from files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Never

from annotated_types import Ge
from pydantic import Field

from diffseg.limits import Checked


@dataclass(frozen=True)
class NoBackbone(Checked):
    """A backbone without weights or attention, for segmenters that need none."""

    path: ClassVar[str] = ""
    sides: ClassVar[tuple[int, ...]] = ()
    tuned: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    fingerprint: ClassVar[str] = ""

    size: Annotated[int, Ge(1), Field(description="side in pixels of the square that is segmented and scored")] = 512

    @property
    def encoder(self) -> tuple[str, int]:
        """Rows of one size share the decoded pictures."""
        return "none", self.size

    @property
    def pass_settings(self) -> None:
        """There is no pass."""

    def check(self) -> None:
        """Does nothing: there are no weights."""

    def load(self, device: str = "auto") -> Never:
        """Always raises ValueError, because there is no model."""
        raise ValueError("backbone=none has no model to load")
