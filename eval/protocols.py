"""Names of the two ways to match segments with classes; `eval.matching` says what they do. Imports nothing heavy."""

from __future__ import annotations

from typing import Literal, get_args

ProtocolName = Literal["official", "present"]
PROTOCOLS: tuple[ProtocolName, ...] = get_args(ProtocolName)
