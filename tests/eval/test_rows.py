"""Rows: their parts are built and checked, and their open parameters filled in."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
from omegaconf import OmegaConf

from datasets.folder import FolderDataset
from diffseg.backbones.none import NoBackbone
from eval.code import part_code
from eval.rows import RowConfig
from eval.settings import row_key
from tests.helpers.folder_rows import KMEANS, SIDE, dataset_of, row_config, write_picture

DIFFSEG = {"_target_": "diffseg.segmenters.diffseg.DiffSeg"}


@dataclass(frozen=True)
class Weights(NoBackbone):
    """A backbone with two sides, whose weights lie in a folder. It is never loaded."""

    sides: ClassVar[tuple[int, ...]] = (4, 2)
    tuned: ClassVar[Any] = {"diffseg": {"tau": {"folder": 0.5, "default": 0.3}}}
    fingerprint: ClassVar[str] = "a hash"

    path: str = "elsewhere"


def prepared(*arguments: Any, **keys: Any) -> RowConfig:
    row = row_config(*arguments, **keys)
    row.prepare()
    return row


@pytest.fixture
def dataset(tmp_path: Path) -> FolderDataset:
    for id, classes in (("a", 1), ("b", 3), ("c", 3)):
        write_picture(tmp_path, id, classes)
    return dataset_of(tmp_path)


def test_open_parameters_come_from_the_data_set_and_the_backbone(dataset: FolderDataset) -> None:
    assert prepared(dataset, {**KMEANS, "clusters": None}).segmenter.clusters == 2  # the mean of 1, 3 and 3
    assert prepared(dataset).segmenter.clusters == 2
    assert prepared(dataset, {**KMEANS, "clusters": 5}).segmenter.clusters == 5
    row = prepared(dataset, {**DIFFSEG, "anchors": 2}, Weights(size=SIDE))
    assert row.recorded["segmenter"]["tau"] == 0.5  # tuned for this data set


def test_the_key_covers_what_changes_the_results(dataset: FolderDataset) -> None:
    def key(given: Any = dataset, backbone: Any = Weights(size=SIDE), **keys: Any) -> str:
        return prepared(given, KMEANS, backbone, **keys).key

    assert key() == key(backbone=Weights(size=SIDE, path="here")) == key(report=("present",))
    assert key() == key(given=replace(dataset, limit=1))
    others = [
        key(size=2),
        key(frame="whole"),
        key(components=True),
        key(weights="finest"),
        key(backbone=Weights(size=2 * SIDE)),
        key(given=replace(dataset, name="x")),
    ]
    assert len({key(), *others}) == 7


def test_tables_show_the_names_that_the_key_leaves_out(dataset: FolderDataset) -> None:
    row = prepared(dataset, KMEANS, Weights(size=SIDE))
    shown, hidden = row.line.settings, row.recorded
    assert (shown["experiment"], shown["backbone"]["name"], shown["segmenter"]["name"]) == (
        *("an experiment", "a_backbone", "a_segmenter"),
    )
    assert shown["backbone"]["weights_name"] == "elsewhere"
    assert "experiment" not in hidden
    assert not {"name", "weights_name", "path", "tuned"} & hidden["backbone"].keys()
    assert (row.line.name, row.line.key, row.line.classes) == ("a row", row.key, dataset.classes)
    assert row.line.code == hidden["backbone"]["code"] == part_code(Weights) != ""
    assert replace(row, published={"acc": 72.5, "miou": None}).key == row.key


def test_a_stamp_covers_the_picture_and_the_map_that_a_segmenter_reads(dataset: FolderDataset, tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir()
    for id in "abc":
        (tmp_path / "theirs" / f"{id}.png").write_bytes((tmp_path / "maps" / f"{id}.png").read_bytes())
    files = {"_target_": "diffseg.segmenters.files.LabelMapFiles", "folder": str(tmp_path / "theirs")}
    row, other = prepared(dataset, files), prepared(dataset)
    before = row.stamp("a"), other.stamp("a"), row.stamp("b")
    (tmp_path / "theirs" / "a.png").write_bytes(b"another map")
    assert row.stamp("a") != before[0]
    assert (other.stamp("a"), row.stamp("b")) == before[1:]
    write_picture(tmp_path, "a", 2)
    assert other.stamp("a") != before[1]
    assert row.reads_files
    assert not other.reads_files


def test_a_setting_that_older_records_lack_changes_the_key_only_if_it_is_used(dataset: FolderDataset) -> None:
    def row(segmenter: dict[str, Any], aggregation: dict[str, Any]) -> RowConfig:
        config = row_config(dataset, {**DIFFSEG, "tau": 0.3, "anchors": 2, **segmenter}, Weights(size=SIDE))
        config.composed.aggregation = OmegaConf.merge(config.composed.aggregation, aggregation)
        return config

    plain = row({}, {})
    older: Any = {group: dict(part) if isinstance(part, dict) else part for group, part in plain.recorded.items()}
    del older["aggregation"]["bounces"], older["segmenter"]["anchors_by"]
    assert plain.key == row_key(older)
    assert len({plain.key, row({"anchors_by": "rank"}, {}).key, row({}, {"bounces": 2}).key}) == 3
