"""Collecting attention from Stable Diffusion's U-Net, and whole pictures through it; random weights cost the same."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any, Literal

import torch

from diffseg import aggregate, segment
from diffseg.backbones.stable_diffusion import StableDiffusion
from diffseg.backbones.unet_attention import UNetAttention
from eval.decoding import decoded_ahead
from eval.run import GPU_BATCH
from experiments.bench.inputs import stable_diffusion
from experiments.bench.measuring import MB, NO_CUDA, Line, Settings, absent, peak_bytes, seconds
from experiments.bench.pictures import PHOTOS, score

SIZE, QUICK_SIZE = 512, 128
RATIO_GOALS = {"cpu": 1.25, "cuda": 1.3}
MEMORY_GOAL = 250.0  # MB a picture
RATE_GOAL = 50.0  # pictures a second
ROUNDS = 8  # over the eight photographs, so that the first batch's decoding, for which all wait, counts little
TAU = 1.1


@dataclass(frozen=True)
class _Pass:
    """The two passes that are compared, of one loaded model and one picture's latent."""

    model: UNetAttention
    latents: torch.Tensor

    def bare(self) -> None:
        self.model.predict(self.latents, self.model.spec.timestep)

    def collecting(self) -> None:
        self.model.attend_encoded(self.latents, self.model.spec)


def _pass(settings: Settings, device: str) -> _Pass:
    dtype: Literal["float32", "float16"] = "float16" if device == "cuda" else "float32"
    spec = StableDiffusion(size=QUICK_SIZE if settings.quick else SIZE, dtype=dtype)
    model = stable_diffusion(spec, device)
    return _Pass(model, torch.randn(1, 4, spec.sides[0], spec.sides[0], device=device))


def collecting_lines(settings: Settings) -> list[Line]:
    """Time and peak memory of the collecting pass against the bare one."""
    found = []
    for device, goal in RATIO_GOALS.items():
        size = QUICK_SIZE if settings.quick else SIZE
        time_name = f"unet: collecting attention, {size} px, {device}"
        memory_name = f"unet: memory for collecting, {size} px, {device}"
        if absent(device):
            found += [Line(each, note=NO_CUDA) for each in (time_name, memory_name)]
            continue
        passes = _pass(settings, device)
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
            found.append(Line(memory_name, "MB", (peak - least) / MB, goal=MEMORY_GOAL, note=every))
    return found


def _every_head(model: UNetAttention) -> int:
    """Bytes of the attention of all heads of all layers of one picture, float32."""
    layers = zip(model.spec.sides, (5, 5, 5, 1), strict=True)
    return sum(4 * count * model.unet.config.attention_head_dim * side**4 for side, count in layers)


def picture_lines(settings: Settings) -> list[Line]:
    """Pictures a second from decoding to score, half precision, on CUDA; on a CPU one picture takes half a minute."""
    name = "pictures: SD v1.4 architecture, 512 px, decoding to score, float16, cuda"
    quoted = "quoted: the authors' code, 0.5 pictures/s"
    if absent("cuda"):
        return [Line(name, "pictures/s", goal=RATE_GOAL, more_is_better=True, note=f"{NO_CUDA}; {quoted}")]
    model = stable_diffusion(StableDiffusion(dtype="float16"), "cuda")
    took = seconds({"ours": partial(pictures, model, GPU_BATCH)}, settings.repeats, "cuda")["ours"]
    rate = ROUNDS * len(PHOTOS.ids) / took
    note = f"batches of {GPU_BATCH}; {quoted}"
    return [Line(name, "pictures/s", rate, goal=RATE_GOAL, more_is_better=True, note=note)]


def pictures(model: UNetAttention, batch_size: int) -> None:
    """All photographs `ROUNDS` times, decoded ahead and in batches, as a run does it."""
    size = model.spec.size
    ahead = decoded_ahead(PHOTOS, PHOTOS.ids * ROUNDS, size, [size], 2 * batch_size)
    while batch := [future.result() for _, future in islice(ahead, batch_size)]:
        attention = model.attend(torch.stack([picture.image for picture in batch]))
        for picture, maps in zip(batch, attention, strict=True):
            score(segment(aggregate(maps.maps), TAU, grid="official", size=size), picture)
