"""Hashes and compares the settings of rows."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any, TypeGuard

KEY_DIGITS = 16  # of a sha256 in hex: 64 bits, far more than the rows of any run need


def row_key(settings: Mapping[str, Any]) -> str:
    """Key of a row in the records: the first 16 hex digits of the sha256 of its settings as canonical JSON.

    The order of the settings does not matter. Tuples equal lists, and 1.0 equals 1.

    Raises:
        ValueError: a number is NaN or infinite.
    """
    canonical = json.dumps(normalise(settings), sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:KEY_DIGITS]


def normalise(value: Any) -> Any:
    """Converts settings to a canonical form: string keys, lists, whole floats as integers."""
    if isinstance(value, Mapping):
        return {str(key): normalise(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [normalise(item) for item in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """The changes between two settings, one line each and sorted by name, such as ``segmenter.tau: 0.3 -> 0.4``."""
    before, after = (
        {name: value if isinstance(value, str) else json.dumps(value) for name, value in leaves(normalise(settings))}
        for settings in (old, new)
    )
    names = sorted({*before, *after})
    changes = [(name, before.get(name, "(not set)"), after.get(name, "(not set)")) for name in names]
    return [f"{name}: {first} -> {second}" for name, first, second in changes if first != second]


def of_method(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Path -> value of the settings without the name of the experiment and the code of parts."""
    values = leaves(normalise(settings))
    return {path: value for path, value in values if path != "experiment" and not path.endswith(".code")}


def is_number(value: Any) -> TypeGuard[float]:
    """True for a number that can be a place on an axis."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def leaves(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yields the path of each value, such as ``segmenter.tau``, and the value."""
    for key, value in settings.items():
        if isinstance(value, Mapping) and value:
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value
