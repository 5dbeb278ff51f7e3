"""The segments of pictures as arrays, masks, overlays and files. Needs only NumPy, Pillow and pycocotools."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from diffseg import pictures
from diffseg.coco import annotation, write_coco
from diffseg.paths import expanded
from diffseg.texts import counted


class Mask(TypedDict):
    """A segment, with the keys of segment-anything's automatic masks.

    Keys:
        segmentation: ``(h, w)`` bool.
        area: number of pixels.
        bbox: x, y, width and height in pixels; x and y are those of the upper left corner.
    """

    segmentation: NDArray[np.bool_]
    area: int
    bbox: list[int]


@dataclass(frozen=True, eq=False, repr=False)
class Result:
    """Segments of one picture.

    Attributes:
        picture: ``(h, w, 3)`` uint8 RGB, upright.
        labels: ``(h, w)`` int64 in 0..K-1, the segment of each pixel. Segment 0 is the largest.
        name: name of the picture, used for files: its file name without the suffix, or ``picture``.
        file: its file name; empty if it came from no file.

    >>> import numpy as np
    >>> labels = np.array([[0, 0, 1], [0, 0, 1]])
    >>> result = Result(np.zeros((2, 3, 3), np.uint8), labels)
    >>> result
    Result(2 segments, 3 x 2 pixels)
    >>> [(mask["area"], mask["bbox"]) for mask in result.masks]
    [(4, [0, 0, 2, 2]), (2, [2, 0, 1, 2])]
    >>> result.coco()[1]["segmentation"]
    {'size': [2, 3], 'counts': '42'}
    """

    picture: pictures.Pixels
    labels: pictures.Labels
    name: str = "picture"
    file: str = ""

    def __repr__(self) -> str:
        height, width = self.labels.shape
        return f"Result({counted(self.count, 'segment')}, {width} x {height} pixels)"

    @property
    def count(self) -> int:
        """Number of segments K."""
        return int(self.labels.max()) + 1

    @cached_property
    def masks(self) -> list[Mask]:
        """The segments, the largest first; segment k has label k."""
        found = []
        for number in range(self.count):
            mask = self.labels == number
            rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
            left, top = int(columns[0]), int(rows[0])
            box = [left, top, int(columns[-1]) - left + 1, int(rows[-1]) - top + 1]
            found.append(Mask(segmentation=mask, area=int(mask.sum()), bbox=box))
        return found

    def coco(self) -> list[dict[str, Any]]:
        """The segments as COCO annotations, the largest first, ready for JSON.

        Returns:
            A dictionary for each segment: the keys of `annotation`, and ``label``, its number in `labels`.
        """
        return [annotation(self.labels == number) | {"label": number} for number in range(self.count)]

    def to_json(self) -> dict[str, Any]:
        """``name``, ``height`` and ``width`` of the picture, and its ``segments`` (`coco`)."""
        height, width = self.labels.shape
        return {"name": self.name, "height": height, "width": width, "segments": self.coco()}

    def overlay(self, opacity: float = 0.5) -> Image.Image:
        """The picture under the colours of its segments, with white lines between them.

        Args:
            opacity: opacity of the colours, from 0 (the picture) to 1 (the colours).

        Returns:
            An RGB image of the picture's size.
        """
        return Image.fromarray(pictures.overlay(self.picture, self.labels, opacity))

    def save(self, folder: str | Path) -> list[Path]:
        """Writes ``NAME.labels.png``, ``NAME.overlay.png`` and ``NAME.segments.json`` into a folder.

        Args:
            folder: made if missing. Files of these names are replaced, each in one step.

        Returns:
            Paths of the three files. The JSON is a COCO file (`diffseg.coco`): one picture, its segments in the
            category ``segment``.

        Raises:
            OSError: a file cannot be written.
        """
        drawn = self._draw(expanded(folder))
        segments = drawn[0].with_name(f"{self.name}.segments.json")
        _write_segments(segments, [self])
        return [*drawn, segments]

    def _draw(self, folder: Path) -> list[Path]:
        """Writes the label map and the overlay."""
        folder.mkdir(parents=True, exist_ok=True)
        labels, overlay = paths = [folder / f"{self.name}.{kind}.png" for kind in ("labels", "overlay")]
        pictures.write_label_map(labels, self.labels)
        pictures.write_picture(overlay, np.array(self.overlay()))
        return paths


class Results(list[Result]):
    """Segments of several pictures: a list, which can be saved as one data set.

    >>> Results([Result(np.zeros((1, 3, 3), np.uint8), np.array([[0, 0, 1]]), "cat")])
    [Result(2 segments, 3 x 1 pixels)]
    """

    def save(self, folder: str | Path) -> list[Path]:
        """Writes ``NAME.labels.png`` and ``NAME.overlay.png`` of each picture, and ``segments.json`` for all of them.

        Args:
            folder: made if missing. Files of these names are replaced, each in one step.

        Returns:
            Paths of the files; the last one is a COCO file with all pictures (`diffseg.coco`).

        Raises:
            OSError: a file cannot be written.
        """
        folder = expanded(folder)
        folder.mkdir(parents=True, exist_ok=True)
        paths = [path for result in self for path in result._draw(folder)]
        _write_segments(folder / "segments.json", self)
        return [*paths, folder / "segments.json"]


def _write_segments(path: Path, results: Sequence[Result]) -> None:
    """Writes a COCO file."""
    write_coco(path, [(result.file or f"{result.name}.png", result.labels, None) for result in results])
