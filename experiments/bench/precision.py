"""How many pixels change with the dtype of the backbone, and of the divergence."""

from __future__ import annotations

from statistics import mean
from typing import Literal, get_args

import numpy as np
from torch import Tensor

from diffseg import AttentionMaps, aggregate, segment
from diffseg.divergence import Precision
from eval.decoding import Picture
from experiments.bench.golden import IMAGES, read_golden, same_partition
from experiments.bench.measuring import Line, Settings
from experiments.bench.pictures import PHOTOS, decoded
from experiments.bench.vit import METHODS, NO_WEIGHTS, loaded

Half = Literal["bfloat16", "float16"]
UNIT = "% of the pixels"
TAU = 0.3


def lines(settings: Settings) -> list[Line]:
    """The dtype of the backbone; then the divergence, on DINOv2's attention and on the golden files."""
    return _backbone(settings) + _on_dinov2(settings) + _on_golden(settings)


def _backbone(settings: Settings) -> list[Line]:
    """Pixels that change when DINOv2 runs in half precision, by method; segments matched one to one."""
    exact = loaded()
    if exact is None:
        return [Line("precision: backbone", note=NO_WEIGHTS)]
    pictures = _pictures(settings, exact.spec.size)
    references = [_labels(exact.attend(picture.image[None])[0], picture) for picture in pictures]
    found = []
    for dtype in get_args(Half):
        model = loaded(dtype)
        assert model is not None  # the weights are there
        changed: dict[str, list[float]] = {name: [] for name in METHODS}
        for picture, reference in zip(pictures, references, strict=True):
            labels = _labels(model.attend(picture.image[None])[0], picture)
            for name in METHODS:
                changed[name].append(_changed(reference[name], labels[name]))
        for name, values in changed.items():
            note = f"mean of {len(values)} pictures, {max(values):.2f} at most; against float32"
            found.append(Line(f"precision: backbone in {dtype}, {name}", UNIT, mean(values), note=note))
    return found


def _pictures(settings: Settings, size: int) -> list[Picture]:
    return [decoded(id, size) for id in PHOTOS.ids[: 1 if settings.quick else None]]


def _labels(maps: AttentionMaps, picture: Picture) -> dict[str, Tensor]:
    aggregated = aggregate(maps.maps)
    return {name: method(aggregated, picture, picture.image.shape[-1]) for name, method in METHODS.items()}


def _changed(reference: Tensor, labels: Tensor) -> float:
    """Percent of the pixels."""
    return 100 * (1 - same_partition(reference.cpu().numpy(), labels.cpu().numpy()))


def _on_dinov2(settings: Settings) -> list[Line]:
    """Pixels that change with the precision of the divergence, against float64."""
    model = loaded()
    if model is None:
        return [Line("precision: divergence", note=NO_WEIGHTS)]
    changed: dict[Precision, list[float]] = {"float16": [], "float32": []}
    for picture in _pictures(settings, model.spec.size):
        aggregated = aggregate(model.attend(picture.image[None])[0].maps)
        size = model.spec.size
        exact = segment(aggregated, TAU, grid="even", precision="float64", size=size)
        for precision, values in changed.items():
            values.append(_changed(exact, segment(aggregated, TAU, grid="even", precision=precision, size=size)))
    return [
        Line(
            f"precision: divergence in {precision}, DINOv2-S",
            UNIT,
            mean(values),
            note=f"mean of {len(values)} pictures, {max(values):.2f} at most; against float64",
        )
        for precision, values in changed.items()
    ]


def _on_golden(settings: Settings) -> list[Line]:
    """Masks of the authors' code in float64, made again in each precision."""
    if settings.golden is None:
        return [Line("precision: divergence, golden files", note="unmeasured: --golden DIR not given")]
    found = []
    for precision in get_args(Precision):
        changed = []
        for image in IMAGES:
            golden = read_golden(settings.golden, image)
            for tau, anchors, mask in golden.masks("float64"):
                labels = segment(golden.aggregated, tau, anchors, precision=precision, size=len(mask))
                changed.append(100 * (1 - same_partition(mask.astype(np.int64), labels.numpy())))
        note = f"mean of {len(changed)} masks, {max(changed):.2f} at most; against the authors' code in float64"
        found.append(Line(f"precision: divergence in {precision}, golden files", UNIT, mean(changed), note=note))
    return found
