"""`load` and `Model`: from a picture of any kind to its segments, in two lines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, cast, overload

import numpy as np
import torch
from torch import Tensor

from diffseg import catalogue
from diffseg.attention import AttentionMaps
from diffseg.backbones import AttentionModel, Backbone
from diffseg.backbones.device import batch_size_for, pick_device
from diffseg.backbones.image import resize_image
from diffseg.backbones.saved import origin
from diffseg.choices import DEFAULT_SCHEME, DEFAULT_WEIGHTS, Scheme
from diffseg.files.attention import PictureInfo
from diffseg.files.photographs import AnyImage, to_picture
from diffseg.files.writing import distinct_names
from diffseg.isolation import isolated
from diffseg.pictures import Pixels
from diffseg.recipe import Recipe, backbone_of, make_recipe, segment_attention
from diffseg.result import Result, Results
from diffseg.segmenters.base import Segmenter, needs_attention

Images = list[AnyImage] | tuple[AnyImage, ...]
"""Pictures of any kinds and sizes."""

Refine = Literal["none", "kmeans", "pamr"]
"""Refinement of the segments: see ``refine`` of `Model.segment`."""


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
    spec = catalogue.choose("backbone", backbone, config_dir, settings)
    spec.check()
    network = spec.load(device) if spec.sides else None
    name = backbone if isinstance(backbone, str) else type(spec).__name__
    return Model(spec, network, pick_device(device), config_dir, str(getattr(spec, "name", name)))


class Model:
    """A loaded backbone that segments pictures; made by `load`.

    Attributes:
        spec: settings of the backbone.
        network: the loaded backbone; None for `diffseg.backbones.none`.
        device: device of the network.
        config_dir: folder of a user's presets, see `load`.
        name: name of the backbone's preset.

    >>> from diffseg.backbones.none import NoBackbone
    >>> model = load(NoBackbone(size=64))
    >>> picture = np.zeros((40, 60, 3), np.uint8)
    >>> picture[:, 20:] = 255
    >>> whole, part = model.segment([picture, picture[:30]], "kmeans_rgbxy", clusters=2)
    >>> [mask["bbox"] for mask in part.masks]
    [[20, 0, 40, 30], [0, 0, 20, 30]]
    """

    def __init__(
        self,
        spec: Backbone,
        network: AttentionModel | None,
        device: torch.device,
        config_dir: str | Path | None = None,
        name: str = "",
    ) -> None:
        self.spec, self.network, self.device, self.config_dir = spec, network, device, config_dir
        self.name = name or type(spec).__name__

    def __repr__(self) -> str:
        return f"Model({self.spec})"

    @overload
    def segment(
        self,
        source: Images | Sequence[AttentionMaps],
        /,
        segmenter: str | Segmenter = ...,
        weights: str | Sequence[float] = ...,
        scheme: Scheme = ...,
        *,
        image: AnyImage | Images | None = ...,
        refine: Refine | None = ...,
        **settings: Any,
    ) -> Results: ...

    @overload
    def segment(
        self,
        source: AnyImage | AttentionMaps,
        /,
        segmenter: str | Segmenter = ...,
        weights: str | Sequence[float] = ...,
        scheme: Scheme = ...,
        *,
        image: AnyImage | Images | None = ...,
        refine: Refine | None = ...,
        **settings: Any,
    ) -> Result: ...

    @isolated
    def segment(
        self,
        source: AnyImage | Images | AttentionMaps | Sequence[AttentionMaps],
        /,
        segmenter: str | Segmenter = "diffseg",
        weights: str | Sequence[float] = DEFAULT_WEIGHTS,
        scheme: Scheme = DEFAULT_SCHEME,
        *,
        image: AnyImage | Images | None = None,
        refine: Refine | None = None,
        **settings: Any,
    ) -> Result | Results:
        """Segments a picture, or each picture of a list; or the attention that `attend` or a file gave.

        Args:
            source: a picture of any size and kind (`diffseg.files.photographs.to_picture`), squeezed into the
                backbone's square; or its attention, of this backbone or any other; or a list of either.
            segmenter: name of a preset (a file of ``conf/segmenter``: ``diffseg``, ``kmeans_c``, ...), or a segmenter
                (`diffseg.segmenters.base.Segmenter`).
            weights: R, the weight of each side, as `diffseg.aggregation.side_weights` reads it.
            scheme: as for `diffseg.aggregate`.
            image: with attention, the pictures that it belongs to. Segmenters that read colours need them. Without
                them, results show white pictures.
            refine: ``none``; ``pamr``, which moves the borders of segments to those of the colours; with ``diffseg``
                also ``kmeans``, K-means from the proposals. None: the preset's.
            settings: settings of the segmenter that replace the preset's, such as ``tau``; `diffseg.settings` lists
                them. A parameter that stays open takes the value tuned for the backbone of the attention.

        Returns:
            Segments at the picture's size; for a list, a list in the same order.

        Raises:
            ValueError: a setting or picture cannot be used, or the segmenter reads the picture and has none.
            PhotoError: a file cannot be read.
            TypeError: ``source`` is none of these kinds.
        """
        if refine is not None:
            settings["refine"] = refine
        kinds = {isinstance(one, AttentionMaps) for one in (source if isinstance(source, list | tuple) else [source])}
        if len(kinds) > 1:
            raise TypeError("source: must be pictures or attention, not both in one list")
        if True in kinds:
            maps = [source] if isinstance(source, AttentionMaps) else list(cast(Any, source))
            results = self._segment_maps(maps, image, segmenter, weights, scheme, settings)
            return results[0] if isinstance(source, AttentionMaps) else results
        if image is not None:
            raise ValueError("image: goes with attention; a picture to be segmented is the first argument")
        recipe = self.recipe(segmenter, weights, scheme, **settings)
        given, many = _listed(cast(Any, source))
        results = Results(result for batch in self._batches(given) for result in self.run(batch, recipe))
        files = [Path(one).name if isinstance(one, str | Path) else "" for one in given]
        named = zip(results, _names(given), files, strict=True)
        results = Results(replace(result, name=name, file=file) for result, name, file in named)
        return results if many else results[0]

    def _segment_maps(
        self,
        given: Sequence[AttentionMaps],
        image: AnyImage | Images | None,
        segmenter: str | Segmenter,
        weights: str | Sequence[float],
        scheme: Scheme,
        settings: Mapping[str, Any],
    ) -> Results:
        """`segment` for attention."""
        images = _listed(image)[0] if image is not None else [None] * len(given)
        if len(images) != len(given):
            raise ValueError(f"image: need one for each of the {len(given)} attention maps, got {len(images)}")
        names = distinct_names(maps.picture.id.replace("/", "_") if maps.picture else "picture" for maps in given)
        results = Results()
        for maps, one, name in zip(given, images, names, strict=True):
            recipe = make_recipe(backbone_of(maps, self.spec), segmenter, weights, scheme, self.config_dir, settings)
            results.append(replace(segment_attention(maps, one, recipe, self.spec.size), name=name))
        return results

    @overload
    def attend(self, image: Images) -> list[AttentionMaps]: ...

    @overload
    def attend(self, image: AnyImage) -> AttentionMaps: ...

    @isolated
    def attend(self, image: AnyImage | Images) -> AttentionMaps | list[AttentionMaps]:
        """Attention maps of a picture, or of each picture of a list: the first step of `segment`, which takes them.

        Args:
            image: a picture of any size and kind, or a list of them, as for `segment`.

        Returns:
            Maps on the device of the model, with the picture's name and size and all that identifies the backbone; for
            a list of pictures, a list.

        Raises:
            ValueError: a picture cannot be used, or the backbone has no attention.
            PhotoError: a file cannot be read.
            TypeError: ``image`` is none of these kinds.
        """
        given, many = _listed(image)
        provenance, names = origin(self.spec, self.name), iter(_names(given))
        results = []
        for batch in self._batches(given):
            for pixels, maps in zip(batch, self._attend(self.squares(batch)), strict=True):
                info = PictureInfo.of(next(names), pixels)
                results.append(replace(maps, provenance={**maps.provenance, **provenance}, picture=info))
        return results if many else results[0]

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
    def run(self, pictures: Sequence[Pixels], recipe: Recipe) -> list[Result]:
        """Segments a batch of pictures, ``(h, w, 3)`` uint8 RGB, with a recipe that `recipe` has checked."""
        squares = self.squares(pictures)
        attention = self._attend(squares) if needs_attention(recipe.segmenter) else [None] * len(pictures)
        return list(map(recipe, pictures, squares, attention))

    def squares(self, pictures: Sequence[Pixels]) -> Tensor:
        """Resizes ``(h, w, 3)`` uint8 pictures for the backbone: ``(B, 3, P, P)`` float32 in [0, 255]."""
        return torch.stack([resize_image(picture, self.spec.size) for picture in pictures])

    def _batches(self, images: Sequence[AnyImage]) -> Iterator[list[Pixels]]:
        size = batch_size_for(self.device, self.spec.size)
        for start in range(0, len(images), size):
            yield [to_picture(image) for image in images[start : start + size]]

    def _attend(self, squares: Tensor) -> list[AttentionMaps]:
        if self.network is None:
            raise ValueError("backbone: none has no attention; load another one")
        return self.network.attend_encoded(self.network.encode(squares), self.spec)


def _listed(image: AnyImage | Images) -> tuple[list[AnyImage], bool]:
    """The pictures, and whether they came as a list; a batch in one array or tensor counts as a list."""
    if isinstance(image, list | tuple) or (isinstance(image, np.ndarray | Tensor) and image.ndim == 4):
        return list(image), True
    return [image], False


def _names(images: Sequence[AnyImage]) -> list[str]:
    return distinct_names(Path(image).stem if isinstance(image, str | Path) else "picture" for image in images)
