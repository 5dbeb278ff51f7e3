"""A data set from two folders of the user, without a line of Python."""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from omegaconf import OmegaConf
from PIL import Image, ImageOps

from datasets.base import VOID
from datasets.files import warn_once
from datasets.folder import TURNED, FolderDataset
from datasets.photos import Photos
from datasets.remarks import truth_remarks
from eval.config import ConfigError, build
from tests.helpers.dataset_failure import failure
from tests.helpers.runs import evaluate

SHAPE = (24, 32)
IDS = ("a", "in/b", "in/deep/c d", "z")
NAMES = ("road", "sky", "other")

Labels = NDArray[np.integer]


def picture(path: Path, shape: tuple[int, int] = SHAPE, **options: Any) -> NDArray[np.uint8]:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(len(path.name)).integers(0, 256, (*shape, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path, **options)
    return pixels


def label_map(path: Path, seed: int = 0, values: Sequence[int] = (0, 1, 2, 255)) -> Labels:
    path.parent.mkdir(parents=True, exist_ok=True)
    labels = np.random.default_rng(seed).choice(np.array(values, np.uint8), SHAPE)
    Image.fromarray(labels).save(path)
    return labels


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for seed, id in enumerate(IDS):
        picture(tmp_path / "shots" / f"{id}.png")
        label_map(tmp_path / "masks" / f"{id}.png", seed)
    warn_once.cache_clear()
    return tmp_path


def dataset_of(root: Path, **keys: Any) -> FolderDataset:
    given = {"images": str(root / "shots"), "maps": str(root / "masks"), "classes": NAMES}
    return FolderDataset(**{**given, **keys})


def refusal(root: Path, **keys: Any) -> str:
    """Message of the error for these keys of the configuration."""
    given = {"images": str(root / "shots"), "maps": str(root / "masks"), "classes": list(NAMES)}
    node = OmegaConf.create({"_target_": "datasets.folder.FolderDataset", **given, **keys})
    with pytest.raises(ConfigError) as error:
        build(node, "dataset")
    assert "\n" not in str(error.value)
    return str(error.value)


# Pictures and maps


def test_ids_are_paths_below_the_folder(root: Path) -> None:
    dataset = dataset_of(root)
    assert tuple(dataset.ids) == IDS
    assert (dataset.name, dataset.label_source, dataset.official_count) == ("folder", "maps", None)
    for id in IDS:
        picture = dataset.load(id)
        values = np.asarray(Image.open(root / "masks" / f"{id}.png")).astype(np.int16)
        np.testing.assert_array_equal(picture.label, np.where(values == 255, VOID, values))
        np.testing.assert_array_equal(picture.image, np.asarray(Image.open(root / "shots" / f"{id}.png")))
    assert dataset_of(root, limit=2).ids == IDS[:2]
    (root / "list.txt").write_text("in/deep/c d\r\nz\r\n", encoding="utf-8-sig")
    assert dataset_of(root, split_file=str(root / "list.txt")).ids == IDS[2:]


@pytest.mark.parametrize("suffix", [".JPG", ".webp", ".ppm"])
def test_pictures_of_any_format_are_read(root: Path, suffix: str) -> None:
    (root / "shots" / "a.png").unlink()
    picture(root / "shots" / f"a{suffix}")
    assert dataset_of(root).ids == IDS
    assert dataset_of(root).load("a").image.shape == (*SHAPE, 3)


@pytest.mark.parametrize("file", ["masks/a.npy", "masks/a.bmp", "shots/a.bmp", "shots/a.tif"])
def test_the_state_changes_with_a_file_of_the_same_size(root: Path, file: str) -> None:
    path, states = root / file, []
    path.with_suffix(".png").unlink()
    for second, seed in enumerate((0, 1, 0)):
        labels = np.random.default_rng(seed).integers(0, 3, SHAPE, np.uint8)
        np.save(path, labels) if path.suffix == ".npy" else Image.fromarray(labels).save(path)
        os.utime(path, (second, second))  # some disks store times to a few milliseconds only
        states.append(dataset_of(root).state("a"))
    assert states[0] == states[2] != states[1]
    other = shutil.copytree(root, root / "copy")
    assert dataset_of(other).state("a") == states[0]
    dataset = dataset_of(other)
    _ = dataset.ids
    (other / file).unlink()
    assert "missing" in dataset.state("a")


def test_files_without_a_partner_are_counted(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    for name in ("new.png", "newer.jpg", "._a.png", "IMG_1.HEIC", "Thumbs.db"):
        (root / "shots" / name).write_bytes(b"")
    label_map(root / "masks" / "old.png")
    assert tuple(dataset_of(root).ids) == IDS
    assert tuple(dataset_of(root, limit=1).listed) == IDS
    skipped, lonely = caplog.messages
    assert skipped.startswith(f"{root / 'shots'}: skipped 1 file of another kind (.HEIC)")
    assert "IMG_1.HEIC" in skipped
    assert "pictures without a label map, left out: 2, such as new" in lonely
    assert "label maps without a picture, left out: 1, such as old" in lonely
    (root / "list.txt").write_text("new")
    message = failure(dataset_of(root, split_file=str(root / "list.txt")))
    assert message.startswith(f"{root / 'masks' / 'new.png'}: the file is missing, though {root / 'list.txt'} lists it")
    assert message.endswith("correct the list: its lines are ids such as a")


def test_missing_keys_and_folders_are_named(root: Path) -> None:
    for key in ("images", "maps", "classes"):
        message = failure(dataset_of(root, **{key: () if key == "classes" else None}))
        assert message.startswith(f"dataset=folder: these keys are not set: dataset.{key}=")
    assert "dataset.images=DIR, dataset.maps=DIR, dataset.classes=FILE.csv" in failure(FolderDataset())
    for key, what in (("images", "pictures"), ("maps", "label maps")):
        message = failure(dataset_of(root, **{key: str(root / "absent")}))
        assert message.startswith(f"{root / 'absent'}: no {what} there; give their folder as dataset.{key}=DIR")
    other = root / "other"
    label_map(other / "a_mask.png")
    assert "such as a_mask, has the name of a picture, such as a; " in failure(dataset_of(root, maps=str(other)))
    picture(root / "shots" / "a.jpg")
    assert "both are the file of a; " in failure(dataset_of(root))


def test_bad_files_are_named(root: Path) -> None:
    path = root / "masks" / "in" / "b.png"
    label_map(path, values=(0, 7))
    message = failure(dataset_of(root), "in/b")
    assert message.startswith(f"{path}: unknown class id 7 (")
    assert "of its pixels); the classes and void of folder are 0..2, 255; " in message
    assert "dataset.void" in message
    dataset_of(root, void=(255, 7)).load("in/b")
    Image.fromarray(np.zeros((*SHAPE, 3), np.uint8)).save(path)
    assert failure(dataset_of(root), "in/b").startswith(f"{path}: a label map has one whole number per pixel")
    Image.fromarray(np.zeros(SHAPE[::-1], np.uint8)).save(path)
    message = failure(dataset_of(root), "in/b")
    assert "32 x 24" in message
    assert "24 x 32" in message
    path.write_bytes(path.read_bytes()[:30])
    assert failure(dataset_of(root), "in/b").startswith(f"{path}: ")


@pytest.mark.parametrize("suffix", ["png", "tif"])  # Pillow turns a TIFF while it decodes it, a PNG never
@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(("shape", "upright"), [(SHAPE, True), (SHAPE, False), ((24, 24), True)])
def test_a_photograph_is_turned_unless_its_map_has_the_stored_shape(
    root: Path, orientation: int, shape: tuple[int, int], upright: bool, suffix: str
) -> None:
    """A map is usually drawn on the picture as viewers show it, upright. What the shape cannot settle is remarked."""
    (root / "shots" / "a.png").unlink()
    pixels = picture(root / "shots" / f"a.{suffix}", shape, **orienting(suffix, orientation))
    turned = np.asarray(ImageOps.exif_transpose(oriented(pixels, orientation)))
    map_shape = turned.shape[:2] if upright else shape
    Image.fromarray(np.zeros(map_shape, np.uint8)).save(root / "masks" / "a.png")
    loaded = dataset_of(root).load("a")
    np.testing.assert_array_equal(loaded.image, turned if map_shape == turned.shape[:2] else pixels)
    settled = orientation == 1 or turned.shape[:2] != shape
    assert [remark.kind for remark in loaded.remarks] == ([] if settled else [TURNED])


def orienting(suffix: str, orientation: int) -> dict[str, Any]:
    """Options of Pillow that write the orientation."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    return {"tiffinfo": {0x0112: orientation}} if suffix == "tif" else {"exif": exif}


def oriented(pixels: NDArray[np.uint8], orientation: int) -> Image.Image:
    image = Image.fromarray(pixels)
    image.getexif()[0x0112] = orientation
    return image


@pytest.mark.parametrize("suffix", ["png", "tif"])
@pytest.mark.parametrize("orientation", range(2, 9))
def test_a_label_map_that_exif_turns_is_refused(root: Path, orientation: int, suffix: str) -> None:
    (root / "masks" / "a.png").unlink()
    path = root / "masks" / f"a.{suffix}"
    Image.fromarray(np.zeros(SHAPE, np.uint8)).save(path, **orienting(suffix, orientation))
    assert failure(dataset_of(root), "a").startswith(f"{path}: its EXIF data turn this label map")


def test_a_file_cannot_be_picture_and_map(root: Path) -> None:
    """Roboflow's layout: p0.jpg and p0_mask.png in one folder."""
    label_map(root / "shots" / "a_mask.png")
    message = failure(dataset_of(root, maps=str(root / "shots" / "in" / "..")))
    assert message.endswith(
        "put the label maps into a folder of their own, each with the name of its picture (p0.png for p0.jpg)"
    )


def test_swapped_folders_are_guessed(root: Path) -> None:
    message = failure(dataset_of(root, images=str(root / "masks"), maps=str(root / "shots")), "a")
    assert message.endswith("is a label map: dataset.images and dataset.maps look swapped")
    Image.fromarray(np.full(SHAPE, 90, np.uint8)).save(root / "shots" / "a.png")  # a grey picture
    message = failure(dataset_of(root, images=str(root / "masks"), maps=str(root / "shots")), "a")
    assert message.endswith("dataset.images and dataset.maps look swapped")
    Image.fromarray(np.zeros((*SHAPE, 3), np.uint8)).save(root / "masks" / "a.png")
    assert "look swapped" not in failure(dataset_of(root), "a")


def test_values_that_are_not_scored_are_counted(root: Path) -> None:
    values = label_map(root / "masks" / "a.png", values=(0, 1, 255))
    loaded = dataset_of(root).load("a")
    assert loaded.unscored == {255: int((values == 255).sum())}
    pixels = [int((loaded.label == label).sum()) for label in range(3)]
    assert truth_remarks(dataset_of(root), pixels, [loaded.unscored, {"255": 3, "7": 1}, {}]) == [
        "folder: other occurs in no picture; 255 is not scored in 2 of 3, 7 is not scored in 1 of 3 (dataset.void)"
    ]
    assert truth_remarks(dataset_of(root), [1, 1, 1], [{}]) == []
    many = dataset_of(root, classes=tuple("abcdefghi"))
    assert truth_remarks(many, [1, *[0] * 8], []) == ["folder: 8 of 9 classes occur in no picture"]
    assert truth_remarks(Photos(), [1] * 27, [{255: 9}]) == []  # published: nothing that the user set


# Classes


def test_several_values_may_be_one_class_and_255_may_be_a_class(root: Path) -> None:
    (root / "two.csv").write_text("value,label,name\n0,0,ground\n1,0,ground\n2,-1,dirt\n255,1,figure\n")
    dataset = dataset_of(root, classes=str(root / "two.csv"), background=0)
    assert (tuple(dataset.classes), dataset.background) == (("ground", "figure"), 0)
    values = np.asarray(Image.open(root / "masks" / "a.png"))
    expected = np.select([values <= 1, values == 2], [0, VOID], 1)
    np.testing.assert_array_equal(dataset.load("a").label, expected)


def test_void_that_is_typed_wins_over_the_classes(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    dataset = dataset_of(root, void=(0, 255), background=1)
    assert (tuple(dataset.classes), dataset.background) == (NAMES[1:], 0)
    values = np.asarray(Image.open(root / "masks" / "a.png")).astype(int)
    np.testing.assert_array_equal(dataset.load("a").label, np.where(np.isin(values, (0, 255)), VOID, values - 1))
    dataset.check()
    assert caplog.messages == ["folder: not scored, because dataset.void lists it: 0 (road)"]
    assert "the class road is not scored" in refusal(root, void=[0], background=0)
    assert refusal(root, void=[0, 1, 2]) == "dataset.classes: dataset.void leaves no class"
    assert "unknown class id 255" in failure(dataset_of(root, void=()), "a")


def test_maps_in_colours_are_read_by_the_class_file(root: Path) -> None:
    palette = np.zeros((256, 3), np.uint8)
    palette[[0, 1, 2, 255]] = (128, 64, 128), (70, 130, 180), (0, 0, 0), (255, 255, 255)
    (root / "colours.csv").write_text(
        "name,r,g,b\nroad,128,64,128\nsky,70,130,180\nother,0,0,0\nunlabelled,255,255,255\n"
    )
    values = np.asarray(Image.open(root / "masks" / "a.png"))
    Image.fromarray(palette[values]).save(root / "masks" / "a.png")
    palettes = Image.fromarray(np.argsort([0, 1, 2, *range(255, 2, -1)]).astype(np.uint8)[values])  # other indices
    palettes.putpalette(palette[[0, 1, 2, *range(255, 2, -1)]].tobytes())
    palettes.save(root / "masks" / "in" / "b.png")
    for id in ("a", "in/b"):
        loaded = dataset_of(root, classes=str(root / "colours.csv")).load(id)
        np.testing.assert_array_equal(loaded.label, np.where(values == 255, 3, values))
    (root / "colours.csv").write_text("name,label,colour\nroad,0,#804080\nsky,1,4682b4\n,-1,#000000\n")
    message = failure(dataset_of(root, classes=str(root / "colours.csv")), "a")
    assert f"unknown class id #ffffff ({(values == 255).mean():.2%} of its pixels)" in message


def test_maps_are_painted_from_annotations(root: Path) -> None:
    square = [[4, 2, 12, 2, 12, 10, 4, 10]]
    corner = {"size": list(SHAPE), "counts": [0, 3, SHAPE[0] * SHAPE[1] - 3]}
    content = {
        "images": [
            {"id": 5, "file_name": "a.png", "height": SHAPE[0], "width": SHAPE[1]},
            {"id": 6, "file_name": "in/b.jpg", "height": SHAPE[0], "width": SHAPE[1]},
        ],
        "categories": [{"id": 900, "name": "car"}, {"id": 0, "name": "tree"}],
        "annotations": [
            {"id": 1, "image_id": 5, "category_id": 900, "segmentation": square},
            {"id": 2, "image_id": 6, "category_id": 0, "segmentation": corner},
        ],
    }
    path = root / "instances.json"
    path.write_text(json.dumps(content))
    dataset = dataset_of(root, maps=str(path), classes=())
    assert (tuple(dataset.classes), tuple(dataset.ids)) == (("tree", "car"), ("a", "in/b"))
    expected = np.full(SHAPE, VOID)
    expected[2:10, 4:12] = 1
    loaded = dataset.load("a")
    np.testing.assert_array_equal(loaded.label, expected)
    assert loaded.unscored == {-1: SHAPE[0] * SHAPE[1] - 64}
    assert dataset.load("in/b").label[:4, 0].tolist() == [0, 0, 0, VOID]
    named = dataset_of(root, maps=str(path), classes=("car",))
    np.testing.assert_array_equal(named.load("a").label, np.where(expected == 1, 0, VOID))
    (root / "ids.csv").write_text("value,label,name\n-1,0,nothing\n900,1,car\n0,1,car\n")
    table = dataset_of(root, maps=str(path), classes=str(root / "ids.csv"))
    np.testing.assert_array_equal(table.load("a").label, expected == 1)
    before = dataset.state("a")
    path.write_text(json.dumps(content | {"info": 1}))
    assert dataset_of(root, maps=str(path), classes=()).state("a") != before
    message = refusal(root, maps=str(path), classes=["car", "bus"])
    assert "bus is no category of" in message
    assert "categories: car, tree" in message


def test_bad_keys_are_named(root: Path) -> None:
    assert refusal(root, classes=str(root / "no.csv")).startswith(f"dataset.classes: {root / 'no.csv'}: ")
    (root / "binary.csv").write_bytes(b"\xff\xfe\x00")
    assert "binary.csv" in refusal(root, classes=str(root / "binary.csv"))
    assert refusal(root, classes=["a", "a"]).startswith("dataset.classes: ")
    assert refusal(root, classes=[1, 2]) == "dataset.classes: 1 is no text; quote it: dataset.classes=['1', ...]"
    assert "true is no text" in refusal(root, classes=["a", True])
    assert "null is no text" in refusal(root, classes=["a", None])
    assert "the name of class 1 is empty" in refusal(root, classes=["a", ""])
    assert refusal(root, void=["x"]).startswith("dataset.void: ")
    assert refusal(root, background=3) == "dataset.background: must be a label, 0..2, or null, got 3"
    assert refusal(root, name=" ").startswith("dataset.name: ")
    assert refusal(root, limit=0).startswith("dataset.limit: ")


def test_data_sets_with_different_class_files_are_not_equal(root: Path) -> None:
    """Rows share equal data sets, so the content of the CSV file must count."""
    path = root / "classes.csv"
    datasets = []
    for order in ((0, 1, 2), (0, 1, 2), (2, 1, 0)):
        lines = [f"{value},{label},{name}" for label, (value, name) in enumerate(zip(order, NAMES, strict=True))]
        path.write_text("\n".join(["value,label,name", *lines]))
        datasets.append(dataset_of(root, classes=str(path)))
    first, same, other = datasets
    assert first == same != other
    assert hash(first) == hash(same)
    assert first.fingerprint == same.fingerprint != other.fingerprint
    assert first != dataset_of(root, limit=1, classes=str(path))


def test_a_run_writes_tables_label_maps_and_panels(root: Path, tmp_path: Path) -> None:
    label_map(root / "masks" / "z.png", values=(0, 9))
    data = (f"dataset.images={root}/shots", f"dataset.maps={root}/masks", "dataset.classes=[road,sky,other]")
    options = ("dataset=folder", *data, "dataset.name=streets", "backbone=none", "backbone.size=32", "segmenter=slic")
    run = evaluate(tmp_path / "run", *options, "panels=3")
    assert run.status == 1, run.err
    statuses = {record["picture"]: record["status"] for record in run.images()}
    assert statuses == {**dict.fromkeys(IDS[:3], "ok"), "z": "failed"}
    assert set(run.table()["dataset"]) == {"streets"}
    assert {path.name for path in (run.folder / "labels").rglob("*.png")} == {"a.png", "b.png", "c d.png"}
    assert len(list((run.folder / "panels").rglob("*.png"))) == 4
