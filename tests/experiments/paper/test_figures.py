"""The paper's figures of made-up attention."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from diffseg.attention import AttentionMaps
from diffseg.pictures import colourise
from experiments.paper import figures as paper_figures


def halves(side: int) -> Tensor:
    """Attention of a picture whose left and right half attend to themselves alone."""
    left = (torch.arange(side * side) % side) < side // 2
    same = (left[:, None] == left[None, :]).float()
    return same / same.sum(dim=1, keepdim=True)


MAPS = AttentionMaps({side: halves(side) for side in (16, 8, 4, 2)})


PHOTO = np.zeros((paper_figures.SHOWN, paper_figures.SHOWN, 3), np.uint8)


def test_attention_maps_are_those_of_the_location() -> None:
    figure = paper_figures.attention_maps(PHOTO, MAPS, 0.5, (0.3, 0.8), "title")
    titles = [axis.get_title() for axis in figure.axes]
    assert titles == ["overlay", "2 x 2", "4 x 4", "8 x 8", "16 x 16", "aggregated"]
    for axis, side in zip(figure.axes[1:], (2, 4, 8, 16, 16), strict=True):
        shown = axis.images[0].get_array()
        right = np.broadcast_to(np.arange(side) >= side // 2, (side, side))
        assert shown.shape == (side, side)
        assert (np.asarray(shown)[:, side // 2 + 1 :] > 0).all()  # the location is on the right
        if axis.get_title() != "aggregated":  # blurred by upsampling
            assert np.array_equal(np.asarray(shown) > 0, right)
        (cell,) = axis.patches
        assert cell.get_x() <= 0.8 < cell.get_x() + cell.get_width() == cell.get_x() + 1 / side
        assert cell.get_y() <= 0.3 < cell.get_y() + cell.get_height()


def test_aggregation_weights_are_the_panels_of_figure_4() -> None:
    figure = paper_figures.aggregation_weights(PHOTO, MAPS, 0.5, "title")
    assert [axis.get_title() for axis in figure.axes] == [
        "input",
        *("(a) proportional\n2 segments", "(b) 16 x 16 alone\n2 segments"),
        *("(c) 8 x 8 alone\n2 segments", "(d) 4 x 4 alone\n2 segments"),
    ]
    one = AttentionMaps({**MAPS.maps, 4: torch.full((16, 16), 1 / 16)})  # uniform attention at this side
    figure = paper_figures.aggregation_weights(PHOTO, one, 0.5, "title")
    assert figure.axes[4].get_title() == "(d) 4 x 4 alone\n1 segment"


def test_triples_are_in_the_order_of_the_paper() -> None:
    labels = np.zeros(PHOTO.shape[:2], np.int64)
    labels[:, :100] = 1
    examples = {name: (PHOTO, labels) for name in ("one", "two", "three")}
    axes = np.reshape(paper_figures.triples(examples, "title").axes, (2, 6))
    overlay, photo, segmentation = (axis.images[0].get_array() for axis in axes[1, :3])
    assert np.array_equal(photo, PHOTO)
    assert np.array_equal(segmentation, colourise(labels))
    assert not np.array_equal(overlay, PHOTO)
    assert [axes[1, 1].get_title(), axes[1, 2].get_title()] == ["three", "2 segments"]
    assert not any(axis.images for axis in axes[1, 3:])
