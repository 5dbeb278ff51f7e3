"""Reads MATLAB 5 files; an error is a few words. Imports no torch."""

from __future__ import annotations

import struct
import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.io import loadmat
from scipy.io.matlab import MatReadError

# SciPy raises any of these on broken bytes, NotImplementedError on a file of MATLAB 7.3.
BROKEN = (
    *(OSError, ValueError, TypeError, KeyError, IndexError, EOFError, OverflowError, MemoryError, NotImplementedError),
    *(AttributeError, UnboundLocalError, SystemError, AssertionError, zlib.error, struct.error, MatReadError),
)


def read_matlab(path: Path, variable: str) -> NDArray[Any]:
    """A variable of a MATLAB 5 file, as `scipy.io.loadmat` returns it. Raises FileNotFoundError if the file is missing.

    Raises ValueError if it is damaged, or lacks the variable. The message does not name the file.
    """
    try:
        with path.open("rb") as file, warnings.catch_warnings():
            warnings.simplefilter("error")  # SciPy only warns about some damage and then returns nonsense
            content = loadmat(file, variable_names=[variable])
    except FileNotFoundError:
        raise
    except (*BROKEN, Warning) as error:
        reason = " ".join(str(error).split())[:200]
        raise ValueError(f"cannot be decoded ({reason or type(error).__name__})") from error
    value = content.get(variable)
    if not isinstance(value, np.ndarray):
        raise ValueError(f"has no variable {variable}")
    return value
