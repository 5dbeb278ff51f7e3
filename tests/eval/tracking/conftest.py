"""wandb without a login. It is imported inside the fixture, because test_base.py needs none."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty results folder. wandb has no login, keeps its own files below ``tmp_path``, and is reset afterwards."""
    wandb = pytest.importorskip("wandb")
    from eval.tracking.wandb_tracker import _say

    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    for name, path in {"NETRC": "netrc", "WANDB_CONFIG_DIR": "config", "WANDB_CACHE_DIR": "cache"}.items():
        monkeypatch.setenv(name, str(tmp_path / path))
    for name in ("cwd", "run"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    _say.cache_clear()
    yield tmp_path / "run"
    wandb.teardown()
    assert not list((tmp_path / "cwd").iterdir()), "files lie where the user works"
