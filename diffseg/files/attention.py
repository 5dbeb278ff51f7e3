"""Headers of files of saved attention; ``attention.md`` describes the format. Imports no torch."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from operator import index
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from diffseg.texts import on_one_line

SUFFIX = ".safetensors"
MAP_NAME = re.compile(r"maps\.([1-9]\d*)")
FEATURES = "features"


class AttentionError(ValueError):
    """The attention is invalid: a wrong shape, negative values, NaN, rows that do not sum to 1, or a damaged file."""


@dataclass(frozen=True)
class PictureInfo:
    """The picture that attention maps cover.

    Attributes:
        id: its name in its data set; with slashes, the name of a file in sub-folders.
        height, width: in pixels. If the centred square was attended, those of the square.
        sha256: of its pixels (hex), see `of`; empty: unknown.
    """

    id: str
    height: int
    width: int
    sha256: str = ""

    def __post_init__(self) -> None:
        if not self.id or min(self.height, self.width) < 1:
            raise AttentionError(f"picture: must have an id, and at least 1 x 1 pixels, got {self}")

    @classmethod
    def of(cls, id: str, pixels: NDArray[np.uint8]) -> Self:
        """Describes a picture ``(h, w, 3)`` uint8 RGB; hashes its values row by row.

        >>> PictureInfo.of("cat", np.zeros((2, 3, 3), np.uint8)).width
        3
        """
        sha256 = hashlib.sha256(np.ascontiguousarray(pixels).data).hexdigest()
        return cls(id, pixels.shape[0], pixels.shape[1], sha256)


@dataclass(frozen=True)
class Header:
    """The header of a file of attention. The maps themselves are not read.

    Attributes:
        path: the file.
        dtype: number format of the maps, such as ``float32``; several: separated by commas.
        layers: side -> number of layers averaged in its map.
        provenance: origin of the maps, see ``attention.md``.
        picture: the picture; None: unknown.
    """

    path: Path
    dtype: str
    layers: Mapping[int, int]
    provenance: Mapping[str, Any] = field(default_factory=dict)
    picture: PictureInfo | None = None

    def metadata(self) -> dict[str, str]:
        """The header as metadata of a safetensors file, whose values are text."""
        picture = asdict(self.picture) if self.picture else None
        values = {"layers": dict(self.layers), "provenance": dict(self.provenance), "picture": picture}
        return {name: json.dumps(value) for name, value in values.items() if value is not None}


def read_header(path: Path) -> Header:
    """Reads the header of a file of attention, and checks that the file is complete.

    Raises `AttentionError`, one line, if it is missing, cut short, damaged, or no file of attention.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            names = {int(match[1]): name for name in file.keys() if (match := MAP_NAME.fullmatch(name))}  # noqa: SIM118
            kinds = {file.get_slice(name).get_dtype() for name in names.values()}
    except FileNotFoundError:
        raise AttentionError(f"{path}: the file of attention is missing") from None
    except OSError as error:
        reason = os.strerror(errno.EISDIR) if path.is_dir() else on_one_line(error)
        raise AttentionError(f"{path}: cannot be read ({reason})") from None
    except SafetensorError as error:
        fault = f"is cut short, damaged or no safetensors file ({on_one_line(error)})"
        raise AttentionError(f"{path}: {fault}; write it again") from None
    if not names:
        raise AttentionError(f"{path}: holds no tensors maps.SIDE; diffseg/attention.md describes the files")
    try:
        given = {name: json.loads(metadata.get(name, "null")) for name in ("layers", "provenance", "picture")}
        layers = {int(side): index(count) for side, count in (given["layers"] or dict.fromkeys(names, 1)).items()}
        picture = PictureInfo(**given["picture"]) if given["picture"] else None
        dtypes = sorted(kind.replace("BF", "bfloat").replace("F", "float") for kind in kinds)
        return Header(path, ",".join(dtypes), layers, dict(given["provenance"] or {}), picture)
    except (ValueError, TypeError, AttributeError) as error:
        raise AttentionError(f"{path}: has a damaged header ({on_one_line(error)}); write it again") from None
