"""Rows on a folder of tiny pictures, without a network and without Hydra."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import OmegaConf
from PIL import Image

from datasets.base import Dataset
from datasets.folder import FolderDataset
from diffseg.backbones.none import NoBackbone
from eval.config import ProtocolSettings
from eval.rows import RowConfig

SIDE = 8
CLASSES = ("road", "sky", "tree")
KMEANS = {"_target_": "diffseg.segmenters.kmeans_rgbxy.KMeansRGBXY", "clusters": 2}
NO_BACKBONE = NoBackbone(SIDE)


def write_picture(folder: Path, id: str, classes: int = 2) -> None:
    """Writes a picture of 8 x 8 pixels in stripes, one for each class, and its label map."""
    stripes = np.arange(SIDE, dtype=np.uint8) * classes // SIDE
    label = np.repeat(stripes[:, None], SIDE, axis=1)
    for name, pixels in (("images", np.stack([label * 90] * 3, axis=-1)), ("maps", label)):
        (folder / name).mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(folder / name / f"{id}.png")


def dataset_of(folder: Path, limit: int | None = None) -> FolderDataset:
    """The data set of the written pictures."""
    return FolderDataset(images=str(folder / "images"), maps=str(folder / "maps"), classes=CLASSES, limit=limit)


def folder_overrides(folder: Path, ids: Iterable[str] = (), classes: int = 2) -> tuple[str, ...]:
    """Writes pictures. Returns the overrides of a command that evaluates them without a network."""
    for id in ids:
        write_picture(folder, id, classes)
    data = (f"dataset.images={folder / 'images'}", f"dataset.maps={folder / 'maps'}")
    return "dataset=folder", *data, f"dataset.classes=[{','.join(CLASSES)}]", "backbone=none", f"backbone.size={SIDE}"


def row_config(
    dataset: Dataset,
    segmenter: Mapping[str, Any] = KMEANS,
    backbone: Any = NO_BACKBONE,
    weights: Any = "proportional",
    **protocol: Any,
) -> RowConfig:
    """A checked row. ``protocol``: keys of `eval.config.ProtocolSettings`."""
    aggregation = {"_target_": "diffseg.aggregation.Aggregation", "weights": weights}
    return RowConfig(
        name="a row",
        composed=OmegaConf.create(
            {
                "name": "an experiment",
                "published": None,
                "audit": False,
                "dataset": {"_target_": "datasets.folder.FolderDataset"},
                "aggregation": aggregation,
                "segmenter": dict(segmenter),
            }
        ),
        choices={"backbone": "a_backbone", "segmenter": "a_segmenter"},
        dataset=dataset,
        backbone=backbone,
        protocol=ProtocolSettings(**protocol),
    )
