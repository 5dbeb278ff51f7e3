"""Decoding: what a decoded picture holds, and how far ahead the threads go."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from datasets.base import DatasetError
from datasets.photos import Photos
from eval.config import Scoring
from eval.decoding import THREADS, decode, decoded_ahead
from tests.helpers.folder_rows import SIDE, dataset_of, write_picture

WHOLE, SMALL = Scoring("whole", None), Scoring("square", 2)
TRUTHS = {WHOLE: {"classes", "people"}, SMALL: {"classes"}}


def test_a_decoded_picture_has_a_ground_truth_of_every_scored_size(tmp_path: Path) -> None:
    write_picture(tmp_path, "a", classes=2)
    picture = decode(dataset_of(tmp_path), "a", TRUTHS, 4)
    assert (picture.id, picture.shape, picture.true_classes) == ("a", (SIDE, SIDE), 2)
    assert picture.image.shape == (3, 4, 4)
    columns = {scoring: truth.maps["classes"][:, 0].tolist() for scoring, truth in picture.truths.items()}
    assert columns == {WHOLE: [0, 0, 0, 0, 1, 1, 1, 1], SMALL: [0, 1]}
    assert [truth.names for truth in picture.truths.values()] == [{"classes", "person 1"}, {"classes"}]


def test_a_scene_holds_the_truth_of_its_size(tmp_path: Path) -> None:
    write_picture(tmp_path, "a")
    picture = decode(dataset_of(tmp_path), "a", TRUTHS, 4)
    aggregated, features = torch.eye(4), torch.ones(1, 2, 2)
    scene = picture.scene(SMALL, aggregated, features)
    assert (scene.size, scene.true_classes, scene.id, scene.shape) == ((2, 2), 2, "a", (SIDE, SIDE))
    assert scene.truth is not None
    assert scene.truth.tolist() == [[0, 0], [1, 1]]
    assert scene.image is picture.image
    assert scene.aggregated is aggregated
    assert scene.features is features


def test_the_error_of_a_picture_is_that_of_its_future(tmp_path: Path) -> None:
    for id in "abc":
        write_picture(tmp_path, id)
    (tmp_path / "images" / "b.png").write_bytes(b"damaged")
    decoded = dict(decoded_ahead(dataset_of(tmp_path), "abc", TRUTHS, 4, ahead=1))
    assert list(decoded) == ["a", "b", "c"]
    assert [decoded[id].result().id for id in "ac"] == ["a", "c"]
    with pytest.raises(DatasetError, match=r"images/b\.png"):
        decoded["b"].result()


def test_pictures_are_decoded_ahead_but_not_all() -> None:
    """Other threads decode in order. If the run ends early, the pictures not yet begun are not decoded."""
    started: list[str] = []

    class Slow:
        classes = Photos().classes

        def load(self, id: str) -> Any:
            started.append(id)
            assert threading.current_thread() is not threading.main_thread()
            time.sleep(0.01)
            return Photos().load(Photos().ids[0])

    ids = [str(number) for number in range(50)]
    pictures = decoded_ahead(Slow(), ids, TRUTHS, 4, ahead=4)  # type: ignore[arg-type]
    taken = [next(pictures)[0] for _ in range(3)]
    assert taken == ids[:3]
    pictures.close()  # type: ignore[attr-defined]
    assert len(started) <= 3 + 4 + THREADS
