"""The wheel holds the library with its presets, and nothing else."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.conftest import ROOT

CODE = """
import numpy, diffseg
from diffseg import parts
assert diffseg.__file__.startswith({folder!r}), diffseg.__file__
assert parts.conf_folder().is_relative_to({folder!r}), parts.conf_folder()
from diffseg.backbones.none import NoBackbone
result = diffseg.load(NoBackbone(32)).segment(numpy.zeros((4, 6, 3), numpy.uint8), "kmeans_rgbxy")
print(len(parts.names("backbone")), result.labels.shape)
"""


@pytest.mark.long
@pytest.mark.skipif(find_spec("setuptools") is None, reason="not installed: pip install setuptools")
def test_the_wheel_works_outside_the_checkout(tmp_path: Path) -> None:
    source = tmp_path / "source"
    for name in ("diffseg", "conf"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    build = "from setuptools import build_meta; print(build_meta.build_wheel('.'))"
    built = subprocess.run([sys.executable, "-c", build], cwd=source, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    (wheel,) = source.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
        archive.extractall(tmp_path / "installed")
    modules = {path.relative_to(ROOT).as_posix() for path in (ROOT / "diffseg").rglob("*.py")}
    presets = {
        f"diffseg/conf/{g}/{p.name}" for g in ("backbone", "segmenter") for p in (ROOT / "conf" / g).glob("*.yaml")
    }
    assert held == {*modules, *presets, "diffseg/py.typed", "diffseg/attention.md"}
    code = CODE.format(folder=str(tmp_path / "installed"))
    environment = {"PYTHONPATH": str(tmp_path / "installed"), "PATH": "", "HOME": str(tmp_path)}
    run = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert run.stdout == f"{len(list((ROOT / 'conf' / 'backbone').glob('*.yaml')))} (4, 6)\n"
