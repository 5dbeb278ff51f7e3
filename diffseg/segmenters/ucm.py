"""Segmentations of a hierarchy of contours that another program wrote, such as gPb-owt-ucm on BSDS500."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from scipy import ndimage
from torch import Tensor

from diffseg.masks import height_width
from diffseg.matlab import read_matlab
from diffseg.paths import expanded
from diffseg.segmenters.base import CheckedSegmenter, Scene, UnusablePicture
from diffseg.texts import counted

VARIABLE = "ucm2"


@dataclass(frozen=True)
class UCM(CheckedSegmenter):
    """Cuts the ultrametric contour map of a picture at a threshold (Arbelaez et al., TPAMI 2011, Section 4.2).

    ``folder/ID.mat`` holds the array ``ucm2``, ``(2 h + 1, 2 w + 1)``: the strength of the contour between two pixels,
    and 0 at the cells of the pixels, which are every second one. A segment is a connected part of the cells whose
    strength is at most the threshold. The map covers the whole picture, so a run needs ``protocol.frame=whole``.

    Attributes:
        folder: folder of the hierarchies, such as ``data/bsds500/BSDS500/ucm2/test``.
        threshold: strength from which on a contour separates segments.
    """

    needs_attention: ClassVar[bool] = False
    needs_whole: ClassVar[bool] = True

    folder: Annotated[str | None, Field(description="folder that holds ID.mat of every picture")] = None
    threshold: Annotated[float, Field(ge=0, lt=1, description="contours up to this strength are removed")] = (
        0.2  # the best of gPb-owt-ucm on the test pictures of BSDS500
    )

    def resolved(self, side: int, tuned: Mapping[str, Any]) -> Self:
        """Raises ValueError if ``folder`` is not set or does not exist."""
        if not self.folder:
            raise ValueError("folder: not set; give the folder that holds ID.mat of every picture")
        if not expanded(self.folder).is_dir():
            raise ValueError(f"folder: {self.folder} is not a folder; give the one that holds ID.mat of every picture")
        return self

    def check_files(self, ids: Sequence[str], listed: Collection[str]) -> list[str]:
        """A warning if pictures lack their hierarchy. Raises ValueError if all do. See `ReadsFiles`."""
        missing = [id for id in ids if not self._path(id).is_file()]
        if len(missing) == len(ids):
            raise ValueError(
                f"folder: {self.folder} has no hierarchy of any of the {len(ids):,} pictures; the first should be "
                f"{self._path(ids[0])}"
            )
        pictures = counted(len(missing), "picture")
        line = f"{self.folder}: {pictures} of {len(ids):,} will fail without a hierarchy; the first is {missing[:1]}"
        return [line] if missing else []

    def state(self, id: str) -> str:
        """sha256 (hex) of a picture's hierarchy, or "" if it has none. A run evaluates a changed one again."""
        try:
            stat = self._path(id).stat()
        except OSError:
            return ""
        return _sha256(self._path(id), stat.st_size, stat.st_mtime_ns)

    def __call__(self, scene: Scene) -> Tensor:
        """Labels of the scene's size, int64 from 0. Raises as `segment_all`."""
        return next(self.segment_all(scene, [self]))

    @staticmethod
    def segment_all(scene: Scene, segmenters: Sequence[UCM]) -> Iterator[Tensor]:
        """Yields the label map of each segmenter. Reads each hierarchy once.

        Raises:
            UnusablePicture: the file is missing, damaged, or not a hierarchy of the whole picture.
        """
        if scene.id is None:
            raise ValueError("scene: has no id of the picture, so no file can be read")
        paths = [segmenter._path(scene.id) for segmenter in segmenters]
        hierarchies = {path: _read(path, height_width(scene.size)) for path in dict.fromkeys(paths)}
        for segmenter, path in zip(segmenters, paths, strict=True):
            parts, _ = ndimage.label(hierarchies[path] <= segmenter.threshold)
            labels = np.ascontiguousarray(parts[1::2, 1::2], dtype=np.int64) - 1
            yield torch.from_numpy(labels).to(scene.aggregated.device)

    def _path(self, id: str) -> Path:
        return expanded(self.folder or "") / f"{id}.mat"


def _read(path: Path, size: tuple[int, int]) -> NDArray[np.floating[Any]]:
    """The hierarchy of a picture of ``size`` (height, width). Raises `UnusablePicture`."""
    try:
        strengths = read_matlab(path, VARIABLE)
    except FileNotFoundError:
        raise UnusablePicture(f"{path}: the hierarchy is missing") from None
    except ValueError as error:
        raise UnusablePicture(f"{path}: {error}; copy it again") from error
    if strengths.ndim != 2 or strengths.dtype.kind != "f" or strengths[1::2, 1::2].any():
        raise UnusablePicture(f"{path}: {VARIABLE} in it is no map of contours at twice the size of the picture")
    height, width = (cells // 2 for cells in strengths.shape)
    if (height, width) != size:
        raise UnusablePicture(
            f"{path}: is a hierarchy of {width} x {height} pixels, but {size[1]} x {size[0]} are scored; it must show "
            "the whole picture (protocol.frame=whole)"
        )
    return strengths


@cache  # called several times for each picture; a hash takes a hundred bytes
def _sha256(path: Path, size: int, modified: int) -> str:
    """Hash of a file. ``size`` and ``modified`` are part of the cache's key, so a changed file is read again."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
