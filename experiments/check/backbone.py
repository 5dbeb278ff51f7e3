"""Passes a picture through each backbone of a run; reports files, maps, memory, and the time of a whole table."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import torch

from datasets.cityscapes27 import Cityscapes27
from datasets.cocostuff27 import CocoStuff27
from diffseg.aggregation import underflow_fraction
from diffseg.attention import AttentionError, AttentionMaps
from diffseg.backbones import AttentionModel
from diffseg.backbones.device import pick_device
from diffseg.backbones.weights.files import sha256_of
from eval.config import ConfigError, config_errors
from eval.decoding import DecodedPicture, decode
from eval.rows import RowConfig

OFFICIAL_COUNTS = {
    "Table 1 (COCO-Stuff-27)": CocoStuff27.official_count,
    "Table 2 (Cityscapes)": Cityscapes27.official_count,
}
SHOWN_DIGITS = 12  # of hashes
MB, GB = 10**6, 10**9
MINUTE, HOUR = 60, 3600


def report(rows: Sequence[RowConfig], device: str) -> Iterator[str]:
    """Checks each backbone, and yields lines about it as soon as they are known.

    Args:
        rows: rows of the run. Their data and weights have been checked.
        device: as for `diffseg.backbones.Backbone.load`.

    Raises:
        ConfigError, WeightsError, ValueError: errors that would also end the run.
    """
    groups: dict[Any, list[RowConfig]] = {}
    for row in rows:
        row.prepare()
        groups.setdefault((row.backbone.encoder, row.choices["backbone"], row.scoring.enters), []).append(row)
    for (_, name, _), sharing in groups.items():
        yield from _check_backbone(name, sharing, device)


def _check_backbone(name: str, rows: Sequence[RowConfig], device: str) -> Iterator[str]:
    first = rows[0]
    spec, dataset = first.backbone, first.dataset
    if not spec.sides:
        yield f"{name}: loads no network, so there is nothing to check"
        return
    yield f"{name}: {getattr(spec, 'source', spec.path)}, {spec.size} px, on {pick_device(device)}"
    for file in getattr(spec, "files", ()):
        yield f"  {file.stat().st_size / MB:10.1f} MB  sha256 {sha256_of([file])[:SHOWN_DIGITS]}  {file}"
    yield f"  fingerprint {spec.fingerprint[:SHOWN_DIGITS]}"

    with config_errors("backbone."):
        model, loading = _timed(lambda: spec.load(device))
    yield f"  loaded in {loading:.1f} s"
    picture = decode(dataset, dataset.ids[0], {row.scoring: row.truths for row in rows}, spec.size)
    try:
        _, warming = _timed(lambda: _attend(model, picture))
        maps, attending = _timed(lambda: _attend(model, picture))  # the first pass also warms up
    except AttentionError as error:
        raise ConfigError(f"{name}, {picture.id}: {error}") from error
    yield f"  {dataset.name} {picture.id}: {attending:.2f} s a pass (the first: {warming:.2f} s), {_memory(model)}"
    for side, attention in maps.maps.items():
        off = float((attention.sum(dim=1) - 1).abs().max())
        yield (
            f"  side {side}: layers averaged {maps.layers[side]}, rows sum to 1 within {off:.0e}, "
            f"no NaN, largest value {float(attention.max()):.3g}"
        )
    seconds = attending
    for row in rows:
        aggregated = row.aggregation(maps)
        _, segmenting = _timed(partial(_segment, row, aggregated, maps, picture))
        seconds += segmenting
        yield (
            f"  {row.name}: {segmenting:.2f} s a picture; {underflow_fraction(aggregated):.2%} of its probabilities "
            "would be 0 in float16"
        )
    counts = {f"this run ({dataset.name})": len(dataset.ids), **OFFICIAL_COUNTS}
    estimates = [
        f"{table}, {count:,} pictures: {_duration(seconds * count)}" for table, count in counts.items() if count
    ]
    yield f"  at {seconds:.2f} s a picture in one process: {'; '.join(estimates)}"


def _attend(model: AttentionModel, picture: DecodedPicture) -> AttentionMaps:
    assert picture.image is not None
    (maps,) = model.attend(picture.image[None])
    return maps


def _segment(row: RowConfig, aggregated: torch.Tensor, maps: AttentionMaps, picture: DecodedPicture) -> torch.Tensor:
    return row.segmenter(picture.to(aggregated.device).scene(row.scoring, aggregated, maps.features))


def _timed(work: Callable[[], Any]) -> tuple[Any, float]:
    """Result of a call, and its seconds, including the work of a GPU."""
    start = time.perf_counter()
    result = work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return result, time.perf_counter() - start


def _memory(model: AttentionModel) -> str:
    """Peak memory of this process so far."""
    if torch.cuda.is_available() and torch.cuda.max_memory_allocated():
        return f"{torch.cuda.max_memory_allocated() / GB:.2f} GB of GPU memory at most"
    try:
        import resource
    except ImportError:  # Windows
        return "memory not measured on this system"
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return f"{peak / GB:.2f} GB of memory at most"


def _duration(seconds: float) -> str:
    if seconds < MINUTE:
        return f"{seconds:.0f} s"
    if seconds < HOUR:
        return f"{seconds / MINUTE:.0f} min"
    return f"{seconds / HOUR:.1f} h"
