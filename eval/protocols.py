"""Names of the ways to match segments with classes; `eval.scores` says what they do. Imports nothing heavy."""

from __future__ import annotations

from typing import Literal, get_args

ProtocolName = Literal["official", "present", "dataset"]
ALL_PROTOCOLS: tuple[ProtocolName, ...] = get_args(ProtocolName)

PROTOCOLS: tuple[ProtocolName, ...] = ("official", "present")
"""Those that match within each image; ``dataset`` matches once for all images."""
