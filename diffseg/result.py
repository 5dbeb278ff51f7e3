"""The segments of pictures as arrays, masks, overlays and files. Needs only NumPy, Pillow and pycocotools."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from diffseg import pictures
from diffseg.files.paths import expanded
from diffseg.files.writing import write_text
from diffseg.texts import counted

SEGMENT = "segment"
"""COCO category of segments without a name."""

Names = Sequence[str] | Mapping[int, str]
"""Name of each label."""


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
        segments = ((entry, self.labels == entry["label"]) for entry in self.coco())
        return [Mask(segmentation=mask, area=entry["area"], bbox=entry["bbox"]) for entry, mask in segments]

    def coco(self) -> list[dict[str, Any]]:
        """The segments as COCO annotations, the largest first, ready for JSON.

        Returns:
            A dictionary for each segment: ``segmentation``, the compressed run lengths that pycocotools reads; ``area``
            and ``bbox`` as in `masks`; ``label``, its number in `labels`.
        """
        return [_annotation(self.labels == number) | {"label": number} for number in range(self.count)]

    def overlay(self, opacity: float = 0.5) -> Image.Image:
        """The picture under the colours of its segments, with white lines between them.

        Args:
            opacity: opacity of the colours, from 0 (the picture) to 1 (the colours).

        Returns:
            An RGB image of the picture's size.
        """
        return Image.fromarray(pictures.overlay(self.picture, self.labels, opacity))

    def save(self, folder: str | Path) -> list[Path]:
        """Writes ``NAME.labels.png``, ``NAME.overlay.png`` and ``NAME.segments.json`` into a folder, made if missing.

        Files of these names are replaced, each in one step. Returns their paths. The JSON is a COCO file
        (`write_coco`): one picture, its segments in the category ``segment``. Raises OSError if a file cannot be
        written.
        """
        return _save([self], expanded(folder), f"{self.name}.segments.json")


class Results(list[Result]):
    """Segments of several pictures: a list, which can be saved as one data set.

    >>> Results([Result(np.zeros((1, 3, 3), np.uint8), np.array([[0, 0, 1]]), "cat")])
    [Result(2 segments, 3 x 1 pixels)]
    """

    def save(self, folder: str | Path) -> list[Path]:
        """Writes the files of `Result.save`, but one ``segments.json`` for all pictures. Returns their paths."""
        return _save(self, expanded(folder), "segments.json")


def _save(results: Sequence[Result], folder: Path, segments: str) -> list[Path]:
    """Writes label map and overlay of each result, and a COCO file of all."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for result in results:
        paths += [folder / f"{result.name}.{kind}.png" for kind in ("labels", "overlay")]
        pictures.write_label_map(paths[-2], result.labels)
        pictures.write_picture(paths[-1], result.overlay())
    write_coco(folder / segments, [(one.file or f"{one.name}.png", one.labels, None) for one in results])
    return [*paths, folder / segments]


def coco(images: Iterable[tuple[str, NDArray[np.integer], Names | None]]) -> dict[str, Any]:
    """Converts label maps to the content of a COCO file, see `write_coco`.

    Returns:
        ``images``, ``annotations`` (one a label, with ``iscrowd`` 0, and the label as ``segment``) and ``categories``:
        the names in order of appearance; labels without a name are in the category `SEGMENT`. Ids count from 1.

    >>> content = coco([("cat.jpg", np.array([[0, 0, 1]]), ["cat", "sofa"])])
    >>> [(each["category_id"], each["bbox"]) for each in content["annotations"]]
    [(1, [0, 0, 2, 1]), (2, [2, 0, 1, 1])]
    """
    entries: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    categories: dict[str, int] = {}
    for file, labels, names in images:
        height, width = labels.shape
        entries.append({"id": len(entries) + 1, "file_name": file, "height": height, "width": width})
        for label in np.unique(labels[labels >= 0]).tolist():
            try:
                name = SEGMENT if names is None else names[label]
            except LookupError:
                raise ValueError(f"names: label {label} of {file} has no name") from None
            ids = {
                "id": len(annotations) + 1,
                "image_id": len(entries),
                "category_id": categories.setdefault(name, len(categories) + 1),
                "iscrowd": 0,
            }
            annotations.append({**ids, **_annotation(labels == label), "segment": label})
    listed = [{"id": number, "name": name, "supercategory": ""} for name, number in categories.items()]
    return {"info": {}, "licenses": [], "images": entries, "annotations": annotations, "categories": listed}


def _annotation(mask: NDArray[np.bool_]) -> dict[str, Any]:
    """The keys of a COCO annotation that describe a mask ``(h, w)`` bool, ready for JSON."""
    from pycocotools import mask as run_lengths

    runs = run_lengths.encode(np.asfortranarray(mask, np.uint8))
    return {
        "segmentation": {"size": [int(side) for side in runs["size"]], "counts": runs["counts"].decode("ascii")},
        "area": int(run_lengths.area(runs)),
        "bbox": [int(value) for value in run_lengths.toBbox(runs)],
    }


def write_coco(path: str | Path, images: Iterable[tuple[str, NDArray[np.integer], Names | None]]) -> None:
    """Writes label maps as one COCO file, which pycocotools, datumaro and supervision read.

    Args:
        path: the file, replaced in one step if it exists.
        images: file name, label map ``(h, w)`` and names of each picture. Negative labels are no segment; without
            names (None), all labels are in the category ``segment``.

    Raises:
        OSError: the file cannot be written.
        ValueError: a label has no name.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "segments.json"
    >>> write_coco(path, [("cat.jpg", np.array([[0, 0, 1]]), None)])
    >>> [each["area"] for each in json.loads(path.read_text())["annotations"]]
    [2, 1]
    """
    write_text(path, json.dumps(coco(images), ensure_ascii=False) + "\n")
