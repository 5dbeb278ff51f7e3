"""The settings of a row: its key in the records, and what sets two of them apart."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

KEY_DIGITS = 16  # of a sha256 in hex: 64 bits, far more than the rows of any run need


def row_key(settings: Mapping[str, Any]) -> str:
    """Name of a row in the records: the first 16 hex digits of the sha256 of its settings as canonical JSON.

    The order of keys does not matter, a tuple is a list, and a whole number has one form: 1.0 counts as 1.

    Raises:
        ValueError: a number is NaN or infinite.
    """
    canonical = json.dumps(normalise(settings), sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:KEY_DIGITS]


def normalise(value: Any) -> Any:
    """Settings in the one form that equal settings share: string keys, lists, whole floats as integers."""
    if isinstance(value, Mapping):
        return {str(key): normalise(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [normalise(item) for item in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """What changed between two settings, a line each, such as ``segmenter.tau: 0.3 -> 0.4``, sorted by name."""
    before, after = dict(_leaves(normalise(old))), dict(_leaves(normalise(new)))
    return [
        f"{name}: {_shown(before, name)} -> {_shown(after, name)}"
        for name in sorted(before.keys() | after.keys())
        if _shown(before, name) != _shown(after, name)
    ]


def _leaves(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in settings.items():
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def _shown(leaves: Mapping[str, Any], name: str) -> str:
    if name not in leaves:
        return "(not set)"
    value = leaves[name]
    return value if isinstance(value, str) else json.dumps(value)
