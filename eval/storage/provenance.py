"""Collects the versions, hardware, weights and data behind a run, so that its numbers can be traced."""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

PACKAGES = (
    *("torch", "diffusers", "transformers", "safetensors", "numpy", "scipy", "scikit-learn", "pillow"),
    *("pycocotools", "pandas", "hydra-core", "omegaconf"),
)


def provenance(settings: Sequence[Mapping[str, Any]], names: Mapping[str, str]) -> dict[str, Any]:
    """Facts about a run. A repetition on the same machine and checkout has the same facts.

    Args:
        settings: of each row, `eval.rows.RowToRun.recorded`.
        names: fingerprint -> name of the weights.

    Returns:
        JSON-ready: git commit (with ``+changes`` if the checkout differs from it), sha256 of the code that makes
        records, versions, hardware, fingerprints and names of the weights, fingerprints of the data.
    """
    return {
        **_process(),
        "weights": sorted({each["backbone"]["weights"] for each in settings}),
        "weights_names": dict(sorted(names.items())),
        "data": sorted({each["dataset"]["fingerprint"] for each in settings}),
    }


@cache
def _process() -> dict[str, Any]:
    """The facts that are constant in a process. Cached, because collecting them takes time."""
    return {
        "git_commit": _git_commit(),
        "code": _code(),
        "python": platform.python_version(),
        "versions": {package: _version(package) for package in PACKAGES},
        "hardware": {
            "machine": platform.machine(),
            "system": platform.system(),
            "cpu_cores": os.cpu_count(),
            "torch_threads": torch.get_num_threads(),
            "gpus": [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())],
        },
    }


def _code() -> str:
    """sha256 (hex) of the Python files of the packages that make records."""
    root = Path(__file__).resolve().parents[2]
    files = sorted(file for room in ("datasets", "diffseg", "eval") for file in (root / room).rglob("*.py"))
    return hashlib.sha256(b"\0".join(file.read_bytes() for file in files)).hexdigest()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _git_commit() -> str | None:
    """Commit of the checkout that contains this file; None outside of git."""

    def git(*command: str) -> str:
        here = Path(__file__).parents[1]
        return subprocess.run(["git", *command], cwd=here, check=True, capture_output=True, text=True).stdout.strip()

    try:
        return git("rev-parse", "HEAD") + ("+changes" if git("status", "--porcelain") else "")
    except (OSError, subprocess.CalledProcessError):
        return None
