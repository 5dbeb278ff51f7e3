"""The interface of segmenters, `Segmenter`, and their input, `Scene`.

A segmenter is a function of a scene; one that reads files needs only its `Outline`. To add one, write a frozen
dataclass in a module, and a ``conf/segmenter/NAME.yaml`` that names the class. The fields of the class are the keys of
the YAML. It needs no base class; those of this project derive from `CheckedSegmenter`. Imports no torch until a scene
has tensors.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import partial
from importlib.util import find_spec
from math import isqrt, prod
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Protocol, Self, TypeVar, runtime_checkable

from pydantic import Field

from diffseg.backbones import Backbone, tuned_values
from diffseg.limits import Checked, Count, Seed
from diffseg.pictures import Pixels

if TYPE_CHECKING:
    from torch import Tensor

Part = TypeVar("Part", bound="Segmenter")

Frame = Literal["square", "whole"]
"""Part of the picture that a segmenter sees, and that is scored: its centred square, or all of it."""

Clusters = Annotated[
    Count | None, Field(description="number of clusters, k; null: the data set's mean number of classes in a picture")
]
RandomSeed = Annotated[Seed, Field(description="seed of the random starts")]


@dataclass(frozen=True, kw_only=True)
class Outline:
    """Names a picture and the shape of its label map: all that a segmenter that reads label maps needs.

    Attributes:
        size: (height, width) of the label map in pixels.
        frame: ``whole``: the picture was squeezed into the backbone's square, and the label map covers all of it;
            ``square``: both cover its centred square.
        id: name of the picture in its data set, for segmenters that read files.
        shape: height and width of the picture before it was cropped or squeezed.
    """

    size: tuple[int, int]
    frame: Frame = "square"
    id: str | None = None
    shape: tuple[int, int] | None = None


def _no_attention() -> Tensor:
    import torch

    return torch.empty(0, 0)


@dataclass(frozen=True, kw_only=True)
class Scene(Outline):
    """Input of a segmenter: one picture. Only ``size`` is always known; a segmenter reads what it needs.

    Attributes:
        size, frame, id, shape: see `Outline`.
        aggregated: ``(S*S, S*S)`` float32, rows sum to 1; ``(0, 0)`` if no attention was computed. The segmenter
            returns the label map on its device.
        features: see `diffseg.attention.AttentionMaps`.
        image: the picture as the backbone sees it, ``(3, side, side)`` float32 RGB in [0, 255].
        picture: the same part of the picture at its own size, ``(h, w, 3)`` uint8 RGB, for segmenters without a
            backbone.
        truth: ground truth at ``size``, ``(height, width)`` integers, negative at unlabelled pixels, for the oracle.
        true_classes: number of classes in the ground truth, for K-Means-S.

    >>> import torch
    >>> scene = Scene(size=(2, 6))
    >>> scene.upsample(torch.tensor([0, 1, 2, 3])).tolist()
    [[0, 0, 0, 1, 1, 1], [2, 2, 2, 3, 3, 3]]
    """

    aggregated: Tensor = field(default_factory=_no_attention)
    features: Tensor | None = None
    image: Tensor | None = None
    picture: Pixels | None = None
    truth: Tensor | None = None
    true_classes: int | None = None

    def upsample(self, cells: Tensor) -> Tensor:
        """Turns a segmentation of the S x S cells into a label map of the scene's size.

        Args:
            cells: ``(S*S,)`` or ``(S, S)`` integers: each pixel takes the label of the cell in which its centre lies.
                Or ``(k, S*S)`` or ``(k, S, S)`` floating point, a soft map of each segment: they are interpolated
                bilinearly, and each pixel takes the segment with the largest value. S is any side, row-major.

        Returns:
            (height, width) labels on the device of ``cells``; int64, 0..k-1, for soft maps.

        Raises:
            ValueError: ``cells`` has another shape.
        """
        from diffseg.masks import labels_from_proposals, upsample_nearest

        soft = cells.is_floating_point()
        shape = tuple(cells.shape[1:] if soft else cells.shape)
        side = isqrt(prod(shape))
        if not cells.numel() or shape not in {(side * side,), (side, side)}:
            kind = "soft maps (k, S*S) or (k, S, S)" if soft else "labels (S*S,) or (S, S)"
            raise ValueError(f"cells: must be {kind}, got {tuple(cells.shape)} {cells.dtype}")
        if soft:
            return labels_from_proposals(cells.flatten(start_dim=1), self.size)
        return upsample_nearest(cells.reshape(side, side), self.size)


class UnusablePicture(Exception):
    """Raised by a segmenter for a picture that it cannot segment. A run records the message and continues."""


class Segmenter(Protocol):
    """A segmenter with its parameters: a frozen dataclass with these methods.

    It may declare the attributes of `CheckedSegmenter`, whose defaults hold where it declares none, a method
    ``segment_all`` (see the function `segment_all`), and those of `ReadsFiles`.
    """

    def __hash__(self) -> int: ...

    def resolved(self, side: int, tuned: Mapping[str, Any]) -> Self:
        """Returns a copy with every open parameter (None) filled in.

        Args:
            side: S, the finest side of the attention.
            tuned: parameter -> value that suits the backbone and the data set. If the field ``clusters`` is None, its
                value is the data set's mean number of classes in a picture.

        Raises:
            ValueError: a parameter stays open or does not fit the side.
        """

    def __call__(self, scene: Scene) -> Tensor:
        """Segments a picture. Returns labels of the scene's size, (height, width) int64 >= 0."""


