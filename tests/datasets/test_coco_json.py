"""Damaged annotations: each fails only its own picture, is named, and fills no memory."""

from __future__ import annotations

import json
import logging
import resource
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from datasets.base import DatasetError
from datasets.coco_json import UNPAINTED, CocoJson, read_coco_json, run_lengths
from datasets.cocostuff27 import CocoStuff27
from datasets.files import warn_once
from tests.helpers.coco_folder import (
    HEIGHT,
    IDS,
    WIDTH,
    box,
    packed,
    polygon,
    unpacked,
    write_annotations,
    write_folder,
)
from tests.helpers.dataset_failure import failure

SIZE = [HEIGHT, WIDTH]
SPOILT = 4711
"""Id of the damaged annotation."""

DAMAGED: dict[str, Any] = {
    "null": None,
    "nested points": [[[1, 1], [5, 1], [5, 5]]],
    "an odd number of coordinates": [[1, 1, 5, 1, 5, 5, 2]],
    "a text as coordinate": [[1, 1, 5, 1, 5, "5"]],
    "NaN": [[1, 1, 5, 1, 5, float("nan")]],
    "a coordinate of 1e12": [[1, 1, 1e12, 1, 5, 5]],
    "a whole number beyond floats": [[1, 1, 10**400, 1, 5, 5]],
    "an outline without end": [[0, 0, WIDTH, HEIGHT] * 20_000],
    "counts that are missing": {"size": SIZE},
    "a size that is turned": {"size": SIZE[::-1], "counts": [HEIGHT * WIDTH]},
    "runs that are too short": {"size": SIZE, "counts": [5, 5]},
    "a negative run": {"size": SIZE, "counts": [-1, HEIGHT * WIDTH + 1]},
    "a run of 2**40": {"size": SIZE, "counts": [2**40]},
    "packed runs that are cut": {"size": SIZE, "counts": packed(box(3, 3, 20, 20))["counts"][:-1]},
    "a packed run that goes on for ever": {"size": SIZE, "counts": "o" * 100_000},
    "letters beyond ASCII": {"size": SIZE, "counts": "é"},
    "no segmentation": ...,
}


