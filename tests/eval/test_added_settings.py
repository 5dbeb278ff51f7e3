"""Settings that older records lack leave the keys of their rows as they were."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from omegaconf import OmegaConf

from diffseg.backbones.none import NoBackbone
from eval.settings import row_key
from tests.helpers.folder_rows import SIDE, dataset_of, row_config, write_picture


@dataclass(frozen=True)
class Attending(NoBackbone):
    sides: ClassVar[tuple[int, ...]] = (4, 2)


def test_a_new_setting_changes_the_key_only_if_it_is_used(tmp_path: Path) -> None:
    write_picture(tmp_path, "a")

    def row(segmenter: dict[str, Any], aggregation: dict[str, Any]) -> Any:
        diffseg = {"_target_": "diffseg.segmenters.diffseg.DiffSeg", "tau": 0.3, "anchors": 2, **segmenter}
        config = row_config(dataset_of(tmp_path), diffseg, Attending(SIDE))
        config.composed.aggregation = OmegaConf.merge(config.composed.aggregation, aggregation)
        return config

    plain = row({}, {})
    older: Any = {name: value for name, value in plain.recorded.items()}
    older["aggregation"] = {name: value for name, value in older["aggregation"].items() if name != "bounces"}
    older["segmenter"] = {name: value for name, value in older["segmenter"].items() if name != "anchors_by"}
    assert plain.key == row_key(older)
    assert len({plain.key, row({"anchors_by": "rank"}, {}).key, row({}, {"bounces": 2}).key}) == 3
