"""Pictures and label maps as people see them: a segment has the colour that its class has in the ground truth."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from diffseg.pictures import Pixels
from eval.matching import match_present


def channels_last(channels: NDArray[np.floating]) -> Pixels:
    """``(3, h, w)`` in [0, 255] as ``(h, w, 3)`` uint8."""
    return channels.transpose(1, 2, 0).round().astype(np.uint8)


def class_colours(
    labels: NDArray[np.int64], table: NDArray[np.int64], background: int | None = None
) -> NDArray[np.int64]:
    """Renumbers segments for `diffseg.pictures.colourise`: a matched segment gets the number of its class.

    Args:
        labels: ``(P, P)``, segment of each pixel.
        table: contingency table, from `eval.matching.contingency` for these labels.
        background: class of the data set that may match many segments; None: no such class.

    Returns:
        ``(P, P)``, matched as in protocol ``present``. Unmatched segments are numbered after the classes.
    """
    classes = len(table)
    number = np.arange(classes, classes + labels.max() + 1)
    matched, segments = match_present(table, background)
    number[segments] = matched
    return number[labels]
