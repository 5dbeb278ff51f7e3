"""Pictures and label maps in pairs: PASCAL VOC, PASCAL Context, ADE20K and COCO on small folders."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datasets.ade150 import Ade150
from datasets.base import VOID
from datasets.coco_object import CocoObject
from datasets.cocostuff27 import CocoStuff27
from datasets.context60 import Context60
from datasets.paired import PairedDataset
from datasets.voc2012 import Voc2012
from tests.helpers.dataset_failure import failure
from tests.helpers.paired_folder import HEIGHT, WIDTH, image_of, label_of, write_label, write_list, write_pair

IDS = ("2007_000033", "2007_000042", "2008_000120")
OTHER = "2009_000001"  # a picture that the list does not name

Kind = type[PairedDataset]


@pytest.fixture(params=[Voc2012, Context60, Ade150, CocoStuff27, CocoObject], ids=lambda kind: kind.name)
def kind(request: pytest.FixtureRequest) -> Kind:
    return request.param


@pytest.fixture
def root(kind: Kind, tmp_path: Path) -> Path:
    """Pictures and label maps of the `IDS`, written in reverse order."""
    folder = tmp_path / "data"
    for seed, id in enumerate(reversed(IDS)):
        write_pair(folder, kind, id, seed)
    write_list(folder, kind, IDS)
    return folder


def test_labels_are_those_of_the_table(kind: Kind, root: Path) -> None:
    values = write_pair(root, kind, IDS[0], seed=5)
    picture = kind(root=str(root)).load(IDS[0])
    for value, label in kind.table.label_of.items():
        assert set(picture.label[values == value].tolist()) <= {label}
    assert (picture.label.dtype, picture.image.shape) == (np.int16, (HEIGHT, WIDTH, 3))
    assert picture.label.max() < len(kind.table.names)
    np.testing.assert_array_equal(picture.image, np.asarray(Image.open(image_of(root, kind, IDS[0]))))


def test_the_tilde_in_the_root_is_expanded(kind: Kind, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(root.parent))
    assert kind(root=f"~/{root.name}").ids == IDS


def test_the_published_list_chooses_the_pictures(kind: Kind, root: Path, tmp_path: Path) -> None:
    write_pair(root, kind, OTHER)
    listed = IDS if kind.split_list else (*IDS, OTHER)
    assert kind(root=str(root)).ids == listed
    assert kind(root=str(root), limit=2).ids == IDS[:2]
    # The list may name pictures that are not there.
    write_list(root, kind, [*IDS, "2011_003271"])
    assert kind(root=str(root)).ids == listed
    split = tmp_path / "split.txt"
    split.write_text(f"{OTHER}\n{IDS[1]}\n")
    assert kind(root=str(root), split_file=str(split)).ids == (IDS[1], OTHER)
    split.write_text("2011_003271\n")
    assert failure(kind(root=str(root), split_file=str(split))).startswith(str(image_of(root, kind, "2011_003271")))


def test_a_missing_list_is_named_unless_another_is_given(kind: Kind, root: Path, tmp_path: Path) -> None:
    split = tmp_path / "split.txt"
    split.write_text(IDS[0])
    if kind.split_list is not None:
        (root / kind.split_list).unlink()
        message = failure(kind(root=str(root)))
        assert message.startswith(f"{root / kind.split_list}: the list of the split is missing; ")
    assert kind(root=str(root), split_file=str(split)).ids == IDS[:1]


@pytest.mark.parametrize("path_of", [image_of, label_of])
def test_a_file_that_vanishes_during_a_run_changes_the_state_and_is_named(
    kind: Kind, root: Path, path_of: Callable[..., Path]
) -> None:
    dataset = kind(root=str(root))
    before = {id: dataset.state(id) for id in dataset.ids}
    path_of(root, kind, IDS[1]).unlink()
    assert [id for id in IDS if dataset.state(id) != before[id]] == [IDS[1]]
    assert failure(dataset, IDS[1]).startswith(f"{path_of(root, kind, IDS[1])}: the file is missing")


def test_the_error_for_missing_data_says_where_to_get_them(kind: Kind, root: Path, tmp_path: Path) -> None:
    assert failure(kind(root=None)).startswith("dataset.root: not set")
    assert f"dataset.root={kind.usual_root}" in failure(kind(root=None))
    absent = tmp_path / "absent"
    message = failure(kind(root=str(absent)))
    assert message.startswith(str(absent / kind.images))
    advice = message.partition("; ")[2]
    assert advice.count(str(absent)) > 1
    assert advice.endswith(f"dataset.root={absent}")
    # The archive's inner folder is not the root.
    assert failure(kind(root=str(root / Path(kind.images).parts[0]))).startswith(str(root))
    shutil.rmtree(root / kind.maps)
    assert failure(kind(root=str(root))).startswith(f"{root / kind.maps}: no label maps there; ")


def test_bad_files_are_named(kind: Kind, root: Path) -> None:
    dataset = kind(root=str(root))
    image, label = image_of(root, kind, IDS[0]), label_of(root, kind, IDS[0])
    values = np.asarray(Image.open(label))
    # Some conversions store the colours of the palette.
    Image.fromarray(np.zeros((HEIGHT, WIDTH, 3), np.uint8)).save(label)
    assert failure(dataset, IDS[0]).startswith(f"{label}: a label map has one whole number per pixel")
    unknown = max(set(range(256)) - kind.table.label_of.keys() - set(kind.ignored))
    write_label(label, np.where(np.arange(WIDTH) == 3, np.uint8(unknown), values), palette=False)
    message = failure(dataset, IDS[0])
    assert message.startswith(f"{label}: unknown class id {unknown} (")
    write_label(label, values.T.copy(), palette=False)
    message = failure(dataset, IDS[0])
    assert str(image) in message
    assert str(label) in message
    label.write_bytes(label.read_bytes()[:50])
    assert failure(dataset, IDS[0]).startswith(str(label))
    label.unlink()
    assert failure(kind(root=str(root))).startswith(f"{label}: the file is missing, though its picture is there")


# Values in a label map, and their labels.
VALUES: dict[Kind, tuple[list[int], list[int], str, int, int | None]] = {
    Voc2012: ([*range(21), 255], [*range(21), VOID], "SegmentationClass", 1449, 0),
    Context60: ([*range(60)], [*range(60)], "SegmentationClassContext", 5104, 0),
    Ade150: ([*range(151)], [VOID, *range(150)], "annotations", 2000, None),  # 0 is void, the rest moves down by one
    CocoObject: ([0, 89, 91, 181, 255], [1, 80, 0, 0, 0], "stuffthingmaps", 5000, 0),
    CocoStuff27: ([0, 91, 181, 255], [9, 17, 24, VOID], "stuffthingmaps", 2175, None),
}
NAMES: dict[Kind, list[str]] = {
    Voc2012: ["background", "aeroplane", "tvmonitor"],
    Context60: ["background", "aeroplane", "wood"],
    Ade150: ["wall", "building", "flag"],
    CocoObject: ["background", "person", "toothbrush"],
    CocoStuff27: ["electronic-things", "appliance-things", "water-stuff"],
}


def test_values_are_the_published_classes(kind: Kind, tmp_path: Path) -> None:
    values, labels, source, count, background = VALUES[kind]
    write_pair(tmp_path, kind, IDS[0], shape=(1, len(values)))
    write_list(tmp_path, kind, IDS[:1])
    write_label(label_of(tmp_path, kind, IDS[0]), np.array([values], np.uint8), palette=kind is Voc2012)
    dataset = kind(root=str(tmp_path))
    assert dataset.load(IDS[0]).label.ravel().tolist() == labels
    assert (dataset.label_source, dataset.official_count, dataset.background) == (source, count, background)
    assert [dataset.classes[number] for number in (0, 1, -1)] == NAMES[kind]
    assert len(set(dataset.classes)) == len(dataset.classes)
