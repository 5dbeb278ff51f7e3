"""The interface of all data sets, and the errors they raise."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

VOID = -1
"""Label of a pixel without a class. Such pixels are neither scored nor counted."""


class DatasetError(Exception):
    """Data cannot be used. The message names the file or key, says what is wrong, and says what to do."""


def expanded(path: str | Path, key: str) -> Path:
    """The path with a leading ``~`` or ``~user`` replaced by the home folder.

    Args:
        path: the path as typed.
        key: configuration key or option that holds it, for the message.

    Raises:
        DatasetError: the home folder is unknown.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise DatasetError(
            f"{key}: the home folder of {path} is unknown; type the whole path, or set the environment variable HOME"
        ) from None


@dataclass(frozen=True)
class Picture:
    """A picture with its ground truth, uncropped.

    Attributes:
        id: stable name, unique within the data set.
        image: ``(h, w, 3)`` uint8 RGB.
        label: ``(h, w)`` int16, 0..n_classes-1 or `VOID`.
    """

    id: str
    image: NDArray[np.uint8]
    label: NDArray[np.int16]


class Dataset(ABC):
    """Pictures with ground truth, in a sorted, stable order.

    A data set is a frozen dataclass. Its fields are the keys of the configuration. `datasets.listing.ListedDataset` and
    `datasets.paired.PairedDataset` implement most of this interface.
    """

    @property
    @abstractmethod
    def name(self) -> str:
        """Name of the data set, as shown in the tables."""

    @property
    @abstractmethod
    def classes(self) -> Sequence[str]:
        """Class names; the position is the label."""

    @property
    @abstractmethod
    def background(self) -> int | None:
        """Label of the class that holds everything else and may take many segments. None: no such class."""

    @property
    @abstractmethod
    def label_source(self) -> str:
        """Source of the ground truth, as shown in the tables."""

    @property
    @abstractmethod
    def official_count(self) -> int | None:
        """Number of pictures in the published evaluation. None: there is no published evaluation."""

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """sha256 (hex) over classes, label source and the whole list of ids, before ``limit``.

        It does not depend on the folder: a copy of the data in another place has the same fingerprint.
        """

    @property
    @abstractmethod
    def listed(self) -> Sequence[str]:
        """All ids, sorted, before ``limit``. Fewer than `official_count` if the folder holds a part of the pictures.

        Raises:
            DatasetError: the data, a picture of the list, or the labels of a picture are missing.
        """

    @property
    @abstractmethod
    def ids(self) -> Sequence[str]:
        """Ids to evaluate, sorted, after ``limit``. Raises `DatasetError` as `listed`."""

    @abstractmethod
    def check(self) -> None:
        """Raises `DatasetError` if the data are missing; the message says where to get them. Reads no picture."""

    @abstractmethod
    def state(self, id: str) -> str:
        """A text that changes when the files of a picture change. A changed picture is evaluated again."""

    @abstractmethod
    def load(self, id: str) -> Picture:
        """Decodes a picture. Raises `DatasetError`; the message names the file that cannot be used."""
