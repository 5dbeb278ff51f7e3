"""Backbones turn a picture into `AttentionMaps`.

A backbone has two halves. The *spec* is a frozen dataclass whose fields are the keys of ``conf/backbone/*.yaml``. It
is validated when it is built, and needs no torch, so a wrong key or missing weights are reported at once.
``spec.load(device)`` returns the *model*, which holds the weights.
"""

from __future__ import annotations

import re
import sys
from abc import ABC, abstractmethod
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from diffseg.backbones.image import check_range
from diffseg.isolation import isolated
from diffseg.listing_package import ListingPackage
from diffseg.texts import on_one_line

if TYPE_CHECKING:
    from torch import Tensor

    from diffseg.attention import AttentionMaps


sys.modules[__name__].__class__ = ListingPackage  # diffseg.backbones() lists the names that `diffseg.load` takes

Dtype = Literal["float32", "tf32", "float16", "bfloat16"]
"""Precision of a backbone's weights and passes. ``float32`` is strict on every device; ``tf32`` has float32 weights and
lets a GPU convolve and multiply with 10 bits of mantissa."""


PATH_ARGUMENT = "path=DIR"
"""Argument for a folder of weights in messages to a Python user. Commands replace it with their option."""


class WeightsError(Exception):
    """The weights cannot be used. The message is one line: the file, what is wrong with it, and what to do."""

    def advising(self, option: str) -> str:
        """The message with a command's option, such as ``--path DIR``, in place of `PATH_ARGUMENT`."""
        return re.sub(rf"(?<!\.){PATH_ARGUMENT}", option, str(self))  # unless an option is there already


class MissingWeights(WeightsError, FileNotFoundError):
    """Weights are not on this machine. The message names them and their source, and says how to get them."""


class BrokenWeights(WeightsError, ValueError):
    """A file of weights, a configuration or a tokenizer is damaged, or does not fit the others.

    Attributes:
        file: the file, or the folder of the model.
        fault: what is wrong with it, as a verb phrase: "is empty".
        remedy: what to do.
    """

    def __init__(self, file: Path, fault: str, remedy: str = "download it again", key: str = "path") -> None:
        """``key``: the configuration key that chose the file."""
        super().__init__(f"{key}: {file} {on_one_line(fault)}: {remedy}")
        self.file, self.fault, self.remedy = file, fault, remedy


class AttentionModel(ABC):
    """A loaded backbone; ``spec`` is the spec that loaded it. A subclass implements `attend_encoded`.

    Specs with equal `Backbone.encoder` share a model. Those with equal `Backbone.pass_settings`, too, share a pass:
    ``run_pass(encoded, specs)``, then ``project(maps, spec)`` for each picture and spec.
    """

    spec: Any

    @isolated
    def attend(self, images: Tensor) -> list[AttentionMaps]:
        """Computes the attention of a batch ``(B, 3, P, P)`` of RGB, floating point in [0, 255], on any device.

        ``P`` is the spec's ``size``. Returns an `AttentionMaps` for each picture, float32, on the model's device.
        Raises ValueError if the images have another shape, or values outside [0, 255].
        """
        check_range(images)
        return self.attend_encoded(self.encode(images), self.spec)

    def encode(self, images: Tensor) -> Tensor:
        """Encodes a batch once for all specs of the same `Backbone.encoder`: latents, for example. Here: the images."""
        return images

    @abstractmethod
    def attend_encoded(self, encoded: Tensor, spec: Any) -> list[AttentionMaps]:
        """Computes the attention of a batch from `encode`. ``spec`` is the model's, or one with an equal `encoder`."""

    def run_pass(self, encoded: Tensor, specs: Sequence[Any]) -> list[AttentionMaps]:
        """Runs the network once for all ``specs``, which have equal `Backbone.pass_settings`. See `project`."""
        return self.attend_encoded(encoded, specs[0])

    def project(self, maps: AttentionMaps, spec: Any) -> AttentionMaps:
        """Turns a picture's result of `run_pass` into that of one of its specs. Shares tensors with ``maps``."""
        return maps


class Backbone(Protocol):
    """The spec of a backbone: its fields are the configuration keys.

    Attributes:
        path: hub id or local folder of the weights; None: the class knows where they are.
        size: side P in pixels of the square that enters the backbone.
        tuned: segmenter -> parameter -> value that suits this attention (or data set -> value, with a ``default``).
        sides: sides of the attention maps, finest first.
        fingerprint: sha256 (hex) of weights and configuration, part of every record's key. May raise `WeightsError`.
        encoder: equal for specs that can share a loaded model and encoded pictures (`AttentionModel.encode`).
        pass_settings: what a pass of the network depends on, besides `encoder`; see `AttentionModel.run_pass`.
    """

    @property
    def path(self) -> str | None: ...
    @property
    def size(self) -> int: ...
    @property
    def tuned(self) -> Mapping[str, Mapping[str, Any]]: ...
    @property
    def sides(self) -> tuple[int, ...]: ...
    @property
    def fingerprint(self) -> str: ...
    @property
    def encoder(self) -> Hashable: ...
    @property
    def pass_settings(self) -> Hashable: ...

    def check(self) -> None:
        """Raises `WeightsError` if the weights are missing or damaged. Uses no network and imports no torch."""

    def load(self, device: str = "auto") -> AttentionModel:
        """Loads the weights onto ``device`` ("auto": CUDA if there is a GPU, else the CPU). Raises `WeightsError`."""
        ...


def tuned_values(spec: Backbone, segmenter: str | None, dataset: str = "") -> dict[str, Any]:
    """Parameters of a segmenter that are tuned for this backbone: parameter -> value.

    ``segmenter`` is a key in `Backbone.tuned` (its ``tuned_key``); None: no values are tuned for it. A parameter may
    have a value for each ``dataset``, and a default for the others.
    """
    values = spec.tuned.get(segmenter, {}) if segmenter else {}
    return {
        name: value.get(dataset, value.get("default")) if isinstance(value, Mapping) else value
        for name, value in values.items()
    }
