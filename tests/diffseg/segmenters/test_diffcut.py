"""DiffCut against the authors' steps written out densely, and on the features of a tiny Stable Diffusion."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from scipy.linalg import eigh
from torch import Tensor

from diffseg import aggregate
from diffseg.backbones.stable_diffusion import StableDiffusion
from diffseg.segmenters.base import Scene
from diffseg.segmenters.diffcut import PUBLISHED_TAU, DiffCut
from experiments.bench.tiny_sd import pictures
from tests.helpers.attention import blocks, regions
from tests.helpers.cuts import naive_cut, same_parts


def scene(features: Tensor | None, size: int) -> Scene:
    return Scene(aggregated=blocks(8), size=size, features=features)


def naive_parts(affinity: Tensor, members: list[int], tau: float) -> list[list[int]]:
    """The authors' recursion: dense eigenvectors, a hundred thresholds, one cut value at a time."""
    if len(members) < 2:
        return [members]
    part = affinity[members][:, members].double()
    degrees = torch.diag(part.sum(dim=1))
    vector = torch.from_numpy(eigh((degrees - part).numpy(), degrees.numpy())[1][:, 1])
    vector = vector * vector[vector.abs().argmax()].sign()
    sides = [(vector > at).tolist() for at in torch.linspace(vector.min() * 0.99, vector.max() * 0.99, 100)]
    value, side = min((naive_cut(part, side), side) for side in sides)
    if value >= tau:
        return [members]
    halves = [
        [member for member, inside in zip(members, side, strict=True) if inside is kept] for kept in (True, False)
    ]
    return [*naive_parts(affinity, halves[0], tau), *naive_parts(affinity, halves[1], tau)]


def naive_diffcut(features: Tensor, size: int, tau: float, alpha: float) -> Tensor:
    side = int(len(features) ** 0.5)
    unit = F.normalize(features, dim=1)
    cosine = unit @ unit.T
    parts = naive_parts(((cosine - cosine.min()) / (cosine.max() - cosine.min())) ** alpha, list(range(side**2)), tau)
    means = torch.stack([unit[part].mean(dim=0) for part in parts])
    upsampled = F.interpolate(unit.T.view(1, -1, side, side), (size, size), mode="bilinear", align_corners=False)
    return torch.einsum("chw,kc->khw", upsampled[0], means).argmax(dim=0)


@pytest.mark.parametrize(("noise", "tau"), [(0.3, 0.5), (1.0, 0.5), (1.0, 0.8)])
def test_labels_equal_the_authors_steps(noise: float, tau: float) -> None:
    features, _ = regions(6, noise)
    expected = naive_diffcut(features, 30, tau, 10)
    assert len(expected.unique()) > 1
    assert same_parts(DiffCut(tau, assign=None)(scene(features, 30)).flatten(), expected.flatten())


def test_stripes_are_found_whatever_their_order_and_length() -> None:
    features, stripe = regions(8, 0.2)
    labels = DiffCut(PUBLISHED_TAU)(scene(features, 8))
    assert same_parts(labels.flatten(), stripe)
    rotation = torch.linalg.qr(torch.randn(24, 24, generator=torch.Generator().manual_seed(2)))[0]
    lengths = torch.rand(64, 1, generator=torch.Generator().manual_seed(3)) + 0.5
    assert same_parts(DiffCut(PUBLISHED_TAU)(scene(lengths * features @ rotation, 8)).flatten(), stripe)


def test_pixels_are_assigned_at_the_size_assign_and_repeated() -> None:
    """The authors use 128: bilinear upsampling to that size, nearest from there."""
    features, _ = regions(5, 0.6)  # odd: with an even side, some pixels are equally near to two cells
    labels = DiffCut(0.5, assign=10)(scene(features, 30))
    small = naive_diffcut(features, 10, 0.5, 10)
    assert len(small.unique()) > 1
    assert same_parts(labels.flatten(), small.repeat_interleave(3, 0).repeat_interleave(3, 1).flatten())


def test_features_of_stable_diffusion_are_those_of_the_authors_hook(sd: Path) -> None:
    """The hook takes the output of the encoder's last self-attention layer, at S / 4."""
    model = StableDiffusion(str(sd), 128).load("cpu")
    outputs: list[Tensor] = []
    layer = model.unet.down_blocks[-2].attentions[-1].transformer_blocks[-1].attn1
    layer.register_forward_hook(lambda _module, _inputs, output: outputs.append(output))
    images = pictures(128, 2)
    attended = model.attend(images)
    assert outputs[0].std(dim=1).min() > 0
    for output, maps in zip(outputs[0], attended, strict=True):
        assert maps.features is not None
        assert torch.equal(maps.features, output)
        assert len(maps.features) == (128 // 8 // 4) ** 2
        labels = DiffCut(tau=1.5)(Scene(aggregated=aggregate(maps.maps), size=(128, 128), features=maps.features))
        assert len(labels.unique()) > 1
