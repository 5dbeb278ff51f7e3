"""Allowed values of settings, for functions and command lines. Imports no torch."""

from __future__ import annotations

from typing import Final, Literal

Scheme = Literal["official", "paper", "paper_normalised"]
"""Scheme of the aggregation, see `diffseg.aggregation.aggregate`."""

SINGLE_SIDE: Final = {"finest": 1, "half": 2, "quarter": 4, "eighth": 8}
"""Name of a single side -> the finest side divided by that side."""

DEFAULT_SCHEME: Final = "official"
DEFAULT_WEIGHTS: Final = "proportional"

WEIGHTS: Final = ("proportional", *SINGLE_SIDE)
"""Names of weightings of the sides. Numbers are allowed, too."""

Vote = Literal["majority", "median", "mean"]
"""Rule by which a segment chooses its noun, see `diffseg.labelling.naming.vote`."""

DEFAULT_VOTE: Final = "majority"
