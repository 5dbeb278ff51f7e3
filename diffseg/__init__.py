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
    from diffseg.aggregation import aggregate
    from diffseg.attention import AttentionMaps
    from diffseg.catalogue import settings
    from diffseg.divergence import symmetric_kl
    from diffseg.merging import anchor_grid, segment
    from diffseg.model import Model, load
    from diffseg.result import Result, Results, write_coco
    from diffseg.segmenters.dbscan import dbscan
    from diffseg.segmenters.kmeans import kmeans

__all__ = [
    "AttentionMaps",
    "Model",
    "Result",
    "Results",
    "aggregate",
    "anchor_grid",
    "dbscan",
    "kmeans",
    "load",
    "segment",
    "settings",
    "symmetric_kl",
    "write_coco",
]

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
    "segment": "merging",
    "settings": "catalogue",
    "symmetric_kl": "divergence",
    "write_coco": "result",
}


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
