"""Names and settings of backbones and segmenters."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from diffseg import parts
from diffseg.backbones import WeightsError

PARTS = {"backbone": "check", "segmenter": "resolved", "dataset": "ids"}
"""Group -> an attribute that its parts have."""


def names(group: parts.Group, config_dir: str | Path | None = None) -> list[str]:
    """Names of all backbones, or of the segmenters that need no benchmark; see `ListingPackage`."""
    return parts.names(group, config_dir) if group == "backbone" else _usable(group, config_dir)


def settings(segmenter: str, config_dir: str | Path | None = None) -> dict[str, Any]:
    """Settings of a segmenter that `Model.segment` takes, with their values in its preset.

    None: a value tuned for the backbone, or found by the segmenter, takes its place. ``help(diffseg.segmenters...)`` of
    the segmenter's class explains them. ``config_dir`` is your folder of presets, see `diffseg.load`. Raises ValueError
    if there is no such segmenter.

    >>> settings("kmeans_rgbxy")["clusters"]
    6
    """
    part = choose("segmenter", segmenter, config_dir, {})
    return {field.name: getattr(part, field.name) for field in fields(part)}


def choose(group: parts.Group, part: Any, config_dir: str | Path | None, settings: Mapping[str, Any]) -> Any:
    """`diffseg.parts.choose`, except that a message about an unknown name suggests a part that can be used here."""
    if isinstance(part, str) and part not in (known := parts.names(group, config_dir)):
        usable = _usable(group, config_dir)
        offered = usable if difflib.get_close_matches(part, usable, n=1) else known
        raise ValueError(f"{group}: there is no {part!r}{parts.nearest(part, offered)}")
    if not isinstance(part, str) and (isinstance(part, type) or not hasattr(part, PARTS[group])):
        raise TypeError(f"{group}: must be the name of a preset, or an object of a {group}'s class, got {part!r}")
    return parts.choose(group, part, config_dir, settings)


def _usable(group: parts.Group, config_dir: str | Path | None) -> list[str]:
    """Names of the backbones whose weights are on this machine, or of the segmenters that need no benchmark."""
    return [name for name in parts.names(group, config_dir) if _is_usable(group, name, config_dir)]


def _is_usable(group: parts.Group, name: str, config_dir: str | Path | None) -> bool:
    try:
        part = parts.choose(group, name, config_dir, {})
        if group == "backbone":
            part.check()
    except (ValueError, OSError, WeightsError):
        return False
    from diffseg.segmenters.base import ReadsFiles, needs_truth

    return group == "backbone" or not (needs_truth(part) or isinstance(part, ReadsFiles))
