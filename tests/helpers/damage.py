"""Damages files like a failed download. Each kind of damage has the words that the error line must contain."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

Damage = Callable[[Path], object]


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-40])


def cut_header(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:20])


def lfs_pointer(file: Path) -> None:
    file.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:aa\nsize 3\n")


def web_page(file: Path) -> None:
    file.write_text("\n<!DOCTYPE html><html><body>404</body></html>")


def empty(file: Path) -> None:
    file.write_bytes(b"")


def folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


def pickled(file: Path) -> None:
    torch.save({"weight": torch.zeros(2)}, file)


def noise(file: Path) -> None:
    file.write_bytes(bytes(range(256)) * 8)


def longer(file: Path) -> None:
    file.write_bytes(file.read_bytes() + b"more")


ANY_FILE: dict[str, tuple[Damage, str]] = {
    "empty": (empty, "is empty"),
    "folder": (folder, "is a folder where a file is needed"),
    "lfs pointer": (lfs_pointer, "is a Git LFS pointer.*git lfs pull"),
    "web page": (web_page, "is a web page"),
}
WEIGHTS: dict[str, tuple[Damage, str]] = {
    **ANY_FILE,
    "cut": (cut, "is cut short"),
    "cut header": (cut_header, "is cut short"),
    "pickle": (pickled, "is a PyTorch pickle in spite of its name: get the model's .safetensors file"),
    "no tensors": (lambda file: save_file({}, file), "holds no tensors"),
    "noise": (noise, "not a safetensors file"),
    "longer": (longer, "is cut short, damaged"),
}
JSON: dict[str, tuple[Damage, str]] = {
    **ANY_FILE,
    "cut": (lambda file: file.write_text(file.read_text()[: len(file.read_text()) // 2]), "is not a JSON file"),
    "list": (lambda file: file.write_text("[1, 2]"), "holds list where a JSON object"),
    "null": (lambda file: file.write_text("null"), "holds NoneType where a JSON object"),
    "noise": (noise, "is not a UTF-8 text file"),
    "nested": (lambda file: file.write_text('{"a":' * 100_000), "is not a JSON file"),
}


TEXT: dict[str, tuple[Damage, str]] = {**ANY_FILE, "noise": (noise, "is not a UTF-8 text file")}


def set_json(file: Path, **values: Any) -> None:
    """Changes values of a JSON object."""
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}))


def add_byte_order_mark(file: Path) -> None:
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())


def change_tensors(file: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    """Rewrites a safetensors file after calling ``change`` with its tensors."""
    tensors = load_file(file)
    change(tensors)
    save_file(tensors, file, {"format": "pt"})


def copy(model: Path, to: Path) -> Path:
    """Copies a model, so that a test can damage the copy."""
    return shutil.copytree(model, to, dirs_exist_ok=True)
