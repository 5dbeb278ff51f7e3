"""`Recipe`: from the attention of a picture to its labels, with every setting filled in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
from torch import Tensor

from diffseg import catalogue
from diffseg.aggregation import Aggregation, side_weights
from diffseg.attention import AttentionMaps
from diffseg.backbones import Backbone
from diffseg.backbones.image import centre_crop, resize_image
from diffseg.choices import Scheme
from diffseg.files.photographs import AnyImage, to_picture
from diffseg.pictures import CHANNEL_MAX, Pixels, by_area
from diffseg.result import Result
from diffseg.segmenters.base import Frame, ReadsFiles, Scene, Segmenter, needs_attention, needs_truth, resolve


@dataclass(frozen=True)
class Recipe:
    """An aggregation and a segmenter with every parameter filled in. Turns attention into labels."""

    aggregation: Aggregation
    segmenter: Segmenter

    def __call__(self, picture: Pixels, square: Tensor | None, maps: AttentionMaps | None) -> Result:
        """Segments one picture, ``(h, w, 3)`` uint8 RGB; the labels have its size, the largest segment first.

        ``square`` is the picture resized for the backbone, ``(3, P, P)`` float32 in [0, 255]; None: it is unknown.
        ``maps`` is None if the segmenter needs no attention. Raises ValueError if the segmenter reads features, and the
        backbone has none; or if the attention cannot be segmented.
        """
        frame: Frame = "square" if maps and maps.provenance.get("frame") == "square" else "whole"
        own = None if square is None else picture
        scene = Scene(size=(picture.shape[0], picture.shape[1]), frame=frame, image=square, picture=own)
        if maps is not None:
            scene = replace(scene, aggregated=self.aggregation(maps), features=maps.features)
        return Result(picture, by_area(self.segmenter(scene).cpu().numpy()))


def make_recipe(
    spec: Backbone,
    segmenter: str | Segmenter,
    weights: str | Sequence[float],
    scheme: Scheme,
    config_dir: str | Path | None,
    settings: Mapping[str, Any],
) -> Recipe:
    """`Model.recipe` for a backbone that is not loaded yet; ``config_dir`` as for `load`."""
    chosen: Segmenter = catalogue.choose("segmenter", segmenter, config_dir, settings)
    if needs_truth(chosen):
        raise ValueError(f"segmenter: {segmenter} needs the ground truth of a picture, which only the benchmark knows")
    if isinstance(chosen, ReadsFiles):
        raise ValueError(f"segmenter: {segmenter} reads label maps of a data set, which only the benchmark has")
    listed = isinstance(weights, Iterable) and not isinstance(weights, str)
    aggregation = Aggregation(tuple(weights) if listed else weights, scheme)  # type: ignore[arg-type]
    if needs_attention(chosen) and spec.sides:
        side_weights(aggregation.weights, spec.sides)
    return Recipe(aggregation, resolve(chosen, spec))


def backbone_of(maps: AttentionMaps, spec: Backbone) -> Backbone:
    """The facts that `make_recipe` reads about the backbone of the maps. ``spec`` gives values that the maps lack."""
    tuned = maps.provenance.get("tuned", spec.tuned)
    return cast(Backbone, SimpleNamespace(sides=maps.sides, tuned=tuned))


def segment_attention(maps: AttentionMaps, image: AnyImage | None, recipe: Recipe, size: int) -> Result:
    """Segments attention that was computed before. A segmenter that reads colours needs its ``image``.

    ``size`` is the side P of the backbone's square, for maps that do not say it. Raises ValueError if the picture is
    missing, or of another size.
    """
    if image is None:
        if maps.picture is None:
            raise ValueError("image: the attention does not say the size of its picture; pass image=")
        blank = np.full((maps.picture.height, maps.picture.width, 3), CHANNEL_MAX, np.uint8)
        try:
            return recipe(blank, None, maps)
        except (AttributeError, TypeError) as error:  # a segmenter that takes the picture for granted
            kind = type(recipe.segmenter).__name__
            raise ValueError(f"image: {kind} failed without the picture ({error}); pass image=") from error
    pixels = to_picture(image)
    if maps.provenance.get("frame") == "square":
        pixels = centre_crop(pixels)
    if maps.picture and pixels.shape[:2] != (maps.picture.height, maps.picture.width):
        raise ValueError(
            f"image: has {pixels.shape[1]} x {pixels.shape[0]} pixels, and the attention is of a picture of "
            f"{maps.picture.width} x {maps.picture.height}"
        )
    square = resize_image(pixels, maps.provenance.get("settings", {}).get("size", size))
    return recipe(pixels, square, maps)
