"""The spec of saved attention. Runs from its files are tested with ``python -m experiments.attend``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from diffseg import AttentionMaps
from diffseg.backbones.saved import Saved


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({}, "folder: not set"),
        ({"folder": Path("nowhere")}, "folder: nowhere is not a folder"),
        ({"folder": 3}, "folder: input should be a valid string"),
        ({"folder": ".", "debias": 2.0}, "debias: must be at most 1"),
    ],
)
def test_wrong_settings_are_one_line(settings: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=f"^{complaint}") as caught:
        Saved(**settings)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", [str, Path])
def test_the_folder_is_a_text_or_a_path(kind: type[str | Path], tmp_path: Path) -> None:
    provenance = {"settings": {"size": 16, "weights": "abc"}}
    AttentionMaps({2: torch.eye(4)}, provenance=provenance).save(tmp_path / "cat.safetensors")
    assert Saved(kind(tmp_path)).size == 16
