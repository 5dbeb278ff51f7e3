"""Tells releases of the libraries apart. Imports none of them."""

from __future__ import annotations

import re
from importlib.metadata import version

DTYPE_SINCE = (4, 56)
"""First release of transformers that calls the dtype of weights ``dtype`` (before: ``torch_dtype``), and has DINOv3."""


def release_of(package: str) -> tuple[int, ...]:
    """First two numbers of the installed release of a package.

    >>> release_of("transformers") >= (4, 51)
    True
    """
    return tuple(int(number) for number in re.findall(r"\d+", version(package))[:2])
