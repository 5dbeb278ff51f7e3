"""Backbone, time step and threshold of the paper's figures. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass, replace

from diffseg import parts
from diffseg.backbones import Backbone, tuned_values
from diffseg.backbones.stable_diffusion import StableDiffusion
from diffseg.backbones.vit import ViT

BACKBONES = ("dinov2_small", "sd14")
ANCHORS, ITERATIONS = 16, 3  # of the paper's benchmark (Table 3) and of Fig. 4
FIG4_TIMESTEP, FIG4_TAU = 100, 1.0  # Section 4.2 of the paper


@dataclass(frozen=True)
class Setup:
    """A backbone, the threshold tau (nats) for its attention, and the title of its figures."""

    spec: Backbone
    tau: float
    title: str


def setups(backbone: str, path: str | None, size: int | None) -> tuple[Setup, Setup]:
    """The setup of Fig. 2 and 5 to 9, and that of Fig. 4, which the paper makes with another time step and threshold.

    A ViT gets inputs of four sizes, so that it has four resolutions, like Stable Diffusion. Both setups use its tau.

    Raises:
        ValueError: ``size`` does not fit the backbone.
    """
    given = {key: value for key, value in (("path", path), ("size", size)) if value}
    if backbone == "sd14":
        usual: StableDiffusion = parts.choose("backbone", "sd14", None, given)
        early = replace(usual, timestep=FIG4_TIMESTEP)
        return _of_diffusion(usual, _tau(usual)), _of_diffusion(early, FIG4_TAU)
    whole: ViT = parts.choose("backbone", "dinov2_small", None, {"size": 2 * ViT.size, **given})
    finest = whole.sides[0]
    spec = replace(whole, sides=tuple(finest // step for step in (1, 2, 4, 8) if finest % step == 0))
    title = f"DINOv2 ViT-S/14, {spec.size} px, τ = {_tau(spec)}"
    paper = (
        f"(the paper's figure: Stable Diffusion, t = {FIG4_TIMESTEP}, M = {ANCHORS}, N = {ITERATIONS}, τ = {FIG4_TAU})"
    )
    return Setup(spec, _tau(spec), title), Setup(spec, _tau(spec), f"{title}\n{paper}")


def _of_diffusion(spec: StableDiffusion, tau: float) -> Setup:
    return Setup(spec, tau, f"Stable Diffusion, {spec.size} px, t = {spec.timestep}, τ = {tau}")


def _tau(spec: Backbone) -> float:
    return tuned_values(spec, "diffseg")["tau"]
