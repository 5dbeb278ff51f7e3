"""Writes TIFFs that Pillow only reads."""

from __future__ import annotations

import struct

import numpy as np
from numpy.typing import NDArray


def tiff_of(values: NDArray[np.integer], bits: int) -> bytes:
    """An uncompressed TIFF of ``(h, w, channels)`` values of that many bits, below 16."""
    height, width, channels = values.shape
    pixels = np.packbits(np.unpackbits(values.astype(">u2").view(np.uint8)).reshape(-1, 16)[:, 16 - bits :]).tobytes()
    sizes = struct.pack(f"<{channels}H", *[bits] * channels)
    kind = 2 if channels == 3 else 1  # RGB, or grey with black as 0
    entries = {256: width, 257: height, 258: None, 259: 1, 262: kind, 273: None, 277: channels, 278: height}
    entries[279] = len(pixels)
    start = 8 + 2 + 12 * len(entries) + 4
    content = b"II*\0" + struct.pack("<IH", 8, len(entries))
    for tag, value in entries.items():
        if tag == 258:
            inside = sizes.ljust(4, b"\0") if channels == 1 else struct.pack("<I", start)
            content += struct.pack("<HHI", tag, 3, channels) + inside
        else:
            content += struct.pack("<HHII", tag, 4, 1, start + len(sizes) if value is None else value)
    return content + struct.pack("<I", 0) + sizes + pixels
