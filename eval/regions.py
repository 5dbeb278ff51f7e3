"""Regions of a segmentation compared with those of several people (Arbelaez et al., TPAMI 2011, Section 3.1).

Everything is computed from contingency tables, ``(regions, segments)`` int64: the pixels that a region of a person and
a segment have in common. A table may have empty rows and columns. The numbering of regions and segments does not
matter.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from scipy.sparse import csr_array

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]

VOID = -1
"""Region of a pixel that is not compared."""

SPREAD = 4096
"""Segments with larger numbers are numbered anew before they are counted, which is slower but bounds the memory."""


@dataclass(frozen=True, eq=False)
class Overlay:
    """The regions of several people laid over each other. One pass over the pixels then counts the tables of all.

    Attributes:
        cells: piece of the overlay at each pixel, ``(pixels,)`` int64 from 0. Each region is a union of pieces.
        members: for each person, which pieces lie in which region, ``(regions, pieces)`` of 0 and 1.
    """

    cells: IntArray
    members: Sequence[csr_array]

    @classmethod
    def of(cls, people: Sequence[NDArray[np.integer]]) -> Self:
        """Lays the regions of people over each other.

        Args:
            people: region of each pixel, ``(h, w)`` integers from 0, or `VOID`; at least one person.
        """
        from scipy.sparse import csr_array  # takes a while to import, and few commands need it

        flat = [regions.reshape(-1).astype(np.int64) for regions in people]
        cells = np.zeros_like(flat[0])
        for regions in flat:
            joined = cells * (regions.max() - VOID + 1) + (regions - VOID)
            _, first, cells = np.unique(joined, return_index=True, return_inverse=True)
        members = []
        for regions in flat:
            region = regions[first]
            inside = np.flatnonzero(region != VOID)
            ones = np.ones(len(inside), np.int64)
            members.append(csr_array((ones, (region[inside], inside)), shape=(regions.max() + 1, len(first))))
        return cls(cells, members)

    def tables(self, labels: NDArray[np.integer]) -> tuple[IntArray, list[IntArray]]:
        """Contingency tables of a segmentation.

        Args:
            labels: segment of each pixel, ``(h, w)`` integers; negative: in no segment.

        Returns:
            The numbers of the segments, sorted, ``(segments,)``, -1 for pixels in no segment; and each person's table,
            ``(regions, segments)``.
        """
        segments = np.maximum(labels.reshape(-1).astype(np.int64), -1) + 1
        numbers = np.arange(segments.max() + 1)
        if len(numbers) > SPREAD:
            numbers, segments = np.unique(segments, return_inverse=True)
        pieces, count = self.members[0].shape[1], len(numbers)
        joint = np.bincount(self.cells * count + segments, minlength=pieces * count).reshape(pieces, count)
        present = joint.any(axis=0)
        return numbers[present] - 1, [members @ joint[:, present] for members in self.members]


def connected_regions(label: NDArray[np.integer]) -> NDArray[np.int32]:
    """Splits the classes of a label map into connected parts (4 neighbours), the regions of a data set with classes.

    Args:
        label: class of each pixel, ``(h, w)`` integers; negative: void.

    Returns:
        ``(h, w)`` int32: regions from 0, or `VOID`.
    """
    from skimage.measure import label as connected_parts  # takes a second to import

    return connected_parts(np.maximum(label, VOID), background=VOID, connectivity=1).astype(np.int32) - 1


@dataclass(frozen=True, eq=False)
class RegionScores:
    """Scores of one segmentation of one picture against all its people.

    Attributes:
        areas: pixels of each region, ``(regions,)`` int64; the regions of all people, one person after the other.
        overlaps: `best_overlaps` of these regions, ``(regions,)`` float64 in [0, 1].
        pri: probabilistic Rand index: mean of `rand_index` over the people.
        voi_over: H(segments | regions) in bits, mean over the people. It grows if regions are split.
        voi_under: H(regions | segments) in bits, mean over the people. It grows if segments mix regions.
    """

    areas: IntArray
    overlaps: FloatArray
    pri: float
    voi_over: float
    voi_under: float

    @property
    def covering(self) -> float:
        """Covering of the regions of all people, weighted by area, in [0, 1]."""
        return pooled_covering([self])

    @property
    def voi(self) -> float:
        """Variation of information in bits, mean over the people."""
        return self.voi_over + self.voi_under


def compare_regions(tables: Sequence[IntArray]) -> RegionScores:
    """Scores of one segmentation of one picture.

    Args:
        tables: contingency table with each person's regions; at least one, each with at least one pixel.

    >>> compare_regions([np.array([[4, 0], [2, 2]])]).covering  # 4/6 of four pixels, 2/4 of the other four
    0.5833333333333333
    """
    entropies = [conditional_entropies(table) for table in tables]
    return RegionScores(
        areas=np.concatenate([table.sum(axis=1) for table in tables]),
        overlaps=np.concatenate([best_overlaps(table) for table in tables]),
        pri=float(np.mean([rand_index(table) for table in tables])),
        voi_over=float(np.mean([over for over, _ in entropies])),
        voi_under=float(np.mean([under for _, under in entropies])),
    )


def best_overlaps(table: IntArray) -> FloatArray:
    """For each region the best intersection over union with a segment, ``(regions,)`` in [0, 1]; empty ones get 0.

    Several regions may choose the same segment.

    Args:
        table: contingency table.
    """
    union = table.sum(axis=1, keepdims=True) + table.sum(axis=0) - table
    return np.divide(table, union, out=np.zeros(table.shape), where=union > 0).max(axis=1, initial=0)


def rand_index(table: IntArray) -> float:
    """Share of the pixel pairs on which both partitions agree: together in both, or apart in both. Not adjusted.

    Computed with integers, so equal partitions give exactly 1. A single pixel gives 1.

    Args:
        table: contingency table with at least one pixel.
    """
    pixels = int(table.sum())
    together = count_pairs(table)
    disagree = count_pairs(table.sum(axis=0)) + count_pairs(table.sum(axis=1)) - 2 * together
    pairs = pixels * (pixels - 1) // 2
    return (pairs - disagree) / pairs if pairs else 1.0


def conditional_entropies(table: IntArray) -> tuple[float, float]:
    """H(segments | regions) and H(regions | segments) in bits, at least 0. Their sum is the variation of information.

    Args:
        table: contingency table with at least one pixel.
    """
    cells = table / table.sum()
    joint = _entropy(cells)
    # Rounding can give -1e-16 for equal partitions.
    over, under = (max(0.0, joint - _entropy(cells.sum(axis=axis))) for axis in (1, 0))
    return over, under


def pooled_covering(scores: Sequence[RegionScores]) -> float:
    """Covering of the regions of all people of all pictures, weighted by area, in [0, 1]. No mean over pictures."""
    covered = sum(float(each.areas @ each.overlaps) for each in scores)
    return covered / sum(int(each.areas.sum()) for each in scores)


def count_pairs(counts: IntArray) -> int:
    """Number of pixel pairs within the same cell. A Python integer, because products of such numbers exceed 2**63.

    Args:
        counts: pixels of each cell, int64 of any shape.
    """
    return int((counts * (counts - 1)).sum()) // 2


def _entropy(shares: FloatArray) -> float:
    """Entropy in bits of shares that sum to 1, with 0 log 0 = 0."""
    shares = shares[shares > 0]
    return float(-(shares * np.log2(shares)).sum())
