"""Fixtures of the tests of backbones."""

from __future__ import annotations

from pathlib import Path

import pytest

from experiments.bench.tiny_sd import build_tiny_sd
from tests.helpers.tiny_vits import TINY_VITS, build_tiny_vit


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a tiny Stable Diffusion 1.4. Tests change only copies of it."""
    return build_tiny_sd(tmp_path_factory.mktemp("sd14"))


@pytest.fixture(params=TINY_VITS)
def tiny_vit(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, int]:
    """Folder of a random vision transformer, and the number of its class and register tokens."""
    return build_tiny_vit(request.param, tmp_path)
