"""Segments compared with a truth as partitions of the pixels: nothing is matched, and the label numbers do not count.

A truth has regions: the regions that each of several people drew (Arbelaez et al., TPAMI 2011, Section 3.1), or all
pixels of each class. All scores are computed from contingency tables of regions and segments; pixels in no segment are
left out. A table may have empty rows and columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import NDArray

from eval.contingency import Block, IntArray, add_up, blocks
from eval.records import SparseTable

if TYPE_CHECKING:
    from scipy.sparse import csr_array

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


class Overlaps:
    """Agreement of regions and segments in each of several tables.

    Attributes:
        areas: pixels of each region, ``(regions,)`` int64; the regions of all tables, one table after the other.
        overlaps: best intersection over union of each region with a segment, ``(regions,)`` float64; empty ones have 0.
            Several regions may choose the same segment.
        covering: mean of ``overlaps`` weighted by ``areas`` (Arbelaez et al. 2011, Section 3.1.3), ``(tables,)``, in
            (0, 1], as all following ones NaN for a table without a pixel.
        split: H(segments | regions) in bits, ``(tables,)``: it grows if regions are split into several segments.
        mixed: H(regions | segments) in bits, ``(tables,)``: it grows if segments mix regions.
        rand: share of the pixel pairs on which both partitions agree, together in both or apart in both, ``(tables,)``.
        ari: `adjusted_rand_index`, ``(tables,)``.
    """

    def __init__(self, block: Block) -> None:
        inside = block.number[block.segment] >= 0
        table, segment, pixels = block.table[inside], block.segment[inside], block.pixels[inside]
        count, regions = len(block.tables), [table.classes for table in block.tables]
        region = block.row[inside] + np.cumsum([0, *regions[:-1]])[table]
        self.areas = add_up(region, pixels, sum(regions))
        sizes = add_up(segment, pixels, len(block.number))
        total = add_up(table, pixels, count)
        area, size = self.areas[region], sizes[segment]
        self.overlaps = np.zeros(len(self.areas))
        np.maximum.at(self.overlaps, region, pixels / (area + size - pixels))
        table_of_region = np.repeat(np.arange(count), regions)

        with np.errstate(invalid="ignore"):  # 0 / 0 without a pixel
            self.covering = np.bincount(table_of_region, self.areas * self.overlaps, count) / total
            # Sums of p(cell) log(p(region) / p(cell)): exactly 0 for equal partitions.
            self.split = np.bincount(table, pixels * np.log2(area / pixels), count) / total
            self.mixed = np.bincount(table, pixels * np.log2(size / pixels), count) / total

        pairs = zip(
            *(
                add_up(of_table, counts * (counts - 1) // 2, count).tolist()
                for of_table, counts in (
                    (np.arange(count), total),
                    (table, pixels),
                    (table_of_region, self.areas),
                    (block.table_of_segment, sizes),
                )
            ),
            strict=True,
        )
        agreed = [_rand(*pair) for pair in pairs]
        self.rand, self.ari = np.where(total > 0, np.reshape(agreed, (count, 2)).T, np.nan)


def agreement(tables: Sequence[SparseTable]) -> FloatArray:
    """Scores of each picture as a partition of the pixels with a class, ``(tables, 3)``; NaN without such pixels.

    The columns are the adjusted Rand index (Hubert and Arabie 1985; at most 1, 0 is chance), the variation of
    information in bits (Meila 2005; 0 for equal partitions) and the covering of the classes by the segments, in (0, 1].

    >>> agreement([SparseTable.of(np.array([[2, 0], [1, 1]]))]).round(2)
    array([[0.  , 1.19, 0.58]])
    """
    scores = [np.empty((0, 3))]
    for block in blocks(tables):
        overlaps = Overlaps(block)
        scores.append(np.column_stack((overlaps.ari, overlaps.split + overlaps.mixed, overlaps.covering)))
    return np.concatenate(scores)


@dataclass(frozen=True, eq=False)
class RegionScores:
    """Scores of one segmentation of one picture against all its people.

    Attributes:
        areas, overlaps: see `Overlaps`, of the regions of all people, one person after the other.
        pri: probabilistic Rand index: mean of `Overlaps.rand` over the people.
        voi_over, voi_under: `Overlaps.split` and ``mixed``, means over the people.
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


def compare_regions(tables: Sequence[SparseTable]) -> RegionScores:
    """Scores of one segmentation of one picture.

    Args:
        tables: contingency table with each person's regions; at least one, each with at least one pixel.

    >>> compare_regions([SparseTable.of(np.array([[4, 0], [2, 2]]))]).covering  # 4/6 of 4 pixels, 2/4 of the others
    0.5833333333333333
    """
    people = Overlaps(Block(tables))
    means = (float(scores.mean()) for scores in (people.rand, people.split, people.mixed))
    return RegionScores(people.areas, people.overlaps, *means)


def pooled_covering(scores: Sequence[RegionScores]) -> float:
    """Covering of the regions of all people of all pictures, weighted by area, in [0, 1]. No mean over pictures."""
    covered = sum(float(score.areas @ score.overlaps) for score in scores)
    return covered / sum(int(score.areas.sum()) for score in scores)


def adjusted_rand_index(table: IntArray) -> float:
    """Agreement on which pairs of pixels belong together, corrected for chance (Hubert and Arabie 1985), at most 1.

    A random partition has an expected value of 0, and a worse one is below 0. The value is 1 if both partitions consist
    of a single region, or both of regions of one pixel.

    Args:
        table: ``(regions, segments)`` pixels, at least one.
    """
    return float(Overlaps(Block([SparseTable.of(table)])).ari[0])


def conditional_entropies(table: IntArray) -> tuple[float, float]:
    """`Overlaps.split` and ``mixed`` of one table ``(regions, segments)``; the sum is the variation of information."""
    overlaps = Overlaps(Block([SparseTable.of(table)]))
    return float(overlaps.split[0]), float(overlaps.mixed[0])


def _rand(pairs: int, together: int, in_regions: int, in_segments: int) -> tuple[float, float]:
    """Rand index, plain and adjusted, of numbers of pixel pairs. Python integers are exact: products exceed 2**63."""
    plain = (pairs + 2 * together - in_regions - in_segments) / pairs if pairs else 1.0
    chance = 2 * in_regions * in_segments
    most = pairs * (in_regions + in_segments)
    return plain, 1.0 if most == chance else (2 * pairs * together - chance) / (most - chance)
