"""Defines the configuration of a run, and builds its parts.

A part (data set, backbone, aggregation, segmenter, protocol) is a dataclass; ``_target_`` in its YAML names the class.
The keys are its fields. pydantic checks their types and limits. Imports no torch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, Any, Literal, cast

from omegaconf import DictConfig, OmegaConf
from pydantic import BeforeValidator, Field

from datasets.base import Dataset, DatasetError
from diffseg import parts
from diffseg.limits import Count
from diffseg.texts import on_one_line
from eval.protocols import (
    ALL_PROTOCOLS,
    INSTANCES,
    PROTOCOLS,
    REGION_PROTOCOLS,
    ProtocolName,
    check_protocol,
    needs_classes,
)

# Increase this number when a change of the code changes the counts of the same settings. Older records are then unused.
PROTOCOL_VERSION = 1

FrameName = Literal["square", "whole"]
Convention = Literal["oclf", "spot"]
INSTANCE_SIDE = 320
"""Side in pixels at which objects are scored (PROTOCOL of OCLF and SPOT)."""


class ConfigError(Exception):
    """An invalid setting. The message names the key, the value and the allowed values."""


@contextmanager
def config_errors(prefix: str = "") -> Iterator[None]:
    """Context that turns a ValueError into a `ConfigError`. ``prefix``: beginning of its message."""
    try:
        yield
    except ValueError as error:
        raise ConfigError(f"{prefix}{error}") from error


def _workers(workers: Any) -> str:
    if workers != "auto" and not (str(workers).isdecimal() and int(workers)):
        raise ValueError(f"workers: must be auto or a number of processes, at least 1, got {workers}")
    return str(workers)


@dataclass(frozen=True)
class RunConfig:
    """Keys of a command that are no settings of a part. All rows of a run share them, but ``rows`` to ``name``."""

    published: Annotated[str | None, Field(description="table of published scores, shown beside rows like theirs")] = (
        None
    )
    audit: Annotated[bool, Field(description="compare rows with the first of their name: audit.csv, audit.md")] = False
    name: Annotated[str | None, Field(description="name of the row, or of the experiment; null: its YAML's")] = None
    results_dir: Annotated[str | None, Field(description="folder of the results; null: results/NAME")] = None
    device: Annotated[str, Field(description="auto, cpu, cuda, cuda:1, mps, ...")] = "auto"
    workers: Annotated[
        str,
        BeforeValidator(_workers),
        Field(description="processes of one thread that share the pictures on a CPU; auto: one for each core"),
    ] = "1"
    shard: Annotated[str | None, Field(description="i/n: the i-th of n shares of the pictures, counted from 1")] = None
    batch_size: Annotated[
        Count | None,
        Field(description="pictures in a pass of the backbone; null: 1 on a CPU, as many as fit on a GPU"),
    ] = None
    labels: Annotated[
        Literal["all", "panels", "none"], Field(description="label maps to keep; panels: of the pictures with panels")
    ] = "all"
    panels: Annotated[int, Field(ge=0, description="number of pictures, from the first, that get a panel")] = 8
    allow_failures: Annotated[bool, Field(description="exit with status 0 even if pictures failed")] = False

    def kept(self, ids: Sequence[str]) -> frozenset[str]:
        """Ids of the pictures whose label maps are kept."""
        return frozenset({"all": ids, "panels": ids[: self.panels], "none": ()}[self.labels])


@dataclass(frozen=True)
class Scoring:
    """The pixels at which a row is scored, and the truth that they are compared with.

    Attributes:
        frame: ``square``: the centred square. ``whole``: the whole picture. ``oclf``, ``spot``: the centred square of
            these codes for objects.
        size: side of the scored square in pixels; None with ``whole``: the picture's own height and width.
        components: split segments into connected components before they are compared.
    """

    frame: Literal["square", "whole", "oclf", "spot"]
    size: int | None
    components: bool = False

    @property
    def enters(self) -> FrameName:
        """The part of the picture that enters the backbone."""
        return "whole" if self.frame == "whole" else "square"


@dataclass(frozen=True)
class ProtocolSettings:
    """Settings of the scores (``conf/protocol``).

    Attributes:
        report: protocols in the tables (`eval.protocols`); None: those of the data set's truth. Records contain
            contingency tables, so a protocol can be added later without another pass of the backbone.
        frame: see `Scoring`; None: ``whole`` for data sets that several people segmented, else ``square``.
        size: side of the scored square in pixels; None: side of the backbone's input.
        scale: the setting that rows of one family differ in, such as ``segmenter.tau``; None: found by itself.
        convention: the rules for objects.
        components: see `Scoring`.
    """

    report: tuple[ProtocolName, ...] | None = None
    frame: FrameName | None = None
    size: Annotated[int, Field(ge=1)] | None = None
    scale: str | None = None
    convention: Convention = "oclf"
    components: bool = False

    def __post_init__(self) -> None:
        names = self.report
        if names is not None and (not names or len(set(names)) < len(names)):
            raise ValueError(f"report: must list one or more of {', '.join(ALL_PROTOCOLS)}, once each, got {[*names]}")
        for name in names or ():
            try:
                check_protocol(name)
            except ValueError as error:
                raise ValueError(f"report: {error}") from None
        if INSTANCES in (names or ()) and (len(names or ()) > 1 or self.frame or self.size):
            raise ValueError(
                f"report: {INSTANCES} has a frame of its own, {INSTANCE_SIDE} x {INSTANCE_SIDE} pixels; leave out "
                "other protocols, protocol.frame and protocol.size"
            )
        if self.frame == "whole" and self.size is not None:
            raise ValueError("size: protocol.frame=whole scores every picture at its own size; leave one of them out")

    def reported(self, dataset: Dataset) -> tuple[ProtocolName, ...]:
        """The protocols in the tables.

        Raises:
            ConfigError: the data set lacks the truth of one of them.
        """
        truths = dataset.truths
        names = self.report or (PROTOCOLS if "classes" in truths else REGION_PROTOCOLS)
        for name in names:
            if needs_classes(name) and "classes" not in truths:
                raise ConfigError(f"protocol.report: {name} needs classes, and dataset={dataset.name} has none")
            if name == "boundaries" and "people" not in truths:
                raise ConfigError(
                    f"protocol.report: boundaries needs people's boundaries, and dataset={dataset.name} has none; use "
                    "regions"
                )
            if name == INSTANCES and INSTANCES not in truths:
                raise ConfigError(f"protocol.report: instances needs objects, and dataset={dataset.name} has none")
        return names

    def scoring(self, dataset: Dataset, size: int) -> Scoring:
        """The frame of a row. ``size``: side of the backbone's input."""
        if INSTANCES in self.reported(dataset):
            return Scoring(self.convention, INSTANCE_SIDE, self.components)
        frame = self.frame or ("square" if "classes" in dataset.truths else "whole")
        if frame == "whole" and self.size is not None:
            raise ConfigError("protocol.size: the whole picture is scored at its own size; leave it out")
        return Scoring(frame, None if frame == "whole" else self.size or size, self.components)


def build(node: DictConfig | Mapping[str, Any], key: str) -> Any:
    """Builds the part that a configuration node describes, see `diffseg.parts.build`.

    Args:
        node: ``_target_``, a dataclass, and values for its fields.
        key: path of the node in the configuration, for messages.

    Raises:
        ConfigError: an unknown key, a value of the wrong type or out of range, or another error of the part's class.
        DatasetError, OSError: an error of a data set or a file; its message is one line already.
    """
    given = OmegaConf.to_container(node, resolve=True) if isinstance(node, DictConfig) else node
    settings = cast(dict[str, Any], given)
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
