"""``make weights``: the files of every repository, and one line without a network."""

from __future__ import annotations

from pathlib import Path

import huggingface_hub
import pytest

from diffseg import hub
from diffseg.backbones.weights.locating import BY_MAKE


def test_without_a_network_one_line_comes_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    cache, nowhere = tmp_path / "cache", "http://127.0.0.1:9"  # nothing listens on the discard port
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cache))
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", nowhere)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", None)  # would try for half a minute
    assert hub.main() == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {nowhere} cannot be reached (")
    assert "CompVis/stable-diffusion-v1-4 was not downloaded" in line
    assert not cache.exists(), "something was left behind"


def test_every_repository_of_make_weights_has_its_files() -> None:
    assert tuple(hub.FILES) == BY_MAKE
    assert all("/" in repository and names for repository, names in hub.FILES.items())
