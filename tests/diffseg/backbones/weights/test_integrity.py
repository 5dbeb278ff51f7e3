"""Damaged files of a model are found before anything loads them."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from diffseg.backbones import BrokenWeights, MissingWeights
from diffseg.backbones.weights.integrity import check_file, read_json, shards_of, whole_number
from tests.helpers import damage


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


@pytest.mark.parametrize("length", [2**63, 40])
def test_a_file_without_a_valid_header_is_refused(length: int, tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    file.write_bytes(length.to_bytes(8, "little") + b"{" * 100)
    refused(file, "safetensors file")


@pytest.mark.parametrize(
    "header", [{"a": 1}, {"a": {"data_offsets": [0]}}, {"a": {"data_offsets": [0, 4], "shape": 3}}, []]
)
def test_a_header_with_other_json_is_refused(header: object, tmp_path: Path) -> None:
    file, text = tmp_path / "model.safetensors", json.dumps(header).encode()
    file.write_bytes(len(text).to_bytes(8, "little") + text + bytes(4))
    refused(file, "damaged or not|holds no tensors")


def test_a_file_without_read_permission_is_refused(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, os.strerror(13))

    monkeypatch.setattr(Path, "open", refuse)  # root may read every file, so permissions alone prove nothing
    refused(config, r"cannot be read \(Permission denied\): check its permissions")


def test_a_header_whose_length_looks_like_a_pickle_is_accepted(tmp_path: Path) -> None:
    """A good file may begin with any byte, also with 0x80, the first byte of pickles."""
    file = tmp_path / "model.safetensors"
    for count in range(1, 40):
        save_file({"a" * count: torch.zeros(count)}, file, {"padding": "x" * count})
        check_file(file)
    text = json.dumps({"a": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]}}).ljust(0x80).encode()
    file.write_bytes(len(text).to_bytes(8, "little") + text + b"x")
    check_file(file)


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
    for content in ({}, {"weight_map": {}}, {"weight_map": [1]}, {"weight_map": {"a": 1}}):
        index.write_text(json.dumps(content))
        with pytest.raises(BrokenWeights, match="has no weight_map"):
            shards_of(index)
    index.write_text(json.dumps({"weight_map": {"a": "../model.safetensors"}}))
    with pytest.raises(BrokenWeights, match="names a file of another folder"):
        shards_of(index)


@pytest.mark.parametrize("value", [None, "8", 0, -1, 8.0, True, [8]])
def test_a_number_of_a_configuration_must_be_whole_and_positive(value: object, config: Path) -> None:
    assert whole_number({"patch_size": 8}, "patch_size", config) == 8
    with pytest.raises(BrokenWeights, match="whole number of at least 1 as patch_size"):
        whole_number({"patch_size": value}, "patch_size", config)
