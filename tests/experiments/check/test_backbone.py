"""The check of a backbone: what it reports of a pass."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest

from diffseg.backbones.none import NoBackbone
from eval.config import ConfigError
from experiments.check.backbone import report
from tests.helpers.folder_rows import dataset_of, row_config, write_picture
from tests.helpers.random_attention import SIDES, SIZE, Random


@dataclass(frozen=True)
class RandomBackbone(NoBackbone):
    """A backbone with random attention; its weights may be refused."""

    sides: ClassVar[tuple[int, ...]] = SIDES
    fingerprint: ClassVar[str] = "0123456789abcdef"

    size: int = SIZE
    refused: bool = False

    def load(self, device: str = "auto") -> Any:
        if self.refused:
            raise ValueError("size: does not fit")
        return Random()


DIFFSEG = {"_target_": "diffseg.segmenters.diffseg.DiffSeg", "tau": 0.5, "anchors": 2}


def lines(folder: Path, *backbones: Any) -> list[str]:
    for id in "ab":
        write_picture(folder, id)
    return list(report([row_config(dataset_of(folder), DIFFSEG, each) for each in backbones], "cpu"))


def test_a_pass_is_described_and_the_time_of_tables_estimated(tmp_path: Path) -> None:
    told = lines(tmp_path, RandomBackbone(), RandomBackbone())
    assert sum(line.startswith("a_backbone: ") for line in told) == 1  # rows of one encoder share the paragraph
    assert "  fingerprint 0123456789ab" in told
    for side in SIDES:
        assert any(line.startswith(f"  side {side}: layers averaged 1, rows sum to 1 within ") for line in told)
    assert sum("  a row: " in line for line in told) == 2
    assert re.search(r"this run \(folder\), 2 pictures: \d+ s; Table 1 \(COCO-Stuff-27\), 2,175 pictures: ", told[-1])


def test_rows_of_other_sizes_are_paragraphs_of_their_own(tmp_path: Path) -> None:
    told = lines(tmp_path, RandomBackbone(), RandomBackbone(size=2 * SIZE))
    assert [line.split(", ")[1] for line in told if line.startswith("a_backbone: ")] == ["32 px", "64 px"]


def test_an_error_while_loading_names_its_key(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^backbone\.size: does not fit"):
        lines(tmp_path, RandomBackbone(refused=True))


def test_without_a_network_there_is_nothing_to_check(tmp_path: Path) -> None:
    write_picture(tmp_path, "a")
    assert list(report([row_config(dataset_of(tmp_path))], "cpu")) == [
        "a_backbone: loads no network, so there is nothing to check"
    ]
