"""What data sets share that are a folder of pictures and a folder of label maps of the same names."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from datasets.base import DatasetError, Sample
from datasets.listing import ListedDataset
from datasets.reading import make_sample, read_image, read_label


@dataclass(frozen=True)
class PairedDataset(ListedDataset):
    """``IMAGES/ID.jpg`` and ``MAPS/ID.png``.

    Attributes:
        root: folder with the layout that the data set's module shows.
    """

    root: str | None

    images: ClassVar[str]
    """Folder of the pictures, below ``root``."""
    maps: ClassVar[str]
    """Folder of the label maps, below ``root``."""
    split_list: ClassVar[str | None] = None
    """The published list of ids, below ``root``; None: the folder of the pictures is the split."""
    values: ClassVar[str]
    """Which values a label map may hold, for messages; the table says what they mean."""
    usual_root: ClassVar[str]
    source: ClassVar[str]
    """How to get the data into ``{root}``, for messages."""

    def load(self, id: str) -> Sample:
        """Decodes a picture and its classes. Raises `DatasetError` naming the file that cannot be used."""
        image_path, label_path = self._image_path(id), self._label_path(id)
        image, values = read_image(image_path), self._values(id)
        unknown = sorted(set(np.unique(values).tolist()) - self.table.label_of.keys())
        if unknown:
            raise DatasetError(
                f"{label_path}: unknown class id {unknown[0]}; the label maps of {self.name} hold {self.values}; "
                "unpack or convert them again"
            )
        return make_sample(id, image, self.table.labels(values), image_path, label_path)

    def _values(self, id: str) -> NDArray[np.uint8]:
        """What the label map of a picture holds, ``(h, w)``."""
        return read_label(self._label_path(id))

    def _pictures(self) -> set[str]:
        images = self._folder / self.images
        pictures = {path.stem for path in images.glob("*.jpg")}
        if not pictures:
            raise DatasetError(f"{images}: no pictures (*.jpg) there; {self._where}")
        self._check_labels()
        return pictures

    def _check_labels(self) -> None:
        """Raises `DatasetError` when there are no labels at all, or no list of those to evaluate."""
        if not self._maps.is_dir():
            raise DatasetError(f"{self._maps}: no label maps there; {self._where}")
        split = self._official_list()
        if split is not None and self.split_file is None and not split.is_file():
            raise DatasetError(f"{split}: the list of the split is missing; {self._where}")

    def _official_list(self) -> Path | None:
        return None if self.split_list is None else self._folder / self.split_list

    def _image_path(self, id: str) -> Path:
        return self._folder / self.images / f"{id}.jpg"

    def _label_path(self, id: str) -> Path:
        return self._maps / f"{id}.png"

    @property
    def _maps(self) -> Path:
        return self._folder / self.maps

    @property
    def _folder(self) -> Path:
        if not self.root:
            raise DatasetError(f"dataset.root: not set, but {self.name} lies in a folder; {self._where}")
        return Path(self.root).expanduser()

    @property
    def _where(self) -> str:
        root = self.root or self.usual_root
        return f"{self.source.format(root=root)}, then give dataset.root={root}"
