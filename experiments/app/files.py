"""The files that the page takes and hands out, as bytes: read and written by the library's own functions."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory

from diffseg.labelling.named_pictures import coco_segments
from diffseg.labelling.naming import Named
from diffseg.photos import PhotoError, read_photo
from diffseg.pictures import Labels, Picture, overlay, write_label_map, write_picture


def read_upload(name: str, content: bytes) -> Picture:
    """A picture, ``(h, w, 3)`` uint8 RGB, from the content of a file. Raises PhotoError, which names the file."""
    with TemporaryDirectory() as folder:
        file = Path(folder, "picture")
        file.write_bytes(content)
        try:
            return read_photo(file)
        except PhotoError as error:
            raise PhotoError(str(error).replace(str(file), name)) from None


def label_map(labels: Labels) -> bytes:
    """The PNG that `diffseg.pictures.write_label_map` writes."""
    with TemporaryDirectory() as folder:
        file = Path(folder, "labels.png")
        write_label_map(file, labels)
        return file.read_bytes()


def overlaid(image: Picture, labels: Labels) -> bytes:
    """The PNG that ``python -m diffseg`` writes as NAME.overlay.png."""
    with TemporaryDirectory() as folder:
        file = Path(folder, "overlay.png")
        write_picture(file, overlay(image, labels))
        return file.read_bytes()


def coco(labels: Labels) -> bytes:
    """JSON, the masks as COCO's compressed run lengths; the name of a segment is its number in the label map."""
    numbers = range(int(labels.max()) + 1)
    named = Named(labels, tuple(map(str, numbers)), tuple((number,) for number in numbers))
    return json.dumps({"segments": coco_segments(named)}, indent=1).encode()
