"""Results for tests of the wandb tracker. wandb is imported inside the fixtures, because test_base.py needs none."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.runs import SMALL, Run, evaluate


@pytest.fixture(scope="module")
def made() -> list[Run]:
    return []


@pytest.fixture
def results(
    made: list[Run], dinov2: Path, tmp_path_factory: pytest.TempPathFactory, capfd: pytest.CaptureFixture[str]
) -> Run:
    """Three rows, two of them namesakes, on two photographs."""
    from tests.helpers.wandb_runs import ROWS

    if not made:
        folder = tmp_path_factory.mktemp("results") / "run"
        made.append(evaluate(folder, *SMALL, f"rows={ROWS}", "dataset.limit=2", "panels=2", capture=capfd))
        assert made[0].status == 0, made[0].err
    return made[0]


@pytest.fixture
def folder(results: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of the results. wandb has no login, keeps its own files below ``tmp_path``, and is reset afterwards."""
    wandb = pytest.importorskip("wandb")
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    for name, path in {"NETRC": "netrc", "WANDB_CONFIG_DIR": "config", "WANDB_CACHE_DIR": "cache"}.items():
        monkeypatch.setenv(name, str(tmp_path / path))
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    yield Path(shutil.copytree(results.folder, tmp_path / "run"))
    wandb.teardown()
    assert not list((tmp_path / "cwd").iterdir()), "files lie where the user works"


@pytest.fixture
def tracked(folder: Path) -> Path:
    from tests.helpers.wandb_runs import OFFLINE, begin, track

    track(begin(OFFLINE, folder), folder)
    return folder
