"""Names segments by their pixels' cross-attention to the words of a prompt (paper, Section 5; authors' code)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isqrt

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from diffseg.choices import Vote
from diffseg.limits import check
from diffseg.masks import nearest_cells
from diffseg.pictures import Labels, by_area


@torch.no_grad()
def responses(maps: Mapping[int, Tensor], positions: Sequence[Sequence[int]], size: int) -> Tensor:
    """Map of each word: its cross-attention at one size, scaled to unit L2 norm over the pixels.

    All sides are resized bilinearly and have the same weight. A word with several tokens or occurrences takes the sum
    of their attention, the probability of attending to any of them. (A mean would give the same map, because the norm
    removes the factor.) The norm makes words with very different amounts of attention comparable.

    The authors' code divides by the sum over all tokens after resizing. That sum is 1, because a softmax over the
    tokens sums to 1 and bilinear resizing keeps the sum. So this step is left out.

    Args:
        maps: side -> ``(side*side, T)`` floating point, rows sum to 1.
        positions: for each of N words, the numbers of its tokens, 0..T-1.
        size: side P of the result in pixels.

    Returns:
        ``(N, P, P)`` float32 >= 0.
    """
    total = torch.zeros((), dtype=torch.float32, device=next(iter(maps.values())).device)
    for attention in maps.values():
        words = torch.stack([attention[:, list(tokens)].sum(dim=1) for tokens in positions])
        grid = words.float().unflatten(1, (isqrt(len(attention)), -1))[None]
        total = total + F.interpolate(grid, (size, size), mode="bilinear", align_corners=False)[0]
    return F.normalize(total.flatten(1), dim=1).view_as(total)


def vote(labels: Labels, responses: NDArray[np.floating], rule: Vote) -> NDArray[np.int64]:
    """Chooses the word of each segment.

    Args:
        labels: ``(h, w)`` segments 0..K-1, every number used.
        responses: ``(N, P, P)``. A pixel of the label map has the responses of the cell that its centre lies in.
        rule: ``majority``: the word that is best at most of the segment's pixels. ``median``: the median of the numbers
            of its pixels' best words, rounded down. It depends on the order of the words; the authors' code calls it
            "majority". ``mean``: the word with the largest mean response.

    Returns:
        ``(K,)`` int64 word numbers 0..N-1; the first of equally good words.

    Raises:
        ValueError: the rule is unknown.
    """
    check(vote=(rule, Vote))
    words, side = responses.shape[:2]
    cells = np.ix_(*(nearest_cells(side, length).numpy() for length in labels.shape))
    segments = labels.ravel()
    if rule == "mean":
        sums = [np.bincount(segments, response[cells].ravel()) for response in responses]
        return np.argmax(sums, axis=0)  # a segment's sums are its means times its area
    best = responses.argmax(axis=0)[cells].ravel()
    votes = np.bincount(segments * words + best, minlength=words * (segments.max() + 1)).reshape(-1, words)
    if rule == "majority":
        return votes.argmax(axis=1)
    # Sorted, a segment's best words are 0 `votes[0]` times, then 1 `votes[1]` times, ... Take the two in the middle.
    up_to = votes.cumsum(axis=1)
    lower, upper = ((up_to <= (up_to[:, -1:] + shift) // 2).sum(axis=1) for shift in (-1, 0))
    return (lower + upper) // 2


@dataclass(frozen=True)
class Named:
    """A label map whose labels have names.

    Attributes:
        labels: ``(h, w)`` int64 0..n-1, one number per name; 0 has the largest area.
        names: name of each label, all distinct.
        parts: for each name, the numbers of the segments that were merged into it.
    """

    labels: Labels
    names: tuple[str, ...]
    parts: tuple[tuple[int, ...], ...]


def merge(labels: Labels, words: Sequence[str], chosen: NDArray[np.integer]) -> Named:
    """Merges the segments that have the same word.

    Args:
        labels: ``(h, w)`` segments 0..K-1, every number used.
        words: N names.
        chosen: ``(K,)`` number of each segment's word, from `vote`.
    """
    merged = by_area(chosen[labels])
    # New label of each segment, read from any of its pixels.
    new = np.zeros(len(chosen), np.int64)
    new[labels] = merged
    order = range(new.max() + 1)
    names = tuple(words[chosen[np.flatnonzero(new == number)[0]]] for number in order)
    return Named(merged, names, tuple(tuple(np.flatnonzero(new == number).tolist()) for number in order))
