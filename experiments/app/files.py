"""Uploads and downloads of the page, as bytes. The library's functions read and write them."""

from __future__ import annotations

import io
import json
from pathlib import Path
from tempfile import TemporaryDirectory

from diffseg.photos import read_photo
from diffseg.pictures import Labels, Pixels, overlay, write_label_map, write_picture
from diffseg.result import Result


def read_upload(name: str, content: bytes) -> Pixels:
    """Decodes the content of a picture file into ``(h, w, 3)`` uint8 RGB. Raises PhotoError, which names the file."""
    return read_photo(io.BytesIO(content), name)


def label_map(labels: Labels) -> bytes:
    """The PNG that `diffseg.pictures.write_label_map` writes."""
    with TemporaryDirectory() as folder:
        file = Path(folder, "labels.png")
        write_label_map(file, labels)
        return file.read_bytes()


def overlaid(image: Pixels, labels: Labels) -> bytes:
    """The PNG that ``python -m diffseg`` writes as NAME.overlay.png."""
    with TemporaryDirectory() as folder:
        file = Path(folder, "overlay.png")
        write_picture(file, overlay(image, labels))
        return file.read_bytes()


def coco(name: str, image: Pixels, labels: Labels) -> bytes:
    """The JSON that `diffseg.Result.save` writes, masks as COCO run lengths. ``name``: the file of the picture."""
    return json.dumps(Result(image, labels, Path(name).stem).to_json(), indent=1).encode()
