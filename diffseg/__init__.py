"""DiffSeg: unsupervised zero-shot segmentation from the self-attention of a pretrained model.

Tian et al., *Diffuse, Attend, and Segment*, CVPR 2024 (arXiv 2308.12469). Data flow in one direction:

    image -> backbone (`diffseg.backbones`) -> `AttentionMaps` -> `aggregate` -> `segment` (`kmeans`, `dbscan`)

`load` puts these steps together:

    model = diffseg.load("dinov2_small")
    result = model.segment("photo.jpg", tau=0.3)
    result.labels, result.masks, result.overlay(), result.save("out")

Attention can be computed once and segmented often, also from a file (``attention.md``):

    maps = model.attend("photo.jpg")
    maps.save("photo.safetensors")
    model.segment(diffseg.AttentionMaps.load("photo.safetensors"), "diffcut")
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from diffseg.aggregation import aggregate as aggregate
    from diffseg.attention import AttentionMaps as AttentionMaps
    from diffseg.catalogue import settings as settings
    from diffseg.divergence import symmetric_kl as symmetric_kl
    from diffseg.merging import anchor_grid as anchor_grid
    from diffseg.model import Model as Model
    from diffseg.model import load as load
    from diffseg.result import Result as Result
    from diffseg.result import Results as Results
    from diffseg.result import write_coco as write_coco
    from diffseg.segmenters.dbscan import dbscan as dbscan
    from diffseg.segmenters.diffseg import segment as segment
    from diffseg.segmenters.kmeans import kmeans as kmeans

_HOME = {
    "AttentionMaps": "attention",
    "Model": "model",
    "Result": "result",
    "Results": "result",
    "aggregate": "aggregation",
    "anchor_grid": "merging",
    "dbscan": "segmenters.dbscan",
    "kmeans": "segmenters.kmeans",
    "load": "model",
    "segment": "segmenters.diffseg",
    "settings": "catalogue",
    "symmetric_kl": "divergence",
    "write_coco": "result",
}
"""Exported name -> its module."""

__all__ = list(_HOME)


def __dir__() -> list[str]:
    """Names for tab completion: all exports, imported or not, and modules imported so far; no helpers of this file."""
    helpers = {"annotations", "importlib", "Any", "TYPE_CHECKING", "_HOME"}
    return sorted({*globals(), *__all__} - helpers)


if not TYPE_CHECKING:  # a type checker would conclude that every name exists

    def __getattr__(name: str) -> Any:
        """Imports an export on first use: importing torch takes seconds, and checking settings does not need it."""
        if name in ("backbones", "segmenters"):  # packages that list their names: diffseg.backbones()
            return importlib.import_module(f"{__name__}.{name}")
        if name not in _HOME:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
