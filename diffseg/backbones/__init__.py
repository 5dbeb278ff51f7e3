"""Backbones: what turns a picture into `AttentionMaps`.

A backbone comes in two halves. The *spec* is a frozen dataclass whose fields are the keys of ``conf/backbone/*.yaml``:
cheap to build, validated when built, and free of torch, so that a wrong key or missing weights are reported at once.
``spec.load(device)`` gives the *model*, which holds the weights.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from diffseg.backbones.image import check_range
from diffseg.isolation import isolated

if TYPE_CHECKING:
    from torch import Tensor

    from diffseg.attention import AttentionMaps


Dtype = Literal["float32", "tf32", "float16", "bfloat16"]
"""Precision of a backbone's weights and passes. ``float32`` is strict on every device; ``tf32`` has float32 weights and
lets a GPU convolve and multiply with 10 bits of mantissa."""


class WeightsError(Exception):
    """Weights that cannot be used. The message is one line: the file, what is wrong with it, what to do."""


class MissingWeights(WeightsError, FileNotFoundError):
    """The weights of a backbone are not on this machine; the message says which, from where, and how to get them."""


class BrokenWeights(WeightsError, ValueError):
    """A file of weights, a configuration or a tokenizer is damaged, or does not fit the others.

    Attributes:
        file: the file, or the folder of the model.
        fault: what is wrong with it; a sentence that lacks its subject.
        remedy: what to do.
        key: configuration key that chose the file.
    """

    def __init__(self, file: Path, fault: str, remedy: str = "download it again", key: str = "path") -> None:
        super().__init__(f"{key}: {file} {' '.join(fault.split())}: {remedy}")
        self.file, self.fault, self.remedy, self.key = file, fault, remedy, key


class AllCollected(Exception):
    """Ends a pass of a network early: nothing that follows changes the attention that is collected."""


class AttentionModel(ABC):
    """A loaded backbone; a new one gives `attend_encoded`.

    Attributes:
        spec: with which it was loaded.
    """

    spec: Any

    @isolated
    def attend(self, images: Tensor) -> list[AttentionMaps]:
        """Attention of a batch.

        Args:
            images: ``(B, 3, P, P)`` RGB, floating point in [0, 255], on any device; ``P`` is the spec's ``size``.

        Returns:
            One `AttentionMaps` a picture, float32, on the model's device.

        Raises:
            ValueError: the images have another shape, or values that cannot be pixels in [0, 255].
        """
        check_range(images)
        return self.attend_encoded(self.encode(images), self.spec)

    def encode(self, images: Tensor) -> Tensor:
        """What the specs of one `Backbone.encoder` share of a batch, such as a latent; here the images themselves."""
        return images

    @abstractmethod
    def attend_encoded(self, encoded: Tensor, spec: Any) -> list[AttentionMaps]:
        """The rest of `attend`.

        Args:
            encoded: from `encode`.
            spec: this model's, or another of the same `Backbone.encoder`.
        """


class Backbone(Protocol):
    """The spec of a backbone: its fields are the configuration keys."""

    @property
    def path(self) -> str:
        """Hub id or local folder of the weights."""
        ...

    @property
    def size(self) -> int:
        """Side P in pixels of the square that enters the backbone."""
        ...

    @property
    def tuned(self) -> Mapping[str, Mapping[str, Any]]:
        """segmenter -> parameter -> value that suits this attention (or data set -> value, with a ``default``)."""
        ...

    @property
    def sides(self) -> tuple[int, ...]:
        """Sides of the attention maps, finest first."""
        ...

    @property
    def fingerprint(self) -> str:
        """sha256 (hex) of the weights and what configures them, part of every record's key. Raises `WeightsError`."""
        ...

    @property
    def encoder(self) -> Hashable:
        """Equal for specs that can share a loaded model and what it encodes (`AttentionModel.encode`)."""
        ...

    def check(self) -> None:
        """Raises `WeightsError` when the weights are missing or damaged. Touches no network, imports no torch."""
        ...

    def load(self, device: str = "auto") -> AttentionModel:
        """Loads the weights onto ``device`` ("auto": CUDA where there is one, else the CPU). Raises `WeightsError`."""
        ...


def tuned_values(spec: Backbone, segmenter: str | None, dataset: str = "") -> dict[str, Any]:
    """Parameters of a segmenter that suit this backbone.

    Args:
        spec: of the backbone.
        segmenter: key in `Backbone.tuned` (the segmenter's ``tuned_key``); None: nothing is tuned for it.
        dataset: whose values are taken where they differ between data sets, else the default ones.
    """
    values = spec.tuned.get(segmenter, {}) if segmenter else {}
    return {
        name: value.get(dataset, value.get("default")) if isinstance(value, Mapping) else value
        for name, value in values.items()
    }
