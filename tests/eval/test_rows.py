"""Rows: their parts are built and checked, and their open parameters filled in."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import pytest

from datasets.folder import FolderDataset
from diffseg.backbones.none import NoBackbone
from eval.config import ConfigError
from eval.rows import prepare
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


@pytest.fixture
def dataset(tmp_path: Path) -> FolderDataset:
    for id, classes in (("a", 1), ("b", 3), ("c", 3)):
        write_picture(tmp_path, id, classes)
    return dataset_of(tmp_path)


def test_open_parameters_come_from_the_data_set_and_the_backbone(dataset: FolderDataset) -> None:
    assert prepare(row_config(dataset, {**KMEANS, "clusters": None})).segmenter.clusters == 2  # the mean of 1, 3 and 3
    assert prepare(row_config(dataset)).segmenter.clusters == 2
    assert prepare(row_config(dataset, {**KMEANS, "clusters": 5})).segmenter.clusters == 5
    row = prepare(row_config(dataset, {**DIFFSEG, "anchors": 2}, Weights(size=SIDE)))
    assert row.settings["segmenter"]["tau"] == 0.5  # tuned for this data set


def test_the_key_covers_what_changes_the_results(dataset: FolderDataset) -> None:
    def key(given: Any = dataset, backbone: Any = Weights(size=SIDE), **keys: Any) -> str:
        return prepare(row_config(given, KMEANS, backbone, **keys)).key

    assert key() == row_key(prepare(row_config(dataset, KMEANS, Weights(size=SIDE))).recorded)
    assert key() == key(backbone=Weights(size=SIDE, path="here")) == key(report=("present",))
    assert key() == key(given=replace(dataset, limit=1))
    others = [
        key(size=2),
        key(weights="finest"),
        key(backbone=Weights(size=2 * SIDE)),
        key(given=replace(dataset, name="x")),
    ]
    assert len({key(), *others}) == 5


def test_tables_show_the_names_that_the_key_leaves_out(dataset: FolderDataset) -> None:
    row = prepare(replace(row_config(dataset, KMEANS, Weights(size=SIDE)), note="a note"), {"acc": 72.5, "miou": None})
    shown, hidden = row.settings, row.recorded
    assert (shown["experiment"], shown["backbone"]["name"], shown["segmenter"]["name"]) == (
        *("an experiment", "a_backbone", "a_segmenter"),
    )
    assert shown["backbone"]["weights_name"] == "elsewhere"
    assert "experiment" not in hidden
    assert not {"name", "weights_name", "path", "tuned"} & hidden["backbone"].keys()
    results = row.results()
    assert (results.name, results.key, results.settings, results.note) == ("a row", row.key, shown, "a note")
    assert results.published == {"acc": 72.5, "miou": None}


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"segmenter": DIFFSEG}, "segmenter=a_segmenter: needs attention maps, and backbone=a_backbone has none"),
        ({"backbone": Weights(size=SIDE), "weights": (1.0, 0.0, 0.0)}, "aggregation.weights: "),
        ({"segmenter": {**DIFFSEG, "anchors": 9}, "backbone": Weights(size=SIDE)}, "segmenter.anchors: must be "),
        ({"report": ("dataset",)}, "protocol.report: dataset matches label numbers once for all images"),
    ],
)
def test_parts_that_do_not_fit_are_named(dataset: FolderDataset, keys: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as error:
        prepare(row_config(dataset, **keys))
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)
