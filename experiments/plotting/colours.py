"""Pictures and label maps as people see them: a segment has the colour that its class has in the ground truth."""

from __future__ import annotations

import base64
import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from diffseg.pictures import VOID, Pixels, colourise
from eval.matching import match_present

GREYS = (110, 165)
"""Of the hatching of segments that are matched with no class."""
STRIPE = 6  # pixels


def channels_last(channels: NDArray[np.floating]) -> Pixels:
    """``(3, h, w)`` in [0, 255] as ``(h, w, 3)`` uint8."""
    return channels.transpose(1, 2, 0).round().astype(np.uint8)


def class_colours(
    labels: NDArray[np.integer], table: NDArray[np.int64], background: int | None = None
) -> NDArray[np.int64]:
    """Renumbers segments for `paint`: a matched segment gets the number of its class.

    Args:
        labels: ``(h, w)``, segment of each pixel; negative: in no segment.
        table: contingency table ``(n_classes, K)`` for these labels, a column for each number.
        background: class of the data set that may match many segments; None: no such class.

    Returns:
        ``(h, w)``, matched as in protocol ``present``. Unmatched segments are numbered after the classes, pixels in no
        segment are `VOID`.
    """
    classes = len(table)
    number = np.arange(classes, classes + max(labels.max(initial=0) + 1, table.shape[1]))
    matched, segments = match_present(table, background)
    number[segments] = matched
    return np.where(labels < 0, VOID, number[np.maximum(labels, 0)])


def paint(numbers: NDArray[np.integer], classes: int) -> Pixels:
    """Paints a map of `class_colours`, ``(h, w, 3)`` uint8: hatched grey where a segment is matched with no class."""
    rows, columns = np.indices(numbers.shape)
    hatching = np.where((rows + columns) // STRIPE % 2, *GREYS).astype(np.uint8)[..., None]
    return np.where((numbers >= classes)[..., None], hatching, colourise(np.minimum(numbers, classes)))


def image_uri(image: Image.Image, kind: str, **options: object) -> str:
    """An image as a data URI. ``kind``: PNG, JPEG or WEBP. ``options``: those of ``Image.save``."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return data_uri(file.getvalue(), kind.lower())


def data_uri(content: bytes, kind: str) -> str:
    """The content of an image file as a data URI. ``kind``: second part of its media type, such as ``svg+xml``."""
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
