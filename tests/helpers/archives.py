"""Makes small archives, and reads the error line of a command."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

JUNK = np.random.default_rng(0).bytes(2_000_000)


def pack(path: Path, files: Mapping[str, Path | bytes]) -> bytes:
    with zipfile.ZipFile(path, "w") as packed:
        for name, content in files.items():
            packed.writestr(name, content if isinstance(content, bytes) else content.read_bytes())
    return path.read_bytes()


def error_line(capsys: pytest.CaptureFixture[str]) -> str:
    lines = capsys.readouterr().err.splitlines()
    assert lines[-1].startswith("error: ")
    assert not any("Traceback" in line for line in lines)
    return lines[-1]
