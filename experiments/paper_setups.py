"""With which backbone, time step and threshold the paper's figures are drawn. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass, replace

from diffseg.backbones import Backbone
from diffseg.backbones.stable_diffusion import StableDiffusion
from diffseg.backbones.vit import ViT

BACKBONES = ("dinov2_small", "sd14")
FIG4_TIMESTEP, FIG4_TAU = 100, 1.0  # Section 4.2 of the paper


@dataclass(frozen=True)
class Setup:
    """A backbone, the threshold tau in nats that suits its attention, and what the title of a figure says of both."""

    spec: Backbone
    tau: float
    title: str


def setups(backbone: str, path: str | None, size: int | None) -> tuple[Setup, Setup]:
    """How Fig. 2 and 5 to 9 are made, and how Fig. 4, for which the paper has another time step and threshold.

    A ViT is seen at four sizes, so that it has four resolutions as Stable Diffusion has, and keeps its own tau.

    Raises:
        ValueError: ``size`` does not fit the backbone.
    """
    if backbone == "sd14":
        usual = StableDiffusion(path or StableDiffusion.path, size or StableDiffusion.size)
        early = replace(usual, timestep=FIG4_TIMESTEP)
        return _of_diffusion(usual, _tau(usual)), _of_diffusion(early, FIG4_TAU)
    whole = ViT(path or ViT.path, size or 2 * ViT.size)
    finest = whole.sides[0]
    spec = replace(whole, sides=tuple(finest // step for step in (1, 2, 4, 8) if finest % step == 0))
    title = f"DINOv2 ViT-S/14, {spec.size} px, τ = {_tau(spec)}"
    own = f"its own (the paper's figure: Stable Diffusion, t = {FIG4_TIMESTEP}, M = 16, N = 3, τ = {FIG4_TAU})"
    return Setup(spec, _tau(spec), title), Setup(spec, _tau(spec), f"{title}, {own}")


def _of_diffusion(spec: StableDiffusion, tau: float) -> Setup:
    return Setup(spec, tau, f"Stable Diffusion, {spec.size} px, t = {spec.timestep}, τ = {tau}")


def _tau(spec: Backbone) -> float:
    return spec.tuned["diffseg"]["tau"]["default"]
