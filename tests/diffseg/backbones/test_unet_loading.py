"""Loading a Stable Diffusion: tensors under their published names, and missing ones."""

from __future__ import annotations

import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from diffseg.backbones.stable_diffusion import StableDiffusion
from experiments.bench.tiny_sd import PROMPT_LENGTH, pictures

SIZE = 128


def test_published_weight_names_load_alike(tiny: Path, tmp_path: Path) -> None:
    """The files on the hub keep the names of the libraries' first versions: query, key, ...; text_model."""
    folder = shutil.copytree(tiny, tmp_path / "published")
    old = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    vae, text = folder / "vae/diffusion_pytorch_model.safetensors", folder / "text_encoder/model.safetensors"
    renamed = {}
    for name, weight in load_file(vae).items():
        for new, published in old.items():
            name = name.replace(f"attentions.0.{new}.", f"attentions.0.{published}.")
        renamed[name] = weight
    save_file(renamed, vae, {"format": "pt"})
    positions = {"text_model.embeddings.position_ids": torch.arange(PROMPT_LENGTH)[None]}
    save_file(
        {f"text_model.{name.removeprefix('text_model.')}": weight for name, weight in load_file(text).items()}
        | positions,
        text,
    )
    published_model, model = (StableDiffusion(str(each), SIZE).load("cpu") for each in (folder, tiny))
    assert any("proj_attn" in name for name in load_file(vae))
    assert torch.equal(published_model.prompt, model.prompt)
    assert torch.equal(published_model.encode(pictures(SIZE)), model.encode(pictures(SIZE)))
    assert published_model.spec.fingerprint != model.spec.fingerprint
