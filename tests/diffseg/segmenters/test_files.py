"""Label maps read from files: formats, sizes, the shape rule, and files that cannot be used."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from diffseg.segmenters.base import Scene, UnusablePicture
from diffseg.segmenters.files import LabelMapFiles
from tests.helpers.squares import resize_label

SHAPE = (60, 100)  # height and width of the picture


def write(path: Path, labels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix.lower() == ".npy":
        with path.open("wb") as file:  # given a path, NumPy appends .npy in small letters
            np.save(file, labels)
    else:
        Image.fromarray(labels).save(path)


def segment(folder: Path, size: int = 24, id: str = "a", shape: tuple[int, int] = SHAPE) -> torch.Tensor:
    segmenter = LabelMapFiles(str(folder)).resolved(0, {})
    return segmenter(Scene(size=(size, size), id=id, shape=shape))


def random_labels(shape: tuple[int, int], largest: int = 20) -> np.ndarray:
    return np.random.default_rng(0).integers(0, largest + 1, shape)


@pytest.mark.parametrize("shape", [(60, 100), (30, 50), (180, 300), (61, 101), (45, 75)])
@pytest.mark.parametrize("size", [24, 60, 97])
def test_a_map_of_the_whole_picture_is_cropped_and_resized_as_the_truth_is(
    tmp_path: Path, shape: tuple[int, int], size: int
) -> None:
    labels = random_labels(shape, 1000)
    write(tmp_path / "a.npy", labels)
    height, width = shape
    left = (width - height) // 2
    expected = resize_label(labels[:, left : left + height].astype(np.int16), size)
    np.testing.assert_array_equal(segment(tmp_path, size), expected)


def test_a_square_map_is_of_the_centred_square(tmp_path: Path) -> None:
    labels = random_labels((48, 48))
    write(tmp_path / "a.npy", labels)
    np.testing.assert_array_equal(segment(tmp_path), labels[1::2, 1::2])


def test_a_map_of_another_shape_fails_its_picture(tmp_path: Path) -> None:
    write(tmp_path / "a.npy", random_labels((100, 60)))  # turned
    with pytest.raises(UnusablePicture, match=r"a\.npy: is 60 x 100 pixels; it must have the shape .* 100 x 60"):
        segment(tmp_path)
    write(tmp_path / "a.npy", random_labels((60, 102)))  # 2 % too wide
    with pytest.raises(UnusablePicture, match="is 102 x 60 pixels"):
        segment(tmp_path)


def test_ids_may_lie_in_sub_folders(tmp_path: Path) -> None:
    labels = random_labels((24, 24))
    write(tmp_path / "city" / "a.b.npy", labels)
    np.testing.assert_array_equal(segment(tmp_path, id="city/a.b"), labels)


def damaged_png(path: Path) -> None:
    write(path.with_suffix(".png"), random_labels((60, 100)).astype(np.uint8))
    whole = path.with_suffix(".png").read_bytes()
    path.with_suffix(".png").write_bytes(whole[: len(whole) // 2])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, r"a\.png or \.npy: the label map is missing"),
        (damaged_png, "cannot be decoded"),
        (lambda path: write(path.with_suffix(".png"), np.zeros((60, 100, 3), np.uint8)), r"has colours \(RGB\)"),
        (lambda path: np.save(path.with_suffix(".npy"), np.full((60, 100), -1)), "must be 0..65535, got -1"),
        (lambda path: np.save(path.with_suffix(".npy"), np.full((60, 100), 70000)), "must be 0..65535, got 70000"),
    ],
)
def test_an_unreadable_file_is_one_line_that_names_it(
    tmp_path: Path, make: Callable[[Path], object], message: str
) -> None:
    make(tmp_path / "a")
    with pytest.raises(UnusablePicture, match=message) as error:
        segment(tmp_path)
    assert "\n" not in str(error.value)
    assert str(tmp_path) in str(error.value)


def test_missing_and_extra_files_are_counted(tmp_path: Path) -> None:
    for name in ("a.png", "sub/b.png", "other.png", "another.png"):
        write(tmp_path / name, np.zeros((24, 24), np.uint8))
    segmenter = LabelMapFiles(str(tmp_path))
    missing, extra = segmenter.check_files(["a", "c", "d", "sub/b"], ["a", "c", "d", "e", "sub/b"])
    assert missing == f"{tmp_path}: 2 pictures of 4 will fail without a label map; the first is c"
    assert extra.startswith(f"{tmp_path}: 2 files without a picture")
    assert extra.endswith("another.png")
    assert segmenter.check_files(["a"], ["a", "sub/b", "other", "another"]) == []


def scene_of(shape: tuple[int, int], size: tuple[int, int] = (24, 24), frame: str = "square") -> Scene:
    scene = Scene(size=size, id="a", shape=shape)
    object.__setattr__(scene, "frame", frame)
    return scene


def test_void_numbers_are_in_no_segment(tmp_path: Path) -> None:
    labels = random_labels((24, 24), 3)
    labels[3, 4:9] = 255
    labels[5] = -1
    write(tmp_path / "a.npy", labels)
    result = LabelMapFiles(str(tmp_path), void=(255, -1))(scene_of((24, 24)))
    np.testing.assert_array_equal(result, np.where(labels == 255, -1, labels))
    with pytest.raises(UnusablePicture, match=r"got -1; .* segmenter\.void=\[-1\] if it stands for no segment"):
        LabelMapFiles(str(tmp_path), void=(255,))(scene_of((24, 24)))


def test_the_whole_frame_takes_maps_of_the_pictures_aspect_only(tmp_path: Path) -> None:
    labels = random_labels((30, 50))
    write(tmp_path / "a.npy", labels)
    segmenter = LabelMapFiles(str(tmp_path))
    result = segmenter(scene_of((60, 100), (60, 100), "whole"))
    np.testing.assert_array_equal(result, labels.repeat(2, axis=0).repeat(2, axis=1))
    write(tmp_path / "a.npy", random_labels((24, 24)))
    with pytest.raises(UnusablePicture, match=r"must have the shape of the picture, 100 x 60, at any scale$"):
        segmenter(scene_of((60, 100), (60, 100), "whole"))


def test_square_maps_and_255_among_small_numbers_are_remarked(tmp_path: Path) -> None:
    labels = random_labels((24, 24), 3)
    write(tmp_path / "a.npy", labels)
    segmenter = LabelMapFiles(str(tmp_path))
    assert [remark.detail for remark in segmenter.remarks(scene_of((60, 100)))] == ["24 x 24 of 100 x 60"]
    assert segmenter.remarks(scene_of((24, 24))) == []
    labels[0, 0] = 255
    write(tmp_path / "a.npy", labels)
    (remark,) = segmenter.remarks(scene_of((24, 24)))
    assert "segmenter.void=[255]" in remark.kind
    assert LabelMapFiles(str(tmp_path), void=(255,)).remarks(scene_of((24, 24))) == []
    labels[1, 1] = 30
    write(tmp_path / "a.npy", labels)
    assert segmenter.remarks(scene_of((24, 24))) == []
