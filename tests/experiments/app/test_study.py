"""The computations of the page, without the page: one pass per picture, and only changed steps again."""

from __future__ import annotations

import base64
import gc
import io
import json
import weakref
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from pycocotools import mask

import diffseg
from diffseg import merging
from diffseg.divergence import Logarithms
from diffseg.masks import labels_from_proposals
from diffseg.merging import Merger
from diffseg.photos import PhotoError
from diffseg.pictures import by_area, overlay, write_label_map
from diffseg.segmenters.diffseg import DiffSeg
from diffseg.segmenters.kmeans import KMeans
from experiments.app import drawing, files, study
from experiments.app.study import Study
from tests.helpers.random_attention import PROPORTIONAL, SIDES, Random, picture

TAU = 0.4


def diffseg_of(**values: float) -> DiffSeg:
    return DiffSeg(**({"tau": TAU, "anchors": 4} | values)).resolved(SIDES[0], {})  # type: ignore[arg-type]


def test_a_study_is_gone_when_the_next_picture_comes() -> None:
    """Its tensors take a GB at S = 64, which must not wait for a garbage collection."""
    gc.disable()
    try:
        found = Study(picture(), Random())
        found.segment(diffseg_of(), PROPORTIONAL)
        maps = weakref.ref(found.maps.maps[SIDES[0]])
        del found
        assert maps() is None
    finally:
        gc.enable()


def test_segments_are_those_of_the_library() -> None:
    found = Study(picture(), Random())
    for weights in (PROPORTIONAL, (0.0, 1.0, 0.3)):
        aggregated = diffseg.aggregate(found.maps.maps, dict(zip(SIDES, weights, strict=True)))
        for values in ({}, {"tau": 0.8}, {"anchors": 7}, {"iterations": 1}):
            result = found.segment(diffseg_of(**values), weights)
            settings = {"tau": TAU, "anchors": 4} | values
            expected = by_area(diffseg.segment(aggregated, **settings, grid="even", size=40).numpy())  # type: ignore[arg-type]
            np.testing.assert_array_equal(result.labels, expected)
            assert result.count == len(np.unique(expected))
    assert found.segment(diffseg_of(), PROPORTIONAL).count > 2
    proportional = diffseg.aggregate(found.maps.maps)
    assert torch.equal(diffseg.aggregate(found.maps.maps, dict(zip(SIDES, PROPORTIONAL, strict=True))), proportional)


def test_only_changed_steps_are_computed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    model, calls = Random(), {"aggregate": 0, "divergence": 0, "merge": 0}

    def counted(name: str, function: object) -> object:
        def wrapper(*arguments: object) -> object:
            calls[name] += 1
            return function(*arguments)  # type: ignore[operator]

        return wrapper

    monkeypatch.setattr(study, "_aggregate", counted("aggregate", study._aggregate))
    monkeypatch.setattr(Logarithms, "divergence", counted("divergence", Logarithms.divergence))
    monkeypatch.setattr(merging, "merge_anchors", counted("merge", merging.merge_anchors))
    found = Study(picture(), model)
    steps = [
        (diffseg_of(), PROPORTIONAL, (1, 1, 1)),
        (diffseg_of(tau=0.5), PROPORTIONAL, (1, 1, 2)),
        (diffseg_of(iterations=2), PROPORTIONAL, (1, 1, 3)),
        (diffseg_of(anchors=5), PROPORTIONAL, (1, 2, 4)),
        (diffseg_of(), PROPORTIONAL, (1, 2, 4)),
        (diffseg_of(), (1.0, 0.0, 0.0), (2, 3, 5)),
        (KMeans(3), PROPORTIONAL, (2, 3, 5)),
        (diffseg_of(tau=0.6), PROPORTIONAL, (2, 3, 6)),
    ]
    for segmenter, weights, expected in steps:
        found.segment(segmenter, weights)
        assert tuple(calls.values()) == expected
    found.attention(0.5, 0.5, PROPORTIONAL)
    assert calls["aggregate"] == 2
    assert model.passes == 1


def test_divergences_of_many_grids_do_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merging, "KEPT_DIVERGENCES", 3)
    found = Study(picture(), Random())
    for anchors in (*range(1, 9), *range(8, 0, -1)):
        segmenter = diffseg_of(anchors=anchors, tau=0.3 + anchors / 100)
        fresh = Study(picture(), Random()).segment(segmenter, PROPORTIONAL).labels
        np.testing.assert_array_equal(found.segment(segmenter, PROPORTIONAL).labels, fresh)


