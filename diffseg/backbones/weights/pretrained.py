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
from diffseg.backbones.releases import DTYPE_SINCE, release_of
from diffseg.backbones.weights.integrity import check_file, read_json
from diffseg.backbones.weights.locating import ModelFiles
from diffseg.texts import on_one_line

Loaded = TypeVar("Loaded")

DTYPE = "dtype" if release_of("transformers") >= DTYPE_SINCE else "torch_dtype"
"""Argument of ``from_pretrained``."""

LIBRARIES = ("diffusers", "transformers")
REASON_LENGTH = 200  # characters shown of a library's message
ATTENTION_KEYS = {
    *("attn_implementation", "_attn_implementation", "_attn_implementation_internal", "_attn_implementation_autoset"),
    *("output_attentions", "output_hidden_states", "return_dict", "use_return_dict", "torchscript"),
}


def guarded(load: Callable[[], Loaded], files: Iterable[Path], what: Path) -> Loaded:
    """Calls ``load``, a function of a library that reads ``files``, and returns its result.

    Args:
        load: the function.
        files: the files that it reads. If it fails, the error names the first damaged one.
        what: the configuration or folder that the error names if no file is damaged.

    Raises:
        BrokenWeights: the call failed.
        WeightsError: memory ran out.
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


def pretrained(
    kind: Any,
    files: ModelFiles,
    dtype: torch.dtype,
    optional: tuple[str, ...] = (),
    **options: Any,
) -> Any:
    """Loads a module of class ``kind``, frozen and in evaluation mode.

    Args:
        kind: class of diffusers or transformers.
        files: files of the model.
        dtype: dtype of its weights.
        optional: beginnings of the names of tensors that the file may lack.
        **options: arguments of ``from_pretrained``.

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
    check_fit(
        module,
        files.weights[0],
        missing=[name for name in info["missing_keys"] if not name.startswith(optional)],
        unexpected=info["unexpected_keys"],
        mismatched=info["mismatched_keys"],
        tensors=module.named_parameters(),
    )
    return module.eval().requires_grad_(False)


def fitted(module: nn.Module, tensors: Mapping[str, Tensor], file: Path, dtype: torch.dtype) -> Any:
    """Puts the ``tensors`` of ``file`` into ``module``. Returns it as `pretrained` does. Raises `BrokenWeights`."""
    wanted = module.state_dict()
    check_fit(
        module,
        file,
        missing=wanted.keys() - tensors.keys(),
        unexpected=tensors.keys() - wanted.keys(),
        mismatched=[
            (name, tensors[name].shape, wanted[name].shape)
            for name in tensors.keys() & wanted.keys()
            if tensors[name].shape != wanted[name].shape
        ],
        tensors=tensors.items(),
    )
    module.load_state_dict({name: tensors[name] for name in wanted}, assign=True)
    return guarded(lambda: module.to(dtype), [], file).eval().requires_grad_(False)  # diffusers' `to` warns of nothing


def configured(kind: Any, file: Path) -> Any:
    """Reads the configuration of transformers' class ``kind``, without the settings of attention.

    Some published configurations hold ``output_attentions`` and similar keys. They would change what a model returns,
    or replace the attention function that collects.

    Raises:
        BrokenWeights: the file is damaged, or holds values that the class refuses.
    """
    values = without_attention_keys(read_json(file))
    return guarded(lambda: kind.from_dict(values), [file], file)


def without_attention_keys(values: dict[str, Any]) -> dict[str, Any]:
    return {
        name: without_attention_keys(value) if isinstance(value, dict) else value
        for name, value in values.items()
        if name not in ATTENTION_KEYS
    }


def check_fit(
    module: nn.Module,
    file: Path,
    missing: Iterable[str],
    unexpected: Iterable[str],
    mismatched: Iterable[tuple[str, torch.Size, torch.Size]],
    tensors: Iterable[tuple[str, Tensor]],
) -> None:
    """Checks that a file's tensors fit ``module``, and are finite.

    Unexpected tensors are allowed, because published files hold unneeded heads, buffers and mask tokens. An extra layer
    of a kind that the module has, such as a 13th after its 12, is an error.

    Raises:
        BrokenWeights: see `pretrained`.
    """
    if different := sorted(mismatched):
        name, found, wanted = different[0]
        raise BrokenWeights(
            file,
            f"does not fit its config.json: {name} has shape {tuple(found)}, not {tuple(wanted)}"
            + _others(len(different)),
            "download both again, from one repository",
        )
    if lacking := sorted(missing):
        raise BrokenWeights(file, f"lacks the tensor {lacking[0]}" + _others(len(lacking)))
    kinds = {_without_numbers(name) for name in module.state_dict()}
    if surplus := sorted(name for name in unexpected if _without_numbers(name) in kinds):
        raise BrokenWeights(
            file,
            f"does not fit its config.json, which has no layer for {surplus[0]}" + _others(len(surplus)),
            "download both again, from one repository",
        )
    for name, weight in tensors:
        if weight.is_floating_point() and not bool(weight.detach().sum(dtype=torch.float32).isfinite()):
            raise BrokenWeights(file, f"holds NaN or infinite values in {name}")


def _others(count: int) -> str:
    return f" (and {count - 1} more like it)" if count > 1 else ""


def _without_numbers(name: str) -> str:
    return re.sub(r"\d+", "#", name)


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
