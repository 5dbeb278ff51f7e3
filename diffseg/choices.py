"""Allowed values of settings, for functions and command lines. Imports no torch."""

from __future__ import annotations

from typing import Any, Final, Literal, get_args

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


def check_choices(**given: tuple[Any, Any]) -> None:
    """Checks arguments that have a few allowed values.

    Args:
        given: name of the argument -> its value, and the `Literal` type of the allowed values.

    Raises:
        ValueError: a value is not allowed.
    """
    for name, (value, allowed) in given.items():
        if value not in get_args(allowed):
            raise ValueError(f"{name}: must be one of {', '.join(get_args(allowed))}, got {value!r}")
