"""Object-centric scores against the values of two public codes, brute force and scikit-learn."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from sklearn.metrics import adjusted_rand_score

from datasets.base import Instances
from datasets.voc2012 import OBJECTS, Voc2012
from eval.instances import (
    IGNORED,
    Convention,
    InstanceScores,
    best_overlaps,
    components,
    foreground_ari,
    frame_pixels,
    hungarian_overlaps,
    in_frame,
    instance_scores,
    instance_truth,
)
from eval.matching import contingency
from eval.protocol_scores import scores_of
from eval.records import Record, SparseTable
from eval.row import Row
from tests.conftest import GOLDEN
from tests.helpers.paired_folder import label_of, write_label, write_list, write_pair
from tests.helpers.runs import evaluate

SCORES = ("mbo_i", "mbo_c", "miou", "fg_ari", "corloc")
"""Names in the golden file, in the order of `InstanceScores`."""
CASES = tuple(f"case{number:02d}" for number in range(1, 21))
CONVENTIONS: tuple[Convention, ...] = ("oclf", "spot")


@pytest.fixture(scope="module")
def golden() -> dict[str, NDArray]:
    return dict(np.load(GOLDEN / "instances.npz"))


def objects_of(golden: dict[str, NDArray], case: str) -> Instances:
    return Instances(*(golden[f"{case}_{name}"] for name in ("masks", "classes", "crowd", "void")))


def tables_of(golden: dict[str, NDArray], case: str, convention: Convention) -> list[NDArray]:
    truth = instance_truth(objects_of(golden, case), convention)
    return [contingency(golden[f"{case}_prediction"], labels, labels.max() + 1) for labels in truth]


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_all_scores_are_those_of_the_public_codes(golden: dict[str, NDArray], convention: Convention) -> None:
    for case in CASES:
        instances, classes = tables_of(golden, case, convention)
        expected = [golden[f"{case}_{convention}_{name}"] for name in SCORES]
        np.testing.assert_allclose(instance_scores(instances, classes), expected, rtol=0, atol=1e-12, err_msg=case)
        of_objects = {"mbo_i": best_overlaps(instances), "mbo_c": best_overlaps(classes)}
        for name, values in {**of_objects, "miou": hungarian_overlaps(instances)}.items():
            of_each = golden[f"{case}_{convention}_each_{name}"]
            np.testing.assert_allclose(np.sort(values), np.sort(of_each), rtol=0, atol=1e-12, err_msg=case)


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_the_scores_of_a_set_are_those_of_the_public_codes(golden: dict[str, NDArray], convention: Convention) -> None:
    records = [record_of(case, *tables_of(golden, case, convention)) for case in CASES]
    scores = scores_of(row_with(records), "instances").of_set
    means = [scores[name] / 100 for name in InstanceScores._fields]
    np.testing.assert_allclose(means, [golden[f"set_{convention}_{name}"] for name in SCORES], rtol=0, atol=1e-12)
    pictures, with_objects = (golden[f"set_{convention}_pictures_{name}"] for name in ("fg_ari", "mbo_i"))
    assert scores["without_objects"] == pictures - with_objects


def record_of(picture: str, instances: NDArray, classes: NDArray) -> Record:
    named = {"instances": instances, "instance_classes": classes}
    return Record(
        "row", picture, stored_tables={name: SparseTable.of(table).to_json() for name, table in named.items()}
    )


def row_with(records: Sequence[Record]) -> Row:
    return Row("row", "row", {}, (), records=tuple(records), protocols=("instances",))


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_frames_are_those_of_the_public_codes(golden: dict[str, NDArray], convention: Convention) -> None:
    ending = f"_{convention}_rows"
    sizes = [key.split("_")[1] for key in golden if key.startswith("frame_") and key.endswith(ending)]
    assert len(sizes) == 10
    for size in sizes:
        height, width = map(int, size.split("x"))
        for name, indices in zip(("rows", "columns"), frame_pixels(height, width, convention), strict=True):
            np.testing.assert_array_equal(indices, golden[f"frame_{size}_{convention}_{name}"], size)


def test_the_frame_of_oclf_takes_the_pixels_that_torch_takes() -> None:
    for length in range(320, 1200, 7):
        source = torch.arange(length, dtype=torch.float32)[None, None]
        expected = torch.nn.functional.interpolate(source, size=320, mode="nearest-exact")[0, 0].tolist()
        assert frame_pixels(length, length, "oclf")[0].tolist() == expected


def test_objects_are_seen_through_the_frame() -> None:
    image = np.arange(426 * 640).reshape(426, 640)
    objects = Instances(image[None] % 3 == 0, np.array([5]), np.array([False]), image % 7 == 0)
    rows, columns = frame_pixels(426, 640, "spot")
    seen, pixels = in_frame(objects, "spot"), image[np.ix_(rows, columns)]
    np.testing.assert_array_equal(seen.masks[0], pixels % 3 == 0)
    np.testing.assert_array_equal(seen.void, pixels % 7 == 0)


def test_conventions_differ_in_crowds_overlaps_and_void() -> None:
    """Pixels: object 1, 1 and 2, 2, 2 under a crowd, crowd alone, background, void."""
    masks = np.array([[1, 1, 0, 0, 0, 0, 0], [0, 1, 1, 1, 0, 0, 0], [0, 0, 0, 1, 1, 0, 0]], dtype=bool)[:, None]
    void = np.array([[0, 0, 0, 0, 0, 0, 1]], dtype=bool)
    objects = Instances(masks, np.array([9, 4, 6]), np.array([False, False, True]), void)
    oclf, spot = (instance_truth(objects, convention) for convention in CONVENTIONS)
    assert oclf.instances.tolist() == [[1, IGNORED, 2, 2, 0, 0, IGNORED]]
    assert oclf.classes.tolist() == [[9, 9, 4, 4, 0, 0, IGNORED]]
    assert spot.instances.tolist() == [[1, IGNORED, 2, IGNORED, 3, 0, 0]]
    assert spot.classes.tolist() == [[9, IGNORED, 4, IGNORED, 6, 0, 0]]
    with pytest.raises(ValueError, match="convention: must be oclf or spot, got 'coco'"):
        instance_truth(objects, "coco")  # type: ignore[arg-type]


# Random label maps against a second way to the same scores


@given(seed=st.integers(0, 2**32 - 1), objects=st.integers(1, 4), segments=st.integers(1, 5))
@settings(deadline=None, max_examples=300)
def test_scores_of_random_maps_are_those_of_brute_force(seed: int, objects: int, segments: int) -> None:
    rng = np.random.default_rng(seed)
    truth = rng.integers(-1, objects + 1, (4, 6))
    prediction = rng.integers(0, segments, (4, 6)) * 2  # numbers with gaps
    scored = truth != -1
    left = [number for number in range(1, objects + 1) if (truth == number).any()]
    iou = [
        [
            float(((truth == number) & (prediction == segment)).sum())
            / (((truth == number) | (prediction == segment)) & scored).sum()
            for segment in np.unique(prediction)
        ]
        for number in left
    ]
    table = contingency(prediction, truth, objects + 1)
    scores = instance_scores(table, table)
    if not left:
        assert np.isnan([scores.mbo_i, scores.mbo_c, scores.instance_miou, scores.corloc]).all()
        assert scores.fg_ari == 1.0
        return
    best = [max(row) for row in iou]
    padded = [row + [0.0] * len(left) for row in iou]  # segments of IoU 0 for objects that get none
    ways = permutations(range(len(padded[0])), len(left))
    assert scores.mbo_i == scores.mbo_c == pytest.approx(np.mean(best), abs=1e-12)
    assert scores.instance_miou == pytest.approx(
        max(np.mean([row[column] for row, column in zip(padded, way, strict=True)]) for way in ways), abs=1e-12
    )
    assert scores.corloc == (max(best) > 0.5)
    inside = truth > 0
    assert scores.fg_ari == pytest.approx(adjusted_rand_score(truth[inside], prediction[inside]), abs=1e-12)


def test_fg_ari_is_exact_where_64_bits_overflow() -> None:
    side = 2000
    table = np.array([[0, 0], [side**2, side], [side, side**2]])
    n, agree = 2 * (side**2 + side), 2 * (side**2 * (side**2 - 1) + side * (side - 1))
    row = 2 * (n // 2) * (n // 2 - 1)
    assert row * row > 2**63
    assert foreground_ari(table) == (agree - row * row / (n * (n - 1))) / (row - row * row / (n * (n - 1)))


def test_fg_ari_of_a_single_object_is_all_or_nothing() -> None:
    assert foreground_ari(np.array([[7, 5], [1000, 0]])) == 1.0
    assert foreground_ari(np.array([[7, 5], [999, 1]])) == 0.0


def test_fg_ari_counts_pictures_without_objects_and_the_others_leave_them_out() -> None:
    empty, cut = np.array([[9, 3]]), np.array([[0, 0], [5, 5]])
    scores = scores_of(row_with([record_of("a", empty, empty), record_of("b", cut, cut)]), "instances").of_set
    means = {name: scores[name] for name in InstanceScores._fields}
    # An IoU of exactly 0.5 is not found.
    assert means == {"mbo_i": 50, "mbo_c": 50, "instance_miou": 50, "fg_ari": 50, "corloc": 0}
    assert (scores["fg_ari_with_objects"], scores["without_objects"]) == (0, 1)
    assert "mbo_i" not in scores_of(row_with([record_of("a", empty, empty)]), "instances").of_set


def test_pixels_in_no_segment_stay_in_the_unions() -> None:
    table, missed = np.array([[10, 0], [3, 0], [0, 0]]), np.array([0, 3, 2])
    assert best_overlaps(table, missed).tolist() == [3 / 16, 0.0]  # the second object is left, though it has no segment
    assert hungarian_overlaps(table, missed).tolist() == [3 / 16, 0.0]
    assert foreground_ari(table, missed) == pytest.approx(adjusted_rand_score([1] * 6 + [2] * 2, [0] * 3 + [9] * 5))
    scores = instance_scores(table, table, (missed, missed))
    assert scores.mbo_i == scores.mbo_c == scores.instance_miou == 3 / 32


def test_components_have_four_neighbours_and_pixels_without_a_segment_stay() -> None:
    labels = np.array([[3, 3, 0], [0, 0, 3], [-1, 0, -1]])
    assert components(labels).tolist() == [[0, 0, 1], [2, 2, 3], [-1, 2, -1]]


# End to end


@pytest.mark.parametrize("components", [False, True])
def test_a_run_scores_objects(tmp_path: Path, components: bool) -> None:
    """One segment covers both objects of the first picture; the second picture has no object."""
    root, ids = tmp_path / "voc", ("2007_000033", "2007_000042")
    write_list(root, Voc2012, ids)
    for id, values in zip(ids, ((0, 1, 2), (0, 0, 0)), strict=True):
        write_pair(root, Voc2012, id, shape=(320, 320))
        objects = np.zeros((320, 320), np.uint8)
        objects[50:90, 50:90], objects[200:240, 200:240] = values[1:]
        write_label(label_of(root, Voc2012, id), np.where(objects > 0, 12, objects), palette=True)
        write_label(root / OBJECTS / f"{id}.png", objects, palette=True)
        (tmp_path / "maps").mkdir(exist_ok=True)
        Image.fromarray(np.uint8(objects > 0)).save(tmp_path / "maps" / f"{id}.png")
    run = evaluate(
        tmp_path / "run",
        *("dataset=voc2012", f"dataset.root={root}", "backbone=none", "protocol=instances"),
        *("segmenter=files", f"segmenter.folder={tmp_path / 'maps'}", f"protocol.components={components}"),
    )
    assert run.status == 0, run.err
    first, second = run.table("per_image")[list(InstanceScores._fields)].to_dict("records")
    half = {"mbo_i": 50, "mbo_c": 100, "instance_miou": 25, "fg_ari": 0, "corloc": 0}
    split = {"mbo_i": 100, "mbo_c": 50, "instance_miou": 100, "fg_ari": 100, "corloc": 100}
    assert first == (split if components else half)
    assert second["fg_ari"] == 100
    assert np.isnan([second[name] for name in second if name != "fg_ari"]).all()
    (summary,) = run.table().to_dict("records")
    assert (summary["fg_ari"], summary["fg_ari_with_objects"]) == ((100, 100) if components else (50, 0))
    assert summary["without_objects"] == 1
    assert summary["mbo_i"] == first["mbo_i"]
