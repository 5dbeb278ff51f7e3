"""Fixture of the tests of backbones."""

from __future__ import annotations

from pathlib import Path

import pytest

from experiments.bench.tiny_sd import build_tiny_sd


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a tiny Stable Diffusion 1.4. Tests change only copies of it."""
    return build_tiny_sd(tmp_path_factory.mktemp("sd14"))
