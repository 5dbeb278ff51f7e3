"""What a segmenter is, and what it is given.

A segmenter is a function of one picture's aggregated attention. A new one is a frozen dataclass in a module like those
beside this one, with a ``conf/segmenter/NAME.yaml`` that names it; the fields of the class are the keys of the YAML.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Protocol, Self, TypeVar, cast, get_args, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from diffseg.masks import Size, upsample_nearest

CHANNEL_MAX = 255  # of a pixel's values


SEGMENTERS = "segmenters"
"""Key in `Scene.shared`: the segmenters of all rows that get the scene's tensor. One of them can work for several."""


@dataclass(frozen=True, kw_only=True)
class Scene:
    """What a segmenter may look at.

    Attributes:
        size: side P of the label map in pixels, or (height, width).
        aggregated: ``(S*S, S*S)`` float32, rows sum to 1; ``(0, 0)`` where no attention was computed. Its device is the
            one on which the label map is wanted.
        true_classes: classes in this picture's ground truth, for segmenters that are told (K-Means-S); None: unknown.
        features: see `diffseg.attention.AttentionMaps`.
        image: the picture itself, ``(3, side, side)`` float32 RGB in [0, 255], for segmenters without a network.
        truth: its ground truth, ``(P, P)``, negative where there is none: for the oracle alone.
        id: name of the picture in its data set, for segmenters that read files; None: unknown.
        shape: height and width of the picture before it was cropped to its centred square; None: unknown.
        shared: intermediate results by name. Scenes of one aggregated tensor share it, so that rows of a table which
            differ in a few settings compute what they have in common once. `SEGMENTERS` in it are the segmenters that
            get this tensor; it may be absent.
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
    """Raised by a segmenter for a picture that it cannot segment. A run records the message and goes on."""


AnySegmenter = TypeVar("AnySegmenter", bound="Segmenter")


class Segmenter(Protocol):
    """A segmenter with its parameters.

    Some attributes are optional. ``tuned_key``: key of the class in `diffseg.backbones.Backbone.tuned`.
    ``needs_mean_classes``: True if ``clusters`` is to be the data set's mean number of classes in a picture.
    ``needs_attention``, ``needs_truth`` and ``common_labels``: see the functions below. A segmenter that reads a file
    of each picture has the methods of `ReadsFiles`.
    """

    def __hash__(self) -> int: ...

    def resolved(self, side: int, tuned: Mapping[str, Any]) -> Self:
        """The same with every parameter that was left open filled in, for attention of this finest side.

        Args:
            side: S.
            tuned: parameter -> value that suits the backbone and the data set.

        Raises:
            ValueError: a parameter stays open or does not fit the side.
        """
        ...

    def __call__(self, scene: Scene) -> Tensor:
        """Labels ``(P, P)`` int64 >= 0."""
        ...


@runtime_checkable
class ReadsFiles(Protocol):
    """A segmenter that reads a file of each picture. See `diffseg.segmenters.files` for both methods."""

    def check_files(self, ids: Sequence[str], listed: Collection[str]) -> list[str]:
        """Lines about missing and superfluous files. Raises ValueError where there is no file of any picture."""
        ...

    def state(self, id: str) -> str:
        """A text that changes when the file of a picture changes."""
        ...


def needs_attention(segmenter: Segmenter) -> bool:
    """Whether a segmenter looks at attention maps. Its class says ``needs_attention = False`` where it does not."""
    return getattr(segmenter, "needs_attention", True)


def needs_truth(segmenter: Segmenter) -> bool:
    """Whether a segmenter is told something of the ground truth. Its class has a ``needs_truth`` where it may be."""
    return getattr(segmenter, "needs_truth", False)


def has_common_labels(segmenter: Segmenter) -> bool:
    """Whether a label number means the same in every picture. Its class says ``common_labels = True`` where it does."""
    return getattr(segmenter, "common_labels", False)


def fill_in(segmenter: AnySegmenter, values: Mapping[str, Any]) -> AnySegmenter:
    """Replaces the fields that are None by ``values``.

    Raises:
        ValueError: a field is still None.
    """
    open_ones = [each.name for each in fields(cast(Any, segmenter)) if getattr(segmenter, each.name) is None]
    if missing := [name for name in open_ones if values.get(name) is None]:
        raise ValueError(f"{missing[0]}: no value is known for this backbone, give one")
    return replace(cast(Any, segmenter), **{name: values[name] for name in open_ones})


def check_choices(**given: tuple[str, Any]) -> None:
    """Checks arguments that have a few allowed values.

    Args:
        given: name of the argument -> its value and the `Literal` type that lists what is allowed.

    Raises:
        ValueError: a value is not allowed.
    """
    for name, (value, allowed) in given.items():
        if value not in get_args(allowed):
            raise ValueError(f"{name}: must be one of {', '.join(get_args(allowed))}, got {value!r}")


def picture_of(scene: Scene) -> NDArray[np.float32]:
    """The picture, ``(side, side, 3)`` in [0, 1]. Raises ValueError where the scene has none."""
    if scene.image is None:
        raise ValueError("image: there is none, and nothing else is segmented")
    return scene.image.permute(1, 2, 0).float().div(CHANNEL_MAX).cpu().numpy()


def to_scored_size(labels: NDArray[np.integer[Any]], scene: Scene) -> Tensor:
    """Labels ``(h, w)`` of a picture's pixels -> ``(P, P)`` int64, nearest."""
    return upsample_nearest(torch.from_numpy(labels.astype(np.int64)).to(scene.aggregated.device), scene.size)
