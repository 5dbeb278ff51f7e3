"""Defines the configuration of a run, and builds and checks its parts.

A part (data set, backbone, aggregation, segmenter, protocol) is a dataclass; ``_target_`` in its YAML names the class.
The keys are its fields. pydantic checks the types of the values; the class checks their ranges.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from omegaconf import MISSING, DictConfig, OmegaConf

from datasets.base import Dataset, DatasetError
from diffseg import parts
from diffseg.backbones import Backbone
from diffseg.texts import on_one_line
from eval.protocols import ALL_PROTOCOLS, PROTOCOLS, ProtocolName, check_protocol

# Increase this number when a change of the code changes the counts of the same settings. Older records are then unused.
PROTOCOL_VERSION = 1


class ConfigError(Exception):
    """An invalid setting. The message names the key, the value and the allowed values."""


@dataclass
class RunConfig:
    """Keys of the configuration. A key of type ``Any`` is a part, see the top of this module."""

    dataset: Any = MISSING
    backbone: Any = MISSING
    aggregation: Any = MISSING
    segmenter: Any = MISSING
    protocol: Any = MISSING
    tracker: Any = MISSING
    rows: Any = None
    """Rows of an experiment, a list of ``{name, overrides, note}``; None: a single row from the keys above."""
    published: str | None = None
    """Name of a table of published scores, which are shown beside rows of the same method and resolution."""
    audit: bool = False
    """Compare every row with the first row of its name: ``audit.csv``, ``audit.md``."""
    name: str = "run"
    results_dir: str = "results/run"
    device: str = "auto"
    batch_size: int | None = None
    """Pictures that pass the backbone together; None: one on a CPU, several on a GPU. Halved if memory runs out."""
    panels: int = 8
    """Number of pictures, from the first, whose label maps and panels are kept."""
    allow_failures: bool = False
    """Exit with status 0 even if pictures failed."""


@dataclass(frozen=True)
class ProtocolSettings:
    """Settings of the scores (``conf/protocol``).

    Attributes:
        report: protocols in the tables (`eval.protocols`). Records contain contingency tables, so a protocol can be
            added later without another pass of the backbone.
        size: side of the scored label map in pixels; None: side of the backbone's input.
    """

    report: tuple[ProtocolName, ...] = PROTOCOLS
    size: int | None = None

    def __post_init__(self) -> None:
        if not self.report or len(set(self.report)) < len(self.report):
            raise ValueError(
                f"report: must list one or more of {', '.join(ALL_PROTOCOLS)}, once each, got {list(self.report)}"
            )
        for name in self.report:
            try:
                check_protocol(name)
            except ValueError as error:
                raise ValueError(f"report: {error}") from None
        if self.size is not None and self.size < 1:
            raise ValueError(f"size: must be at least 1 pixel, or null, got {self.size}")


@dataclass(frozen=True)
class RowConfig:
    """A checked row of a run. Its parts are built, but no weights or pictures are loaded.

    Attributes:
        name: name in the tables.
        composed: the composed configuration.
        choices: group -> name of the chosen YAML file.
        dataset, backbone, protocol: its parts. Aggregation and segmenter import torch, so `eval.rows` builds them.
        note: a footnote for tables.
    """

    name: str
    composed: DictConfig
    choices: Mapping[str, str]
    dataset: Dataset
    backbone: Backbone
    protocol: ProtocolSettings
    note: str | None = None

    @property
    def size(self) -> int:
        """Side of the scored label map in pixels."""
        return self.protocol.size or self.backbone.size


def build(node: DictConfig, key: str) -> Any:
    """Builds the part that a configuration node describes, see `diffseg.parts.build`.

    Args:
        node: ``_target_``, a dataclass, and values for its fields.
        key: path of the node in the configuration, for messages.

    Raises:
        ConfigError: an unknown key, a value of the wrong type or out of range, or another error of the part's class.
        DatasetError, OSError: an error of a data set or a file; its message is one line already.
    """
    settings = cast(dict[str, Any], OmegaConf.to_container(node, resolve=True))
    try:
        return parts.build(settings, key)
    except (ConfigError, DatasetError, OSError):
        raise
    except ValueError as error:
        raise ConfigError(str(error)) from error
    except Exception as error:  # a user's part may raise any error
        kind = str(settings["_target_"]).rpartition(".")[2]
        reason = f"{type(error).__name__}: {on_one_line(error)}"
        raise ConfigError(f"{key}: {kind} cannot be built ({reason})") from error
