"""Times Stable Diffusion's U-Net: collecting attention, and whole pictures. Its weights are random."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any

import torch

from diffseg import aggregate, segment
from diffseg.backbones import Dtype
from diffseg.backbones.stable_diffusion import StableDiffusion
from diffseg.backbones.unet_attention import UNetAttention
from eval.decoding import decoded_ahead
from experiments.bench.inputs import stable_diffusion
from experiments.bench.measuring import MB, NO_CUDA, Line, Settings, absent, peak_bytes, seconds
from experiments.bench.pictures import PHOTOS, score

SIZE, QUICK_SIZE = 512, 128
# Device, pictures per batch, and goal for the time of the collecting pass divided by that of the bare pass.
RATIO_GOALS = (("cpu", 1, 1.25), ("cuda", 1, 1.35), ("cuda", 16, 1.35))
MEMORY_GOALS = {"cpu": 250.0, "cuda": 100.0}  # MB per picture
BATCH = 16  # pictures per batch in the lines of pictures per second
# (dtype, compiled) -> goal in pictures per second.
RATE_GOALS: dict[tuple[Dtype, bool], float] = {
    ("float32", False): 1000 / 85,
    ("tf32", False): 1000 / 30,
    ("float16", False): 85,
    ("float16", True): 100,
}
ROUNDS = 8  # passes over the eight photographs: enough to make the wait for the first decoded batch negligible
TAU = 1.1


@dataclass(frozen=True)
class _Pass:
    """The two passes to compare, with one model and the same batch of latents."""

    model: UNetAttention
    latents: torch.Tensor

    def bare(self) -> None:
        self.model.predict(self.latents, self.model.spec.timestep)

    def collecting(self) -> None:
        self.model.attend_encoded(self.latents, self.model.spec)


def _pass(settings: Settings, device: str, batch: int) -> _Pass:
    dtype: Dtype = "float16" if device == "cuda" else "float32"
    spec = StableDiffusion(size=QUICK_SIZE if settings.quick else SIZE, dtype=dtype)
    model = stable_diffusion(spec, device)
    return _Pass(model, torch.randn(batch, 4, spec.sides[0], spec.sides[0], device=device))


def collecting_lines(settings: Settings) -> list[Line]:
    """Compares time and peak memory of the collecting pass with those of the bare pass."""
    found = []
    for device, batch, goal in RATIO_GOALS:
        size = QUICK_SIZE if settings.quick else SIZE
        time_name = f"unet: collecting attention, {size} px, batch of {batch}, {device}"
        memory_name = f"unet: memory for collecting a picture, {size} px, batch of {batch}, {device}"
        if absent(device):
            found += [Line(each, note=NO_CUDA) for each in (time_name, memory_name)]
            continue
        passes = _pass(settings, device, batch)
        calls: dict[str, Any] = {"ours": passes.collecting, "bare": passes.bare}
        took = seconds(calls, 1 if settings.quick else 3, device)
        note = "the pass ends at the last layer's queries and keys"
        bare = took["bare"]
        line = Line(time_name, "s", took["ours"], bare, "bare pass", goal_ratio=goal, floor=bare, note=note)
        found.append(line)
        least, peak = (peak_bytes(call, device) for call in (passes.bare, passes.collecting))
        every = f"all heads of all layers: {_every_head(passes.model) / MB:,.0f} MB, computed"
        if least is None or peak is None:
            found.append(Line(memory_name, note="unmeasured: no Linux /proc"))
        else:
            found.append(Line(memory_name, "MB", (peak - least) / batch / MB, goal=MEMORY_GOALS[device], note=every))
    return found


def _every_head(model: UNetAttention) -> int:
    """Bytes of one picture's attention maps of all heads and layers, in float32."""
    layers = zip(model.spec.sides, (5, 5, 5, 1), strict=True)
    return sum(4 * count * model.unet.config.attention_head_dim * side**4 for side, count in layers)


def picture_lines(settings: Settings) -> list[Line]:
    """Measures pictures per second from decoding to score, CUDA only: on a CPU one picture takes half a minute."""
    quoted = "quoted: the authors' code, 0.5 pictures/s"
    found = []
    for (dtype, compiled), goal in RATE_GOALS.items():
        how = f"{dtype}, compiled" if compiled else dtype
        name = f"pictures: SD v1.4 architecture, {SIZE} px, decoding to score, {how}, cuda"
        rate, note = None, f"{NO_CUDA}; {quoted}"
        if not absent("cuda"):
            model = stable_diffusion(StableDiffusion(dtype=dtype, compile=compiled), "cuda")
            took = seconds({"ours": partial(pictures, model, BATCH)}, settings.repeats, "cuda")["ours"]
            rate, note = ROUNDS * len(PHOTOS.ids) / took, f"batches of {BATCH}; {quoted}"
        found.append(Line(name, "pictures/s", rate, goal=goal, more_is_better=True, note=note))
    return found


def pictures(model: UNetAttention, batch_size: int) -> None:
    """Segments and scores all photographs `ROUNDS` times, decoded ahead and in batches like in a run."""
    size = model.spec.size
    ahead = decoded_ahead(PHOTOS, PHOTOS.ids * ROUNDS, size, [size], 2 * batch_size)
    while batch := [future.result() for _, future in islice(ahead, batch_size)]:
        attention = model.attend(torch.stack([picture.image for picture in batch]))
        for picture, maps in zip(batch, attention, strict=True):
            score(segment(aggregate(maps.maps), TAU, grid="official", size=size), picture)
