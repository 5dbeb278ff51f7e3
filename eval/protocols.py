"""Names of the protocols, which match segments with classes; `eval.scores` explains them. Imports no torch.

A protocol outside this project is a function of the contingency table of an image, see `imported_protocol`. Its name
is its dotted path, such as ``my_module.many_to_one``.
"""

from __future__ import annotations

from collections.abc import Callable
from pkgutil import resolve_name
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Matching = Callable[[NDArray[np.int64], int | None], tuple[NDArray[np.int64], NDArray[np.int64]]]

ProtocolName = str
"""A name of `ALL_PROTOCOLS`, or the dotted path of a function."""

PROTOCOLS: tuple[ProtocolName, ...] = ("official", "present")
"""Protocols of this project that match within each image."""

ALL_PROTOCOLS: tuple[ProtocolName, ...] = (*PROTOCOLS, "dataset")
"""All protocols of this project. ``dataset`` matches once for all images."""


def within_image(name: ProtocolName) -> bool:
    """True if a protocol matches segments within each image."""
    return name != "dataset"


def check_protocol(name: ProtocolName) -> None:
    """Raises ValueError for an unknown protocol."""
    if name not in ALL_PROTOCOLS:
        imported_protocol(name)


def imported_protocol(name: ProtocolName) -> Matching:
    """Imports the function of a protocol outside this project.

    Args:
        name: its dotted path.

    Returns:
        A function of the contingency table ``(n_classes, K)`` int64 of one image (`eval.matching.contingency`) and of
        the background class or None. It returns the matched classes and their segments, ``(m,)`` int64 each, pair by
        pair. A segment may be in one pair at most.

    Raises:
        ValueError: the function cannot be imported, or is not callable.
    """
    known = f"must be one of {', '.join(ALL_PROTOCOLS)}, or the dotted path of a function, got {name!r}"
    if "." not in name:
        raise ValueError(known)
    try:
        function = resolve_name(name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(f"{known} ({error})") from None
    if not callable(function):
        raise ValueError(f"{known} (it is not a function)")
    return function
