"""The built-in photographs, with the project's polygons and with simpler ones in their place."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from datasets import photos
from datasets.base import VOID, DatasetError
from datasets.photos import PHOTO_FILES, Photos

# COCO-Stuff-27 puts flower and leaves into one class, so the picture of a flower before leaves has only that one.
ONE_CLASS = {"flower": "plant-stuff"}


def stand_in() -> dict[str, Any]:
    """A sky over everything, a person over it, and a cat over both, in COCO's format."""
    images, annotations = [], []
    regions = (
        (157, [[0, 0, 300, 0, 300, 200, 0, 200]]),
        (1, [[20, 20, 120, 20, 120, 120, 20, 120]]),
        (17, [[50, 50, 90, 50, 90, 90, 50, 90], [150, 50, 190, 50, 190, 90, 150, 90]]),
    )
    for number, id in enumerate(PHOTO_FILES):
        image = Image.open(Photos().image_path(id)).convert("RGB")
        sha256 = hashlib.sha256(Photos().image_path(id).read_bytes()).hexdigest()
        name, (width, height) = Path(PHOTO_FILES[id][1]).name, image.size
        images.append({"id": number, "file_name": name, "width": width, "height": height, "sha256": sha256})
        annotations += [
            {"image_id": number, "category_id": category, "segmentation": polygons} for category, polygons in regions
        ]
    return {"images": images, "annotations": annotations}


@pytest.fixture
def truth(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "photos.json"
    path.write_text(json.dumps(stand_in()))
    monkeypatch.setattr(photos, "TRUTH", path)
    return path


def test_later_polygons_cover_earlier_ones(truth: Path) -> None:
    dataset = Photos()
    dataset.check()
    assert dataset.ids == tuple(PHOTO_FILES)
    assert (dataset.name, dataset.label_source, dataset.official_count) == ("photos", "polygons", None)
    sky, person, animal = (dataset.classes.index(name) for name in ("sky-stuff", "person-things", "animal-things"))
    for id in dataset.ids:
        label = dataset.load(id).label
        expected = np.full_like(label, VOID)
        expected[:200, :300] = sky
        expected[20:120, 20:120] = person
        expected[50:90, 50:90] = expected[50:90, 150:190] = animal
        np.testing.assert_array_equal(label, expected)


def test_another_picture_under_the_same_name_is_refused(truth: Path) -> None:
    content = json.loads(truth.read_text())
    images = [{**image, **({"sha256": "0" * 64} if image["id"] == 0 else {})} for image in content["images"]]
    truth.write_text(json.dumps({**content, "images": images}))
    with pytest.raises(DatasetError, match="scikit-image") as error:
        Photos().load("astronaut")
    assert "astronaut.png" in str(error.value)
    assert "\n" not in str(error.value)
    Photos().load("china")


def test_fingerprint_and_state_follow_list_and_polygons(truth: Path, tmp_path: Path) -> None:
    first = Photos().fingerprint
    assert Photos(limit=2).ids == ("astronaut", "chelsea")
    assert Photos(limit=2).fingerprint == first
    split = tmp_path / "split.txt"
    split.write_text("rocket\nchina\n")
    assert Photos(split_file=str(split)).ids == ("china", "rocket")
    assert Photos(split_file=str(split)).fingerprint != first
    split.write_text("rocket\nlena\n")
    with pytest.raises(DatasetError, match="unknown id lena"):
        Photos(split_file=str(split)).check()
    before = Photos().state("china")
    truth.write_text(truth.read_text().replace("[[0, 0,", "[[0, 1,"))  # same size, other polygons
    assert Photos().state("china") != before


def test_a_missing_package_or_file_is_named(monkeypatch: pytest.MonkeyPatch, truth: Path) -> None:
    monkeypatch.setitem(PHOTO_FILES, "rocket", ("skimage", "data/no_such_rocket.jpg"))
    with pytest.raises(DatasetError, match=r"no_such_rocket\.jpg: the installed scikit-image lacks"):
        Photos().check()
    monkeypatch.setattr(photos, "find_spec", lambda package: None)
    with pytest.raises(DatasetError, match=r"not installed.*make setup"):
        Photos().check()


@pytest.mark.parametrize("id", PHOTO_FILES)
def test_the_projects_polygons_label_most_of_each_picture(id: str) -> None:
    dataset = Photos()
    picture = dataset.load(id)
    present = {dataset.classes[label] for label in np.unique(picture.label[picture.label != VOID])}
    assert present == {ONE_CLASS[id]} if id in ONE_CLASS else len(present) >= 2
    assert (picture.label == VOID).mean() < 0.25


def test_pillow_draws_the_projects_polygons_alike() -> None:
    """The two differ in pixels on the edges."""
    content = json.loads(photos.TRUTH.read_text())
    assert {Path(image["file_name"]).stem for image in content["images"]} == set(PHOTO_FILES)
    for image in content["images"]:
        canvas = Image.new("L", (image["width"], image["height"]), 255)
        for annotation in content["annotations"]:
            if annotation["image_id"] == image["id"]:
                for outline in annotation["segmentation"]:
                    ImageDraw.Draw(canvas).polygon(outline, fill=annotation["category_id"] - 1)
        dataset = Photos()
        expected = dataset.table.read(np.asarray(canvas))[0]
        label = dataset.load(Path(image["file_name"]).stem).label
        assert (label == expected).mean() > 0.97
