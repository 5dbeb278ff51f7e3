"""Reads label maps that another program wrote, so that any segmentation can be scored without its network."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from diffseg.backbones.image import centre_crop, nearest
from diffseg.files import sha256_of
from diffseg.image_files import PhotoError
from diffseg.label_maps import read_label_map
from diffseg.paths import expanded
from diffseg.pictures import VOID
from diffseg.remarks import Remark
from diffseg.segmenters.base import Outline, Scene, UnusablePicture
from diffseg.texts import counted

if TYPE_CHECKING:
    from torch import Tensor

SUFFIXES = (".png", ".npy", ".PNG", ".NPY")
LARGEST_LABEL = np.iinfo(np.uint16).max
ASPECT_TOLERANCE = 0.01

USUAL_VOID, FEW_LABELS = 255, 30
NO_PREDICTION = (
    f"{USUAL_VOID} among numbers below {FEW_LABELS} counts as a segment; if it stands for no prediction, give "
    f"segmenter.void=[{USUAL_VOID}]"
)
SQUARE = (
    "the map is square and its picture is not: it is read as the centred square; if it shows the whole picture, resize "
    "it to the picture's shape"
)


@dataclass(frozen=True)
class LabelMapFiles:
    """Reads the label map of each picture from ``folder/ID.png``, else ``folder/ID.npy``.

    A PNG has one channel of up to 16 bits, or a palette. An array is ``(h, w)``, integers or booleans. Labels are
    0..65535. A map may have any size. If its aspect ratio is within 1 % of the picture's, it covers the whole picture.
    If it is square, it covers the centred square of the picture; a protocol that scores whole pictures refuses it. It
    is cropped and resized like the ground truth.

    Attributes:
        folder: folder of the label maps. The maps of ids with a slash lie in sub-folders.
        void: numbers in the maps that stand for no segment. Their pixels get the label -1.
    """

    needs_attention: ClassVar[bool] = False
    common_labels: ClassVar[bool] = True

    folder: str | None = None
    void: tuple[int, ...] = ()

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
            return sha256_of(self._path(id))
        except (OSError, UnusablePicture):
            return ""

    def __call__(self, scene: Scene) -> Tensor:
        """Labels ``(height, width)`` int64, -1 where the map has a number of ``void``.

        Raises:
            UnusablePicture: the file is missing, damaged or of another shape.
        """
        from torch import from_numpy

        return from_numpy(self.labels(scene)).to(scene.aggregated.device)

    def labels(self, outline: Outline) -> NDArray[np.int64]:
        """As the call, without torch."""
        path, (height, width) = self._picture(outline)
        labels = self._numbered(path)
        map_height, map_width = labels.shape
        aspect, map_aspect, frame = width / height, map_width / map_height, outline.frame
        if abs(map_aspect - aspect) <= ASPECT_TOLERANCE * aspect:
            labels = labels if frame == "whole" else centre_crop(labels)
        elif frame == "whole" or map_height != map_width:
            square = "" if frame == "whole" else ", or be square and show the centred square"
            raise UnusablePicture(
                f"{path}: is {map_width} x {map_height} pixels; it must have the shape of the picture, "
                f"{width} x {height}, at any scale{square}"
            )
        resized = nearest(labels, outline.size).astype(np.int64)
        if self.void:
            resized[np.isin(resized, self.void)] = VOID
        return resized

    def remarks(self, outline: Outline) -> list[Remark]:
        """Remarks for the user about the map of a picture that was segmented."""
        path, (height, width) = self._picture(outline)
        labels = self._numbered(path)
        square = labels.shape[0] == labels.shape[1] and abs(width - height) > ASPECT_TOLERANCE * height
        remarks = [Remark(SQUARE, f"{labels.shape[1]} x {labels.shape[0]} of {width} x {height}")] if square else []
        if USUAL_VOID not in self.void and (labels == USUAL_VOID).any():
            others = labels[labels != USUAL_VOID]
            if others.size and others.max() < FEW_LABELS:
                remarks.append(Remark(NO_PREDICTION))
        return remarks

    def _picture(self, outline: Outline) -> tuple[Path, tuple[int, int]]:
        """File of a picture, and its height and width."""
        if outline.id is None or outline.shape is None:
            raise ValueError("scene: has no id or shape of the picture, so no file can be read")
        return self._path(outline.id), outline.shape

    def _numbered(self, path: Path) -> NDArray[np.integer]:
        """Decodes a map and checks the range of its numbers."""
        try:
            status = path.stat()
            labels = _decoded(path, status.st_size, status.st_mtime_ns)
        except (PhotoError, OSError) as error:
            raise UnusablePicture(str(error)) from error
        scored = labels[~np.isin(labels, self.void)] if self.void else labels
        lowest, highest = (int(scored.min()), int(scored.max())) if scored.size else (0, 0)
        if lowest < 0 or highest > LARGEST_LABEL:
            wrong = lowest if lowest < 0 else highest
            raise UnusablePicture(
                f"{path}: labels must be 0..{LARGEST_LABEL}, got {wrong}; number the segments from 0, or name the "
                f"number in segmenter.void=[{wrong}] if it stands for no segment"
            )
        return labels

    @property
    def _folder(self) -> Path:
        return expanded(self.folder or "")

    def _path(self, id: str) -> Path:
        path = _existing(self.folder or "", id)
        if path is None:
            raise UnusablePicture(f"{self._folder / id}.png: the label map is missing, and so is {id}.npy")
        return path


def _existing(folder: str, id: str) -> Path | None:
    """The first file of a picture."""
    place = expanded(folder)
    return next((path for suffix in SUFFIXES if (path := place / f"{id}{suffix}").is_file()), None)


@lru_cache(maxsize=2)  # a run segments a picture, asks for remarks, and may do so in several rows
def _decoded(path: Path, size: int, modified: int) -> NDArray[np.integer]:
    """A label map. ``size`` and ``modified`` are part of the cache's key, so a changed file is read again."""
    labels = read_label_map(path)
    labels.setflags(write=False)
    return labels
