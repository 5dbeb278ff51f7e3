"""Fixtures of the tests of backbones."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from tests.helpers.tiny_vits import TINY_VITS, build_tiny_vit


@pytest.fixture(params=TINY_VITS)
def tiny_vit(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, int]:
    """Folder of a random vision transformer, and the number of its class and register tokens."""
    return build_tiny_vit(request.param, tmp_path)


@pytest.fixture
def hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty Hugging Face cache, and no network."""

    def refuse(*_: object) -> None:
        raise AssertionError("a look-up of weights went to the network")

    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    return tmp_path / "hub"
