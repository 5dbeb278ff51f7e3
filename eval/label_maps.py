"""Label maps of a results folder: one small PNG for each picture and row.

Numbers below 255 are stored with a palette, those below 65,535 as 16-bit grey. Pixels in no segment have the largest
value of the format; a text chunk says so. Larger numbers are renumbered in the map, and another chunk lists them.
Imports no torch.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin

from diffseg.files.images import PhotoError, opened
from diffseg.pictures import palette

logger = logging.getLogger(__name__)

BYTE, SHORT = 255, 65535
NOTHING, NUMBERS = "in no segment", "numbers"
"""Text chunks: the value of pixels in no segment, and the numbers of renumbered segments."""


class LabelMapError(Exception):
    """A label map cannot be kept, or a kept one cannot be used. The message names the file."""


def write_label_map(path: Path, labels: NDArray[np.integer]) -> None:
    """Writes a label map in one step.

    Args:
        path: its folder is created. A killed process leaves no damaged map.
        labels: ``(h, w)`` integers; negative: in no segment.

    Raises:
        OSError: the file cannot be written.
        LabelMapError: there are more than 65,535 segments.
    """
    text = PngImagePlugin.PngInfo()
    nothing = labels < 0
    values = np.where(nothing, 0, labels)
    if int(values.max(initial=0)) >= SHORT:
        numbers, values = np.unique(values, return_inverse=True)
        values = values.reshape(labels.shape)
        if len(numbers) > SHORT:
            raise LabelMapError(f"{path}: a map can hold {SHORT} segments, got {len(numbers)}")
        logger.warning("%s: segments with numbers above %d are renumbered in the map", path, SHORT - 1)
        text.add_text(NUMBERS, json.dumps(numbers.tolist()), zip=True)
    top = BYTE if int(values.max(initial=0)) < BYTE else SHORT
    if nothing.any():
        values = np.where(nothing, top, values)
        text.add_text(NOTHING, str(top))
    if top == BYTE:
        image = Image.fromarray(values.astype(np.uint8), mode="P")
        image.putpalette(palette(BYTE + 1).tobytes())
    else:
        image = Image.fromarray(values.astype(np.uint16))
    path.parent.mkdir(parents=True, exist_ok=True)
    # Not flushed to the disk, unlike tables: a map that a power cut loses is only a missing map.
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        image.save(temporary, format="PNG", compress_level=1, pnginfo=text)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def read_label_map(path: Path) -> NDArray[np.int64]:
    """Reads a map that `write_label_map` wrote: ``(h, w)`` int64, -1 in no segment.

    Raises:
        LabelMapError: the file is missing or damaged, or holds colours.
    """
    try:
        with opened(path) as image:
            image.load()
            values = np.asarray(image).astype(np.int64)
            texts = image.text if isinstance(image, PngImagePlugin.PngImageFile) else {}
    except PhotoError as error:
        raise LabelMapError(str(error)) from error
    if values.ndim != 2:
        raise LabelMapError(f"{path}: holds colours, a label map one number per pixel; another program has changed it")
    nothing = values == int(texts.get(NOTHING, -1))
    if NUMBERS in texts:
        values = np.array(json.loads(texts[NUMBERS]), dtype=np.int64)[np.where(nothing, 0, values)]
    values[nothing] = -1
    return values
