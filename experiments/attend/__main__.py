"""Computes attention once, into files: ``python -m experiments.attend backbone=NAME dataset=NAME out=DIR [key=value]``.

    python -m experiments.attend backbone=sd14 dataset=camvid dataset.root=DIR out=attention dtype=float16
    python -m experiments.evaluate backbone=saved backbone.folder=attention dataset=camvid dataset.root=DIR

The same command resumes. Keys: ``backbone``, ``dataset`` and their settings, as for `experiments.evaluate`; and

    out=DIR          folder of the files, ID.safetensors; made if missing
    dtype=float32    number format in the files: float32 (exact) or float16 (half the size)
    frame=square     square: the centred square of each picture, as in the paper; whole (also protocol.frame=whole)
    shard=i/n        only the i-th of n shares of the pictures, counted from 1
    device=auto      as for experiments.evaluate
    batch_size=N     pictures in a pass; default: 1 on a CPU, as many as fit on a GPU
    --config-dir DIR your own backbones and data sets

diffseg/attention.md describes the files.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, cast

import yaml
from pydantic import TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as checked

from datasets.base import Dataset, DatasetError
from diffseg import parts
from diffseg.backbones import Backbone, WeightsError
from diffseg.command import ERROR_STATUS, interruptible, run_command
from diffseg.limits import explain
from diffseg.paths import expanded

GROUPS = ("backbone", "dataset")
CONFIG_DIR = "--config-dir"
SHARD = re.compile(r"([1-9]\d*)/([1-9]\d*)")


@checked(frozen=True)
class Options:
    """Keys that are no settings of a part; see the top of this module."""

    out: str
    dtype: Literal["float32", "float16"] = "float32"
    frame: Literal["square", "whole"] = "square"
    shard: str = "1/1"
    device: str = "auto"
    batch_size: int | None = None

    def __post_init__(self) -> None:
        match = SHARD.fullmatch(self.shard)
        if not match or int(match[1]) > int(match[2]):
            raise ValueError(f"shard: must be i/n with i from 1 to n, such as 2/4, got {self.shard}")
        if self.batch_size is not None and self.batch_size < 1:
            raise ValueError(f"batch_size: must be at least 1, got {self.batch_size}")

    def share(self, ids: Sequence[str]) -> Sequence[str]:
        """The pictures of this process: every n-th."""
        index, count = map(int, self.shard.split("/"))
        return ids[index - 1 :: count]


@dataclass
class Arguments:
    """The command line, sorted.

    Attributes:
        chosen: group -> name of its part.
        settings: group -> settings that replace those of the part.
        options: keys of `Options`.
        config_dir: the user's own folder of parts.
    """

    chosen: dict[str, str] = field(default_factory=lambda: {"backbone": "dinov2_small", "dataset": "photos"})
    settings: dict[str, dict[str, Any]] = field(default_factory=lambda: {group: {} for group in GROUPS})
    options: dict[str, Any] = field(default_factory=dict)
    config_dir: str | None = None

    def part(self, group: parts.Group) -> Any:
        """Builds the part of a group. Raises ValueError with its key."""
        try:
            return parts.choose(group, self.chosen[group], self.config_dir, self.settings[group])
        except ValueError as error:
            message = str(error)
            raise ValueError(message if message.startswith(f"{group}:") else f"{group}.{message}") from error


def parse(given: Sequence[str]) -> Arguments:
    """Sorts the arguments. Raises ValueError for one that is no ``key=value``, and for an unknown key."""
    arguments, rest = Arguments(), list(given)
    if CONFIG_DIR in rest:
        place = rest.index(CONFIG_DIR)
        if place + 1 == len(rest):
            raise ValueError(f"{CONFIG_DIR}: give a folder")
        arguments.config_dir = rest[place + 1]
        del rest[place : place + 2]
    known = list(Options.__dataclass_fields__)
    for argument in rest:
        key, equals, text = argument.partition("=")
        group, dot, name = key.partition(".")
        if not equals:
            raise ValueError(f"{argument}: is not key=value")
        if key in GROUPS:
            arguments.chosen[key] = text
        elif dot and group in GROUPS:
            arguments.settings[group][name] = yaml.safe_load(text)
        elif key in (*known, "protocol.frame"):
            arguments.options[key.removeprefix("protocol.")] = int(text) if text.isdecimal() else text
        else:
            raise ValueError(parts.unknown_key(key, [*known, *GROUPS]))
    return arguments


def options_of(given: dict[str, Any]) -> Options:
    """The options. Raises ValueError if one is missing or wrong."""
    if "out" not in given:
        raise ValueError("out: not set; give the folder for the files, out=DIR")
    try:
        return TypeAdapter(Options).validate_python({**given, "out": str(given["out"])})
    except ValidationError as error:
        raise ValueError(explain(error)) from None


def main() -> None:
    """Runs the command line."""
    if {"--help", "-h"} & set(sys.argv[1:]):
        print(__doc__)
        return
    try:
        arguments = parse(sys.argv[1:])
        options = options_of(arguments.options)
        dataset, backbone = cast(Dataset, arguments.part("dataset")), cast(Backbone, arguments.part("backbone"))
        if not backbone.sides or arguments.chosen["backbone"] == "saved":
            raise ValueError(f"backbone: {arguments.chosen['backbone']} computes no attention; choose another one")
        if getattr(backbone, "debias", 0):
            raise ValueError("backbone.debias: files hold the features as they are; give it with backbone=saved")
        dataset.check()
        backbone.check()
        # Imports torch, which takes seconds. Missing data and weights have been reported before.
        from experiments.attend.writing import write_all

        with interruptible("all files are complete, and the same command resumes"):
            failed = write_all(dataset, backbone, arguments.chosen["backbone"], options, expanded(options.out))
    except WeightsError as error:
        sys.exit(_fail(error.advising("backbone.path=DIR")))
    except (ValueError, DatasetError, OSError) as error:
        sys.exit(_fail(str(error)))
    sys.exit(int(failed > 0))


def _fail(message: str) -> int:
    print(f"error: {message}", file=sys.stderr)
    return ERROR_STATUS


if __name__ == "__main__":
    run_command(main)
