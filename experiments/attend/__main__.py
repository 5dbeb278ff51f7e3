"""Computes attention once, into files: ``python -m experiments.attend backbone=NAME dataset=NAME out=DIR [key=value]``.

    python -m experiments.attend backbone=sd14 dataset=camvid dataset.root=DIR out=attention dtype=float16
    python -m experiments.evaluate backbone=saved backbone.folder=attention dataset=camvid dataset.root=DIR

The same command resumes. Keys: ``backbone``, ``dataset`` and their settings, or an ``experiment`` whose rows share
them, as for `experiments.evaluate`; and

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

import sys
from pathlib import Path
from typing import Any, cast

from omegaconf import DictConfig

from diffseg import parts
from diffseg.cli.command import interruptible, run_command
from eval.config import ConfigError
from experiments.running.arguments import key_of, parse, read_arguments
from experiments.running.compose import check, compose_rows
from experiments.running.errors import PicturesFailed, one_line_errors

DTYPES = ("float32", "float16")
GROUPS = ("backbone", "dataset")
KEYS = (*GROUPS, "experiment", "out", "dtype", "frame", "protocol.frame", "shard", "device", "batch_size")


def main() -> None:
    """Runs the command line."""
    if {"--help", "-h"} & {*sys.argv[1:]}:
        print(__doc__)
        return
    with interruptible("all files are complete, and the same command resumes"), one_line_errors():
        arguments = read_arguments(sys.argv[1:])
        arguments.refuse_options("attend")
        own = {"out": "", "dtype": DTYPES[0], "frame": "square"}
        typed = [one for override in arguments.overrides for one in parse(override, swept=False)]
        for key in (one.key for one in typed):
            if key not in KEYS and key.partition(".")[0] not in GROUPS:
                raise ConfigError(f"{key}: there is no such key{parts.nearest(key, KEYS)}")
        own |= {one.key: str(one.value) for one in typed if one.key in own}
        keys = [override for override in arguments.overrides if key_of(override) not in own]
        arguments.overrides = [f"protocol.frame={own['frame']}", *keys]
        if not own["out"]:
            raise ConfigError("out: not set; give the folder for the files, out=DIR")
        if own["dtype"] not in DTYPES:
            raise ConfigError(f"dtype: must be {' or '.join(DTYPES)}, got {own['dtype']}")
        composed = compose_rows(arguments, checked=False)
        if any(_attended(row.composed) != _attended(composed.rows[0].composed) for row in composed.rows):
            raise ConfigError("attend: the rows have several backbones or data sets; leave experiment=... out")
        (row,) = check(composed.rows[:1])
        if not row.backbone.sides or row.choices["backbone"] == "saved":
            raise ConfigError(f"backbone: {row.choices['backbone']} computes no attention; choose another one")
        if getattr(row.backbone, "debias", 0):
            raise ConfigError("backbone.debias: files hold the features as they are; give it with backbone=saved")
        # Imports torch, which takes seconds. Missing data and weights have been reported before.
        from experiments.attend.writing import write_all

        if write_all(row, composed.config, cast(Any, own["dtype"]), Path(own["out"])):
            raise PicturesFailed


def _attended(config: DictConfig) -> tuple[Any, Any]:
    """The backbone and the data set of a row. Debiasing comes after the attention."""
    return {**config.backbone, "debias": 0}, config.dataset


if __name__ == "__main__":
    run_command(main)
