"""Reads annotations in COCO's JSON format, and paints label maps from them.

Files of other tools may hold invalid regions, so a region is checked before pycocotools gets it: wrong run lengths make
pycocotools read beyond its memory, and coordinates far outside the picture make it fill the memory.
"""

from __future__ import annotations

import json
import reprlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from datasets.base import DatasetError
from datasets.files import warn_once
from diffseg.files.images import MAX_PIXELS, max_pixels

UNPAINTED = 255  # value of a pixel without an annotation, as in COCO-Stuff's label maps
STUFF_OTHER = 183  # category of the pixels of things in COCO's stuff annotations; it is not a class
CORNERS = 3  # smallest number of points of a polygon with an area
LONGEST_OUTLINE = 10**6  # largest length of a polygon in pixels, of which pycocotools needs about 200 bytes each

Annotation = Mapping[str, Any]


@dataclass(frozen=True)
class CocoJson:
    """The content of an annotation file.

    Attributes:
        path: the file.
        images: picture id -> its entry. The picture id is the ``file_name`` without its ending, with its folders;
            without them, too, if no two pictures share it.
        annotations: COCO image number -> its annotations, in the order of the file.
        categories: category id -> name.
    """

    path: Path
    images: Mapping[str, Mapping[str, Any]]
    annotations: Mapping[int, list[Annotation]]
    categories: Mapping[int, str] = field(default_factory=dict)

    def size(self, id: str) -> tuple[int, int]:
        """Height and width of a picture in pixels, as stated in the file."""
        entry = self._image(id)
        height, width = entry.get("height"), entry.get("width")
        if type(height) is not int or type(width) is not int or min(height, width) < 1:
            raise DatasetError(f"{self.path}: picture {id} has height {height!r} and width {width!r}; give its pixels")
        if height * width > (limit := max_pixels()):
            raise DatasetError(
                f"{self.path}: picture {id} is {width} x {height} pixels there; at most {limit:,} are read; if "
                f"you trust the file, set the environment variable {MAX_PIXELS}={height * width}"
            )
        return height, width

    def knows(self, id: str) -> bool:
        """True if the file lists a picture."""
        return id in self.images or id.rpartition("/")[2] in self.images

    def category(self, annotation: Annotation) -> int:
        """Category id of an annotation. Raises ValueError and KeyError."""
        category = annotation["category_id"]
        if type(category) is not int or category < 0 or (self.categories and category not in self.categories):
            raise ValueError(f"it has the unknown category id {category!r}")
        return category

    def regions(
        self, id: str, shape: tuple[int, int], value_of: Callable[[Annotation], int | None]
    ) -> Iterator[tuple[int, Annotation, dict[str, Any]]]:
        """Value, annotation and packed run lengths of each region of a picture that covers a pixel.

        ``shape`` is the picture's height and width. ``value_of`` gives the value of an annotation; None leaves it out.
        It raises ValueError and KeyError. Raises `DatasetError` if an annotation cannot be read; the message names it.
        """
        for annotation in self.annotations.get(self._image(id)["id"], []):
            try:
                value, region = value_of(annotation), run_lengths(annotation["segmentation"], *shape)
            except (ValueError, KeyError) as error:
                reason = f"it has no {error}" if isinstance(error, KeyError) else error
                raise DatasetError(
                    f"{self.path}: annotation {annotation.get('id')!r} cannot be used, because {reason}; correct or "
                    "remove it"
                ) from error
            if value is not None and region is not None:
                yield value, annotation, region

    def paint(
        self,
        canvas: NDArray[np.integer],
        id: str,
        by_area: bool = False,
        value_of: Callable[[Annotation], int | None] | None = None,
    ) -> None:
        """Paints the regions of a picture onto ``canvas`` ``(h, w)`` in place. Crowds are painted like all others.

        Args:
            canvas: values; `UNPAINTED`, or another value, where nothing is painted yet.
            id: the picture.
            by_area: True paints larger regions first, so that smaller ones stay visible; otherwise later annotations
                cover earlier ones.
            value_of: see `regions`, which also raises the errors. Default: COCO-Stuff's fine id, category id - 1.
        """
        height, width = canvas.shape
        regions = list(self.regions(id, (height, width), value_of or fine_id))
        if by_area:
            regions.sort(key=lambda region: -int(coco_mask.area(region[2])))
        for value, _, region in regions:
            canvas[coco_mask.decode(region).astype(bool)] = value

    def _image(self, id: str) -> Mapping[str, Any]:
        try:
            return self.images[id if id in self.images else id.rpartition("/")[2]]
        except KeyError:
            raise DatasetError(
                f"{self.path}: no picture {id} in it; take the annotations of the same split as the pictures"
            ) from None


def read_coco_json(path: Path) -> CocoJson:
    """Reads a file and groups its annotations by picture. A warning counts those that belong to no picture of the file.

    An annotation is checked when its picture is painted, so a damaged one makes only one picture fail. Raises
    `DatasetError` if the file is missing, cut short, or holds no masks (only captions, for example).
    """
    try:
        content = json.loads(path.read_bytes())
        # An entry without number or file name belongs to no picture: `CocoJson.size` says that the picture is missing.
        images = _by_name(path, [entry for entry in content["images"] if _has(entry, "file_name")])
        categories = {entry["id"]: entry["name"] for entry in content.get("categories") or [] if _has(entry, "name")}
        annotations: dict[int, list[Annotation]] = {image["id"]: [] for image in images.values()}
        strays: list[Annotation] = []
        for annotation in content["annotations"]:
            number = annotation.get("image_id")
            known = type(number) is int and number in annotations
            (annotations[number] if known else strays).append(annotation)
    except FileNotFoundError:
        raise DatasetError(f"{path}: the file is missing; unpack or copy it again") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DatasetError(
            f"{path}: no masks in COCO's format ({type(error).__name__}: {error}); unpack or copy it again"
        ) from error
    if strays:
        warn_once(
            f"{path}: {len(strays)} annotations belong to no picture in it and are not used, such as annotation "
            f"{strays[0].get('id')!r} of image_id {strays[0].get('image_id')!r}"
        )
    return CocoJson(path, images, annotations, categories)


