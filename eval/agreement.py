"""Scores of one image without matching: agreement of the segments with the ground truth as partitions of the pixels.

All three scores are computed from the contingency table of the image (`eval.matching.contingency`). Void pixels are
left out, and the numbering of segments and classes does not matter. A region of the truth is all pixels of one class.
"""

from __future__ import annotations

from typing import NamedTuple

from eval.regions import IntArray, best_overlaps, conditional_entropies, count_pairs


class Agreement(NamedTuple):
    """The scores of one image; NaN if the image has no labelled pixel.

    Attributes:
        ari: `adjusted_rand_index`, at most 1; 0 is chance.
        voi: `variation_of_information` in bits, at least 0; 0 is a perfect match.
        covering: `covering`, in (0, 1].
    """

    ari: float
    voi: float
    covering: float


def agreement(table: IntArray) -> Agreement:
    """Computes all scores of one image.

    Args:
        table: ``(n_classes, K)``, pixels of each class in each segment (`eval.matching.contingency`).

    >>> import numpy as np
    >>> agreement(np.array([[2, 0], [1, 1]]))  # doctest: +ELLIPSIS
    Agreement(ari=0.0, voi=1.18..., covering=0.58...)
    """
    return Agreement(adjusted_rand_index(table), variation_of_information(table), covering(table))


def adjusted_rand_index(table: IntArray) -> float:
    """Agreement on which pairs of pixels belong together, corrected for chance (Hubert and Arabie 1985).

    It is at most 1. A random partition has an expected value of 0, and a worse one is below 0. The value is 1 if both
    partitions consist of a single region, or both of regions of one pixel. NaN without labelled pixels.

    Args:
        table: ``(n_classes, K)`` pixels of each class in each segment.

    >>> adjusted_rand_index(np.array([[3, 0], [0, 5]]))
    1.0
    """
    pixels = int(table.sum())
    if not pixels:
        return float("nan")
    together = count_pairs(table)
    in_classes, in_segments, pairs = (
        count_pairs(table.sum(axis=1)),
        count_pairs(table.sum(axis=0)),
        pixels * (pixels - 1) // 2,
    )
    # Numerator and denominator are multiplied by 2 * pairs. Python integers are exact: equal partitions give 1.0.
    chance = 2 * in_classes * in_segments
    most = pairs * (in_classes + in_segments)
    return 1.0 if most == chance else (2 * pairs * together - chance) / (most - chance)


def variation_of_information(table: IntArray) -> float:
    """H(class | segment) + H(segment | class) in bits (Meila 2005): 0 for equal partitions; it can exceed 1.

    The first term grows if segments mix classes, the second if classes are split into several segments. NaN without
    labelled pixels.

    Args:
        table: ``(n_classes, K)`` pixels of each class in each segment.

    >>> variation_of_information(np.array([[2, 2]]))  # one class, cut into halves: one bit
    1.0
    """
    return sum(conditional_entropies(table)) if table.any() else float("nan")


def covering(table: IntArray) -> float:
    """Segmentation covering of the truth by the segments (Arbelaez et al. 2011, Section 3.1.3), in (0, 1].

    For each class of the image it takes the best intersection over union with a segment. The result is the mean over
    the classes, weighted by their pixels. Several classes may choose the same segment. NaN without labelled pixels.

    Args:
        table: ``(n_classes, K)`` pixels of each class in each segment.

    >>> covering(np.array([[4, 0], [2, 2]]))  # 4/6 for four pixels, 2/4 for the other four
    0.5833333333333333
    """
    pixels = table.sum()
    return float(table.sum(axis=1) @ best_overlaps(table) / pixels) if pixels else float("nan")
