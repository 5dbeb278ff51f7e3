"""Allowed values of settings, for functions and command lines. Imports no torch."""

from __future__ import annotations

from typing import Final, Literal, get_args

Scheme = Literal["official", "paper", "paper_normalised"]
"""Scheme of the aggregation, see `diffseg.aggregation.aggregate`."""

SINGLE_SIDE: Final = {"finest": 1, "half": 2, "quarter": 4, "eighth": 8}
"""Name of a single side -> the finest side divided by that side."""

DEFAULT_SCHEME: Final = "official"
DEFAULT_WEIGHTS: Final = "proportional"

Weights = Literal["proportional", "finest", "half", "quarter", "eighth"]
"""Name of a weighting of the sides, see `diffseg.aggregation.side_weights`. Numbers are allowed, too."""

WEIGHTS: Final = get_args(Weights)

Vote = Literal["majority", "median", "mean"]
"""Rule by which a segment chooses its noun, see `diffseg.labelling.naming.vote`."""

DEFAULT_VOTE: Final = "majority"