def test_the_attention_of_a_place_is_that_of_its_location() -> None:
    found = Study(picture(), Random())
    maps = found.attention(0.7, 0.2, PROPORTIONAL)
    assert list(maps) == ["8 x 8", "4 x 4", "2 x 2", "aggregated"]
    for side, (row, column) in {8: (1, 5), 4: (0, 2), 2: (0, 1)}.items():
        expected = found.maps.maps[side].view(side, side, side, side)[row, column]
        np.testing.assert_array_equal(maps[f"{side} x {side}"], expected.numpy())
    aggregated = diffseg.aggregate(found.maps.maps).view(8, 8, 8, 8)
    np.testing.assert_array_equal(maps["aggregated"], aggregated[1, 5].numpy())
    for x, y, location in ((0, 0, (0, 0)), (1, 1, (7, 7)), (0.999, 0, (0, 7))):
        np.testing.assert_array_equal(found.attention(x, y, PROPORTIONAL)["aggregated"], aggregated[location].numpy())


def test_a_large_picture_is_shown_small_and_written_large() -> None:
    found = Study(picture(600, 1200), Random())
    assert found.shown.shape == (400, 800, 3)
    assert found.segment(diffseg_of(), PROPORTIONAL).labels.shape == (400, 800)
    merger = Merger(diffseg.aggregate(found.maps.maps))
    proposals = merger.proposals(TAU, 4, 3, "official", "float32", "even")
    expected = by_area(labels_from_proposals(proposals, (600, 1200)).numpy())
    np.testing.assert_array_equal(found.full(diffseg_of(), PROPORTIONAL), expected)
    small = Study(picture(30, 50), Random())
    assert small.full(diffseg_of(), PROPORTIONAL) is small.segment(diffseg_of(), PROPORTIONAL).labels


@pytest.mark.parametrize(
    ("segmenter", "weights", "message"),
    [
        (DiffSeg(TAU, 9, grid="even"), PROPORTIONAL, r"anchors: must be 1\.\.8, .* got 9"),
        (KMeans(65), PROPORTIONAL, r"clusters: must be 1\.\.64, .* got 65"),
        (DiffSeg(TAU, 4, grid="even"), (0.0, 0.0, 0.0), "weights: must be .* not all zero"),
        (DiffSeg(TAU, 4, grid="even"), (1.0, 1.0), "weights: need one number for each of the sides"),
    ],
)
def test_a_bad_setting_is_an_error_and_the_study_goes_on(
    segmenter: DiffSeg, weights: tuple[float, ...], message: str
) -> None:
    found = Study(picture(), Random())
    with pytest.raises(ValueError, match=message):
        found.segment(segmenter, weights)
    assert found.segment(diffseg_of(), PROPORTIONAL).count > 1  # the study still works


def test_files_are_those_of_the_library(tmp_path: Path) -> None:
    image, labels = picture(30, 50), by_area(np.arange(1500).reshape(30, 50) // 400)
    write_label_map(tmp_path / "labels.png", labels)
    assert files.label_map(labels) == (tmp_path / "labels.png").read_bytes()
    np.testing.assert_array_equal(files.read_upload("a", files.overlaid(image, labels)), overlay(image, labels))
    segments = json.loads(files.coco("a", image, labels))["segments"]
    for number, segment in enumerate(segments):
        assert segment["label"] == number
        np.testing.assert_array_equal(mask.decode(segment["segmentation"]), labels == number)
    assert len(segments) == 4


def test_a_file_that_is_no_picture_is_named_in_one_line(tmp_path: Path) -> None:
    whole = files.overlaid(picture(), np.zeros((40, 40), int))
    for content in (b"", b"no picture", whole[: len(whole) // 2]):
        with pytest.raises(PhotoError) as raised:
            files.read_upload("cat.jpg", content)
        assert str(raised.value).startswith("cat.jpg: ")
        assert "\n" not in str(raised.value)
        assert "/tmp" not in str(raised.value)


def pixels(uri: str, mode: str) -> NDArray[np.uint8]:
    with Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))) as image:
        return np.asarray(image.convert(mode))


def test_stacked_drawings_look_like_the_overlay() -> None:
    labels = np.zeros((20, 30), np.int64)
    labels[:, 14:] = 1
    image = np.full((20, 30, 3), 90, np.uint8)
    expected = overlay(image, labels)
    mixed = image * 0.5 + pixels(drawing.colours(labels), "RGB") * 0.5
    drawn = pixels(drawing.lines(labels), "RGBA").astype(float)
    alpha = drawn[..., 3:] / 255
    np.testing.assert_allclose(mixed * (1 - alpha) + drawn[..., :3] * alpha, expected, atol=3)
    attention = np.array([[0.1, 0.4], [0.0, 0.5]], np.float32)
    alphas = pixels(drawing.heat(attention), "RGBA")[..., 3]
    assert alphas[1, 0] == 0
    assert alphas[1, 1] == alphas.max() > alphas[0, 1] > alphas[0, 0] > 0
