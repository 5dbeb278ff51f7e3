"""``make weights``: asks only for files that are not in the cache, and reports at once that there is no network."""

from __future__ import annotations

import socket
from pathlib import Path

import huggingface_hub
import pytest

from diffseg import hub
from diffseg.backbones import MissingWeights

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
    monkeypatch.setattr(hub, "REACHED_WITHIN", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", f"http://127.0.0.1:{server.getsockname()[1]}")
        with pytest.raises(MissingWeights, match="cannot be reached"):
            hub.download(TINY)


def test_cached_files_need_no_network(cache: Path) -> None:
    paths = [put(cache, "somebody/tiny", name) for name in TINY["somebody/tiny"]]
    assert hub.download(TINY) == [str(paths[0].parent)]


def test_only_missing_files_are_downloaded(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(cache, "somebody/tiny", "config.json")
    asked = []

    def hand_out(repository: str, name: str) -> None:
        asked.append(name)
        put(cache, repository, name)

    monkeypatch.setattr(hub, "require_hub", lambda repository: None)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", hand_out)
    (folder,) = hub.download(TINY)
    assert asked == ["unet/model.safetensors"]
    assert all((Path(folder) / name).is_file() for name in TINY["somebody/tiny"])


def test_a_full_disk_is_an_error_that_names_the_file(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(hub, "require_hub", lambda repository: None)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", fail)
    with pytest.raises(MissingWeights, match=r"^somebody/tiny: config.json could not be downloaded \(.*No space left"):
        hub.download(TINY)


def test_without_a_network_one_line_comes_at_once(
    cache: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", None)  # would try for half a minute
    assert hub.main() == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {NOWHERE} cannot be reached (")
    assert "CompVis/stable-diffusion-v1-4 was not downloaded" in line
    assert not cache.exists(), "something was left behind"