def _has(entry: Mapping[str, Any], key: str) -> bool:
    """True if an entry has a number, and a text under the key."""
    return type(entry.get("id")) is int and isinstance(entry.get(key), str) and entry[key] != ""


def _by_name(path: Path, entries: Sequence[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """Entries by their names with folders, and by those without where no two are the same."""
    names = [PurePosixPath(entry["file_name"].replace("\\", "/")).with_suffix("") for entry in entries]
    if repeated := [name for name, count in Counter(names).items() if count > 1]:
        raise DatasetError(f"{path}: several of its images are called {repeated[0]}; leave one of them")
    count = Counter(name.name for name in names)
    unique = {name.name: entry for name, entry in zip(names, entries, strict=True) if count[name.name] == 1}
    return unique | {name.as_posix(): entry for name, entry in zip(names, entries, strict=True)}


def fine_id(annotation: Annotation) -> int | None:
    """COCO-Stuff's fine id of an annotation's category; None for `STUFF_OTHER`. Raises ValueError and KeyError."""
    category = annotation["category_id"]
    if type(category) is not int or not 1 <= category <= STUFF_OTHER:
        raise ValueError(f"it has the unknown category id {category!r} (COCO and COCO-Stuff have 1..{STUFF_OTHER - 1})")
    return None if category == STUFF_OTHER else category - 1


def run_lengths(region: object, height: int, width: int) -> dict[str, Any] | None:
    """Converts a region to run lengths that pycocotools can decode. Raises ValueError if it cannot be read.

    Args:
        region: ``segmentation`` of an annotation: a list of polygons ``[x, y, x, y, ...]`` in pixels, or run lengths
            (``size`` and ``counts``, packed into a text or not).
        height, width: size of the picture, in pixels.

    Returns:
        Packed run lengths of ``height * width`` pixels; None if every polygon has fewer than `CORNERS` points.
    """
    if isinstance(region, list):
        polygons = [_polygon(points, height, width) for points in region]
        whole = [points for points in polygons if len(points) >= 2 * CORNERS]
        return coco_mask.merge(coco_mask.frPyObjects(whole, height, width)) if whole else None
    if not isinstance(region, Mapping):
        raise ValueError(f"its segmentation is {reprlib.repr(region)}, neither polygons nor run lengths")
    if region.get("size") != [height, width]:
        raise ValueError(
            f"its segmentation has the size {reprlib.repr(region.get('size'))}, its picture {[height, width]}"
        )
    counts = region.get("counts")
    runs = _unpack(counts) if isinstance(counts, str) else counts
    if not isinstance(runs, list) or not all(type(run) is int and run >= 0 for run in runs):
        raise ValueError(f"its counts {reprlib.repr(counts)} are not run lengths")
    if sum(runs) != height * width:
        raise ValueError(f"its run lengths cover {sum(runs):,} pixels, its picture has {height * width:,}")
    return coco_mask.frPyObjects({"size": [height, width], "counts": runs}, height, width)


def _polygon(points: object, height: int, width: int) -> list[float]:
    """Checks the coordinates of a polygon. Raises ValueError if it is no polygon, or is far outside the picture."""
    if not isinstance(points, list) or any(type(number) not in (int, float) for number in points) or len(points) % 2:
        raise ValueError(f"its polygon {reprlib.repr(points)} is not a list of coordinates x, y, x, y, ...")
    # A polygon may reach over the edge of the picture, but not far: pycocotools needs memory for its whole outline.
    if not all(-side <= place <= 2 * side for axis, side in ((0, width), (1, height)) for place in points[axis::2]):
        raise ValueError(
            f"its polygon {reprlib.repr(points)} lies outside the {width} x {height} pixels of its picture"
        )
    corners = list(zip(points[::2], points[1::2], strict=True))
    if sum(max(abs(x - u), abs(y - v)) for (x, y), (u, v) in pairwise([*corners, *corners[:1]])) > LONGEST_OUTLINE:
        raise ValueError(f"its polygon {reprlib.repr(points)} has an outline of more than {LONGEST_OUTLINE:,} pixels")
    return points


# COCO packs run lengths in characters from "0" on. A character holds five bits of a number, the lowest first, and a bit
# that says whether the number continues. From the fourth run on, the difference to the run two places before is stored.
FIRST_CHARACTER, CHARACTERS, GOES_ON, SIGN, DIGIT_BITS, DIGITS = ord("0"), 64, 0x20, 0x10, 5, 7


def _unpack(text: str) -> list[int]:
    """Unpacks COCO's text of run lengths. Raises ValueError if the text is invalid."""
    runs: list[int] = []
    number = place = 0
    for character in text:
        code = ord(character) - FIRST_CHARACTER
        if not 0 <= code < CHARACTERS or place == DIGITS:
            raise ValueError(f"its counts {reprlib.repr(text)} are not packed run lengths")
        number |= (code & ~GOES_ON) << (DIGIT_BITS * place)
        place += 1
        if not code & GOES_ON:
            if code & SIGN:
                number -= 1 << (DIGIT_BITS * place)
            runs.append(number + (runs[-2] if len(runs) > 2 else 0))
            number = place = 0
    if place:
        raise ValueError(f"its counts {reprlib.repr(text)} are cut short")
    return runs
