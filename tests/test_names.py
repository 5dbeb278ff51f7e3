"""Our folder ``datasets`` has the name of Hugging Face's library and precedes it on the path."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

CODE = """
import datasets.base, transformers, diffusers
from transformers import AutoModel, Dinov2Config, Dinov2Model
from diffusers import UNet2DConditionModel
import datasets
print(datasets.__file__)
config = Dinov2Config(hidden_size=8, num_hidden_layers=1, num_attention_heads=2, image_size=28, patch_size=14)
assert isinstance(AutoModel.from_config(config), Dinov2Model)
"""


@pytest.mark.long
def test_transformers_and_diffusers_work_beside_our_datasets() -> None:
    run = subprocess.run([sys.executable, "-c", CODE], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert Path(run.stdout.strip().splitlines()[-1]) == ROOT / "datasets" / "__init__.py"
