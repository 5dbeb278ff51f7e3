"""Weights on this machine: finding, checking and identifying their files."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save
from safetensors.torch import save_file

from diffseg.backbones import BrokenWeights, MissingWeights
from diffseg.backbones.vit import ViT
from diffseg.backbones.weights.files import (
    TRANSFORMERS_FILES,
    cache_folder,
    check_file,
    locate,
    name_of,
    read_json,
    sha256_of,
    shards_of,
    whole_number,
)
from tests.helpers import damage
from tests.helpers.hub_cache import REVISION, add_to_hub, hex_sha256


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    file = tmp_path / "model.safetensors"
    save_file({"a": torch.zeros(3, 2), "b": torch.zeros(5)}, file, {"format": "pt"})
    return file


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "config.json"
    file.write_text('{"patch_size": 8, "name": "ä"}', encoding="utf-8")
    return file


def refused(file: Path, words: str) -> None:
    """Asserts that the file is refused in one line that names it, says what is wrong and what to do."""
    with pytest.raises(BrokenWeights, match=words) as caught:
        check_file(file)
    message = str(caught.value)
    assert message.startswith(f"path: {file} ")
    assert "\n" not in message
    assert "download it again" in message or "permissions" in message or ".safetensors file" in message


@pytest.mark.parametrize("name", damage.WEIGHTS)
def test_damaged_weights_are_refused(name: str, weights: Path) -> None:
    check_file(weights)
    spoil, words = damage.WEIGHTS[name]
    spoil(weights)
    refused(weights, words)


@pytest.mark.parametrize("name", damage.JSON)
def test_damaged_json_is_refused(name: str, config: Path) -> None:
    check_file(config)
    spoil, words = damage.JSON[name]
    spoil(config)
    refused(config, words)


@pytest.mark.parametrize("name", damage.TEXT)
def test_damaged_text_is_refused(name: str, tmp_path: Path) -> None:
    file = tmp_path / "merges.txt"
    file.write_text("ä b\n", encoding="utf-8")
    check_file(file)
    spoil, words = damage.TEXT[name]
    spoil(file)
    refused(file, words)


def test_missing_json_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BrokenWeights, match=r"config\.json is missing: download it again"):
        read_json(tmp_path / "config.json")


def test_a_file_without_read_permission_is_refused(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, os.strerror(13))

    monkeypatch.setattr(Path, "open", refuse)  # root may read every file, so permissions alone prove nothing
    refused(config, r"cannot be read \(Permission denied\): check its permissions")


def test_a_byte_order_mark_is_skipped(config: Path) -> None:
    damage.add_byte_order_mark(config)
    check_file(config)
    assert read_json(config) == {"patch_size": 8, "name": "ä"}


def test_an_index_names_its_shards_and_a_wrong_one_is_refused(weights: Path) -> None:
    index = weights.with_name("model.safetensors.index.json")
    index.write_text(json.dumps({"weight_map": {"a": weights.name, "b": weights.name}}))
    assert shards_of(index) == [weights]
    index.write_text(json.dumps({"weight_map": {"a": weights.name, "b": "model-2.safetensors"}}))
    with pytest.raises(
        MissingWeights, match=r"model\.safetensors\.index\.json names .*model-2\.safetensors, which is missing"
    ):
        shards_of(index)
    index.write_text(json.dumps({"weight_map": {"a": f"../{weights.parent.name}/{weights.name}"}}))
    with pytest.raises(BrokenWeights, match="names a file of another folder"):
        shards_of(index)
    for content in ({}, {"weight_map": {}}, {"weight_map": [1]}, {"weight_map": {"a": 1}}):
        index.write_text(json.dumps(content))
        with pytest.raises(BrokenWeights, match="has no weight_map"):
            shards_of(index)


@pytest.mark.parametrize("value", [None, "8", 0, -1, 8.0, True, [8]])
def test_a_number_of_a_configuration_must_be_whole_and_positive(value: object, config: Path) -> None:
    assert whole_number({"patch_size": 8}, "patch_size", config) == 8
    with pytest.raises(BrokenWeights, match="whole number of at least 1 as patch_size"):
        whole_number({"patch_size": value}, "patch_size", config)


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
