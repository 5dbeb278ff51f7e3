"""Measures how many pixels change with the dtype of the backbone and of the divergence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import mean
from typing import get_args

import numpy as np
import torch
from torch import Tensor

from diffseg import AttentionMaps, aggregate, segment
from diffseg.backbones import Dtype
from diffseg.divergence import Precision
from eval.decoding import DecodedPicture
from eval.matching import contingency, match_contingency
from eval.protocols import PROTOCOLS
from experiments.bench.golden import IMAGES, read_golden, same_partition
from experiments.bench.measuring import NO_CUDA, Line, Settings, absent
from experiments.bench.pictures import PHOTOS, decoded
from experiments.bench.vit import METHODS, NO_WEIGHTS, loaded

# Device -> the dtypes compared with float32 on the CPU. On a CPU, tf32 is float32.
DTYPES: dict[str, tuple[Dtype, ...]] = {
    "cpu": ("bfloat16", "float16"),
    "cuda": ("float32", "tf32", "bfloat16", "float16"),
}
BATCHES = {"cpu": (4,), "cuda": (8, 16)}  # device -> batch sizes compared with a batch of 1
UNIT = "% of the pixels"
TAU = 0.3


def lines(settings: Settings) -> list[Line]:
    """Varies dtype, device and batch of the backbone, then the dtype of the divergence."""
    return _backbone(settings) + _batches(settings) + _on_dinov2(settings) + _on_golden(settings)


def _backbone(settings: Settings) -> list[Line]:
    """Counts the changes when DINOv2 runs in another dtype or on a GPU."""
    exact = loaded()
    if exact is None:
        return [Line("precision: backbone", note=NO_WEIGHTS)]
    pictures = _pictures(settings, exact.spec.size)
    references = [_labels(exact.attend(picture.image[None])[0], picture) for picture in pictures]
    found = []
    for device, dtypes in DTYPES.items():
        for dtype in dtypes:
            name = f"precision: backbone in {dtype}, {device}"
            if absent(device):
                found.append(Line(name, note=NO_CUDA))
                continue
            model = loaded(dtype, device)
            assert model is not None  # the weights are there
            results = [_labels(model.attend(picture.image[None])[0], picture) for picture in pictures]
            found += _compared(name, "float32 on the CPU", pictures, references, results)
    return found


def _batches(settings: Settings) -> list[Line]:
    """Counts the changes when several pictures pass the backbone together."""
    found = []
    for device, sizes in BATCHES.items():
        names = [f"precision: batches of {size}, float32, {device}" for size in sizes]
        model = None if absent(device) else loaded("float32", device)
        if model is None:
            found += [Line(name, note=NO_CUDA if absent(device) else NO_WEIGHTS) for name in names]
            continue
        pictures = _pictures(settings, model.spec.size)
        images = torch.stack([picture.image for picture in pictures])
        alone = [_labels(model.attend(picture.image[None])[0], picture) for picture in pictures]
        for size, name in zip(sizes, names, strict=True):
            # The pictures are repeated until the batch is full.
            batches = images.repeat(-(-size // len(images)), 1, 1, 1)[: max(size, len(images))].split(size)
            maps = [each for batch in batches for each in model.attend(batch)]
            together = [_labels(each, picture) for each, picture in zip(maps, pictures, strict=False)]
            found += _compared(name, "batches of 1", pictures, alone, together)
    return found


def _compared(
    name: str,
    against: str,
    pictures: Sequence[DecodedPicture],
    references: Sequence[Mapping[str, Tensor]],
    results: Sequence[Mapping[str, Tensor]],
) -> list[Line]:
    """Returns a line per method: mean share of changed pixels, and the number of pictures with equal counts."""
    found = []
    for method in METHODS:
        pairs = [(old[method], new[method]) for old, new in zip(references, results, strict=True)]
        changed = [_changed(old, new) for old, new in pairs]
        equal = sum(
            _counts(old, picture) == _counts(new, picture) for (old, new), picture in zip(pairs, pictures, strict=True)
        )
        note = f"mean of {len(changed)} pictures, {max(changed):.2f} at most; equal counts in {equal}"
        note += f"; against {against}"
        found.append(Line(f"{name}, {method}", UNIT, mean(changed), note=note))
    return found


def _counts(labels: Tensor, picture: DecodedPicture) -> list[object]:
    """The counts in a picture's record, one item per protocol."""
    table = contingency(labels.cpu(), picture.truths[len(labels)], len(PHOTOS.classes))
    return [match_contingency(table, protocol).to_json() for protocol in PROTOCOLS]


def _pictures(settings: Settings, size: int) -> list[DecodedPicture]:
    return [decoded(id, size) for id in PHOTOS.ids[: 1 if settings.quick else None]]


def _labels(maps: AttentionMaps, picture: DecodedPicture) -> dict[str, Tensor]:
    aggregated = aggregate(maps.maps)
    return {name: method(aggregated, picture, picture.image.shape[-1]) for name, method in METHODS.items()}


def _changed(reference: Tensor, labels: Tensor) -> float:
    """Percentage of the pixels that differ."""
    return 100 * (1 - same_partition(reference.cpu().numpy(), labels.cpu().numpy()))


def _on_dinov2(settings: Settings) -> list[Line]:
    """Counts the pixels that change if the divergence is not computed in float64."""
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
    """Compares masks in each precision and on each device with those of the authors' code in float64."""
    if not settings.golden.is_dir():
        return [
            Line(
                "precision: divergence, golden files",
                note="unmeasured: the reference files are not there, see --golden",
            )
        ]
    found = []
    for device in DTYPES:
        for precision in get_args(Precision):
            name = f"precision: divergence in {precision}, golden files, {device}"
            if absent(device):
                found.append(Line(name, note=NO_CUDA))
                continue
            changed = []
            for image in IMAGES:
                golden = read_golden(settings.golden, image)
                aggregated = golden.aggregated.to(device)
                for tau, anchors, mask in golden.masks("float64"):
                    labels = segment(aggregated, tau, anchors, precision=precision, size=len(mask))
                    changed.append(_changed(torch.from_numpy(mask.astype(np.int64)), labels))
            note = f"mean of {len(changed)} masks, {max(changed):.2f} at most; against the authors' code in float64"
            found.append(Line(name, UNIT, mean(changed), note=note))
    return found
