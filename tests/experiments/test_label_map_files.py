"""Label maps from files through the command line: no network, one match for the data set, missing and changed files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from datasets.base import VOID
from datasets.photos import Photos
from diffseg.backbones.none import NoBackbone
from experiments.report.__main__ import main as report
from tests.helpers.folder_rows import CLASSES, write_picture
from tests.helpers.runs import Run, command, evaluate

LIMIT = 4
PICTURES = Photos(limit=LIMIT)
BASE = ("backbone=none", "backbone.size=64", f"dataset.limit={LIMIT}", "panels=0")
AGREEMENT = ["ari", "voi", "covering"]


def write_truth(folder: Path, renumber: bool = False) -> None:
    """Writes the ground truth of each picture as a label map. ``renumber``: with other numbers in each picture."""
    folder.mkdir()
    for number, id in enumerate(PICTURES.ids):
        label = PICTURES.load(id).label
        void = len(PICTURES.classes)
        numbers = np.random.default_rng(number).permutation(void + 1) if renumber else np.arange(void + 1)
        labels = numbers[np.where(label == VOID, void, label)]
        Image.fromarray(labels.astype(np.uint8)).save(folder / f"{id}.png")


@pytest.fixture
def maps(tmp_path: Path) -> Path:
    write_truth(tmp_path / "maps")
    return tmp_path / "maps"


def run_files(folder: Path, maps: Path, *overrides: str) -> Run:
    return evaluate(folder, *BASE, "segmenter=files", f"segmenter.folder={maps}", *overrides)


def test_the_truth_as_files_is_perfect_and_loads_no_network(
    maps: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(self: NoBackbone, device: str = "auto") -> None:
        raise AssertionError("a network was asked for")

    monkeypatch.setattr(NoBackbone, "load", load)
    run = run_files(tmp_path / "run", maps, "protocol=dataset")
    assert run.status == 0, run.err
    table = run.table()
    assert list(table["protocol"]) == ["dataset"]
    assert (table["backbone"].item(), table["size"].item()) == ("none", 64)
    assert table[["sides", "scheme", "weights", "tau"]].isna().all(axis=None)
    assert table[["acc", "miou", "ari", "covering", "images"]].to_numpy().tolist() == [[100, 100, 100, 100, LIMIT]]
    assert table["voi"].item() == 0
    assert "matched once" in (run.folder / "table.md").read_text()


def test_one_match_for_the_data_set_needs_common_numbers(maps: Path, tmp_path: Path) -> None:
    write_truth(tmp_path / "renumbered", renumber=True)
    report = "protocol.report=[official,present,dataset]"
    run = run_files(tmp_path / "run", tmp_path / "renumbered", report)
    assert run.status == 0, run.err
    table = run.table().set_index("protocol")
    assert table.loc["present", "acc"] == 100
    assert table.loc["dataset", "acc"] < 99
    # These scores use neither the numbers of labels nor classes.
    assert table[AGREEMENT].drop_duplicates().to_numpy().tolist() == [[100, 0, 100]]


def test_numbers_that_look_like_those_of_each_picture_are_mentioned(maps: Path, tmp_path: Path) -> None:
    for path in maps.glob("*.png"):  # numbers 0, 1, ..., the largest segment first, as most programs write them
        with Image.open(path) as image:
            _, labels, pixels = np.unique(np.array(image), return_inverse=True, return_counts=True)
        order = np.argsort(np.argsort(-pixels))
        Image.fromarray(order[labels].reshape(image.size[::-1]).astype(np.uint8)).save(path)
    line = "files: its numbers of segments look as if they had another meaning in each picture"
    assert line in run_files(tmp_path / "run", maps, "protocol=dataset").out
    assert line not in run_files(tmp_path / "both", maps).out
    for path in maps.glob("*.png"):
        path.unlink()
    maps.rmdir()
    write_truth(maps)
    assert line not in run_files(tmp_path / "truth", maps, "protocol=dataset").out


def test_a_row_with_a_single_segment_everywhere_is_mentioned(maps: Path, tmp_path: Path) -> None:
    for path in maps.glob("*.png"):
        with Image.open(path) as image:
            Image.new("L", image.size).save(path)
    run = run_files(tmp_path / "run", maps)
    assert "files: a single segment in every picture" in run.out.splitlines()


def test_label_maps_of_a_run_become_a_coco_file(maps: Path, tmp_path: Path) -> None:
    run = run_files(tmp_path / "run", maps, "name=a/b")
    coco = command("--tables", str(run.folder), "--coco", str(tmp_path / "coco"))
    assert coco.status == 0, coco.err
    assert f"{tmp_path / 'coco' / 'a-b.json'}: {LIMIT} pictures" in coco.out
    read = COCO(tmp_path / "coco" / "a-b.json")
    assert [image["file_name"] for image in read.dataset["images"]] == list(PICTURES.ids)
    for image in read.dataset["images"]:
        (path,) = (run.folder / "labels").rglob(f"{image['file_name']}.png")
        with Image.open(path) as labels:
            numbers, pixels = np.unique(np.array(labels), return_counts=True)
        annotations = read.loadAnns(read.getAnnIds(image["id"]))
        areas = {segment["segment"]: segment["area"] for segment in annotations}
        assert areas == dict(zip(numbers, pixels, strict=True))


def test_ten_pictures_that_fail_alike_end_the_command(tmp_path: Path) -> None:
    for number in range(12):
        write_picture(tmp_path, f"{number:02}")
        (tmp_path / "maps" / f"{number:02}.png").write_bytes(b"no picture")
    data = (f"dataset.images={tmp_path / 'images'}", f"dataset.maps={tmp_path / 'maps'}", "dataset=folder")
    names = f"dataset.classes=[{','.join(CLASSES)}]"
    run = evaluate(tmp_path / "run", *data, names, "backbone=none", "segmenter=slic")
    assert run.status == 2
    assert run.err.splitlines()[-1].startswith("error: the first 10 pictures all failed, such as 00: ")
    assert len(run.images()) == 10


def test_all_tables_agree_on_the_pixels(maps: Path, tmp_path: Path) -> None:
    slic = evaluate(tmp_path / "run", *BASE, "segmenter=slic", "protocol.report=[official,present]")
    assert slic.status == 0, slic.err
    summary, images, classes = (slic.table(name) for name in ("summary", "per_image", "per_class"))
    confusion = slic.table("confusion")
    for line in summary.itertuples():
        own = images[images["protocol"] == line.protocol]
        for name in AGREEMENT:
            assert getattr(line, name) == pytest.approx(own[name].mean(), abs=1e-3)
            assert getattr(line, f"{name}_low") <= getattr(line, name) <= getattr(line, f"{name}_high")
        matrix = confusion[confusion["protocol"] == line.protocol]
        assert matrix["pixels"].sum() == own["labelled"].sum()
        diagonal = matrix[matrix["class_id"] == matrix["matched_id"]].set_index("class_id")["pixels"]
        tp = classes[classes["protocol"] == line.protocol].set_index("class_id")["tp"]
        assert tp[tp > 0].to_dict() == diagonal.to_dict()


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["segmenter=diffseg"], "segmenter=diffseg: needs attention maps, and backbone=none has none"),
        (["segmenter=oracle"], "segmenter=oracle: needs attention maps"),
        (["segmenter=slic", "protocol=dataset"], "protocol.report: dataset matches label numbers once for all images"),
        (["segmenter=files"], "segmenter.folder: not set; give the folder"),
        (["segmenter=files", "segmenter.folder=/no/such"], "segmenter.folder: /no/such is not a folder"),
        (["segmenter=slic", "audit=true", "protocol=regions"], "audit: compares ACC and mIoU, but a row has no"),
    ],
)
def test_settings_that_cannot_work_are_one_line(overrides: list[str], message: str, tmp_path: Path) -> None:
    run = evaluate(tmp_path / "run", *BASE, *overrides)
    assert run.status == 2
    assert message in run.err
    assert len(run.err.strip().splitlines()) == 1
    assert not (tmp_path / "run").exists()


def test_missing_extra_and_damaged_files_are_counted(
    maps: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    missing, damaged, *_ = PICTURES.ids
    (maps / f"{missing}.png").rename(maps / "no_such_picture.png")
    (maps / f"{damaged}.png").write_bytes(b"hello")
    run = run_files(tmp_path / "run", maps)
    assert run.status == 1
    assert f"1 picture of {LIMIT} will fail without a label map; the first is {missing}" in caplog.text
    assert f"1 file without a picture in the data set; the first is {maps}/no_such" in caplog.text
    assert (run.table()["failed"] == 2).all()
    assert (run.table()["acc"] == 100).all()
    reasons = run.table("per_image").query("protocol == 'present'").set_index("image")["reason"]
    assert "the label map is missing" in reasons[missing]
    assert f"{damaged}.png: not a picture" in reasons[damaged]
    for id in (missing, damaged):  # maps that come later are read by the same command
        Image.new("L", (50, 50)).save(maps / f"{id}.png")
    again = run_files(tmp_path / "run", maps)
    assert again.status == 0
    assert (again.table()["failed"] == 0).all()


def test_a_folder_of_other_names_is_refused(maps: Path, tmp_path: Path) -> None:
    for path in maps.iterdir():
        path.rename(path.with_stem(f"{path.stem}_prediction"))
    run = run_files(tmp_path / "run", maps)
    assert run.status == 2
    assert f"segmenter.folder: {maps} has no label map of any of the {LIMIT} pictures" in run.err
    assert "astronaut_prediction.png" in run.err


def test_only_a_changed_map_is_evaluated_again(maps: Path, tmp_path: Path) -> None:
    first = run_files(tmp_path / "run", maps)
    records, before = first.images(), first.table("per_image").set_index(["protocol", "image"])["acc"]
    changed = PICTURES.ids[1]
    Image.new("L", (80, 80)).save(maps / f"{changed}.png")
    second = run_files(tmp_path / "run", maps)
    assert [record["picture"] for record in second.images() if record not in records] == [changed]
    after = second.table("per_image").set_index(["protocol", "image"])["acc"]
    assert {image for (_, image), same in (before == after).items() if not same} == {changed}
    assert second.status == 0


def test_panels_and_report_show_labels_of_16_bits(
    maps: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Other programs mark pixels that they left out with 65535, for example."""
    path = maps / f"{PICTURES.ids[0]}.png"
    labels = np.asarray(Image.open(path)).astype(np.uint16)
    labels[:40], labels[40:80] = 65_535, 40_000
    Image.fromarray(labels).save(path)
    run = run_files(tmp_path / "run", maps, "panels=1")
    assert run.status == 0, run.err
    report([str(run.folder)])
    assert "4 pictures in the gallery" in capsys.readouterr().out
