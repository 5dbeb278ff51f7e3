"""Segmentations of a hierarchy of contours that another program wrote, such as gPb-owt-ucm on BSDS500."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from scipy import ndimage
from torch import Tensor

from diffseg.files.matlab import read_matlab
from diffseg.segmenters.base import CheckedSegmenter, Scene, UnusablePicture
from diffseg.segmenters.files import Folder

VARIABLE = "ucm2"


@dataclass(frozen=True)
class UCM(Folder, CheckedSegmenter):
    """Cuts the ultrametric contour map of a picture at a threshold (Arbelaez et al., TPAMI 2011, Section 4.2).

    ``folder/ID.mat``, such as one of ``data/bsds500/BSDS500/ucm2/test``, holds ``ucm2``, ``(2 h + 1, 2 w + 1)``: the
    strength of the contour between two pixels, and 0 at the cells of the pixels, which are every second one.
    A segment is a connected part of the cells whose strength is at most the threshold. The map covers the whole
    picture, so a run needs ``protocol.frame=whole``.
    """

    needs_whole = True
    content, suffixes = "hierarchy", (".mat",)
    finishing = frozenset({"threshold"})

    threshold: Annotated[float, Field(ge=0, lt=1, description="contours up to this strength are removed")] = (
        0.2  # the best of gPb-owt-ucm on the test pictures of BSDS500
    )

    def prepare(self, scene: Scene) -> NDArray[np.floating[Any]]:
        """The hierarchy. Raises `UnusablePicture` if the file is missing or damaged, or shows another picture."""
        path = self.path(scene.id)
        try:
            strengths = read_matlab(path, VARIABLE)
        except ValueError as error:
            raise UnusablePicture(f"{path}: {error}; copy it again") from error
        if strengths.ndim != 2 or strengths.dtype.kind != "f" or strengths[1::2, 1::2].any():
            raise UnusablePicture(f"{path}: {VARIABLE} in it is no map of contours at twice the size of the picture")
        height, width = (cells // 2 for cells in strengths.shape)
        if (height, width) != scene.size:
            raise UnusablePicture(
                f"{path}: is a hierarchy of {width} x {height} pixels, but {scene.size[1]} x {scene.size[0]} are "
                "scored; it must show the whole picture (protocol.frame=whole)"
            )
        return strengths

    def finish(self, prepared: NDArray[np.floating[Any]], scene: Scene) -> Tensor:
        parts, _ = ndimage.label(prepared <= self.threshold)
        labels = np.ascontiguousarray(parts[1::2, 1::2], dtype=np.int64) - 1
        return torch.from_numpy(labels).to(scene.aggregated.device)
