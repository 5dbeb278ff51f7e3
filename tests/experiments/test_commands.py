"""What all commands share: help without waiting, and one line when they are interrupted, whenever that is."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import skimage

from tests.conftest import ROOT

# Found on the path of modules, it is imported before all else.
INTERRUPTS_ITSELF = """
import os, signal, sys
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == os.environ["INTERRUPTED_AT"]:
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Finder())
"""
COFFEE = Path(skimage.__file__).parent / "data" / "coffee.png"


@pytest.mark.parametrize("command", ["experiments.evaluate", "experiments.benchmark", "experiments.report", "diffseg"])
def test_help_waits_for_nothing(command: str) -> None:
    options = ["-X", "importtime", "-m", command, "--help"]
    done = subprocess.run([sys.executable, *options], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert command in done.stdout
    imported = {line.rsplit("|", 1)[1].strip() for line in done.stderr.splitlines()}
    slow = {"torch", "transformers", "diffusers", "sklearn"}
    if command != "experiments.report":  # its plots take these
        slow |= {"pandas", "scipy"}
    assert not imported & slow


@pytest.mark.parametrize(
    ("module", "command"),
    [
        # The last of numpy's modules here swallows the exception of an interrupt.
        *((module, ["experiments.evaluate"]) for module in ("hydra", "numpy._core._multiarray_umath", "torch")),
        *((module, ["diffseg", str(COFFEE), "-o"]) for module in ("numpy._core._multiarray_umath", "torch")),
        ("numpy", ["diffseg", "--help"]),
        ("torch", ["experiments.benchmark", "--quick", "--only", "kmeans", "--out"]),
        ("pandas", ["experiments.report"]),
        ("matplotlib", ["experiments.figures", "-o"]),
        ("torch", ["experiments.app", "--port", "0"]),
    ],
)
def test_interrupted_while_it_imports(module: str, command: list[str], dinov2: Path, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(INTERRUPTS_ITSELF)
    out = tmp_path / "out"
    if command[-1] in ("-o", "--out", "experiments.report"):
        command = [*command, str(out)]
    elif command == ["experiments.evaluate"]:
        command = [*command, f"results_dir={out}", "dataset.limit=1"]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "INTERRUPTED_AT": module}
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 130, done.stderr
    assert done.stderr.startswith("interrupted")
    assert len(done.stderr.splitlines()) == 1
