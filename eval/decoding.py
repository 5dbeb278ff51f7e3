"""Decodes pictures ahead: threads read and resize the next pictures while the backbone runs.

Imports no torch until a picture enters a backbone or a segmenter.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from datasets.base import Dataset
from diffseg.backbones.image import centre_crop, resize_image
from diffseg.files.remarks import Remark
from diffseg.pictures import Pixels
from diffseg.segmenters.base import Outline, Scene
from eval.config import FrameName, Scoring
from eval.truth import Truth, classes_in, truth_of

if TYPE_CHECKING:
    import torch
    from torch import Tensor

# One core takes about 20 ms to decode a photograph of COCO and its labels.
THREADS = min(4, os.cpu_count() or 1)


@dataclass(frozen=True)
class DecodedPicture:
    """A decoded picture with its ground truth.

    Attributes:
        id: id of the picture.
        shape: height and width before cropping.
        frame: part of the picture that enters the backbone.
        image: that part, ``(3, P, P)`` float32 in [0, 255]; None if nobody needs it.
        pixels: that part before it was resized, ``(h, w, 3)`` uint8.
        truths: pixels at which rows are scored -> truth.
        true_classes: number of classes in the ground truth of that part; None if there are no classes, or nobody
            needs it.
        unscored, remarks: see `datasets.base.Picture`.
    """

    id: str
    shape: tuple[int, int]
    frame: FrameName
    image: Tensor | None
    pixels: Pixels
    truths: Mapping[Scoring, Truth]
    true_classes: int | None
    unscored: Mapping[int, int]
    remarks: Sequence[Remark] = ()

    def to(self, device: torch.device) -> DecodedPicture:
        """The same picture with its image on a device."""
        return self if self.image is None else replace(self, image=self.image.to(device))

    def outline(self, scoring: Scoring) -> Outline:
        """The input of a segmenter that reads label maps."""
        return Outline(size=self.truths[scoring].size, frame=self.frame, id=self.id, shape=self.shape)

    def scene(self, scoring: Scoring, aggregated: Tensor, features: Tensor | None) -> Scene:
        """The input of a segmenter.

        Args:
            scoring: pixels at which the segmentation is scored, a key of ``truths``.
            aggregated: ``(S*S, S*S)``, see `diffseg.aggregation`; ``(0, 0)`` without attention.
            features: see `diffseg.attention.AttentionMaps`.
        """
        import torch

        classes = self.truths[scoring].maps.get("classes")
        return Scene(
            **vars(self.outline(scoring)),
            aggregated=aggregated,
            true_classes=self.true_classes,
            features=features,
            image=self.image,
            picture=self.pixels,
            truth=None if classes is None else torch.from_numpy(classes),
        )


def decode(
    dataset: Dataset, id: str, truths: Mapping[Scoring, AbstractSet[str]], side: int | None = None
) -> DecodedPicture:
    """Reads and resizes one picture.

    Args:
        dataset, id: the picture.
        truths: pixels at which rows are scored -> kinds of truth, see `eval.truth.truth_of`. All rows have the same
            part of the picture enter the backbone.
        side: of the square that enters the backbone, in pixels; None: no backbone and no segmenter sees the picture.

    Raises:
        DatasetError: a file cannot be read, or no pixel is labelled.
    """
    picture, frame = dataset.load(id), next(iter(truths)).enters
    pixels = picture.image if frame == "whole" else centre_crop(picture.image)
    return DecodedPicture(
        id,
        (picture.image.shape[0], picture.image.shape[1]),
        frame,
        resize_image(pixels, side) if side else None,
        pixels,
        {scoring: truth_of(picture, scoring, kinds, dataset) for scoring, kinds in truths.items()},
        classes_in(picture, frame) if side else None,
        picture.unscored,
        picture.remarks,
    )


def decoded_ahead(
    dataset: Dataset, ids: Iterable[str], truths: Mapping[Scoring, AbstractSet[str]], side: int | None, ahead: int
) -> Iterator[tuple[str, Future[DecodedPicture]]]:
    """Yields each id with the future of its `decode`, while up to ``ahead`` more pictures are decoded."""
    with ThreadPoolExecutor(min(THREADS, ahead + 1), thread_name_prefix="decode") as pool:
        waiting: deque[tuple[str, Future[DecodedPicture]]] = deque()
        first = True
        try:
            for id in ids:
                waiting.append((id, pool.submit(decode, dataset, id, truths, side)))
                if first or not ahead:
                    wait([waiting[0][1]])  # so that a file with all labels is read once, not by each thread
                first = False
                if len(waiting) > ahead:
                    yield waiting.popleft()
            while waiting:
                yield waiting.popleft()
        finally:
            for _, future in waiting:  # if the run ends early, nobody needs these
                future.cancel()
