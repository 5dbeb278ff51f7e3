"""Computes the attention of pictures and writes it, a file for each picture."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from itertools import repeat
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from datasets.base import DatasetError, Picture
from diffseg.backbones import AttentionModel
from diffseg.backbones.device import batch_size_for, pick_device
from diffseg.backbones.image import centre_crop, resize_image
from diffseg.backbones.saved import BLANK, origin
from diffseg.files.attention import SUFFIX, AttentionError, PictureInfo, read_header
from diffseg.files.remarks import Remark, remark_lines
from diffseg.texts import counted, on_one_line
from eval.config import ConfigError, RunConfig, config_errors
from eval.progress import Progress
from eval.rows import RowConfig, backbone_settings
from eval.shards import join_shards

GB = 10**9
FileType = Literal["float32", "float16"]
Pixels = NDArray[np.uint8]


def write_all(row: RowConfig, config: RunConfig, dtype: FileType, folder: Path) -> int:
    """Writes the files that are missing, and `BLANK`; prints the space they take before the first.

    Args:
        row: its backbone, data set and frame count.
        config: its device, share and batch size count.
        dtype: number format in the files.
        folder: folder of the files.

    Returns:
        Number of pictures that failed; a line on stderr names each.

    Raises:
        ConfigError: the folder holds other attention, the disk is too small, or a setting is wrong.
    """
    dataset, backbone = row.dataset, row.backbone
    writer = Writer(row, dtype, folder)
    ids = join_shards(config.shard).share(dataset.ids)
    missing = [id for id in ids if not writer.fits(writer.file(id))]
    if not missing and writer.fits(folder / BLANK):
        print(f"{folder}: the attention of {counted(len(ids), 'picture')} is complete", file=sys.stderr)
        return 0
    with config_errors():
        device = pick_device(config.device)
        model = backbone.load(str(device))
    side = backbone.size
    writer.write(model, [(BLANK.removesuffix(SUFFIX), np.zeros((side, side, 3), np.uint8))], 1)
    _say_size(folder, len(missing), (folder / BLANK).stat().st_size)
    size = config.batch_size or batch_size_for(device, side)
    failed, remarks = 0, dict[str, Sequence[Remark]]()
    progress = Progress(f"{dataset.name}, {writer.name} {side} px", len(ids), len(ids) - len(missing))
    with progress as bar, ThreadPoolExecutor(2, thread_name_prefix="decode") as pool:
        decoding: dict[str, Future[Picture]] = {}
        for start in range(0, len(missing), size):
            # Two more batches are decoded while one is computed.
            decoding |= {
                id: pool.submit(dataset.load, id) for id in missing[start : start + 3 * size] if id not in decoding
            }
            pictures = []
            for id in missing[start : start + size]:
                try:
                    picture = decoding.pop(id).result()
                    pictures.append((id, picture.image))
                    remarks[id] = picture.remarks
                except DatasetError as error:
                    failed += 1
                    print(f"{id}: failed: {on_one_line(error)}", file=sys.stderr)
            writer.write(model, pictures, size)
            for _ in missing[start : start + size]:
                bar.advance("")
    for line in remark_lines(dataset.name, remarks):
        print(line, file=sys.stderr)
    return failed


class Writer:
    """Writes the attention of the backbone of a row; arguments as for `write_all`.

    Attributes:
        name: name of the backbone's preset.
        provenance: that of every file.
    """

    def __init__(self, row: RowConfig, dtype: FileType, folder: Path) -> None:
        self.backbone, self.frame, self.dtype, self.folder = row.backbone, row.scoring.enters, dtype, folder
        self.name = row.choices["backbone"]
        self.provenance = origin(self.backbone, self.name, self.frame, backbone_settings(self.backbone))
        if (folder / BLANK).is_file() and not self.fits(folder / BLANK):
            raise ConfigError(f"out: {folder} holds attention of another backbone, frame or dtype; give another folder")

    def file(self, id: str) -> Path:
        """Path of a picture's file."""
        return self.folder / f"{id}{SUFFIX}"

    def fits(self, path: Path) -> bool:
        """True if a file is complete, and holds the attention that this command would compute."""
        try:
            header = read_header(path)
        except AttentionError:
            return False
        # As JSON: a file holds lists where the settings have tuples.
        ours, theirs = (
            json.dumps([provenance.get("settings"), provenance.get("frame")], sort_keys=True)
            for provenance in (self.provenance, header.provenance)
        )
        return ours == theirs and header.dtype == self.dtype

    def write(self, model: AttentionModel, pictures: Sequence[tuple[str, Pixels]], size: int) -> None:
        """Computes and writes the attention of pictures.

        Args:
            model: the backbone, loaded.
            pictures: id and pixels ``(h, w, 3)`` of each, at most ``size``.
            size: number of images in the pass. As in a run, copies of the last one fill the batch: libraries choose
                their kernels by its shape, and the attention must be that of the run, bit by bit.
        """
        if not pictures:
            return
        shown = [(id, centre_crop(pixels) if self.frame == "square" else pixels) for id, pixels in pictures]
        squares = [resize_image(pixels, self.backbone.size) for _, pixels in shown]
        images = torch.stack([*squares, *repeat(squares[-1], size - len(squares))])
        attended = model.attend_encoded(model.encode(images), self.backbone)
        for (id, pixels), maps in zip(shown, attended, strict=False):
            provenance = {**maps.provenance, **self.provenance}
            replace(maps, provenance=provenance, picture=PictureInfo.of(id, pixels)).save(self.file(id), self.dtype)


def _say_size(folder: Path, count: int, size: int) -> None:
    """Prints the space that the files will take. Raises ConfigError if the disk lacks it."""
    free = shutil.disk_usage(folder).free
    space = f"{counted(count, 'picture')} x {size / 1e6:.1f} MB = {count * size / GB:.1f} GB in {folder}"
    print(f"{space} ({free / GB:.0f} GB are free)", file=sys.stderr)
    if count * size > free:
        raise ConfigError(f"out: {space}, and only {free / GB:.1f} GB are free; try dtype=float16, or another folder")