@pytest.fixture(autouse=True)
def _little_memory() -> Iterator[None]:
    """Limits the memory to 1 GB more than now, so that a region that fills it stops the test and not the machine."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0]) if Path("/proc/self/statm").exists() else None
    if pages is not None:
        resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + 10**9, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_folder(tmp_path_factory.mktemp("coco"))
    write_annotations(folder)
    return folder


def with_annotation(root: Path, **keys: Any) -> Path:
    """Writes one good annotation for each picture, and for the second picture another one with these keys."""
    path = root / "annotations" / "instances_val2017.json"
    images = [{"id": int(id), "file_name": f"{id}.jpg", "height": HEIGHT, "width": WIDTH} for id in IDS]
    good = {"id": 1, "category_id": 1, "segmentation": [polygon(4, 4, 12, 12)]}
    spoilt = {**good, "image_id": int(IDS[1]), "id": SPOILT, **keys}
    annotations = [{**good, "image_id": int(id)} for id in IDS]
    annotations.append({key: value for key, value in spoilt.items() if value is not ...})
    path.write_text(json.dumps({"images": images, "annotations": annotations}))
    return path


@pytest.mark.parametrize(
    "keys",
    [
        *(pytest.param({"segmentation": region}, id=what) for what, region in DAMAGED.items()),
        *({"category_id": category} for category in (..., 184, None)),
    ],
)
def test_a_damaged_annotation_fails_only_its_picture(root: Path, keys: dict[str, Any]) -> None:
    path = with_annotation(root, **keys)
    dataset = CocoStuff27(root=str(root), labels="json")
    message = failure(dataset, IDS[1])
    assert message.startswith(f"{path}: annotation {SPOILT} cannot be used, because it")
    assert len(message) < len(str(path)) + 300
    dataset.load(IDS[0])
    dataset.load(IDS[2])


@pytest.mark.parametrize("nothing", [[], [[1, 1]], [[], [1.5, 2, 3, 4]]])
def test_degenerate_regions_cover_nothing(root: Path, nothing: list[Any]) -> None:
    labels = []
    for keys in ({"segmentation": nothing, "category_id": 3}, {"image_id": int(IDS[0])}):
        with_annotation(root, **keys)
        labels.append(CocoStuff27(root=str(root), labels="json").load(IDS[1]).label)
    np.testing.assert_array_equal(*labels)
    assert len(np.unique(labels[0])) > 1


@pytest.mark.parametrize("image_id", [5, "x", ...])
def test_annotations_of_no_picture_are_counted(root: Path, image_id: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    warn_once.cache_clear()
    path = with_annotation(root, image_id=image_id, segmentation=None)
    dataset = CocoStuff27(root=str(root), labels="json")
    for id in IDS:
        dataset.load(id)
    (message,) = caplog.messages
    assert message.startswith(f"{path}: 1 annotations belong to no picture")
    assert str(SPOILT) in message


@pytest.mark.parametrize(
    "keys",
    [
        *({"height": value} for value in (..., 0, 24.0, "24", True, 10**9)),
        {"width": 10**12},
        *({"id": value} for value in (..., "7")),
        *({"file_name": value} for value in (..., 7)),
    ],
)
def test_a_damaged_picture_entry_fails_only_its_picture(root: Path, keys: dict[str, Any]) -> None:
    path = with_annotation(root)
    content = json.loads(path.read_text())
    content["images"][1] = {key: value for key, value in (content["images"][1] | keys).items() if value is not ...}
    path.write_text(json.dumps(content))
    dataset = CocoStuff27(root=str(root), labels="json")
    message = failure(dataset, IDS[1])
    assert message.startswith(f"{path}: ")
    assert f"picture {IDS[1]}" in message
    dataset.load(IDS[0])


@pytest.mark.parametrize(
    "content", ["", "[]", "3", '{"images": 3}', '{"images": [3]}', '{"images": [], "annotations": [3]}', "[" * 10_000]
)
def test_files_in_another_format_are_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "instances.json"
    path.write_text(content)
    with pytest.raises(DatasetError, match="no masks in COCO's format"):
        read_coco_json(path)


def test_two_pictures_of_one_name_are_refused(root: Path) -> None:
    path = with_annotation(root)
    path.write_text(path.read_text().replace(IDS[2], IDS[1]))
    with pytest.raises(DatasetError, match=f"^{path}: several of its images are called {IDS[1]}; "):
        read_coco_json(path)


def test_a_byte_order_mark_is_skipped(root: Path) -> None:
    path = with_annotation(root)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert set(read_coco_json(path).images) == set(IDS)


# Random regions: each gives DatasetError, or a mask of the picture's size.

NUMBERS = st.one_of(st.integers(), st.floats(), st.integers(-WIDTH, 2 * WIDTH), st.just(None), st.text(max_size=2))
REGIONS = st.one_of(
    st.none(),
    st.text(),
    st.lists(st.one_of(NUMBERS, st.lists(NUMBERS, max_size=12))),
    st.fixed_dictionaries(
        {"size": st.one_of(st.just(SIZE), NUMBERS), "counts": st.one_of(st.text(), st.lists(NUMBERS), NUMBERS)}
    ),
    st.builds(lambda text: {"size": SIZE, "counts": text}, st.text(st.characters(min_codepoint=48, max_codepoint=112))),
)


def source(annotations: list[dict[str, Any]]) -> CocoJson:
    return CocoJson(Path("x.json"), {"a": {"id": 1, "height": HEIGHT, "width": WIDTH}}, {1: annotations})


@settings(deadline=None, max_examples=500, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(REGIONS)
def test_every_region_is_painted_or_refused(region: object) -> None:
    canvas = np.full((HEIGHT, WIDTH), UNPAINTED, np.uint8)
    try:
        source([{"id": SPOILT, "category_id": 1, "segmentation": region}]).paint(canvas, "a")
    except DatasetError as error:
        assert f"annotation {SPOILT}" in str(error)  # noqa: PT017
    assert set(np.unique(canvas)) <= {0, UNPAINTED}


@settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**32 - 1), st.floats(0, 1))
def test_run_lengths_are_those_of_pycocotools(height: int, width: int, seed: int, share: float) -> None:
    mask: NDArray[np.uint8] = np.asfortranarray(np.random.default_rng(seed).random((height, width)) < share, np.uint8)
    reference = coco_mask.encode(mask)
    region = {"size": [height, width], "counts": reference["counts"].decode()}
    assert run_lengths(region, height, width) == reference
    if (height, width) == (HEIGHT, WIDTH):
        assert run_lengths(unpacked(mask), height, width) == reference


def test_polygons_may_reach_over_the_edge() -> None:
    canvas = np.full((HEIGHT, WIDTH), UNPAINTED, np.uint8)
    annotation = {"category_id": 1, "segmentation": [polygon(-5, -5, HEIGHT + 5, 10)]}
    source([annotation]).paint(canvas, "a")
    expected = np.full_like(canvas, UNPAINTED)
    expected[:, :10] = 0
    np.testing.assert_array_equal(canvas, expected)
