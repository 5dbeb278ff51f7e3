"""Reads label maps that another program wrote, so that any segmentation can be scored without its network."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from diffseg.backbones.image import centre_crop, resize_labels
from diffseg.masks import height_width
from diffseg.paths import expanded
from diffseg.photos import BROKEN
from diffseg.segmenters.base import Scene, UnusablePicture
from diffseg.texts import counted, on_one_line

SUFFIXES = (".png", ".npy", ".PNG", ".NPY")
# Modes with one value a pixel. A palette only colours the map for people; its indices are the labels.
LABEL_MODES = ("1", "L", "P", "I", "I;16", "I;16B", "I;16L", "I;16N")
LARGEST_LABEL = np.iinfo(np.uint16).max
ASPECT_TOLERANCE = 0.01


@dataclass(frozen=True)
class LabelMapFiles:
    """Reads the label map of each picture from ``folder/ID.png``, else ``folder/ID.npy``.

    A PNG has one channel of 8 or 16 bits, or a palette. An array is ``(h, w)``, integers or booleans. Labels are
    0..65535. A map may have any size. If its aspect ratio is within 1 % of the picture's, it covers the whole picture.
    If it is square, it covers the centred square of the picture. It is cropped and resized like the ground truth.

    Attributes:
        folder: folder of the label maps. The maps of ids with a slash lie in sub-folders.
    """

    needs_attention: ClassVar[bool] = False
    common_labels: ClassVar[bool] = True

    folder: str | None = None

    def resolved(self, side: int, tuned: Mapping[str, Any]) -> Self:
        """Raises ValueError if ``folder`` is not set or does not exist."""
        if not self.folder:
            raise ValueError("folder: not set; give the folder that holds ID.png or ID.npy of every picture")
        if not self._folder.is_dir():
            raise ValueError(f"folder: {self.folder} is not a folder; give the one that holds ID.png or ID.npy")
        return self

    def check_files(self, ids: Sequence[str], listed: Collection[str]) -> list[str]:
        """Compares the names of the files with the pictures.

        Args:
            ids: pictures to be evaluated.
            listed: all pictures of the data set.

        Returns:
            Warnings: a line if label maps are missing, and a line if files belong to no picture.

        Raises:
            ValueError: every picture lacks its label map.
        """
        there = [
            path for suffix in SUFFIXES for path in self._folder.rglob(f"*{suffix}") if not path.name.startswith(".")
        ]
        names = {path.relative_to(self._folder).with_suffix("").as_posix(): path for path in sorted(there)}
        missing = [id for id in ids if id not in names]
        if len(missing) == len(ids):
            example = f"; the first file there is {next(iter(names.values()))}" if names else ""
            raise ValueError(
                f"folder: {self.folder} has no label map of any of the {len(ids):,} pictures; the first should be "
                f"{self._folder / missing[0]}.png or .npy{example}"
            )
        lines = []
        if missing:
            lines.append(
                f"{self.folder}: {counted(len(missing), 'picture')} of {len(ids):,} will fail without a label map; the "
                f"first is {missing[0]}"
            )
        if extra := sorted(names.keys() - set(listed)):
            lines.append(
                f"{self.folder}: {counted(len(extra), 'file')} without a picture in the data set; the first is "
                f"{names[extra[0]]}"
            )
        return lines

    def state(self, id: str) -> str:
        """sha256 (hex) of a picture's label map, or "" if it has none. A run evaluates a changed map again."""
        try:
            path = self._path(id)
            stat = path.stat()
        except (OSError, UnusablePicture):
            return ""
        return _sha256(path, stat.st_size, stat.st_mtime_ns)

    def __call__(self, scene: Scene) -> Tensor:
        """Labels ``(P, P)`` int64. Raises `UnusablePicture` if the file is missing, damaged or of another shape."""
        if scene.id is None or scene.shape is None:
            raise ValueError("scene: has no id or shape of the picture, so no file can be read")
        path = self._path(scene.id)
        labels = read_label_map(path)
        (height, width), (map_height, map_width) = scene.shape, labels.shape
        aspect, map_aspect = width / height, map_width / map_height
        if abs(map_aspect - aspect) <= ASPECT_TOLERANCE * aspect:
            labels = centre_crop(labels)
        elif map_height != map_width:
            raise UnusablePicture(
                f"{path}: is {map_width} x {map_height} pixels; it must have the shape of the picture, "
                f"{width} x {height}, at any scale, or be square and show the centred square"
            )
        return resize_labels(labels, height_width(scene.size)).to(scene.aggregated.device)

    @property
    def _folder(self) -> Path:
        return expanded(self.folder or "")

    def _path(self, id: str) -> Path:
        for suffix in SUFFIXES:
            path = self._folder / f"{id}{suffix}"
            if path.is_file():
                return path
        raise UnusablePicture(f"{self._folder / id}.png: the label map is missing, and so is {id}.npy")


def read_label_map(path: Path) -> NDArray[np.integer]:
    """Decodes a label map to ``(h, w)`` integers 0..65535: the values as stored, or the indices of a palette.

    Raises:
        UnusablePicture: the file cannot be decoded, or holds no label map.
    """
    try:
        if path.suffix.lower() == ".npy":
            labels = np.load(path, allow_pickle=False)
        else:
            with Image.open(path) as image:
                if image.mode not in LABEL_MODES:
                    raise UnusablePicture(
                        f"{path}: a label map has one channel of numbers, this picture has mode {image.mode}; write "
                        "the labels, not their colours"
                    )
                labels = np.asarray(image)
    except UnidentifiedImageError:
        raise UnusablePicture(f"{path}: is not a picture; write it again") from None
    except (OSError, *BROKEN) as error:
        raise UnusablePicture(f"{path}: cannot be decoded ({on_one_line(error)}); write it again") from error
    if not isinstance(labels, np.ndarray) or labels.ndim != 2 or not labels.size:
        raise UnusablePicture(f"{path}: must hold an array (h, w), got shape {np.shape(labels)}")
    if labels.dtype.kind not in "iub":
        raise UnusablePicture(f"{path}: must hold integers, got {labels.dtype}; convert the labels")
    lowest, highest = int(labels.min()), int(labels.max())
    if lowest < 0 or highest > LARGEST_LABEL:
        wrong = lowest if lowest < 0 else highest
        raise UnusablePicture(f"{path}: labels must be 0..{LARGEST_LABEL}, got {wrong}; number the segments from 0")
    return labels


@cache  # called several times for each picture; a hash takes a hundred bytes
def _sha256(path: Path, size: int, modified: int) -> str:
    """Hash of a file. ``size`` and ``modified`` are part of the cache's key, so a changed file is read again."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
