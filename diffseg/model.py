"""`load` and `Model`: from a picture of any kind to its segments, in two lines."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar, overload

import numpy as np
import torch
from torch import Tensor

from diffseg import parts
from diffseg.aggregation import Aggregation, side_weights
from diffseg.attention import AttentionMaps
from diffseg.backbones import AttentionModel, Backbone
from diffseg.backbones.device import batch_size_for, pick_device
from diffseg.backbones.image import resize_image
from diffseg.choices import DEFAULT_SCHEME, DEFAULT_WEIGHTS, Scheme
from diffseg.files import distinct_names
from diffseg.isolation import isolated
from diffseg.photos import AnyImage, to_picture
from diffseg.pictures import Pixels, by_area
from diffseg.result import Result
from diffseg.segmenters.base import ReadsFiles, Scene, Segmenter, needs_attention, needs_truth, resolve

Images = list[AnyImage] | tuple[AnyImage, ...]
"""Pictures of any kinds and sizes."""

Item = TypeVar("Item")


@isolated
def load(
    backbone: str | Path | Backbone = "dinov2_small",
    device: str = "auto",
    path: str | Path | None = None,
    config_dir: str | Path | None = None,
    **settings: Any,
) -> Model:
    """Loads a backbone, ready to segment pictures.

    Args:
        backbone: name of a preset (a file of ``conf/backbone``: ``dinov2_small``, ``sd14``, ...), or a spec
            (`diffseg.backbones.Backbone`).
        device: ``cpu``, ``cuda``, ``cuda:1``, ...; ``auto``: CUDA if there is a CUDA device, else the CPU.
        path: folder of the weights, or their hub id in the local cache; None: the preset's.
        config_dir: your folder of presets, in the layout of ``conf/``: ``backbone/NAME.yaml``, ``segmenter/NAME.yaml``.
        settings: other settings of the backbone that replace the preset's, such as ``size`` in pixels.

    Raises:
        ValueError: a name or setting is unknown, a value is out of range, or the device does not exist.
        WeightsError: the weights are not on this machine, or damaged; the message says how to get them.

    This example needs no weights, because its segmenter reads only colours. Usually: ``load("dinov2_small")``.

    >>> from diffseg.backbones.none import NoBackbone
    >>> model = load(NoBackbone(size=64))
    >>> picture = np.zeros((40, 60, 3), np.uint8)
    >>> picture[:, 30:] = 255
    >>> model.segment(picture, "kmeans_rgbxy", clusters=2)
    Result(2 segments, 60 x 40 pixels)
    """
    if path is not None:
        settings["path"] = str(path)
    spec = parts.choose("backbone", backbone, config_dir, settings)
    spec.check()
    return Model(spec, spec.load(device) if spec.sides else None, pick_device(device), config_dir)


@dataclass(frozen=True)
class Recipe:
    """An aggregation and a segmenter with every parameter filled in. Turns attention into labels.

    Attributes:
        aggregation: turns the maps into one tensor.
        segmenter: turns that tensor into labels.
    """

    aggregation: Aggregation
    segmenter: Segmenter

    @property
    def needs_attention(self) -> bool:
        """False if the segmenter reads only the picture."""
        return needs_attention(self.segmenter)

    def __call__(self, picture: Pixels, square: Tensor, maps: AttentionMaps | None) -> Result:
        """Segments one picture; the labels have the picture's size.

        Args:
            picture: ``(h, w, 3)`` uint8 RGB.
            square: ``(3, P, P)`` float32 in [0, 255], the picture resized for the backbone.
            maps: the picture's attention; None if the segmenter needs no attention.

        Returns:
            Labels of the picture's size, the largest segment first.

        Raises:
            ValueError: the segmenter reads features, and the backbone has none; or the attention cannot be segmented.
        """
        scene = Scene(size=(picture.shape[0], picture.shape[1]), image=square)
        if maps is not None:
            scene = replace(scene, aggregated=self.aggregation(maps), features=maps.features)
        return Result(picture, by_area(self.segmenter(scene).cpu().numpy()))


class Model:
    """A loaded backbone that segments pictures; made by `load`.

    Attributes:
        spec: settings of the backbone.
        network: the loaded backbone; None for `diffseg.backbones.none`.
        device: device of the network.
        config_dir: folder of a user's presets, see `load`.

    >>> from diffseg.backbones.none import NoBackbone
    >>> model = load(NoBackbone(size=64))
    >>> picture = np.zeros((40, 60, 3), np.uint8)
    >>> picture[:, 20:] = 255
    >>> whole, part = model.segment([picture, picture[:30]], "kmeans_rgbxy", clusters=2)
    >>> [mask["bbox"] for mask in part.masks]
    [[20, 0, 40, 30], [0, 0, 20, 30]]
    """

    def __init__(
        self, spec: Backbone, network: AttentionModel | None, device: torch.device, config_dir: str | Path | None = None
    ) -> None:
        self.spec, self.network, self.device, self.config_dir = spec, network, device, config_dir

    def __repr__(self) -> str:
        return f"Model({self.spec})"

    @overload
    def segment(
        self,
        image: Images,
        segmenter: str | Segmenter = ...,
        weights: str | Sequence[float] = ...,
        scheme: Scheme = ...,
        **settings: Any,
    ) -> list[Result]: ...

    @overload
    def segment(
        self,
        image: AnyImage,
        segmenter: str | Segmenter = ...,
        weights: str | Sequence[float] = ...,
        scheme: Scheme = ...,
        **settings: Any,
    ) -> Result: ...

    @isolated
    def segment(
        self,
        image: AnyImage | Images,
        segmenter: str | Segmenter = "diffseg",
        weights: str | Sequence[float] = DEFAULT_WEIGHTS,
        scheme: Scheme = DEFAULT_SCHEME,
        **settings: Any,
    ) -> Result | list[Result]:
        """Segments a picture, or each picture of a list.

        Args:
            image: a picture of any size and kind (`diffseg.photos.to_picture`), or a list of them. It is squeezed into
                the backbone's square.
            segmenter: name of a preset (a file of ``conf/segmenter``: ``diffseg``, ``kmeans_c``, ...), or a segmenter
                (`diffseg.segmenters.base.Segmenter`).
            weights: R, the weight of each side, as `diffseg.aggregation.side_weights` reads it.
            scheme: as for `diffseg.aggregate`.
            settings: settings of the segmenter that replace the preset's, such as ``tau``. A parameter that stays open
                takes the value tuned for this backbone.

        Returns:
            Segments at the picture's size; for a list of pictures, a list in the same order.

        Raises:
            ValueError: a setting or picture cannot be used.
            PhotoError: a file cannot be read.
            TypeError: ``image`` is none of these kinds.
        """
        recipe = self.recipe(segmenter, weights, scheme, **settings)
        given, many = _listed(image)
        results: list[Result] = []
        for batch in _batches(map(to_picture, given), self._batch_size):
            results += self._run(batch, recipe)
        named = [
            replace(result, name=name) for result, name in zip(results, distinct_names(map(_name, given)), strict=True)
        ]
        return named if many else named[0]

    @overload
    def attend(self, image: Images) -> list[AttentionMaps]: ...

    @overload
    def attend(self, image: AnyImage) -> AttentionMaps: ...

    @isolated
    def attend(self, image: AnyImage | Images) -> AttentionMaps | list[AttentionMaps]:
        """Attention maps of a picture, or of each picture of a list: the first step of `segment`.

        Args:
            image: as for `segment`.

        Returns:
            Maps on the device of the model; for a list of pictures, a list. `diffseg.aggregate` takes their ``maps``.

        Raises:
            ValueError: a picture cannot be used, or the backbone has no attention.
            PhotoError: a file cannot be read.
            TypeError: ``image`` is none of these kinds.
        """
        given, many = _listed(image)
        batches = _batches(map(to_picture, given), self._batch_size)
        found = [maps for batch in batches for maps in self._attend(self.squares(batch))]
        return found if many else found[0]

    def recipe(
        self,
        segmenter: str | Segmenter = "diffseg",
        weights: str | Sequence[float] = DEFAULT_WEIGHTS,
        scheme: Scheme = DEFAULT_SCHEME,
        **settings: Any,
    ) -> Recipe:
        """Checks the settings of `segment` and fills in the open ones. Raises ValueError as `segment` does."""
        return make_recipe(self.spec, segmenter, weights, scheme, self.config_dir, settings)

    @isolated
    def run(self, picture: Pixels, recipe: Recipe) -> Result:
        """Segments one picture, ``(h, w, 3)`` uint8 RGB, with a recipe that `recipe` has checked."""
        return self._run([picture], recipe)[0]

    def _run(self, pictures: Sequence[Pixels], recipe: Recipe) -> list[Result]:
        squares = self.squares(pictures)
        attention = self._attend(squares) if recipe.needs_attention else [None] * len(pictures)
        return list(map(recipe, pictures, squares, attention))

    def squares(self, pictures: Sequence[Pixels]) -> Tensor:
        """Resizes ``(h, w, 3)`` uint8 pictures for the backbone: ``(B, 3, P, P)`` float32 in [0, 255]."""
        return torch.stack([resize_image(picture, self.spec.size) for picture in pictures])

    @property
    def _batch_size(self) -> int:
        return batch_size_for(self.device, self.spec.size)

    def _attend(self, squares: Tensor) -> list[AttentionMaps]:
        if self.network is None:
            raise ValueError("backbone: none has no attention; load another one")
        return self.network.attend_encoded(self.network.encode(squares), self.spec)


def make_recipe(
    spec: Backbone,
    segmenter: str | Segmenter,
    weights: str | Sequence[float],
    scheme: Scheme,
    config_dir: str | Path | None,
    settings: Mapping[str, Any],
) -> Recipe:
    """`Model.recipe` for a backbone that is not loaded yet; ``config_dir`` as for `load`."""
    chosen: Segmenter = parts.choose("segmenter", segmenter, config_dir, settings)
    if needs_truth(chosen):
        raise ValueError(f"segmenter: {segmenter} needs the ground truth of a picture, which only the benchmark knows")
    if isinstance(chosen, ReadsFiles):
        raise ValueError(f"segmenter: {segmenter} reads label maps of a data set, which only the benchmark has")
    aggregation = Aggregation(weights if isinstance(weights, str) else tuple(weights), scheme)
    if needs_attention(chosen) and spec.sides:
        side_weights(aggregation.weights, spec.sides)
    return Recipe(aggregation, resolve(chosen, spec))


def _listed(image: AnyImage | Images) -> tuple[list[AnyImage], bool]:
    """The pictures, and whether they came as a list; a batch in one array or tensor counts as a list."""
    if isinstance(image, list | tuple):
        return list(image), True
    if isinstance(image, np.ndarray | Tensor) and image.ndim == 4:
        return list(image), True
    return [image], False


def _name(image: AnyImage) -> str:
    return Path(image).stem if isinstance(image, str | Path) else "picture"


def _batches(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    items = iter(items)
    while batch := list(islice(items, size)):
        yield batch
