"""Loads files with diffusers and transformers, and turns their errors into `WeightsError`."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from diffseg.backbones import BrokenWeights, WeightsError
from diffseg.backbones.device import NO_MEMORY
from diffseg.backbones.weights.files import DTYPE_SINCE, ModelFiles, check_file, read_json, release_of
from diffseg.texts import on_one_line

Loaded = TypeVar("Loaded")

DTYPE = "dtype" if release_of("transformers") >= DTYPE_SINCE else "torch_dtype"
"""Argument of ``from_pretrained``."""

LIBRARIES = ("diffusers", "transformers")
REASON_LENGTH = 200  # characters shown of a library's message
NUMBER = re.compile(r"\d+")
ONE_REPOSITORY = "download both again, from one repository"

# Some published configurations hold these settings. They would change what a model returns, or its attention function.
ATTENTION_KEYS = {
    *("attn_implementation", "_attn_implementation", "_attn_implementation_internal", "_attn_implementation_autoset"),
    *("output_attentions", "output_hidden_states", "return_dict", "use_return_dict", "torchscript"),
}


def guarded(load: Callable[[], Loaded], files: Iterable[Path], what: Path) -> Loaded:
    """Calls ``load``, a function of a library that reads ``files``, and returns its result.

    If it fails, `BrokenWeights` names the first damaged file, or else ``what``, the configuration or folder. Raises
    `WeightsError` if memory ran out.
    """
    try:
        with _quiet():
            return load()
    # On damaged files the libraries raise any class, even Exception itself.
    except Exception as error:
        reason = on_one_line(error)
        if isinstance(error, MemoryError) or any(words in reason for words in NO_MEMORY):
            raise WeightsError(f"path: memory ran out while {what} was read: take a smaller model or dtype") from error
        for file in files:
            check_file(file)
        shown = reason if len(reason) <= REASON_LENGTH else f"{reason[:REASON_LENGTH]} ..."
        raise BrokenWeights(what, f"cannot be loaded ({type(error).__name__}: {shown})") from error


def pretrained(kind: Any, files: ModelFiles, dtype: torch.dtype, optional: tuple[str, ...] = (), **options: Any) -> Any:
    """Loads a module of class ``kind``, of diffusers or transformers, frozen and in evaluation mode.

    The file may lack tensors whose names begin with ``optional``. ``options`` are arguments of ``from_pretrained``.

    Raises:
        BrokenWeights: a file is damaged, or weights and configuration do not fit each other. (The libraries would fill
            missing weights with random numbers, and ignore superfluous ones.)
    """
    module, info = guarded(
        lambda: kind.from_pretrained(
            files.folder,
            **{DTYPE: dtype},
            variant=files.variant,
            use_safetensors=files.weights[0].suffix != ".bin",  # BLIP is published as tensors in a pickle
            local_files_only=True,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # reported below, in one line
            **options,
        ),
        files.all,
        files.config,
    )
    file = files.weights[0]
    for key in sorted(info["mismatched_keys"]):
        name, *shapes = (key,) if isinstance(key, str) else key  # transformers 4.51 gives the names alone
        shape = "shape {}, not {}".format(*map(tuple, shapes)) if shapes else "another shape"
        raise BrokenWeights(file, f"does not fit its config.json: {name} has {shape}", ONE_REPOSITORY)
    missing = [name for name in info["missing_keys"] if not name.startswith(optional)]
    return _checked(module, file, missing, info["unexpected_keys"])


def fitted(module: nn.Module, tensors: Mapping[str, Tensor], file: Path, dtype: torch.dtype) -> Any:
    """Puts the ``tensors`` of ``file`` into ``module``. Returns it as `pretrained` does. Raises `BrokenWeights`."""
    keys = guarded(lambda: module.load_state_dict(dict(tensors), strict=False, assign=True), [], file)
    checked = _checked(module, file, keys.missing_keys, keys.unexpected_keys)
    return guarded(lambda: checked.to(dtype), [], file)  # diffusers' `to` warns of nothing


def configured(kind: Any, file: Path) -> Any:
    """Reads the configuration of transformers' class ``kind``, without `ATTENTION_KEYS`.

    Raises `BrokenWeights` if the file is damaged, or holds values that the class refuses.
    """
    values = _without_attention_keys(read_json(file))
    return guarded(lambda: kind.from_dict(values), [file], file)


def _without_attention_keys(values: dict[str, Any]) -> dict[str, Any]:
    return {
        name: _without_attention_keys(value) if isinstance(value, dict) else value
        for name, value in values.items()
        if name not in ATTENTION_KEYS
    }


def _checked(module: nn.Module, file: Path, missing: Iterable[str], unexpected: Iterable[str]) -> nn.Module:
    """The module, frozen and in evaluation mode, if the file's tensors fit it and are finite.

    Unexpected tensors are allowed, because published files hold unneeded heads, buffers and mask tokens. An extra layer
    of a kind that the module has, such as a 13th after its 12, is an error.
    """
    for name in sorted(missing):
        raise BrokenWeights(file, f"lacks the tensor {name}")
    kinds = {NUMBER.sub("#", name) for name in module.state_dict()}
    for name in sorted(unexpected):
        if NUMBER.sub("#", name) in kinds:
            fault = f"does not fit its config.json, which has no layer for {name}"
            raise BrokenWeights(file, fault, ONE_REPOSITORY)
    for name, weight in module.named_parameters():
        if weight.is_floating_point() and not bool(weight.detach().sum(dtype=torch.float32).isfinite()):
            raise BrokenWeights(file, f"holds NaN or infinite values in {name}")
    return module.eval().requires_grad_(False)


@contextmanager
def _quiet() -> Iterator[None]:
    """Silences the libraries: their tables of tensors, which the error's one line replaces, and their progress bars."""
    from transformers.utils import logging as transformers_logging

    bar = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    loggers = [logging.getLogger(name) for name in LIBRARIES]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
        if bar:
            transformers_logging.enable_progress_bar()