@dataclass(frozen=True)
class CheckedSegmenter(Checked):
    """Base of this project's segmenters. It checks the declared limits of their fields (`diffseg.limits`).

    A subclass segments in two steps: `prepare` segments the cells of the attention, or the pixels of the picture, and
    `finish` turns that into a label map. Segmenters that differ only in settings of the second step share the first.

    Attributes:
        needs_attention: False if it reads no attention, so that it works without a backbone.
        needs_truth: True if it reads the ground truth, or its number of classes.
        common_labels: True if a label means the same class in every picture.
        needs_whole: True if it segments only whole pictures (``protocol.frame=whole``).
        tuned_key: key of the class in `diffseg.backbones.Backbone.tuned`; None: no values are tuned for it.
        open: fields that may be None until `resolved` fills them in.
        published_tau: the paper's value of tau, for backbones without a tuned one.
        packages: optional packages that it needs, and what pip installs for them.
        finishing: fields that only `finish` reads.

    Raises:
        ValueError: a value is outside its limits.
    """

    needs_attention: ClassVar[bool] = True
    needs_truth: ClassVar[bool] = False
    common_labels: ClassVar[bool] = False
    needs_whole: ClassVar[bool] = False
    tuned_key: ClassVar[str | None] = None
    open: ClassVar[tuple[str, ...]] = ()
    published_tau: ClassVar[float | None] = None
    packages: ClassVar[tuple[tuple[str, str], ...]] = ()
    finishing: ClassVar[frozenset[str]] = frozenset({"refine", "upsample", "assign"})

    def resolved(self, side: int, tuned: Mapping[str, Any]) -> Self:
        """See `Segmenter.resolved`. Raises ValueError if a package is missing, too, so that a run does not start."""
        for package, install in self.packages:
            if find_spec(package) is None:
                name = type(self).__name__.lower()
                raise ValueError(f"{name}: the package {package} is not installed: pip install {install}")
        values = {"tau": self.published_tau, **tuned}
        names = [name for name in self.open if getattr(self, name) is None]
        if missing := [name for name in names if values.get(name) is None]:
            raise ValueError(f"{missing[0]}: no value is tuned for this backbone; give one")
        return replace(self, **{name: values[name] for name in names})

    def __call__(self, scene: Scene) -> Tensor:
        return next(self._in_two_steps(scene, [self]))

    @classmethod
    def segment_all(cls, scene: Scene, segmenters: Sequence[CheckedSegmenter]) -> Iterator[Tensor]:
        """Returns the label map of each segmenter, one at a time. A subclass with its own `__call__` is called."""
        if cls.__call__ is CheckedSegmenter.__call__:
            return cls._in_two_steps(scene, segmenters)
        return (segmenter(scene) for segmenter in segmenters)

    @classmethod
    def _in_two_steps(cls, scene: Scene, segmenters: Sequence[CheckedSegmenter]) -> Iterator[Tensor]:
        import torch

        prepared: dict[tuple[Any, ...], Any] = {}
        read = [field.name for field in fields(cls) if field.name not in cls.finishing]
        for segmenter in segmenters:
            settings = tuple(getattr(segmenter, name) for name in read)
            with torch.no_grad():
                if settings not in prepared:
                    prepared[settings] = segmenter.prepare(scene)
                finish = partial(segmenter.finish, prepared[settings])
                if getattr(segmenter, "refine", "none") == "pamr":
                    from diffseg.segmenters.refinement import refined

                    labels = refined(finish, scene)
                else:
                    labels = finish(scene)
            yield labels

    def prepare(self, scene: Scene) -> Any:
        """The first step, which does not read ``scene.size``. Here: nothing."""
        return None

    def finish(self, prepared: Any, scene: Scene) -> Tensor:
        """The second step: labels of the scene's size, int64."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class Refinable(CheckedSegmenter):
    """A segmenter whose label map can be refined."""

    refine: Annotated[
        Literal["none", "pamr"],
        Field(description="pamr: moves segment borders to colour edges, at 128 x 128 pixels, as DiffCut does"),
    ] = "none"


@runtime_checkable
class ReadsFiles(Protocol):
    """A segmenter that reads a file for each picture. `diffseg.segmenters.files` implements both methods.

    If it has a method ``labels(outline)``, which returns an array, a run needs no tensor, and calls that instead.
    """

    def check_files(self, ids: Sequence[str], listed: Collection[str]) -> list[str]:
        """Warnings about missing and superfluous files. Raises ValueError if every picture lacks its file."""

    def state(self, id: str) -> str:
        """A text that changes when the file of a picture changes."""


def needs_attention(segmenter: Segmenter) -> bool:
    """See `CheckedSegmenter`; a class outside this project need not declare it."""
    return getattr(segmenter, "needs_attention", CheckedSegmenter.needs_attention)


def needs_truth(segmenter: Segmenter) -> bool:
    """See `CheckedSegmenter`."""
    return getattr(segmenter, "needs_truth", CheckedSegmenter.needs_truth)


def has_common_labels(segmenter: Segmenter) -> bool:
    """See `CheckedSegmenter`."""
    return getattr(segmenter, "common_labels", CheckedSegmenter.common_labels)


def needs_mean_classes(segmenter: Segmenter) -> bool:
    """True if a segmenter has a field ``clusters`` that is None: the data set's mean number of classes fills it in."""
    return getattr(segmenter, "clusters", 1) is None


