"""A configured row: its parts, its settings, and its key in the records.

Building a row checks its configuration without torch. `RowConfig.prepare` then builds the parts that need torch.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

from omegaconf import DictConfig, OmegaConf

from datasets.base import Dataset
from diffseg.backbones import Backbone
from diffseg.backbones.saved import Saved, recorded_settings
from eval.code import kind_name, part_code
from eval.config import PROTOCOL_VERSION, ConfigError, ProtocolSettings, Scoring, build, config_errors
from eval.protocols import ProtocolName, matched_once, truths_of
from eval.row import Row
from eval.settings import row_key

if TYPE_CHECKING:
    from diffseg.aggregation import Aggregation
    from diffseg.segmenters.base import Segmenter

logger = logging.getLogger(__name__)

ADDED: Mapping[tuple[str, str], Any] = {("aggregation", "bounces"): 1, ("segmenter", "anchors_by"): "grid"}
"""Settings that older records lack, and the value that changes nothing: rows with it keep their keys."""


@dataclass(frozen=True, eq=False)
class RowConfig:
    """A checked row of a run. No weights and no pictures are loaded.

    Attributes:
        name: name in the tables; several rows may have the same name.
        composed: the composed configuration.
        choices: group -> name of the chosen YAML file.
        dataset, backbone, protocol: its parts.
        note: a footnote for tables.
        published: ``acc`` and ``miou`` of the paper in percent; None if the paper has no such row.
    """

    name: str
    composed: DictConfig
    choices: Mapping[str, str]
    dataset: Dataset
    backbone: Backbone
    protocol: ProtocolSettings
    note: str | None = None
    published: Mapping[str, float | None] | None = None

    @cached_property
    def protocols(self) -> tuple[ProtocolName, ...]:
        """The protocols in the tables."""
        return self.protocol.reported(self.dataset)

    @cached_property
    def scoring(self) -> Scoring:
        """The pixels at which it is scored."""
        return self.protocol.scoring(self.dataset, self.backbone.size)

    @cached_property
    def truths(self) -> frozenset[str]:
        """The truths that its segments are compared with: names of tables and counts of a record."""
        return truths_of(self.protocols)

    @cached_property
    def aggregation(self) -> Aggregation:
        """The aggregation of its maps."""
        from diffseg.aggregation import side_weights

        aggregation: Aggregation = build(self.composed.aggregation, "aggregation")
        if self.backbone.sides:
            with config_errors("aggregation."):
                side_weights(aggregation.weights, self.backbone.sides)
        return aggregation

    @cached_property
    def segmenter(self) -> Segmenter:
        """Its segmenter, without open parameters."""
        from diffseg.segmenters.base import needs_attention, needs_mean_classes, needs_truth, resolve
        from eval.truth import mean_classes

        segmenter: Segmenter = build(self.composed.segmenter, "segmenter")
        choice = f"segmenter={self.choices['segmenter']}"
        if needs_attention(segmenter) and not self.backbone.sides:
            raise ConfigError(
                f"{choice}: needs attention maps, and backbone={self.choices['backbone']} has none; choose another "
                "backbone"
            )
        if (needs_truth(segmenter) or needs_mean_classes(segmenter)) and "classes" not in self.dataset.truths:
            raise ConfigError(f"{choice}: needs classes, and dataset={self.dataset.name} has none")
        if getattr(segmenter, "needs_whole", False) and self.scoring.frame != "whole":
            raise ConfigError(f"{choice}: segments only whole pictures; use protocol.frame=whole")
        values = {}
        if needs_mean_classes(segmenter):
            values["clusters"] = mean_classes(self.dataset, self.scoring.enters)
        bounces = self.aggregation.bounces if self.backbone.sides else 1  # without attention, nothing is aggregated
        with config_errors("segmenter."):
            return resolve(segmenter, self.backbone, self.dataset.name, bounces, **values)

    @cached_property
    def reads_files(self) -> bool:
        """True if its segments come from files, so that their numbers say nothing about how a method numbers."""
        from diffseg.segmenters.base import ReadsFiles

        return isinstance(self.segmenter, ReadsFiles)

    @cached_property
    def reads_maps(self) -> bool:
        """True if it needs no tensor: its segmenter reads label maps, and it has no backbone."""
        return self.reads_files and not self.backbone.sides and callable(getattr(self.segmenter, "labels", None))

    @cached_property
    def recorded(self) -> Mapping[str, Any]:
        """The settings that change a result; its key covers them."""
        dataset, backbone, segmenter = self.dataset, self.backbone, self.segmenter
        scoring = self.scoring
        return {
            "protocol_version": PROTOCOL_VERSION,
            "dataset": {
                "name": dataset.name,
                "label_source": dataset.label_source,
                "fingerprint": dataset.fingerprint,
                "background": dataset.background,
                **_code(dataset),
            },
            "backbone": backbone_settings(backbone),
            "aggregation": asdict(self.aggregation) if backbone.sides else {},
            "segmenter": {"kind": kind_name(segmenter), **asdict(cast(Any, segmenter)), **_code(segmenter)},
            "scoring": {
                "size": scoring.size,
                "frame": scoring.frame,
                **({"components": True} if scoring.components else {}),
            },
        }

    @cached_property
    def key(self) -> str:
        """Its key in the records: the hash of `recorded`, see `eval.settings.row_key`, without the `ADDED` settings."""
        settings = {
            group: {name: setting for name, setting in value.items() if ADDED.get((group, name), ...) != setting}
            if isinstance(value, Mapping)
            else value
            for group, value in self.recorded.items()
        }
        return row_key(settings)

    @cached_property
    def line(self) -> Row:
        """The row that the tables show: the recorded settings with further names, and no records yet."""
        from diffseg.backbones.weights.files import name_of
        from diffseg.segmenters.base import has_common_labels

        shown: dict[str, Any] = {**self.recorded, "experiment": self.composed.name or self.name}
        for group in ("backbone", "segmenter"):
            shown[group] = {**self.recorded[group], "name": self.choices[group]}
        if isinstance(self.backbone, Saved):
            shown["backbone"]["name"] = self.backbone.name
        shown["segmenter"] |= {"reads_files": self.reads_files, "common_labels": has_common_labels(self.segmenter)}
        shown["backbone"]["weights_name"] = name_of(self.backbone)
        code = " ".join(part.get("code", "") for part in self.recorded.values() if isinstance(part, dict)).strip()
        return Row(
            self.key,
            self.name,
            shown,
            self.dataset.classes,
            self.protocols,
            pictures=len(self.dataset.ids),
            code=code,
            note=self.note,
            published=self.published,
            official_count=self.dataset.official_count,
            dataset=cast(Mapping[str, Any], OmegaConf.to_container(self.composed.dataset, resolve=True)),
        )

    def prepare(self) -> None:
        """Builds the parts that need torch, and checks them.

        Raises:
            ConfigError: a value is out of range for this backbone, or no value is known for an open parameter.
        """
        from diffseg.segmenters.base import ReadsFiles, has_common_labels

        if (once := matched_once(self.protocols)) and not has_common_labels(self.segmenter):
            raise ConfigError(
                f"protocol.report: {once[0]} matches label numbers once for all images, but the numbers of "
                f"segmenter={self.choices['segmenter']} have another meaning in each image; use protocol=both, or "
                "label maps with common numbers (segmenter=files). A class whose numbers are common declares "
                "common_labels = True"
            )
        lines: list[str] = []
        if isinstance(self.backbone, Saved):
            with config_errors("backbone."):
                lines += self.backbone.check_files(self.dataset.ids, self.scoring.enters)
        if isinstance(self.segmenter, ReadsFiles):
            with config_errors("segmenter."):
                lines += self.segmenter.check_files(self.dataset.ids, self.dataset.listed)
        for line in lines:
            logger.warning("%s", line)
        _ = self.line

    def with_protocols(self, names: Iterable[ProtocolName]) -> RowConfig:
        """The same row, whose tables have further protocols."""
        report = tuple(dict.fromkeys([*self.protocols, *names]))
        return self if report == self.protocols else replace(self, protocol=replace(self.protocol, report=report))

    def stamp(self, id: str) -> str:
        """A text that changes if a file of the picture changes, including a label map that the segmenter reads."""
        state = self.dataset.state(id)
        return f"{state} {cast(Any, self.segmenter).state(id)}" if self.reads_files else state


def backbone_settings(backbone: Backbone) -> dict[str, Any]:
    """The settings of a backbone that change a result, with the hash of its code if it lies outside this project."""
    settings = recorded_settings(backbone)
    return settings if isinstance(backbone, Saved) else {**settings, "kind": kind_name(backbone), **_code(backbone)}


def _code(part: Any) -> dict[str, str]:
    """The hash of a part's code, for parts outside this project."""
    return {"code": code} if (code := part_code(part)) else {}
