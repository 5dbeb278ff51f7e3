"""Stable Diffusion in one .safetensors file, as its authors published it (``v1-5-pruned-emaonly.safetensors``).

Such a file holds U-Net, VAE and text encoders under their original names, but no configuration and no tokenizer. If the
folder of the file has them in the diffusers layout (``unet/config.json``, ``tokenizer/vocab.json``, ...), they are
read. Otherwise the configurations of the published model of that family are used. Imports no torch.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from diffseg.backbones import BrokenWeights
from diffseg.backbones.weights.files import tensor_names

BEGIN, END, EXCLAMATION = 49406, 49407, 0  # tokens of CLIP: <|startoftext|>, <|endoftext|>, "!"
MARKER = "model.diffusion_model.input_blocks.0.0.weight"
TEXT_MARKERS = {  # a tensor that only this family has: the positions of a text encoder
    "sd1": "cond_stage_model.transformer.text_model.embeddings.position_embedding.weight",
    "sd2": "cond_stage_model.model.positional_embedding",
    "sdxl": "conditioner.embedders.1.model.positional_embedding",
}

OPEN_CLIP_PREFIXES = {("sd2", ""): "cond_stage_model.model.", ("sdxl", "_2"): "conditioner.embedders.1.model."}
"""(family, suffix) of OpenCLIP's text encoders -> prefix of their tensors. They pad prompts with "!", OpenAI's with the
end token."""

CLIP_L: Final[dict[str, Any]] = {
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "projection_dim": 768,
    "hidden_act": "quick_gelu",
}
VAE: Final[dict[str, Any]] = {
    "block_out_channels": (128, 256, 512, 512),
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "layers_per_block": 2,
}

ARCHITECTURES: Final[dict[str, dict[str, dict[str, Any]]]] = {
    "sd1": {
        "unet": {"cross_attention_dim": 768},
        "vae": {**VAE, "scaling_factor": 0.18215},
        "text_encoder": CLIP_L,
    },
    "sd2": {
        "unet": {"cross_attention_dim": 1024, "attention_head_dim": (5, 10, 20, 20), "use_linear_projection": True},
        "vae": {**VAE, "scaling_factor": 0.18215},
        "text_encoder": {
            "hidden_size": 1024,
            "intermediate_size": 4096,
            "num_hidden_layers": 23,  # the 24th layer is not used by Stable Diffusion 2
            "num_attention_heads": 16,
            "projection_dim": 512,
            "hidden_act": "gelu",
        },
    },
    "sdxl": {
        "unet": {
            "block_out_channels": (320, 640, 1280),
            "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
            "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
            "transformer_layers_per_block": (1, 2, 10),
            "attention_head_dim": (5, 10, 20),
            "cross_attention_dim": 2048,
            "use_linear_projection": True,
            "addition_embed_type": "text_time",
            "addition_time_embed_dim": 256,
            "projection_class_embeddings_input_dim": 2816,
        },
        "vae": {**VAE, "scaling_factor": 0.13025},
        "text_encoder": CLIP_L,
        "text_encoder_2": {
            "hidden_size": 1280,
            "intermediate_size": 5120,
            "num_hidden_layers": 32,
            "num_attention_heads": 20,
            "projection_dim": 1280,
            "hidden_act": "gelu",
        },
    },
}
"""Configurations of published models: the values that differ from the defaults of diffusers and transformers."""


def family_of(file: Path) -> str:
    """Finds the file's family, a key of `ARCHITECTURES`, from the names of its tensors. Raises `BrokenWeights`."""
    names = tensor_names(file)
    if MARKER not in names:
        raise BrokenWeights(
            file,
            f"holds no complete Stable Diffusion: it lacks {MARKER}",
            "give a checkpoint with U-Net, VAE and text encoder, or a folder in the diffusers layout",
        )
    for family, marker in TEXT_MARKERS.items():
        if marker in names:
            return family
    raise BrokenWeights(file, "holds no text encoder of Stable Diffusion 1.x, 2.x or XL", "give another checkpoint")
