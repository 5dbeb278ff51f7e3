"""The interface of all data sets, and the errors they raise."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from diffseg.files.remarks import Remark
from diffseg.pictures import VOID as VOID  # label of a pixel without a class, which is neither scored nor counted


class DatasetError(Exception):
    """Data cannot be used. The message names the file or key, says what is wrong, and says what to do."""


@dataclass(frozen=True, eq=False)
class Instances:
    """Objects of a picture, each with its own mask. Masks may overlap.

    Attributes:
        masks: ``(n, h, w)`` bool, in the order of the annotations.
        classes: ``(n,)`` int64, the data set's number of each object's class, >= 1.
        crowd: ``(n,)`` bool, True for a group of objects under one mask (COCO's ``iscrowd``).
        void: ``(h, w)`` bool, pixels that belong neither to an object nor to the background (VOC's 255).
    """

    masks: NDArray[np.bool_]
    classes: NDArray[np.int64]
    crowd: NDArray[np.bool_]
    void: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture with its ground truth, uncropped. Its data set says which kinds of truth it has (`Dataset.truths`).

    Attributes:
        id: stable name, unique within the data set.
        image: ``(h, w, 3)`` uint8 RGB.
        label: class of each pixel, ``(h, w)`` int16, 0..n_classes-1 or `VOID`; None: no classes.
        people: for each person who segmented the picture, the number of each pixel's region: ``(h, w)`` int32 from 0.
        boundaries: for each of these people, the boundaries of the regions: ``(h, w)`` bool.
        instances: the objects in the picture; None: unknown.
        unscored: value of the label file that stands for no class -> number of its pixels.
        remarks: what the user should know about the files; a run says each kind once (`datasets.remarks`).
    """

    id: str
    image: NDArray[np.uint8]
    label: NDArray[np.int16] | None = None
    people: Sequence[NDArray[np.int32]] = ()
    boundaries: Sequence[NDArray[np.bool_]] = ()
    instances: Instances | None = None
    unscored: Mapping[int, int] = field(default_factory=dict)
    remarks: Sequence[Remark] = ()


class Dataset(ABC):
    """Pictures with ground truth, in a sorted, stable order.

    A data set is a frozen dataclass. Its fields are the keys of the configuration. `datasets.listing.ListedDataset` and
    `datasets.paired.PairedDataset` implement most of this interface.

    Attributes:
        truths: the kinds of ground truth of every picture: ``classes``, ``people``, ``instances``.
        name: name of the data set, as shown in the tables.
        classes: class names; the position is the label.
        background: label of the class that holds everything else and may take many segments. None: no such class.
        label_source: source of the ground truth, as shown in the tables.
        void_source: the setting that keeps values out of the score, such as ``dataset.void``; a run then counts such
            values. None: the published evaluation decides, so nothing needs to be said.
        official_count: number of pictures in the published evaluation. None: there is no published evaluation.
        fingerprint: sha256 (hex) over classes, label source and `listed`. It does not depend on the folder: a copy of
            the data in another place has the same fingerprint.
        listed: all ids, sorted, before ``limit``. Fewer than `official_count` if the folder holds a part of the
            pictures. Raises `DatasetError` if the data, a picture of the list, or the labels of a picture are missing.
        ids: ids to evaluate, sorted, after ``limit``. Raises `DatasetError` as `listed`.
    """

    truths: ClassVar[Sequence[str]] = ("classes",)

    @property
    @abstractmethod
    def name(self) -> str: ...
    @property
    @abstractmethod
    def classes(self) -> Sequence[str]: ...
    @property
    @abstractmethod
    def background(self) -> int | None: ...
    @property
    @abstractmethod
    def label_source(self) -> str: ...
    @property
    @abstractmethod
    def official_count(self) -> int | None: ...
    @property
    @abstractmethod
    def fingerprint(self) -> str: ...
    @property
    @abstractmethod
    def listed(self) -> Sequence[str]: ...
    @property
    @abstractmethod
    def ids(self) -> Sequence[str]: ...

    @property
    def void_source(self) -> str | None:
        return "the data set"

    @abstractmethod
    def check(self) -> None:
        """Raises `DatasetError` if the data are missing; the message says where to get them. Reads no picture."""

    @abstractmethod
    def state(self, id: str) -> str:
        """A text that changes when the files of a picture change. A changed picture is evaluated again."""

    @abstractmethod
    def load(self, id: str) -> Picture:
        """Decodes a picture. Raises `DatasetError`; the message names the file that cannot be used."""

    def check_instances(self) -> None:
        """Raises `DatasetError` if the files of `instances` are missing, or the data set has none. Reads no picture."""
        raise DatasetError(f"{self.name}: has no instances; protocol=instances needs voc2012, COCO or cityscapes27")

    def instances(self, id: str) -> Instances:
        """Decodes the objects of a picture, uncropped. `load` does not, because few scores need them.

        Raises `DatasetError`; the message names the file that cannot be used.
        """
        self.check_instances()
        raise NotImplementedError
