"""Names segments by their pixels' cross-attention to the words of a prompt (paper, Section 5), and draws the names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import isqrt

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage
from torch import Tensor

from diffseg import pictures
from diffseg.choices import Vote
from diffseg.limits import check
from diffseg.masks import nearest_cells
from diffseg.pictures import Labels, Pixels, by_area

GRID = 256  # longer side, in pixels, of the shrunk mask that is searched for places of names
FONT_SHARE = 32  # the picture's longer side divided by the height of a name
SMALLEST_FONT = 11


@torch.no_grad()
def responses(maps: Mapping[int, Tensor], positions: Sequence[Sequence[int]], size: int) -> Tensor:
    """Map of each word, ``(N, P, P)`` float32 >= 0: its cross-attention, scaled to unit L2 norm over the pixels.

    All sides are resized bilinearly to ``size`` P and have the same weight. A word with several tokens or occurrences
    takes the sum of their attention. The norm makes words with very different amounts of attention comparable. The
    authors' code also divides by the sum over all tokens after resizing, which is 1.

    The maps are side -> ``(side*side, T)`` floating point, rows sum to 1; the positions are the numbers, 0..T-1, of the
    tokens of each word.
    """
    total = torch.zeros((), dtype=torch.float32, device=next(iter(maps.values())).device)
    for attention in maps.values():
        words = torch.stack([attention[:, list(tokens)].sum(dim=1) for tokens in positions])
        grid = words.float().unflatten(1, (isqrt(len(attention)), -1))[None]
        total = total + F.interpolate(grid, (size, size), mode="bilinear", align_corners=False)[0]
    return F.normalize(total.flatten(1), dim=1).view_as(total)


def vote(labels: Labels, responses: NDArray[np.floating], rule: Vote) -> NDArray[np.int64]:
    """Chooses the word of each segment 0..K-1: ``(K,)`` int64 numbers 0..N-1; the first of equally good words.

    Args:
        labels: ``(h, w)``, every number used.
        responses: ``(N, P, P)``. A pixel of the label map has the responses of the cell that its centre lies in.
        rule: ``majority``: the word that is best at most of the segment's pixels. ``median``: the median of the numbers
            of its pixels' best words, rounded down. It depends on the order of the words; the authors' code calls it
            "majority". ``mean``: the word with the largest mean response.

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
        info: how the names were found, for readers of a file.
    """

    labels: Labels
    names: tuple[str, ...]
    parts: tuple[tuple[int, ...], ...]
    info: Mapping[str, str] = field(default_factory=dict)


def merge(labels: Labels, words: Sequence[str], chosen: NDArray[np.integer]) -> Named:
    """Merges the segments ``(h, w)`` 0..K-1, every number used, that have the same of the N ``words``.

    ``chosen`` is the number of each segment's word, ``(K,)``, from `vote`.
    """
    merged = by_area(chosen[labels])
    new = np.zeros(len(chosen), np.int64)
    new[labels] = merged  # new label of each segment, read from any of its pixels
    parts = tuple(tuple(np.flatnonzero(new == number).tolist()) for number in range(new.max() + 1))
    return Named(merged, tuple(words[chosen[segments[0]]] for segments in parts), parts)


def draw(image: Pixels, named: Named) -> Pixels:
    """Draws ``(h, w, 3)`` uint8 RGB under the colours of the names, each name on its segments, and a legend below.

    Returns ``(h', w, 3)`` uint8 RGB, h' > h.
    """
    height, width = named.labels.shape
    font_size = max(SMALLEST_FONT, round(max(height, width) / FONT_SHARE))
    font = ImageFont.load_default(font_size)
    drawn = Image.fromarray(pictures.overlay(image, named.labels))
    pen = ImageDraw.Draw(drawn)
    for number, name in enumerate(named.names):
        half = font.getlength(name) / 2 + font_size / 4
        for x, y in places(named.labels == number, font_size / 2):
            inside = max(min(x, width - half), half), max(min(y, height - font_size), font_size)
            pen.text(inside, name, "white", font, anchor="mm", stroke_width=max(1, font_size // 9), stroke_fill="black")
    shares = np.bincount(named.labels.ravel()) / named.labels.size
    names = [f"{name} {share:.0%}" for name, share in zip(named.names, shares, strict=True)]
    entries = list(zip(names, pictures.palette(len(names)).tolist(), strict=True))
    return np.vstack([np.array(drawn), pictures.legend(entries, width, font_size)])


def places(mask: NDArray[np.bool_], radius: float) -> list[tuple[float, float]]:
    """Finds places for a name on a mask ``(h, w)``, not empty: centres of the largest circles in its connected parts.

    Parts without a circle of this ``radius`` in pixels get no name, except the part with the largest circle. Returns
    (x, y) in pixels, the largest circle first.
    """
    step = -(-max(mask.shape) // GRID)
    # A border of one cell keeps circles inside the picture: without it, masks at the edge would seem to continue.
    coarse = np.pad(mask[step // 2 :: step, step // 2 :: step], 1)
    if not coarse.any():  # the mask lies between the grid's lines
        y, x = np.argwhere(mask).mean(axis=0)
        return [(float(x), float(y))]
    distance = ndimage.distance_transform_edt(coarse)
    parts, count = ndimage.label(coarse)
    centres = ndimage.maximum_position(distance, parts, range(1, count + 1))
    centres.sort(key=lambda centre: -distance[centre])
    large = [centre for centre in centres if distance[centre] * step >= radius] or centres[:1]
    return [((column - 1) * step + step // 2, (row - 1) * step + step // 2) for row, column in large]
