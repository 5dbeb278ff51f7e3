"""MaskCut and TokenCut against their steps in NumPy and SciPy, with a dense eigensolver."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy.linalg import eigh
from torch import Tensor

from diffseg.segmenters.base import Scene
from diffseg.segmenters.maskcut import MaskCut, cut_objects
from tests.helpers.attention import blocks

SIDE = 12


def picture(seed: int = 0, noise: float = 0.25) -> tuple[Tensor, Tensor]:
    """Features of three objects, of different sizes, on a background, and the number of the object of each location."""
    generator = torch.Generator().manual_seed(seed)
    objects = torch.zeros(SIDE, SIDE, dtype=torch.int64)
    objects[1:6, 1:6], objects[7:11, 6:11], objects[2:5, 8:11] = 1, 2, 3
    means = torch.randn(4, 32, generator=generator)
    features = means[objects.flatten()] + noise * torch.randn(SIDE**2, 32, generator=generator)
    return F.normalize(features, dim=1), objects.flatten()


def flood(inside: NDArray[np.bool_], start: int) -> NDArray[np.bool_]:
    """Locations that are connected with ``start`` through side neighbours."""
    part, pending = np.zeros_like(inside), [start]
    while pending:
        at = pending.pop()
        if not inside[at] or part[at]:
            continue
        part[at] = True
        row, column = divmod(at, SIDE)
        pending += [at - SIDE] * (row > 0) + [at + SIDE] * (row < SIDE - 1)
        pending += [at - 1] * (column > 0) + [at + 1] * (column < SIDE - 1)
    return part


def naive_masks(points: Tensor, tau: float, masks: int, corners: bool) -> NDArray[np.int64]:
    keys, labels = points.double().numpy().copy(), np.zeros(len(points), dtype=np.int64)
    for number in range(1, masks + 1):
        weights = np.where(keys @ keys.T > tau, 1, 1e-5)
        degrees = np.diag(weights.sum(axis=1))
        vector = eigh(degrees - weights, degrees)[1][:, 1]
        free = labels == 0
        seed = max(np.flatnonzero(free), key=lambda at: abs(vector[at]))
        side = (vector > vector.mean()) == (vector[seed] > vector.mean())
        if corners and sum(side[[0, SIDE - 1, SIDE * (SIDE - 1), SIDE**2 - 1]]) > 2:
            side = ~side
            seed = max(np.flatnonzero(side & free), key=lambda at: abs(vector[at]))
        mask = flood(side & free, int(seed))
        labels[mask] = number
        keys[mask] = 0
    return labels


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("masks", "prior"), [(1, "none"), (3, "corners"), (3, "none")])
def test_objects_equal_the_papers_steps(seed: int, masks: int, prior: str) -> None:
    points, _ = picture(seed)
    labels = cut_objects(points, 0.3, masks, prior)  # type: ignore[arg-type]
    np.testing.assert_array_equal(labels.numpy(), naive_masks(points, 0.3, masks, prior == "corners"))


def test_objects_are_found_and_the_rest_is_background() -> None:
    points, objects = picture(1, noise=0.1)
    labels = cut_objects(points, 0.5, 3, "corners")
    for number in (1, 2, 3):
        (mask,) = labels[objects == number].unique().tolist()
        assert mask > 0
        assert torch.equal(labels == mask, objects == number)


def test_a_side_with_three_corners_is_background() -> None:
    """The largest entry lies in the background, which is smaller than the object here."""
    inside = torch.ones(SIDE, SIDE, dtype=torch.bool)
    inside[[0, -1], :], inside[:, [0, -1]] = False, False
    features = torch.where(inside.flatten()[:, None], torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0]))
    assert torch.equal(cut_objects(features, 0.5, 1, "corners") == 1, inside.flatten())
    assert torch.equal(cut_objects(features, 0.5, 1, "none") == 1, ~inside.flatten())


def test_nothing_is_cut_where_all_is_alike() -> None:
    points, _ = picture()
    assert cut_objects(points, -1.0, 3, "none").unique().tolist() == [0]
    assert int(cut_objects(torch.eye(4), 0.5, 9, "none").max()) <= 4


def test_the_label_map_has_the_size_of_the_scene() -> None:
    points, _ = picture(1, noise=0.1)
    labels = MaskCut(0.5)(Scene(aggregated=blocks(8), size=(24, 36), features=points))
    assert (labels.shape, labels.dtype, labels.unique().tolist()) == ((24, 36), torch.int64, [0, 1, 2, 3])
    assert labels[6, 9] == labels[7, 10] != labels[0, 0]
    assert torch.equal(MaskCut(0.5, input="attention")(Scene(aggregated=points, size=(24, 36))), labels)
