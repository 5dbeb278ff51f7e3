"""The computations of the page, without the page: one pass per picture, and only changed steps again."""

from __future__ import annotations

import base64
import gc
import io
import weakref

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

import diffseg
from diffseg.masks import labels_from_proposals
from diffseg.merging import Merger, anchor_rows
from diffseg.pictures import by_area, overlay
from diffseg.segmenters.diffseg import DiffSeg
from diffseg.segmenters.kmeans import KMeans
from experiments.app import study
from experiments.app.study import Study
from tests.helpers.random_attention import PROPORTIONAL, SIDES, Random, picture

TAU = 0.4


def diffseg_of(**values: float) -> DiffSeg:
    return DiffSeg(**({"tau": TAU, "anchors": 4} | values)).resolved(SIDES[0], {})  # type: ignore[arg-type]


def test_a_study_is_gone_when_the_next_picture_comes() -> None:
    """Its tensors take a GB at S = 64, which must not wait for a garbage collection."""
    gc.disable()
    try:
        photo_study = Study(picture(), Random())
        photo_study.segment(diffseg_of(), PROPORTIONAL)
        maps = weakref.ref(photo_study.maps.maps[SIDES[0]])
        del photo_study
        assert maps() is None
    finally:
        gc.enable()


def test_segments_are_those_of_the_library() -> None:
    photo_study = Study(picture(), Random())
    for weights in (PROPORTIONAL, (0.0, 1.0, 0.3)):
        aggregated = diffseg.aggregate(photo_study.maps.maps, dict(zip(SIDES, weights, strict=True)))
        for values in ({}, {"tau": 0.8}, {"anchors": 7}, {"iterations": 1}):
            result = photo_study.segment(diffseg_of(**values), weights)
            settings = {"tau": TAU, "anchors": 4} | values
            expected = by_area(diffseg.segment(aggregated, **settings, grid="even", size=40).numpy())  # type: ignore[arg-type]
            np.testing.assert_array_equal(result.labels, expected)
            assert result.count == len(np.unique(expected))
    assert photo_study.segment(diffseg_of(), PROPORTIONAL).count > 2
    proportional = diffseg.aggregate(photo_study.maps.maps)
    assert torch.equal(
        diffseg.aggregate(photo_study.maps.maps, dict(zip(SIDES, PROPORTIONAL, strict=True))), proportional
    )


def test_a_picture_passes_the_backbone_once_and_each_r_is_aggregated_once(monkeypatch: pytest.MonkeyPatch) -> None:
    model, aggregated = Random(), []
    aggregate = study._aggregate
    monkeypatch.setattr(study, "_aggregate", lambda *given: aggregated.append(given) or aggregate(*given))
    photo_study = Study(picture(), model)
    for weights in (PROPORTIONAL, (1.0, 0.0, 0.0)):
        for tau in (0.4, 0.5):
            photo_study.segment(diffseg_of(tau=tau), weights)
    photo_study.attention(0.5, 0.5, PROPORTIONAL)
    assert len(aggregated) == 2
    assert model.passes == 1


def test_the_attention_of_a_place_is_that_of_its_location() -> None:
    photo_study = Study(picture(), Random())
    maps = photo_study.attention(0.7, 0.2, PROPORTIONAL)
    assert list(maps) == ["8 x 8", "4 x 4", "2 x 2", "aggregated"]
    np.testing.assert_array_equal(maps["4 x 4"], photo_study.maps.at(0.7, 0.2)[4].numpy())
    aggregated = diffseg.aggregate(photo_study.maps.maps).view(8, 8, 8, 8)
    np.testing.assert_array_equal(maps["aggregated"], aggregated[1, 5].numpy())
    for x, y, location in ((0, 0, (0, 0)), (1, 1, (7, 7)), (0.999, 0, (0, 7))):
        np.testing.assert_array_equal(
            photo_study.attention(x, y, PROPORTIONAL)["aggregated"], aggregated[location].numpy()
        )


def test_a_large_picture_is_shown_small_and_written_large() -> None:
    photo_study = Study(picture(600, 1200), Random())
    assert photo_study.shown.shape == (400, 800, 3)
    assert photo_study.segment(diffseg_of(), PROPORTIONAL).labels.shape == (400, 800)
    merger = Merger(diffseg.aggregate(photo_study.maps.maps))
    proposals = merger.proposals((TAU,) * 3, anchor_rows(merger.side, 4, "even"))
    expected = by_area(labels_from_proposals(proposals, (600, 1200)).numpy())
    np.testing.assert_array_equal(photo_study.segment(diffseg_of(), PROPORTIONAL, photo_study.image).labels, expected)


@pytest.mark.parametrize(
    ("segmenter", "weights", "message"),
    [
        (DiffSeg(TAU, 9, grid="even"), PROPORTIONAL, r"anchors: must be 1\.\.8, .* got 9"),
        (KMeans(65), PROPORTIONAL, r"clusters: must be 1\.\.64 .* got 65"),
        (DiffSeg(TAU, 4, grid="even"), (0.0, 0.0, 0.0), "weights: must be .* not all zero"),
        (DiffSeg(TAU, 4, grid="even"), (1.0, 1.0), "weights: need one number for each of the sides"),
    ],
)
def test_a_bad_setting_is_an_error_and_the_study_goes_on(
    segmenter: DiffSeg, weights: tuple[float, ...], message: str
) -> None:
    photo_study = Study(picture(), Random())
    with pytest.raises(ValueError, match=message):
        photo_study.segment(segmenter, weights)
    assert photo_study.segment(diffseg_of(), PROPORTIONAL).count > 1  # the study still works


def pixels(uri: str, mode: str) -> NDArray[np.uint8]:
    with Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))) as image:
        return np.asarray(image.convert(mode))


def test_stacked_drawings_look_like_the_overlay() -> None:
    labels = np.zeros((20, 30), np.int64)
    labels[:, 14:] = 1
    image = np.full((20, 30, 3), 90, np.uint8)
    expected = overlay(image, labels)
    mixed = image * 0.5 + pixels(study.colours(labels), "RGB") * 0.5
    drawn = pixels(study.lines(labels), "RGBA").astype(float)
    alpha = drawn[..., 3:] / 255
    np.testing.assert_allclose(mixed * (1 - alpha) + drawn[..., :3] * alpha, expected, atol=3)
    attention = np.array([[0.1, 0.4], [0.0, 0.5]], np.float32)
    alphas = pixels(study.heat(attention), "RGBA")[..., 3]
    assert alphas[1, 0] == 0
    assert alphas[1, 1] == alphas.max() > alphas[0, 1] > alphas[0, 0] > 0
