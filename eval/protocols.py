"""Names of the protocols, and the truth that each compares segments with. Imports no torch.

A protocol outside this project is a function, see `imported_protocol`. Its name is its dotted path, such as
``my_module.many_to_one``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pkgutil import resolve_name
from typing import Any

ProtocolName = str
"""A name of `ALL_PROTOCOLS`, or the dotted path of a function."""

PROTOCOLS: tuple[ProtocolName, ...] = ("official", "present")
"""Protocols that match segments with classes within each image."""

SET_PROTOCOLS: tuple[ProtocolName, ...] = ("dataset", "dataset_all")
"""Protocols that match label numbers with classes once for all images."""

REGION_PROTOCOLS: tuple[ProtocolName, ...] = ("regions", "boundaries")
"""Protocols that compare segments with people's segmentations, without classes."""

INSTANCES: ProtocolName = "instances"
"""The protocol that compares segments with objects."""

ALL_PROTOCOLS: tuple[ProtocolName, ...] = (*PROTOCOLS, *SET_PROTOCOLS, *REGION_PROTOCOLS, INSTANCES)
"""All protocols of this project."""


def needs_classes(name: ProtocolName) -> bool:
    """True if a protocol matches segments with classes."""
    return name not in (*REGION_PROTOCOLS, INSTANCES)


def truths_of(names: Iterable[ProtocolName]) -> frozenset[str]:
    """The kinds of truth that protocols need: ``classes``, ``people``, ``boundaries``, ``instances``."""
    other = {"regions": "people", "boundaries": "boundaries", INSTANCES: "instances"}
    return frozenset(other.get(name, "classes") for name in names)


def within_image(name: ProtocolName) -> bool:
    """True if a protocol matches segments with classes within each image."""
    if name in ALL_PROTOCOLS:
        return name in PROTOCOLS
    return not getattr(imported_protocol(name), "needs_set", False)


def matched_once(names: Iterable[ProtocolName]) -> list[ProtocolName]:
    """Those of some protocols that match label numbers with classes once for all images."""
    return [name for name in names if needs_classes(name) and not within_image(name)]


def check_protocol(name: ProtocolName) -> None:
    """Raises ValueError for an unknown protocol."""
    if name not in ALL_PROTOCOLS:
        imported_protocol(name)


def imported_protocol(name: ProtocolName) -> Callable[..., Any]:
    """Imports the function of a protocol outside this project.

    Args:
        name: its dotted path.

    Returns:
        A function of the contingency table ``(n_classes, K)`` int64 of one image and of the background class or None.
        It returns the matched classes and their segments, ``(m,)`` int64 each, pair by pair. A segment may be in one
        pair at most. A function with the attribute ``needs_set = True`` takes the list of the tables of all images
        instead, whose columns are the same label numbers in each, and returns one match for all.

    Raises:
        ValueError: the function cannot be imported, or is not callable.
    """
    known = f"must be one of {', '.join(ALL_PROTOCOLS)}, or the dotted path of a function, got {name!r}"
    if "." not in name:
        raise ValueError(known)
    try:
        function = resolve_name(name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(f"{known} ({error}); is its folder on PYTHONPATH?") from None
    if not callable(function):
        raise ValueError(f"{known} (it is not a function)")
    return function
