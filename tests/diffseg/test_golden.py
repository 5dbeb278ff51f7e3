"""The core against results of the authors' code."""

from __future__ import annotations

import numpy as np
import pytest

from diffseg import aggregate, segment
from diffseg.aggregation import underflow_fraction
from diffseg.merging import Merger, anchor_grid, merge_anchors
from tests.conftest import GOLDEN
from tests.helpers.golden import IMAGES, Golden, read_golden, same_partition


@pytest.fixture(scope="module", params=IMAGES)
def golden(request: pytest.FixtureRequest) -> Golden:
    return read_golden(GOLDEN, request.param)


def test_aggregated_rows_equal_those_of_the_authors(golden: Golden) -> None:
    rows = golden.aggregated[golden.arrays["aggregated_rows"]].numpy()
    np.testing.assert_allclose(rows, golden.arrays["aggregated_values"], atol=1e-6 * rows.max(), rtol=0)


@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_masks_equal_those_of_the_authors_in_every_pixel(golden: Golden, precision: str) -> None:
    masks = golden.masks("float64")
    assert masks
    for tau, anchors, expected in masks:
        labels = segment(golden.aggregated, tau, anchors, precision=precision)  # type: ignore[arg-type]
        np.testing.assert_array_equal(labels.numpy(), expected, err_msg=f"tau {tau}, M {anchors}")


def test_refined_masks_equal_those_of_the_authors(golden: Golden) -> None:
    assert golden.masks("refined_float64")
    for tau, anchors, expected in golden.masks("refined_float64"):
        for precision in ("float64", "float32"):
            labels = segment(golden.aggregated, tau, anchors, precision=precision, refine="kmeans")  # type: ignore[arg-type]
            np.testing.assert_array_equal(labels.numpy(), expected)


@pytest.mark.parametrize("golden", IMAGES[:1], indirect=True)
def test_masks_of_one_resolution_equal_those_of_the_authors(golden: Golden) -> None:
    aggregated = aggregate(golden.maps, {64: 0, 32: 1, 16: 0, 8: 0})
    assert golden.masks("only32_float64")
    for tau, anchors, expected in golden.masks("only32_float64"):
        np.testing.assert_array_equal(segment(aggregated, tau, anchors).numpy(), expected)


@pytest.mark.parametrize("golden", IMAGES[1:], indirect=True)
def test_float16_masks_agree_with_the_authors_where_nothing_underflows(golden: Golden) -> None:
    assert golden.masks("float16")
    assert underflow_fraction(golden.aggregated) == 0
    for tau, anchors, expected in golden.masks("float16"):
        labels = segment(golden.aggregated, tau, anchors, precision="float16").numpy()
        assert same_partition(labels, expected) >= 0.999


@pytest.mark.parametrize("golden", IMAGES[:1], indirect=True)
def test_float16_drops_the_maps_that_underflow(golden: Golden) -> None:
    assert golden.masks("float16")
    assert 0.07 < underflow_fraction(golden.aggregated) < 0.25
    rows, columns = anchor_grid(64, 16).unbind(dim=1)
    anchors = rows * 64 + columns
    # The effect of their cast, in numpy: a map with a zero entry has a divergence of NaN to every map.
    lost = (golden.aggregated.numpy().astype(np.float16) == 0).any(axis=1)
    divergence = Merger(golden.aggregated).divergence(anchors, "float16")
    np.testing.assert_array_equal(divergence.isnan().numpy(), lost[anchors.numpy()][:, None] | lost)
    proposals = merge_anchors(golden.aggregated, divergence < 0.6, "float16")
    np.testing.assert_array_equal(proposals.isnan().any(dim=1).numpy(), lost[anchors.numpy()])
    for tau, per_side, expected in golden.masks("float16"):
        labels = segment(golden.aggregated, tau, per_side, precision="float16").numpy()
        assert labels.max() == expected.max()  # the same number of proposals survives
        assert same_partition(labels, expected) >= 0.999
