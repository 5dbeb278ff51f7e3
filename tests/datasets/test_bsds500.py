"""BSDS500: folders with a part of the pictures, files that cannot be used, and the real sample."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from datasets.bsds500 import COUNTS, Bsds500
from datasets.files import warn_once
from tests.helpers.bsds import write_truth
from tests.helpers.dataset_failure import failure

SHAPE = (6, 8)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Three pictures; ids sorted as text."""
    random = np.random.default_rng(0)
    for id in ("2018", "100007", "35028"):
        image = tmp_path / "BSDS500" / "data" / "images" / "test" / f"{id}.jpg"
        image.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 256, (*SHAPE, 3), dtype=np.uint8)).save(image)
        write_truth(truth_path(tmp_path, id), random.integers(1, 5, (3, *SHAPE)), random.integers(0, 2, (3, *SHAPE)))
    (image.parent / "Thumbs.db").write_bytes(b"of Windows")
    return tmp_path


def truth_path(root: Path, id: str = "100007") -> Path:
    return root / "BSDS500" / "data" / "groundTruth" / "test" / f"{id}.mat"


def test_a_part_of_the_pictures_is_accepted_with_a_line(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    warn_once.cache_clear()
    with caplog.at_level(logging.WARNING):
        dataset = Bsds500(root=str(root))
        assert dataset.ids == ("100007", "2018", "35028")
    images = root / "BSDS500" / "data" / "images" / "test"
    assert [record.message for record in caplog.records] == [f"{images}: 3 of 200 pictures are there"]
    inside = Bsds500(root=str(root / "BSDS500"))
    assert (inside.ids, inside.fingerprint) == (dataset.ids, dataset.fingerprint)
    assert (dataset.classes, dataset.truths, dataset.official_count) == ((), ("people",), 200)
    message = failure(Bsds500(root=str(root), split="val"))
    assert message.startswith(f"{images.with_name('val')}: no pictures (*.jpg) there; ")
    assert f"make data-bsds500 DIR={root}" in message


def test_regions_and_boundaries_of_each_person(root: Path) -> None:
    random = np.random.default_rng(0)
    regions, boundaries = random.integers(1, 9, (2, *SHAPE)), random.integers(0, 2, (2, *SHAPE))
    write_truth(truth_path(root), regions, boundaries)
    picture = Bsds500(root=str(root)).load("100007")
    np.testing.assert_array_equal(picture.people, regions - 1)
    np.testing.assert_array_equal(picture.boundaries, boundaries == 1)
    assert (picture.label, picture.image.shape) == (None, (*SHAPE, 3))


DAMAGES: dict[str, tuple[Callable[[Path], Any], str]] = {
    "missing": (lambda path: path.unlink(), "the file is missing"),
    "empty": (lambda path: path.write_bytes(b""), "cannot be decoded"),
    "web page": (lambda path: path.write_text("<html>"), "cannot be decoded"),
    "matlab 7.3": (lambda path: path.write_bytes(b"MATLAB 7.3 MAT-file".ljust(124) + b"\0\2IM"), "cannot be decoded"),
    "other": (lambda path: savemat(path, {"other": 1}), "has no variable groundTruth"),
    "no cell": (lambda path: savemat(path, {"groundTruth": 1}), "does not hold a Segmentation and Boundaries"),
    "nobody": (lambda path: savemat(path, {"groundTruth": np.empty((1, 0), object)}), "holds no segmentation"),
    "size": (lambda path: write_truth(path, np.ones((1, 9, 8)), np.ones((1, 9, 8))), "is 8 x 9 pixels, its picture 8"),
    "from 0": (lambda path: write_truth(path, np.zeros((1, *SHAPE)), np.ones((1, *SHAPE))), "whole numbers from 1"),
    "levels": (lambda path: write_truth(path, np.ones((1, *SHAPE)), np.full((1, *SHAPE), 7)), "no map of 0 and 1"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_truth_that_cannot_be_used_is_an_error_of_its_picture(root: Path, damage: str) -> None:
    spoil, reason = DAMAGES[damage]
    dataset = Bsds500(root=str(root))
    before = dataset.state("100007")
    spoil(truth_path(root))
    assert Bsds500(root=str(root)).ids == dataset.ids
    assert failure(dataset, "100007").startswith(f"{truth_path(root)}: ")
    assert reason in failure(dataset, "100007")
    assert len(dataset.load("2018").people) == 3
    assert damage == "from 0" or dataset.state("100007") != before


def test_any_damaged_byte_is_an_error_or_harmless(shared: Path, tmp_path: Path) -> None:
    source = shared / "data" / "bsds500" / "BSDS500" / "data"
    for part, name in (("images", "35028.jpg"), ("groundTruth", "35028.mat")):
        target = tmp_path / "data" / part / "test" / name
        target.parent.mkdir(parents=True)
        shutil.copyfile(source / part / "test" / name, target)
    content, dataset = bytearray(target.read_bytes()), Bsds500(root=str(tmp_path), split_file=None)
    random = np.random.default_rng(0)
    for position in (*random.integers(0, 200, 60), *random.integers(0, len(content), 60)):
        damaged = bytearray(content)
        damaged[position] ^= int(random.integers(1, 256))
        target.write_bytes(damaged if position % 3 else damaged[:position])
        try:
            picture = dataset.load("35028")
        except Exception as error:
            assert type(error).__name__ == "DatasetError"  # noqa: PT017 - another error is a failure of the test
        else:
            assert {regions.shape for regions in picture.people} == {picture.image.shape[:2]}


def test_the_sample_has_the_known_sizes_and_ids(shared: Path) -> None:
    test, val = (Bsds500(root=str(shared / "data" / "bsds500"), split=split) for split in ("test", "val"))
    assert (len(test.ids), len(val.ids)) == (20, 12)
    ids = (shared / "facts" / "bsds500_test.txt").read_text().split()
    assert len(ids) == COUNTS["test"]
    assert [id for id in ids if id in test.ids] == list(test.ids)  # sorted in the same way
    for dataset in (test, val):
        picture = dataset.load(dataset.ids[0])
        assert 4 <= len(picture.people) <= 9
        assert sorted(picture.image.shape) == [3, 321, 481]
        assert all(regions.min() == 0 for regions in picture.people)
