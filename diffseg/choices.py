"""Values that a setting may have, for the functions that take them and for the command line. Imports no torch."""

from __future__ import annotations

from typing import Final, Literal

Scheme = Literal["official", "paper", "paper_normalised"]
"""How attention maps of several sides are aggregated, see `diffseg.aggregation`."""

SINGLE_SIDE: Final = {"finest": 1, "half": 2, "quarter": 4, "eighth": 8}
"""Names of one side alone -> the finest side divided by it."""

WEIGHTS: Final = ("proportional", *SINGLE_SIDE)
"""Names of weights of the sides; numbers are possible, too."""

Vote = Literal["majority", "median", "mean"]
"""How a segment chooses its noun, see `diffseg.labelling.naming`."""
