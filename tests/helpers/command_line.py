"""Runs ``python -m diffseg``, and makes and reads its files."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.conftest import ROOT

FLOWER, COFFEE = ("sklearn", "datasets/images/flower.jpg"), ("skimage", "data/coffee.png")


def packaged(package: str, file: str) -> Path:
    """Path of a photograph in an installed package."""
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        pytest.skip(f"{package}, which carries {file}, is not installed")
    return Path(spec.origin).parent / file


def run(*arguments: object, options: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *options, "-m", "diffseg", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def stored(path: Path) -> NDArray[np.integer]:
    with Image.open(path) as image:
        return np.array(image)


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def save(path: Path, width: int = 8, height: int = 6) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (width, height), "teal").save(path)
    return str(path)