def segment_all(scene: Scene, segmenters: Sequence[Segmenter]) -> Iterator[Tensor]:
    """Yields the label map of one picture by each of several segmenters of one class, which may share work.

    A class that can compute several at once has a static method ``segment_all(scene, segmenters)``, which returns their
    label maps in order, best one at a time. The others, and a single segmenter, are called. An error ends the
    iteration; it belongs to the segmenter whose turn it is if the class yields one label map at a time.
    """
    together = getattr(type(segmenters[0]), "segment_all", None) if len(segmenters) > 1 else None
    yield from together(scene, segmenters) if together else (segmenter(scene) for segmenter in segmenters)


def resolve(segmenter: Part, spec: Backbone, dataset: str = "", bounces: int = 1, **values: Any) -> Part:
    """Fills in the open parameters of a segmenter for a backbone, its attention and a data set.

    Values may differ between data sets. They are tuned for one of the ``bounces`` of the attention's walk, and refused
    for two. ``values`` are those of parameters that no backbone tunes. Raises ValueError if the segmenter needs
    attention, and the backbone has none; or if a parameter stays open.
    """
    if needs_attention(segmenter) and not spec.sides:
        raise ValueError(f"segmenter: {type(segmenter).__name__} needs attention, and this backbone has none")
    tuned = tuned_values(spec, getattr(segmenter, "tuned_key", CheckedSegmenter.tuned_key), dataset)
    if bounces > 1 and getattr(segmenter, "input", "attention") == "attention":
        for name in tuned:
            if getattr(segmenter, name, "") is None:
                raise ValueError(f"{name}: is tuned for attention with aggregation.bounces=1; give one for {bounces}")
    return segmenter.resolved(max(spec.sides, default=0), {**tuned, **values})


def check_cells(setting: str, value: int | None, most: int) -> None:
    """Raises ValueError if a setting exceeds what the attention, of a number of cells, allows."""
    if value is not None and value > most:
        raise ValueError(f"{setting}: must be 1..{most} at this size of the attention, got {value}")
