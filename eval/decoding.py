"""Decodes pictures ahead: threads read and resize the next pictures while the backbone runs."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from datasets.base import Dataset
from diffseg.segmenters.base import Scene
from eval.squares import classes_in_square, square_image, square_label

# One core takes about 20 ms to decode a photograph of COCO and its labels.
WORKERS = min(4, os.cpu_count() or 1)


@dataclass(frozen=True)
class DecodedPicture:
    """A decoded picture with its ground truth.

    Attributes:
        id: id of the picture.
        shape: height and width before cropping.
        image: the square that enters the backbone, ``(3, P, P)`` float32 in [0, 255].
        truths: side in pixels -> ground truth ``(side, side)`` int16, for each side at which rows are scored.
        true_classes: number of classes in the ground truth of the square.
    """

    id: str
    shape: tuple[int, int]
    image: Tensor
    truths: Mapping[int, Tensor]
    true_classes: int

    def to(self, device: torch.device) -> DecodedPicture:
        """The same picture with its tensors on a device."""
        truths = {size: truth.to(device) for size, truth in self.truths.items()}
        return replace(self, image=self.image.to(device), truths=truths)

    def scene(self, size: int, aggregated: Tensor, features: Tensor | None) -> Scene:
        """The input of a segmenter.

        Args:
            size: side in pixels at which the segmentation is scored, a key of ``truths``.
            aggregated: ``(S*S, S*S)``, see `diffseg.aggregation`; ``(0, 0)`` without attention.
            features: see `diffseg.attention.AttentionMaps`.
        """
        return Scene(
            size=(size, size),
            aggregated=aggregated,
            true_classes=self.true_classes,
            features=features,
            image=self.image,
            truth=self.truths[size],
            id=self.id,
            shape=self.shape,
        )


def decode(dataset: Dataset, id: str, size: int, scored: Collection[int]) -> DecodedPicture:
    """Reads and resizes one picture.

    Args:
        dataset: contains the picture.
        id: id of the picture.
        size: side P of the square that enters the backbone, in pixels.
        scored: sides of the ground truth, in pixels.

    Raises:
        DatasetError: a file cannot be read, or the square has no labelled pixel.
    """
    picture = dataset.load(id)
    truths = {side: square_label(picture, side) for side in scored}
    return DecodedPicture(
        id,
        (picture.label.shape[0], picture.label.shape[1]),
        square_image(picture, size),
        truths,
        classes_in_square(picture),
    )


def decoded_ahead(
    dataset: Dataset, ids: Sequence[str], size: int, scored: Collection[int], ahead: int
) -> Iterator[tuple[str, Future[DecodedPicture]]]:
    """Yields each id with the future of its `decode`, while up to ``ahead`` more pictures are decoded."""
    with ThreadPoolExecutor(WORKERS, thread_name_prefix="decode") as pool:
        waiting: deque[tuple[str, Future[DecodedPicture]]] = deque()
        try:
            for id in ids:
                waiting.append((id, pool.submit(decode, dataset, id, size, scored)))
                if id == ids[0]:
                    wait([waiting[0][1]])  # so that a file with all labels is read once, not by each thread
                if len(waiting) > ahead:
                    yield waiting.popleft()
            while waiting:
                yield waiting.popleft()
        finally:
            for _, future in waiting:  # if the run ends early, nobody needs these
                future.cancel()
