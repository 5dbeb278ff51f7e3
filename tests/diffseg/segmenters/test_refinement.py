"""PAMR against loops over pixels and neighbours, and as an option of every segmenter."""

from __future__ import annotations

from math import exp

import numpy as np
import pytest
import torch
from scipy.ndimage import median_filter
from torch import Tensor

from diffseg.masks import upsample_nearest
from diffseg.pictures import CHANNEL_MAX
from diffseg.segmenters import refinement
from diffseg.segmenters.base import Scene
from diffseg.segmenters.kmeans import KMeans
from diffseg.segmenters.refinement import PAMR_SIDE, median_of, pamr
from tests.helpers.attention import blocks


def naive_pamr(labels: Tensor, image: Tensor, iterations: int, dilations: tuple[int, ...]) -> Tensor:
    """The authors' steps for one pixel at a time: deviation, weights, softmax, and the mean of the masks around."""
    height, width = labels.shape
    around = [(r * d, c * d) for d in dilations for r in (-1, 0, 1) for c in (-1, 0, 1)]

    def at(row: int, column: int) -> tuple[int, int]:
        return min(max(row, 0), height - 1), min(max(column, 0), width - 1)

    weights: dict[tuple[int, int], list[tuple[tuple[int, int], float]]] = {}
    for row in range(height):
        for column in range(width):
            scores = []
            for r, c in around:
                if (r, c) == (0, 0):
                    continue
                score = 0.0
                for channel in image.double():
                    values = [float(channel[at(row + dr, column + dc)]) for dr, dc in around]
                    difference = abs(float(channel[at(row + r, column + c)]) - float(channel[row, column]))
                    score -= difference / (1e-8 + 0.1 * float(np.std(values, ddof=1))) / len(image)
                scores.append((at(row + r, column + c), score))
            total = sum(exp(score) for _, score in scores)
            weights[row, column] = [(place, exp(score) / total) for place, score in scores]
    strengths = {number: (labels == number).double() for number in labels.unique().tolist()}
    for _ in range(iterations):
        for number, old in strengths.items():
            new = torch.zeros_like(old)
            for place, neighbours in weights.items():
                new[place] = sum(weight * float(old[neighbour]) for neighbour, weight in neighbours)
            strengths[number] = new
    numbers = sorted(strengths)
    return torch.tensor(numbers)[torch.stack([strengths[number] for number in numbers]).argmax(dim=0)]


@pytest.mark.parametrize(("iterations", "dilations"), [(1, (1,)), (3, (1, 2)), (2, (1, 2, 4, 8))])
def test_pamr_equals_loops(iterations: int, dilations: tuple[int, ...]) -> None:
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(3, 7, 5, generator=generator)
    labels = torch.randint(0, 4, (7, 5), generator=generator) * 3  # numbers need not be consecutive
    refined = pamr(labels, image, iterations, dilations)
    assert torch.equal(refined, naive_pamr(labels, image, iterations, dilations))
    assert not torch.equal(refined, labels)
    assert torch.equal(pamr(labels, 255 * image, iterations, dilations), refined)


def test_pamr_moves_a_border_to_that_of_the_colours() -> None:
    image = torch.zeros(3, 32, 32)
    image[:, :, 14:] = 1
    image += 0.02 * torch.randn(image.shape, generator=torch.Generator().manual_seed(1))
    labels = (torch.arange(32) >= 17).long().expand(32, 32)
    refined = pamr(labels, image)
    assert torch.equal(refined, (torch.arange(32) >= 14).long().expand(32, 32))
    assert torch.equal(pamr(labels, image, iterations=0), labels)


def test_median_equals_scipy() -> None:
    labels = torch.randint(0, 9, (11, 13), generator=torch.Generator().manual_seed(2))
    assert torch.equal(median_of(labels), torch.from_numpy(median_filter(labels.numpy(), 3)))


def test_a_segmenter_is_refined_at_one_size_and_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    image = 255 * torch.rand(3, 40, 40, generator=torch.Generator().manual_seed(3))
    scene = Scene(aggregated=blocks(8), size=(300, 200), image=image)
    plain, refined = KMeans(4), KMeans(4, refine="pamr")
    small = torch.nn.functional.interpolate(image[None] / CHANNEL_MAX, (PAMR_SIDE, PAMR_SIDE), mode="bilinear")[0]
    at_small = plain(Scene(aggregated=blocks(8), size=(PAMR_SIDE, PAMR_SIDE)))
    expected = median_of(pamr(at_small, small))
    assert not torch.equal(expected, at_small)
    assert torch.equal(refined(scene), upsample_nearest(expected, (300, 200)))
    monkeypatch.setattr(refinement, "pamr", None)  # is not called
    assert plain(scene).shape == (300, 200)


def test_refinement_needs_a_picture() -> None:
    with pytest.raises(ValueError, match=r"^image: the scene has no picture"):
        KMeans(4, refine="pamr")(Scene(aggregated=blocks(8), size=(16, 16)))
