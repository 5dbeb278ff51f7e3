"""Parts that live outside this project: a folder of YAML (``--config-dir``) and a module on PYTHONPATH."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from experiments.report.__main__ import main as report
from tests.helpers.runs import SMALL, evaluate

MODULE = '''
"""A segmenter, a backbone, a data set and a protocol of a user."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch

from datasets.class_table import ClassTable, read_class_table
from datasets.paired import PairedDataset
from diffseg.backbones import WeightsError
from diffseg.backbones.vit import ViT


@dataclass(frozen=True)
class Stripes:
    """Vertical stripes of equal width."""

    count: int = 3

    def __post_init__(self):
        if self.count < 1:
            raise ValueError(f"count: must be at least 1, got {self.count}")

    def resolved(self, side, tuned):
        return self

    def __call__(self, scene):
        height, width = scene.size
        return (torch.arange(width) * self.count // width).expand(height, width).contiguous()


@dataclass(frozen=True)
class LastLayer(ViT):
    """A vision transformer with the attention of its last layer alone."""

    layers: tuple[int, ...] = (11,)


@dataclass(frozen=True)
class Lost:
    """A backbone without the key ``path``, whose weights are missing."""

    size: int = 112
    path: ClassVar[str] = "none"
    sides: ClassVar[tuple[int, ...]] = (8,)
    tuned: ClassVar[dict] = {}
    encoder: ClassVar[str] = "lost"

    def check(self):
        raise WeightsError("lost.bin: is not there; train it")


@dataclass(frozen=True)
class Streets(PairedDataset):
    """Two made-up pictures."""

    name: ClassVar[str] = "streets"
    official_count: ClassVar[int | None] = 2
    table: ClassVar[ClassTable] = read_class_table(Path(__file__).with_name("streets.csv"))
    images: ClassVar[str] = "shots"
    maps: ClassVar[str] = "masks"
    values: ClassVar[str] = "0..1"
    usual_root: ClassVar[str] = "data/streets"
    how_to_get: ClassVar[str] = "copy the pictures to {root}"
    label_source: ClassVar[str] = "masks"


def many_to_one(table, background):
    """Each segment takes the class that has most of its pixels."""
    segments = np.flatnonzero(table.any(axis=0))
    return table[:, segments].argmax(axis=0), segments
'''
CONF = {
    "segmenter/stripes": "_target_: my_parts.Stripes\ncount: 3\n",
    "backbone/lost": "_target_: my_parts.Lost\nsize: 112\n",
    "backbone/last_layer": "defaults: [dinov2_small, _self_]\n_target_: my_parts.LastLayer\nlayers: [11]\n",
    "dataset/streets": "_target_: my_parts.Streets\nroot: ROOT\nsplit_file: null\nlimit: null\n",
    "protocol/many_to_one": "defaults: [both, _self_]\nreport: [present, my_parts.many_to_one]\n",
}


@pytest.fixture
def conf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of YAML; module and pictures lie beside it."""
    (tmp_path / "my_parts.py").write_text(MODULE, encoding="utf-8")
    (tmp_path / "streets.csv").write_text("value,label,name\n0,0,road\n1,1,sky\n", encoding="utf-8")
    for kind in ("shots", "masks"):
        (tmp_path / "data" / kind).mkdir(parents=True)
    for name in ("0001", "0002"):
        mask = np.zeros((60, 60), np.uint8)
        mask[:20] = 1
        Image.fromarray(mask).save(tmp_path / "data" / "masks" / f"{name}.png")
        Image.fromarray(np.stack([mask * 200] * 3, axis=-1)).save(tmp_path / "data" / "shots" / f"{name}.jpg")
    for path, text in CONF.items():
        file = tmp_path / "conf" / f"{path}.yaml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text.replace("ROOT", str(tmp_path / "data")), encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path / "conf"
    sys.modules.pop("my_parts", None)


def test_parts_of_every_kind_work_in_one_run(conf: Path, tmp_path: Path) -> None:
    overrides = ("dataset=streets", "segmenter=stripes", "protocol=many_to_one", "panels=0")
    small = SMALL[:2]  # stripes have no anchors
    run = evaluate(tmp_path / "run", *overrides, "backbone=last_layer", *small, config_dir=conf)
    assert run.status == 0, run.err
    table = run.table().set_index("protocol")
    assert list(table["layers"].unique()) == ["[11]"]
    assert list(table["count"].unique()) == [3]
    # Each stripe is one third sky and two thirds road: one of them may be sky, or none.
    assert table.loc["my_parts.many_to_one", "acc"] == pytest.approx(200 / 3, abs=1)  # 112 rows are not divisible by 3
    assert table.loc["present", "acc"] == pytest.approx((2 + 1) / 9 * 100, abs=1)
    assert report([str(run.folder)]) in (0, None)
    assert "my_parts.many_to_one" in (run.folder / "report.html").read_text(encoding="utf-8")


def test_missing_weights_of_a_backbone_without_a_path_are_one_line(conf: Path, tmp_path: Path) -> None:
    run = evaluate(tmp_path / "run", "dataset=streets", "backbone=lost", config_dir=conf)
    assert (run.status, run.err) == (2, "error: lost.bin: is not there; train it\n")


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("segmenter.count=0", "segmenter.count: must be at least 1, got 0"),
        ("segmenter.width=2", "segmenter.width: Stripes has no such key"),
        (
            "protocol.report=[my_parts.no_such]",
            "protocol.report: must be one of official, present, dataset, dataset_all, regions, boundaries, instances",
        ),
        (
            "protocol.report=[presnt]",
            "protocol.report: must be one of official, present, dataset, dataset_all, regions",
        ),
    ],
)
def test_errors_of_outside_parts_are_one_line(conf: Path, tmp_path: Path, override: str, says: str) -> None:
    run = evaluate(tmp_path / "run", "segmenter=stripes", override, config_dir=conf)
    assert run.status == 2
    (line,) = run.err.strip().splitlines()
    assert line.startswith(f"error: {says}")
