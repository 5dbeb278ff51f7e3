"""HED's layers, and the watershed of its edges, with random weights in the package's layout."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from diffseg.segmenters import hed
from diffseg.segmenters.hed import BLOCKS, HEDWatershed, find_edges, read_layers
from tests.helpers.two_tone import scene, two_tone

CHANNELS = (3, 2, 3, 2, 3, 2)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """A narrow network, as Keras saves it."""
    h5py = pytest.importorskip("h5py")
    random = np.random.default_rng(0)
    path = tmp_path / "weights.h5"
    with h5py.File(path, "w") as file:

        def layer(name: str, *shape: int) -> None:
            file[f"{name}/vars/0"] = random.normal(0, 0.3, shape).astype(np.float32)
            file[f"{name}/vars/1"] = random.normal(0, 0.3, shape[-1]).astype(np.float32)

        for block, count in enumerate(BLOCKS, 1):
            for number in range(count):
                name = "conv2d" if number == 0 else f"conv2d_{number}"
                before = CHANNELS[block - 1] if number == 0 else CHANNELS[block]
                layer(f"block{block}/layers/{name}", 3, 3, before, CHANNELS[block])
            layer(f"dsn{block}", 1, 1, CHANNELS[block], 1)
        layer("fuse", 1, 1, 5, 1)
    return path


def test_kernels_keep_their_orientation(weights: Path) -> None:
    """Keras stores (height, width, in, out), PyTorch computes with (out, in, height, width)."""
    import h5py

    layers = read_layers(weights)
    assert len(layers) == sum(BLOCKS) + 5 + 1
    with h5py.File(weights) as file:
        stored = file["block2/layers/conv2d/vars/0"][()]
    kernel, bias = layers["block2.0"]
    assert (kernel.shape, bias.shape) == ((3, 2, 3, 3), (3,))
    assert float(kernel[2, 1, 0, 2]) == stored[0, 2, 1, 2]


def test_edges_cover_pictures_of_any_size(weights: Path) -> None:
    layers = read_layers(weights)
    image = 255 * torch.rand(3, 37, 50, generator=torch.Generator().manual_seed(0))
    edges = find_edges(image, layers)
    assert (edges.shape, edges.dtype) == ((37, 50), torch.float32)
    assert 0 <= float(edges.min()) < float(edges.max()) <= 1
    assert not torch.allclose(edges, find_edges(image.flip(0), layers))  # the order of the colours matters


def test_basins_are_joined_across_weak_edges(monkeypatch: pytest.MonkeyPatch) -> None:
    image, _ = two_tone()
    edges = torch.full((40, 40), 0.05)
    edges[:, 13], edges[:, 27] = 0.4, 0.8
    monkeypatch.setattr(hed, "_weights", Path)
    monkeypatch.setattr(hed, "_layers", lambda path: {})
    monkeypatch.setattr(hed, "find_edges", lambda image, layers: edges)
    segmenters = [HEDWatershed(threshold) for threshold in (0.1, 0.3, 0.95)]
    maps = list(HEDWatershed.segment_all(scene(image), segmenters))
    assert [len(labels.unique()) for labels in maps] == [3, 2, 1]
    assert all(labels[0, 0] == labels[39, 12] != labels[20, 39] for labels in maps[:2])
    assert torch.equal(segmenters[1](scene(image)), maps[1])
