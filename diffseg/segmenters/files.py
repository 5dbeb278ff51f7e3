"""Reads label maps that another program wrote, so that any segmentation can be scored without its network."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from diffseg.backbones.image import centre_crop, nearest
from diffseg.files.images import PhotoError
from diffseg.files.label_maps import read_label_map
from diffseg.files.paths import expanded
from diffseg.files.remarks import Remark
from diffseg.files.writing import sha256_of
from diffseg.pictures import VOID
from diffseg.segmenters.base import Outline, Scene, UnusablePicture
from diffseg.texts import counted

if TYPE_CHECKING:
    from torch import Tensor

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
class Folder:
    """A folder with a file for each picture; ids with a slash have theirs in sub-folders.

    A file holds the ``content``. Files of the ``suffixes`` are looked for in this order.
    """

    needs_attention: ClassVar[bool] = False
    content: ClassVar[str] = "label map"
    suffixes: ClassVar[tuple[str, ...]] = (".png", ".npy", ".PNG", ".NPY")

    folder: Annotated[str | None, Field(description="folder that holds a file for every picture")] = None

    def resolved(self, side: int, tuned: Mapping[str, Any]) -> Self:
        """Raises ValueError if ``folder`` is not set or does not exist."""
        if not self.folder:
            raise ValueError(f"folder: not set; give the folder that holds {self._names('ID')} of every picture")
        if not self._folder.is_dir():
            raise ValueError(f"folder: {self.folder} is not a folder; give the one that holds {self._names('ID')}")
        return self

    def check_files(self, ids: Sequence[str], listed: Collection[str]) -> list[str]:
        """A line if pictures lack their file, and a line if files belong to no picture. See `ReadsFiles`."""
        paths = [path for suffix in self.suffixes for path in self._folder.rglob(f"*{suffix}")]
        names = {
            path.relative_to(self._folder).with_suffix("").as_posix(): path
            for path in sorted(paths)
            if not path.name.startswith(".")
        }
        missing = [id for id in ids if id not in names]
        if len(missing) == len(ids):
            example = f"; the first file there is {next(iter(names.values()))}" if names else ""
            raise ValueError(
                f"folder: {self.folder} has no {self.content} of any of the {len(ids):,} pictures; the first should be "
                f"{self._names(self._folder / missing[0])}{example}"
            )
        lines = []
        if missing:
            lines.append(
                f"{self.folder}: {counted(len(missing), 'picture')} of {len(ids):,} will fail without a "
                f"{self.content}; the first is {missing[0]}"
            )
        if extra := sorted(names.keys() - set(listed)):
            lines.append(
                f"{self.folder}: {counted(len(extra), 'file')} without a picture in the data set; the first is "
                f"{names[extra[0]]}"
            )
        return lines

    def state(self, id: str) -> str:
        """sha256 (hex) of a picture's file, or "" if it has none. A run evaluates a changed one again."""
        try:
            return sha256_of(self.path(id))
        except (OSError, UnusablePicture):
            return ""

    def path(self, id: str | None) -> Path:
        """The first file of a picture. Raises `UnusablePicture` if it has none."""
        if id is None:
            raise ValueError("scene: has no id of the picture, so no file can be read")
        for suffix in self.suffixes:
            if (path := self._folder / f"{id}{suffix}").is_file():
                return path
        raise UnusablePicture(f"{self._names(self._folder / id)}: the {self.content} is missing")

    @property
    def _folder(self) -> Path:
        return expanded(self.folder or "")

    def _names(self, stem: str | Path) -> str:
        """Names that the file of a picture may have."""
        return f"{stem}{' or '.join(suffix for suffix in self.suffixes if suffix.islower())}"


@dataclass(frozen=True)
class LabelMapFiles(Folder):
    """Reads the label map of each picture from ``folder/ID.png``, else ``folder/ID.npy``.

    A PNG has one channel of up to 16 bits, or a palette. An array is ``(h, w)``, integers or booleans. Labels are
    0..65535. A map may have any size. If its aspect ratio is within 1 % of the picture's, it covers the whole picture.
    If it is square, it covers the centred square of the picture; a protocol that scores whole pictures refuses it. It
    is cropped and resized like the ground truth.

    Attributes:
        void: numbers in the maps that stand for no segment. Their pixels get the label -1.
    """

    common_labels: ClassVar[bool] = True

    void: tuple[int, ...] = ()

    def __call__(self, scene: Scene) -> Tensor:
        """Labels ``(height, width)`` int64, -1 where the map has a number of ``void``.

        Raises `UnusablePicture` if the file is missing, damaged or of another shape.
        """
        from torch import from_numpy

        return from_numpy(self.labels(scene)).to(scene.aggregated.device)

    def labels(self, outline: Outline) -> NDArray[np.int64]:
        """As the call, without torch."""
        path, labels, (height, width) = self._read(outline)
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
        _, labels, (height, width) = self._read(outline)
        square = labels.shape[0] == labels.shape[1] and abs(width - height) > ASPECT_TOLERANCE * height
        remarks = [Remark(SQUARE, f"{labels.shape[1]} x {labels.shape[0]} of {width} x {height}")] if square else []
        if USUAL_VOID not in self.void and (labels == USUAL_VOID).any():
            others = labels[labels != USUAL_VOID]
            if others.size and others.max() < FEW_LABELS:
                remarks.append(Remark(NO_PREDICTION))
        return remarks

    def _read(self, outline: Outline) -> tuple[Path, NDArray[np.integer], tuple[int, int]]:
        """File and label map of a picture, with numbers in the range, and height and width of the picture."""
        if outline.shape is None:
            raise ValueError("scene: has no shape of the picture, so no label map fits")
        path = self.path(outline.id)
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
        return path, labels, outline.shape


@lru_cache(maxsize=2)  # a run segments a picture, asks for remarks, and may do so in several rows
def _decoded(path: Path, size: int, modified: int) -> NDArray[np.integer]:
    """A label map. ``size`` and ``modified`` are part of the cache's key, so a changed file is read again."""
    labels = read_label_map(path)
    labels.setflags(write=False)
    return labels
