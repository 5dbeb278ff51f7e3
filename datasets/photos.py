"""Eight photographs from installed packages, with polygons drawn for this project. No download is needed.

``photos.json`` holds the polygons in COCO's format (category id = fine id of COCO-Stuff + 1; later annotations cover
earlier ones) and the sha256 of each picture's file, because another release of a package may hold another picture under
the same name.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from datasets.base import DatasetError
from datasets.class_table import class_table
from datasets.coco_json import UNPAINTED, CocoJson, read_coco_json
from datasets.listing import ListedDataset
from diffseg.files.writing import sha256_of

TRUTH = Path(__file__).with_name("photos.json")

# Id -> import package, and file in it.
PHOTO_FILES = {
    "astronaut": ("skimage", "data/astronaut.png"),
    "chelsea": ("skimage", "data/chelsea.png"),
    "china": ("sklearn", "datasets/images/china.jpg"),
    "coffee": ("skimage", "data/coffee.png"),
    "flower": ("sklearn", "datasets/images/flower.jpg"),
    "grace_hopper": ("matplotlib", "mpl-data/sample_data/grace_hopper.jpg"),
    "motorcycle_left": ("skimage", "data/motorcycle_left.png"),
    "rocket": ("skimage", "data/rocket.jpg"),
}
DISTRIBUTIONS = {"skimage": "scikit-image", "sklearn": "scikit-learn", "matplotlib": "matplotlib"}


@dataclass(frozen=True)
class Photos(ListedDataset):
    """The built-in photographs, with the 27 classes of COCO-Stuff-27."""

    name = "photos"
    official_count = None
    label_source = "polygons"
    table = class_table("cocostuff27")
    ignored = (UNPAINTED,)

    def _values(self, id: str) -> NDArray[np.integer]:
        """Paints the classes. Raises `DatasetError` if the file of the picture holds another one."""
        path = self.image_path(id)
        if sha256_of(path) != self._truth.images[id]["sha256"]:
            package, file = PHOTO_FILES[id]
            raise DatasetError(
                f"{path}: the {file} of the installed {DISTRIBUTIONS[package]} is not the picture that "
                f"{TRUTH.name} outlines; install the versions of this project (make setup), or leave {id} out with "
                "dataset.split_file"
            )
        canvas = np.full(self._truth.size(id), UNPAINTED, np.uint8)
        self._truth.paint(canvas, id)
        return canvas

    @cached_property
    def _truth(self) -> CocoJson:
        return read_coco_json(TRUTH)

    def _pictures(self) -> set[str]:
        for id, (package, file) in PHOTO_FILES.items():
            if not self.image_path(id).is_file():
                raise DatasetError(
                    f"{self.image_path(id)}: the installed {DISTRIBUTIONS[package]} lacks its {file}; "
                    "install it again (make setup)"
                )
        return set(PHOTO_FILES)

    def image_path(self, id: str) -> Path:
        if id not in PHOTO_FILES:
            raise DatasetError(f"dataset photos: unknown id {id}; known: {', '.join(PHOTO_FILES)}")
        package, file = PHOTO_FILES[id]
        # find_spec does not import the package, which would take seconds.
        spec = find_spec(package)
        if spec is None or spec.origin is None:
            raise DatasetError(
                f"{file}: {DISTRIBUTIONS[package]}, which carries this photograph, is not installed; "
                "install the benchmark's packages (make setup)"
            )
        return Path(spec.origin).parent / file

    def label_path(self, id: str) -> Path:
        return TRUTH

    def state(self, id: str) -> str:
        # This file holds the pictures' checksums, too.
        return sha256_of(TRUTH)
