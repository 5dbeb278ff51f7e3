"""Positional debiasing against NumPy, on made-up positions and on tiny transformers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from diffseg.backbones.debiasing import positional_basis, without_positions
from tests.helpers.tiny_vits import TINY_VITS, build_tiny_vit, tiny_spec


def random_features(places: int, channels: int, seed: int) -> Tensor:
    scales = 0.7 ** torch.arange(channels)
    return 1 + scales * torch.randn(places, channels, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999, 1.0])
def test_basis_explains_its_share_and_no_shorter_one_does(share: float) -> None:
    blank = random_features(49, 12, 0)
    basis = positional_basis(blank, share).double().numpy()
    np.testing.assert_allclose(basis @ basis.T, np.eye(len(basis)), atol=1e-6)
    points = blank.double().numpy() / np.linalg.norm(blank.double().numpy(), axis=1, keepdims=True)
    points -= points.mean(axis=0)
    for directions, enough in ((basis, True), (basis[:-1], False)):
        explained = np.square(points @ directions.T).sum() / np.square(points).sum()
        assert bool(explained >= share - 1e-5) is enough


def test_debiasing_removes_places_and_keeps_content() -> None:
    """A constant, the place and the content of the features lie in different channels."""
    generator = torch.Generator().manual_seed(1)
    places, content = torch.randn(36, 3, generator=generator), torch.randn(36, 4, generator=generator)
    constant = torch.full((36, 1), 5.0)
    blank = torch.cat([constant, places, torch.zeros_like(content)], dim=1)
    features = torch.cat([constant, places, content], dim=1)
    basis = positional_basis(F.normalize(blank, dim=1), 0.9999)
    cleaned = without_positions(features, basis)
    torch.testing.assert_close(cleaned[:, 4:], F.normalize(features, dim=1)[:, 4:])
    assert float(cleaned[:, 1:4].abs().max()) < 0.2 * float(F.normalize(features, dim=1)[:, 1:4].abs().max())
    torch.testing.assert_close(cleaned @ basis.T, torch.zeros(36, len(basis)), atol=1e-6, rtol=0)


@pytest.mark.parametrize("kind", sorted({"dinov2", "dinov3"} & TINY_VITS.keys()))
def test_features_of_a_model_lose_their_places(kind: str, tmp_path: Path) -> None:
    folder, _ = build_tiny_vit(kind, tmp_path)
    plain, debiased = (tiny_spec(folder, debias=share) for share in (0.0, 0.9))
    model = plain.load("cpu")
    images = 255 * torch.rand(2, 3, 48, 48, generator=torch.Generator().manual_seed(2))
    assert plain.encoder == debiased.encoder  # so one loaded model serves both
    before, after = model.attend_encoded(images, plain), model.attend_encoded(images, debiased)
    blank = model.attend_encoded(torch.zeros(1, 3, 48, 48), plain)[0].features
    assert blank is not None
    basis = positional_basis(blank, 0.9)
    for old, new in zip(before, after, strict=True):
        assert old.features is not None
        assert new.features is not None
        torch.testing.assert_close(new.features, without_positions(old.features, basis))
        assert not torch.allclose(new.features, F.normalize(old.features, dim=1))
        assert torch.equal(new.maps[6], old.maps[6])
    torch.testing.assert_close(debiased.load("cpu").attend(images)[0].features, after[0].features)
