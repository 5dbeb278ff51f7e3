"""The interface of segmenters, `Segmenter`, and their input, `Scene`.

A segmenter is a function of a scene. To add one, write a frozen dataclass in a module, and a
``conf/segmenter/NAME.yaml`` that names the class. The fields of the class are the keys of the YAML.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Protocol, Self, TypeVar, cast, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from diffseg.backbones import Backbone, tuned_values
from diffseg.masks import Size, upsample_nearest
from diffseg.pictures import CHANNEL_MAX

SEEDS = 2**32
"""Number of seeds that the generator of NumPy and scikit-learn takes."""

SEGMENTERS = "segmenters"
"""Key in `Scene.shared`: the segmenters of all rows that get this tensor. One of them can compute for all."""


@dataclass(frozen=True, kw_only=True)
class Scene:
    """Input of a segmenter: one picture.

    Attributes:
        size: side P of the label map in pixels, or (height, width).
        aggregated: ``(S*S, S*S)`` float32, rows sum to 1; ``(0, 0)`` if no attention was computed. The segmenter
            returns the label map on its device.
        true_classes: number of classes in the picture's ground truth, for K-Means-S; None: unknown.
        features: see `diffseg.attention.AttentionMaps`.
        image: the picture, ``(3, side, side)`` float32 RGB in [0, 255], for segmenters that read colours.
        truth: ground truth, ``(P, P)`` integers, negative at unlabelled pixels, for the oracle.
        id: name of the picture in its data set, for segmenters that read files; None: unknown.
        shape: height and width of the picture before it was cropped to its centred square; None: unknown.
        shared: intermediate results by name. Scenes of one aggregated tensor share this dictionary, so that rows which
            differ in a few settings compute their common steps once. It may hold `SEGMENTERS`.
    """

    size: Size
    aggregated: Tensor = field(default_factory=lambda: torch.empty(0, 0))
    true_classes: int | None = None
    features: Tensor | None = None
    image: Tensor | None = None
    truth: Tensor | None = None
    id: str | None = None
    shape: tuple[int, int] | None = None
    shared: dict[str, Any] = field(default_factory=dict)


class UnusablePicture(Exception):
    """Raised by a segmenter for a picture that it cannot segment. A run records the message and continues."""


AnySegmenter = TypeVar("AnySegmenter", bound="Segmenter")


class Segmenter(Protocol):
    """A segmenter with its parameters.

    Optional attributes: ``tuned_key``, the key of the class in `diffseg.backbones.Backbone.tuned`; and those of
    `needs_attention`, `needs_truth`, `needs_mean_classes` and `has_common_labels`. A segmenter that reads a file of
    each picture has the methods of `ReadsFiles`.
    """

    def __hash__(self) -> int: ...

    def resolved(self, side: int, tuned: Mapping[str, Any]) -> Self:
        """Returns a copy with every open parameter (None) filled in.

        Args:
            side: S, the finest side of the attention.
            tuned: parameter -> value that suits the backbone and the data set.

        Raises:
            ValueError: a parameter stays open or does not fit the side.
        """
        ...

    def __call__(self, scene: Scene) -> Tensor:
        """Segments a picture. Returns labels ``(P, P)``, or (height, width), int64 >= 0."""
        ...


@runtime_checkable
class ReadsFiles(Protocol):
    """A segmenter that reads a file for each picture. `diffseg.segmenters.files` implements both methods."""

    def check_files(self, ids: Sequence[str], listed: Collection[str]) -> list[str]:
        """Warnings about missing and superfluous files. Raises ValueError if every picture lacks its file."""
        ...

    def state(self, id: str) -> str:
        """A text that changes when the file of a picture changes."""
        ...


def needs_attention(segmenter: Segmenter) -> bool:
    """True if a segmenter reads attention. A class that reads none sets ``needs_attention = False``."""
    return getattr(segmenter, "needs_attention", True)


def needs_truth(segmenter: Segmenter) -> bool:
    """True if a segmenter reads the ground truth, or its number of classes. The class then defines ``needs_truth``."""
    return getattr(segmenter, "needs_truth", False)


def needs_mean_classes(segmenter: Segmenter) -> bool:
    """True if a segmenter has the field ``clusters`` and leaves it open (None).

    It then takes the data set's mean number of classes in a picture.
    """
    return getattr(segmenter, "clusters", 1) is None


def has_common_labels(segmenter: Segmenter) -> bool:
    """True if a label means the same class in every picture. The class then sets ``common_labels = True``."""
    return getattr(segmenter, "common_labels", False)


def fill_in(segmenter: AnySegmenter, values: Mapping[str, Any]) -> AnySegmenter:
    """Fills the fields that are None with ``values``.

    Raises:
        ValueError: such a field has no value.
    """
    open_ones = [each.name for each in fields(cast(Any, segmenter)) if getattr(segmenter, each.name) is None]
    if missing := [name for name in open_ones if values.get(name) is None]:
        raise ValueError(f"{missing[0]}: no value is tuned for this backbone; give one")
    return replace(cast(Any, segmenter), **{name: values[name] for name in open_ones})


def resolve(segmenter: AnySegmenter, spec: Backbone, dataset: str = "", **values: Any) -> AnySegmenter:
    """Fills in the open parameters of a segmenter for a backbone.

    Args:
        segmenter: the segmenter as configured.
        spec: spec of the backbone.
        dataset: name of the data set, for values that differ between data sets.
        values: parameter -> value, for parameters that no backbone tunes.

    Raises:
        ValueError: the segmenter needs attention, and the backbone has none; or see `Segmenter.resolved`.
    """
    if needs_attention(segmenter) and not spec.sides:
        raise ValueError(f"segmenter: {type(segmenter).__name__} needs attention, and this backbone has none")
    tuned = tuned_values(spec, getattr(segmenter, "tuned_key", None), dataset)
    return segmenter.resolved(max(spec.sides, default=0), {**tuned, **values})


def check_clusters(clusters: int | None) -> None:
    """Raises ValueError if a number of clusters is below 1."""
    if clusters is not None and clusters < 1:
        raise ValueError(f"clusters: must be at least 1, got {clusters}")


def check_seed(seed: int) -> None:
    """Raises ValueError unless a seed fits NumPy's generator of random numbers."""
    if not 0 <= seed < SEEDS:
        raise ValueError(f"seed: must be 0..{SEEDS - 1}, got {seed}")


def picture_of(scene: Scene) -> NDArray[np.float32]:
    """The scene's picture, ``(side, side, 3)`` float32 in [0, 1]. Raises ValueError if the scene has no picture."""
    if scene.image is None:
        raise ValueError(
            "image: the scene has no picture, and this segmenter reads it; with saved attention, pass image="
        )
    return scene.image.permute(1, 2, 0).float().div(CHANNEL_MAX).cpu().numpy()


def to_scored_size(labels: NDArray[np.integer[Any]], scene: Scene) -> Tensor:
    """Resizes labels ``(h, w)`` to the scene's size, int64; each pixel takes the nearest label."""
    return upsample_nearest(torch.from_numpy(labels.astype(np.int64)).to(scene.aggregated.device), scene.size)
