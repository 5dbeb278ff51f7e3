"""Data URIs: pictures inside an HTML page."""

from __future__ import annotations

import base64
import io

from PIL import Image


def image_uri(image: Image.Image, kind: str, **options: object) -> str:
    """An image as a data URI.

    Args:
        image: the image to encode.
        kind: PNG, JPEG or WEBP.
        options: options of ``Image.save``.
    """
    file = io.BytesIO()
    image.save(file, kind, **options)
    return data_uri(file.getvalue(), kind.lower())


def data_uri(content: bytes, kind: str) -> str:
    """The content of an image file as a data URI. ``kind``: second part of its media type, such as ``svg+xml``."""
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
