"""The files that the page takes and hands out, as bytes: read and written by the library's own functions."""

from __future__ import annotations

import io
import json
from pathlib import Path
from tempfile import TemporaryDirectory

from diffseg.photos import read_photo
from diffseg.pictures import Labels, Picture, overlay, write_label_map, write_picture
from diffseg.result import Result


def read_upload(name: str, content: bytes) -> Picture:
    """A picture, ``(h, w, 3)`` uint8 RGB, from the content of a file. Raises PhotoError, which names the file."""
    return read_photo(io.BytesIO(content), name)


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


def coco(name: str, image: Picture, labels: Labels) -> bytes:
    """JSON, as `diffseg.Result.save` writes it: the masks as COCO's compressed run lengths; ``name`` of the file."""
    return json.dumps(Result(image, labels, Path(name).stem).to_json(), indent=1).encode()
