"""The oracle, which sees the truth: no labelling of the cells is better."""

from __future__ import annotations

from itertools import product

import pytest
import torch

from diffseg.masks import upsample_nearest
from diffseg.segmenters.oracle import Oracle
from eval.matching import match
from eval.metrics import accuracy
from tests.helpers.two_tone import scene


@pytest.mark.parametrize("seed", range(4))
def test_no_labelling_of_the_cells_beats_the_oracle(seed: int) -> None:
    """Tries all 3^9 labellings of 3 x 3 cells on 10 x 10 pixels, some of them void."""
    truth = torch.randint(-1, 3, (10, 10), generator=torch.Generator().manual_seed(seed))
    labels = Oracle()(scene(truth=truth.short(), side=3, size=10))
    reached = accuracy(match(labels.numpy(), truth.numpy(), 3))
    cells = upsample_nearest(torch.arange(9).view(3, 3), 10)
    assert all(len(labels[cells == cell].unique()) == 1 for cell in range(9))
    labelled = truth >= 0
    every = torch.tensor(list(product(range(3), repeat=9)))  # matching renames the segments, so their names are free
    hits = sum(
        (every[:, cells[pixel[0], pixel[1]]] == truth[pixel[0], pixel[1]]).long() for pixel in labelled.nonzero()
    )
    assert reached == pytest.approx(int(torch.as_tensor(hits).max()) / int(labelled.sum()))


def test_a_scene_without_its_truth_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"^truth: the scene has no ground truth"):
        Oracle()(scene())
