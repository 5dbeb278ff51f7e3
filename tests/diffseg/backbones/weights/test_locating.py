"""Finding weights on this machine, and identifying them."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

from diffseg.backbones import MissingWeights
from diffseg.backbones.vit import ViT
from diffseg.backbones.weights.locating import TRANSFORMERS_FILES, cache_folder, locate, name_of, sha256_of
from tests.helpers.hub_cache import REVISION, add_to_hub, hex_sha256


def test_the_cache_folder_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("DIFFSEG_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert cache_folder() == Path.home() / ".cache" / "diffseg"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "diffseg"
    monkeypatch.setenv("DIFFSEG_CACHE", "~/elsewhere")
    assert cache_folder() == Path.home() / "elsewhere"


def test_locate_finds_files_in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sd" / "unet").mkdir(parents=True)
    (tmp_path / "sd" / "unet" / "config.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    for path in ("sd", "./sd", str(tmp_path / "sd")):
        assert locate(path, ["unet/config.json"]) == Path(path)
    with pytest.raises(MissingWeights, match=r"the folder sd has no vae/a\.json"):
        locate("sd", ["unet/config.json", "vae/a.json", "vae/b.json"])


@pytest.mark.parametrize("path", ["./absent", "/absent/folder", "~/absent/folder", "file"])
def test_locate_names_a_path_that_is_no_folder(path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    with pytest.raises(MissingWeights, match=f"^path: {re.escape(path)} is not a folder.*config.json"):
        locate(path, ["config.json"])


def test_locate_finds_files_in_the_hub_cache(hub_cache: Path) -> None:
    snapshot = add_to_hub(hub_cache, {"config.json": b"{}", "unet/deep/model.safetensors": save({"a": np.ones(2)})})
    assert locate("owner/name", ["config.json", "unet/deep/model.safetensors"]) == snapshot
    assert locate("owner/name", ["unet/deep/model.safetensors"]) == snapshot
    (snapshot.parents[1] / ".no_exist" / REVISION).mkdir(parents=True)
    (snapshot.parents[1] / ".no_exist" / REVISION / "known_absent").touch()
    for missing in ("model.safetensors", "known_absent"):
        with pytest.raises(
            MissingWeights, match=f"^{missing} of owner/name .*`hf download owner/name config.json {missing}`"
        ):
            locate("owner/name", ["config.json", missing])


@pytest.mark.parametrize("path", ["facebook/dinov2-small", "a/b/c", "no such model"])
def test_locate_says_in_one_line_what_to_do(path: str, hub_cache: Path) -> None:
    with pytest.raises(MissingWeights) as error:
        locate(path, TRANSFORMERS_FILES)
    assert path in str(error.value)
    assert "\n" not in str(error.value)


def test_sha256_of_is_the_digest_of_the_digests(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.write_bytes(b"one")
    second.write_bytes(b"two")
    expected = hex_sha256((hex_sha256(b"one") + hex_sha256(b"two")).encode())
    assert sha256_of([first, second]) == expected
    assert sha256_of([second, first]) != expected


def test_sha256_of_trusts_the_names_of_the_hub_blobs_alone(hub_cache: Path, tmp_path: Path) -> None:
    (tmp_path / "copy").write_bytes(b"weights")
    expected = sha256_of([tmp_path / "copy"])
    file = add_to_hub(hub_cache, {"model.safetensors": b"weights"}) / "model.safetensors"
    assert sha256_of([file]) == expected
    blob = file.resolve()
    blob.write_bytes(b"gigabytes")  # reading it would give another digest
    assert sha256_of([file]) == expected
    for target in (tmp_path / blob.name, blob.parent / REVISION):  # outside the blobs; named by a git digest
        target.write_bytes(b"else")
        link = tmp_path / f"link to {target.name}"
        link.symlink_to(target)
        assert sha256_of([link]) == hex_sha256(hex_sha256(b"else").encode())


def test_weights_are_named_by_repository_or_folder(tmp_path: Path) -> None:
    assert name_of(ViT(path="facebook/dinov2-base")) == "facebook/dinov2-base"
    assert name_of(ViT(path=str(tmp_path / "mine"))) == "mine"
