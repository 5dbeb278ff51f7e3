"""The segments of a picture as masks, run lengths, overlay and files."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from diffseg.pictures import by_area, overlay
from diffseg.result import SEGMENT, Result, Results, coco, write_coco


@pytest.fixture
def result() -> Result:
    generator = np.random.default_rng(0)
    labels = by_area(np.kron(generator.integers(0, 5, (4, 6)), np.ones((5, 3), int)))
    return Result(generator.integers(0, 256, (20, 18, 3), dtype=np.uint8), labels, "cat")


def test_masks_have_area_and_tight_box(result: Result) -> None:
    assert len(result.masks) == result.count == 5
    for number, mask in enumerate(result.masks):
        assert mask["segmentation"].dtype == bool
        np.testing.assert_array_equal(mask["segmentation"], result.labels == number)
        assert mask["area"] == mask["segmentation"].sum()
        left, top, width, height = mask["bbox"]
        inside = mask["segmentation"][top : top + height, left : left + width]
        assert inside.sum() == mask["area"]
        assert all(edge.any() for edge in (inside[0], inside[-1], inside[:, 0], inside[:, -1]))
    areas = [mask["area"] for mask in result.masks]
    assert areas == sorted(areas, reverse=True)
    assert sum(areas) == result.labels.size


def test_save_writes_label_map_overlay_and_a_coco_file(result: Result, tmp_path: Path) -> None:
    labels, drawn, segments = result.save(tmp_path / "new" / "folder")
    assert [path.name for path in (labels, drawn, segments)] == [
        "cat.labels.png",
        "cat.overlay.png",
        "cat.segments.json",
    ]
    assert {path.name for path in labels.parent.iterdir()} == {labels.name, drawn.name, segments.name}
    np.testing.assert_array_equal(np.array(Image.open(labels)), result.labels)
    np.testing.assert_array_equal(np.array(Image.open(drawn)), overlay(result.picture, result.labels))
    assert json.loads(segments.read_text()) == coco([("cat.png", result.labels, None)])


def test_several_pictures_are_saved_as_one_data_set(result: Result, tmp_path: Path) -> None:
    other = replace(result, labels=result.labels[:7], picture=result.picture[:7], name="dog", file="dog.jpg")
    *drawn, segments = Results([result, other]).save(tmp_path)
    assert [path.name for path in drawn] == [
        f"{name}.{kind}.png" for name in ("cat", "dog") for kind in ("labels", "overlay")
    ]
    given = [("cat.png", result.labels, None), ("dog.jpg", other.labels, None)]
    assert json.loads(segments.read_text()) == coco(given)


def test_overlay_is_a_picture_of_the_same_size(result: Result) -> None:
    assert result.overlay().size == (18, 20)
    np.testing.assert_array_equal(np.array(result.overlay(0.2)), overlay(result.picture, result.labels, 0.2))


def test_repr_gives_count_and_size() -> None:
    assert repr(Result(np.zeros((2, 3, 3), np.uint8), np.zeros((2, 3), int))) == "Result(1 segment, 3 x 2 pixels)"


def test_pycocotools_reads_pictures_masks_and_names(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    first, second = generator.integers(-1, 4, (9, 13)), generator.integers(0, 3, (5, 4))
    path = tmp_path / "segments.json"
    write_coco(path, [("a/Bär.jpg", first, None), ("b.png", second, {0: "sky", 1: "tree", 2: "sky"})])
    with pytest.raises(ValueError, match=r"names: label 1 of a\.jpg has no name"):
        write_coco(path, [("a.jpg", second, ["sky"])])
    read = COCO(str(path))
    assert [image["file_name"] for image in read.loadImgs(read.getImgIds())] == ["a/Bär.jpg", "b.png"]
    assert [category["name"] for category in read.loadCats(read.getCatIds())] == [SEGMENT, "sky", "tree"]
    for number, labels in ((1, first), (2, second)):
        objects = read.loadAnns(read.getAnnIds(imgIds=[number]))
        assert [segment["segment"] for segment in objects] == sorted(set(labels[labels >= 0].tolist()))
        for segment in objects:
            mask = labels == segment["segment"]
            np.testing.assert_array_equal(read.annToMask(segment).astype(bool), mask)
            rows, columns = np.nonzero(mask)
            box = [columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1]
            assert (segment["area"], segment["bbox"], segment["iscrowd"]) == (mask.sum(), box, 0)
    assert len(read.getAnnIds(catIds=read.getCatIds(catNms=["sky"]))) == 2
    annotations = json.loads(path.read_text("utf-8"))["annotations"]
    results = read.loadRes([annotation | {"score": 1.0} for annotation in annotations])
    assert len(results.getAnnIds()) == len(read.getAnnIds())
