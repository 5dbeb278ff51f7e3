"""DiffSeg: unsupervised zero-shot segmentation from the self-attention of a pretrained model.

Tian et al., *Diffuse, Attend, and Segment*, CVPR 2024 (arXiv 2308.12469). The data flow one way:

    image -> backbone (`diffseg.backbones`) -> `AttentionMaps` -> `aggregate` -> `segment` (`kmeans`, `dbscan`)
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from diffseg.aggregation import aggregate
    from diffseg.attention import AttentionMaps
    from diffseg.divergence import symmetric_kl
    from diffseg.merging import anchor_grid, segment
    from diffseg.segmenters.dbscan import dbscan
    from diffseg.segmenters.kmeans import kmeans

__all__ = ["AttentionMaps", "aggregate", "anchor_grid", "dbscan", "kmeans", "segment", "symmetric_kl"]

_HOME = {
    "AttentionMaps": "attention",
    "aggregate": "aggregation",
    "anchor_grid": "merging",
    "dbscan": "segmenters.dbscan",
    "kmeans": "segmenters.kmeans",
    "segment": "merging",
    "symmetric_kl": "divergence",
}


def __getattr__(name: str) -> Any:
    """Imports an export on first use: importing torch takes seconds, and checking a configuration needs none of it."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
