"""Downloads ask only for files that are not in the cache, and report at once that there is no network."""

from __future__ import annotations

import socket
from pathlib import Path

import huggingface_hub
import pytest

from diffseg.backbones import MissingWeights
from diffseg.backbones.weights import downloads

NOWHERE = "http://127.0.0.1:9"  # nothing listens on the discard port
TINY = {"somebody/tiny": ("config.json", "unet/model.safetensors")}


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of a hub that cannot be reached."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", NOWHERE)
    return tmp_path / "cache"


def put(cache: Path, repository: str, name: str) -> Path:
    """Puts a file into the cache as the hub's client does."""
    folder = cache / f"models--{repository.replace('/', '--')}"
    (folder / "refs").mkdir(parents=True, exist_ok=True)
    (folder / "refs" / "main").write_text("c0ffee")
    path = folder / "snapshots" / "c0ffee" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("{}")
    return path


def test_a_hub_that_does_not_answer_is_an_error(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downloads, "REACHED_WITHIN", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", f"http://127.0.0.1:{server.getsockname()[1]}")
        with pytest.raises(MissingWeights, match="cannot be reached"):
            downloads.download(TINY)


def test_cached_files_need_no_network(cache: Path) -> None:
    paths = [put(cache, "somebody/tiny", name) for name in TINY["somebody/tiny"]]
    assert downloads.download(TINY) == [str(paths[0].parent)]


def test_only_missing_files_are_downloaded(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(cache, "somebody/tiny", "config.json")
    asked = []

    def hand_out(repository: str, name: str) -> None:
        asked.append(name)
        put(cache, repository, name)

    monkeypatch.setattr(downloads, "require_hub", lambda repository: None)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", hand_out)
    (folder,) = downloads.download(TINY)
    assert asked == ["unet/model.safetensors"]
    assert all((Path(folder) / name).is_file() for name in TINY["somebody/tiny"])


def test_a_full_disk_is_an_error_that_names_the_file(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(downloads, "require_hub", lambda repository: None)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", fail)
    with pytest.raises(MissingWeights, match=r"^somebody/tiny: config.json could not be downloaded \(.*No space left"):
        downloads.download(TINY)
