"""The truth of a picture in each frame, and the comparison of segments with it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from datasets.base import DatasetError, Instances, Picture
from datasets.cocostuff27 import CocoStuff27
from eval.config import Scoring
from eval.instances import in_frame, instance_truth
from eval.label_maps import LabelMapError, write_label_map
from eval.truth import Truth, class_map, classes_in, compare, compare_kept, enter, mean_classes, truth_of
from tests.helpers.coco_folder import IDS, image_of, label_of, write_folder
from tests.helpers.folder_rows import dataset_of, write_picture

HEIGHT, WIDTH = 4, 7  # the centred square has the columns 1 to 4
SQUARE, WHOLE = Scoring("square", 4), Scoring("whole", None)
LABEL = np.array([[0, 1, 1, 0, 0, 2, 2]] * 2 + [[0, 1, -1, 1, 1, 2, 2]] * 2, np.int16)
PEOPLE = (np.arange(28, dtype=np.int32).reshape(4, 7) // 14, np.arange(28, dtype=np.int32).reshape(4, 7) % 7)


@dataclass
class Given:
    """A data set of one picture with every kind of truth."""

    classes = ("sky", "road", "tree")

    def instances(self, id: str) -> Instances:
        mask = np.zeros((1, HEIGHT, WIDTH), bool)
        mask[:, :2] = True
        return Instances(mask, np.array([3]), np.array([False]), np.zeros((HEIGHT, WIDTH), bool))


def picture(**truth: Any) -> Picture:
    image = np.arange(HEIGHT * WIDTH * 3, dtype=np.uint8).reshape(HEIGHT, WIDTH, 3)
    return Picture("a", image, **{"label": LABEL, **truth})


def truth(scoring: Scoring, *kinds: str, **given: Any) -> Truth:
    return truth_of(picture(**given), scoring, set(kinds), Given())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("scoring", "expected"),
    [(SQUARE, LABEL[:, 1:5]), (Scoring("square", 2), LABEL[1::2, 2:5:2]), (WHOLE, LABEL)],
)
def test_classes_are_cut_to_the_frame_and_never_mixed(scoring: Scoring, expected: np.ndarray) -> None:
    of_frame = truth(scoring, "classes")
    np.testing.assert_array_equal(of_frame.maps["classes"], expected)
    assert (of_frame.size, of_frame.regions, of_frame.names) == (expected.shape, {"classes": 3}, {"classes"})


@pytest.mark.parametrize(("frame", "columns", "count"), [("square", slice(1, 5), 2), ("whole", slice(None), 3)])
def test_the_backbone_gets_the_pixels_of_the_frame_and_classes_are_counted_there(
    frame: Any, columns: slice, count: int
) -> None:
    entered = enter(picture(), frame, 4)
    if frame == "square":
        np.testing.assert_array_equal(entered.permute(1, 2, 0), picture().image[:, columns])
    assert entered.shape == (3, 4, 4)
    assert classes_in(picture(), frame) == count
    assert classes_in(picture(label=None), frame) is None


def test_a_frame_without_a_labelled_pixel_is_named() -> None:
    label = np.where(np.arange(WIDTH) < 5, -1, LABEL).astype(np.int16)
    with pytest.raises(DatasetError, match=r"^a: the centred square has no labelled pixel"):
        class_map(picture(label=label), SQUARE)
    assert class_map(picture(label=label), WHOLE).max() == 2
    with pytest.raises(DatasetError, match=r"^a: the picture has no labelled pixel"):
        class_map(picture(label=np.full_like(LABEL, -1)), WHOLE)


def test_every_person_is_a_map_of_its_own() -> None:
    whole, square = (truth(scoring, "people", people=PEOPLE) for scoring in (WHOLE, SQUARE))
    assert whole.regions == {"person 1": 2, "person 2": 7}
    np.testing.assert_array_equal(whole.maps["person 2"], PEOPLE[1])
    np.testing.assert_array_equal(square.maps["person 1"], PEOPLE[0][:, 1:5])


def test_without_people_the_connected_parts_of_the_classes_are_the_regions() -> None:
    of_parts = truth(SQUARE, "people", "classes")
    np.testing.assert_array_equal(of_parts.maps["person 1"], [[0, 0, 1, 1], [0, 0, 1, 1], [0, -1, 2, 2], [0, -1, 2, 2]])
    assert of_parts.regions == {"classes": 3, "person 1": 3}


def test_boundaries_are_those_of_the_data_set_or_else_those_of_the_regions() -> None:
    drawn = np.zeros((HEIGHT, WIDTH), bool)
    drawn[0] = True
    given, made = (truth(WHOLE, "boundaries", people=PEOPLE[:1], boundaries=known) for known in ((drawn,), ()))
    assert given.boundaries[0] is drawn
    assert (given.maps, given.names, given.size) == ({}, {"boundaries"}, (HEIGHT, WIDTH))
    assert made.boundaries[0].sum() == WIDTH
    cut = truth(SQUARE, "boundaries", people=PEOPLE[:1], boundaries=(drawn,))
    assert not cut.boundaries[0][0].any()


def test_objects_are_two_maps_in_the_frame_of_their_convention() -> None:
    of_objects = truth(Scoring("oclf", 320), "instances")
    expected = instance_truth(in_frame(Given().instances("a"), "oclf"), "oclf")
    np.testing.assert_array_equal(of_objects.maps["instances"], expected.instances)
    np.testing.assert_array_equal(of_objects.maps["instance_classes"], expected.classes)
    assert of_objects.regions == {"instances": 2, "instance_classes": 4}


def test_segments_are_compared_with_every_map(tmp_path: Path) -> None:
    labels = np.where(np.arange(WIDTH) < 3, 8, np.where(np.arange(WIDTH) == 3, -1, 8)) * np.ones((HEIGHT, 1), int)
    whole = truth(WHOLE, "classes", "people", "boundaries", people=PEOPLE)
    tables, counts = compare(labels, whole)
    assert {*tables, *counts} == whole.names == {"classes", "person 1", "person 2", "boundaries"}
    assert tables["classes"].dense().tolist() == [[6], [8], [8]]
    assert tables["classes"].missed.tolist() == [2, 2, 0]
    assert len(counts["boundaries"]) == 4
    split, _ = compare(labels, whole, components=True)
    assert split["classes"].dense().tolist() == [[4, 2], [6, 2], [0, 8]]
    with pytest.raises(ValueError, match=r"^labels: must have the shape \(4, 7\), got \(4, 6\)$"):
        compare(labels[:, 1:], whole)

    path = tmp_path / "a.png"
    write_label_map(path, labels)
    kept, _ = compare_kept(path, 1, whole)
    assert kept["person 1"].dense().tolist() == tables["person 1"].dense().tolist()
    assert compare_kept(path, 2, whole, components=True)[0]["classes"].segments == 2
    with pytest.raises(LabelMapError, match="has 1 segments, and its record 2"):
        compare_kept(path, 2, whole)
    write_label_map(path, labels[1:])
    with pytest.raises(LabelMapError, match=r"a\.png: cannot be used \(labels: must have the shape"):
        compare_kept(path, 1, whole)
    path.write_bytes(b"")
    with pytest.raises(LabelMapError, match=r"a\.png: the file is empty"):
        compare_kept(path, 1, whole)


def test_mean_classes_counts_the_classes_in_the_squares_of_all_pictures(tmp_path: Path) -> None:
    """Margins, void pixels and the limit of the run make no difference."""
    root = write_folder(tmp_path)
    with Image.open(image_of(root, IDS[0])) as image:
        width, height = image.size
    for id, things in zip(IDS, ([0, 1, 15], [0, 15, 24, 25, 39], [0, 2]), strict=True):
        label = np.full((height, width), 255, np.uint8)
        label[0, : (width - height) // 2] = 61
        label[: len(things), width // 2] = things
        Image.fromarray(label).save(label_of(root, id))
    dataset = CocoStuff27(root=str(root), limit=1)
    counts = [
        len(np.unique(dataset.load(id).label[:, (width - height) // 2 : (width + height) // 2])) - 1 for id in IDS
    ]
    assert mean_classes(dataset) == round(sum(counts) / 3)
    assert len(set(counts)) > 1


def test_unreadable_pictures_are_left_out_and_the_limit_does_not_matter(tmp_path: Path) -> None:
    for id, classes in (("a", 1), ("b", 3), ("c", 3)):
        write_picture(tmp_path, id, classes)
    (tmp_path / "maps" / "b.png").write_bytes(b"damaged")
    assert mean_classes(dataset_of(tmp_path, limit=1)) == 2  # the mean of 1 and 3


def test_a_data_set_without_a_readable_picture_is_an_error(tmp_path: Path) -> None:
    write_picture(tmp_path, "a")
    (tmp_path / "maps" / "a.png").write_bytes(b"damaged")
    with pytest.raises(DatasetError, match=r"^folder: none of the 1 pictures can be read"):
        mean_classes(dataset_of(tmp_path))
