"""The colours of a segmentation beside its ground truth: agreement shows, since a segment takes its class's colour."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from eval.matching import match_present


def class_colours(
    labels: NDArray[np.int64], table: NDArray[np.int64], background: int | None = None
) -> NDArray[np.int64]:
    """Renumbers segments for `diffseg.pictures.colourise`: the class each is matched with, else one that no class has.

    Args:
        labels: ``(P, P)``, segment of each pixel.
        table: what `eval.matching.contingency` returns for them.
        background: of the data set; it may take many segments.

    Returns:
        ``(P, P)``: matched as in score ``present``; the other segments count on from the number of classes.
    """
    classes = len(table)
    number = np.arange(classes, classes + labels.max() + 1)
    matched, segments = match_present(table, background)
    number[segments] = matched
    return number[labels]
