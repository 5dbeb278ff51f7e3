"""Several worker processes give the records of one process, and a worker that dies loses only its picture."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from diffseg.segmenters.base import Outline
from diffseg.segmenters.files import LabelMapFiles
from eval.config import ConfigError, build
from eval.cores import usable_cores, worker_count
from eval.row_progress import RowProgress
from eval.run import evaluate
from eval.runs import Run, read_run
from eval.shards import Shard
from eval.workers import WorkerError
from tests.helpers.folder_rows import SIDE, dataset_of, row_config, write_picture

PICTURES = [f"p{number}" for number in range(6)]


@dataclass(frozen=True)
class Deadly(LabelMapFiles):
    """Kills the process that reads the fourth picture while a file exists, as a lack of memory would."""

    trap: str = ""

    def labels(self, outline: Outline) -> NDArray[np.int64]:
        if outline.id == PICTURES[3] and Path(self.trap).exists():
            os._exit(9)
        return super().labels(outline)


def segmenter(folder: Path, kind: str = "diffseg.segmenters.files.LabelMapFiles", **settings: Any) -> dict[str, Any]:
    """Label maps of all pictures; that of the second is damaged. Returns the configuration that reads them."""
    maps = folder / "predictions"
    maps.mkdir(exist_ok=True)
    for number, id in enumerate(PICTURES):
        write_picture(folder / "data", id, classes=1 + number % 3)
        Image.fromarray(np.arange(SIDE * SIDE, dtype=np.uint8).reshape(SIDE, SIDE) % (2 + number)).save(
            maps / f"{id}.png"
        )
    (maps / f"{PICTURES[1]}.png").write_bytes(b"damaged")
    return {"_target_": kind, "folder": str(maps), **settings}


def run(folder: Path, data: Path, settings: dict[str, Any], workers: int) -> Run:
    row = row_config(dataset_of(data), settings)
    row.prepare()
    with Run.open(folder, [row], ["a command"]) as opened:
        progress = RowProgress(row, opened, frozenset(PICTURES))
        evaluate([progress], "cpu", Shard(), workers=workers)
        assert list(progress.failed) == [PICTURES[1]]
    return read_run(folder)


def results(run: Run) -> dict[str, Any]:
    (row,) = run.rows
    maps = {id: None if (labels := run.label_map(row, id)) is None else labels.tolist() for id in PICTURES}
    return {each.picture: (each.status, each.reason, each.stored_tables, maps[each.picture]) for each in row.records}


def test_workers_give_the_records_and_label_maps_of_one_process(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = segmenter(tmp_path)
    alone = run(tmp_path / "alone", tmp_path / "data", settings, workers=1)
    together = run(tmp_path / "together", tmp_path / "data", settings, workers=3)
    assert "3 workers of one thread, each with about 0." in capsys.readouterr().err
    assert results(together) == results(alone)
    assert len(results(alone)) == len(PICTURES)


def test_a_run_resumes_after_a_worker_has_died(tmp_path: Path) -> None:
    trap = tmp_path / "trap"
    trap.touch()
    settings = segmenter(tmp_path, f"{__name__}.Deadly", trap=str(trap))
    with pytest.raises(WorkerError, match="fewer workers"):
        run(tmp_path / "run", tmp_path / "data", settings, workers=2)
    assert PICTURES[3] not in results(read_run(tmp_path / "run"))
    trap.unlink()
    resumed = run(tmp_path / "run", tmp_path / "data", settings, workers=2)
    assert results(resumed) == results(run(tmp_path / "clean", tmp_path / "data", settings, workers=1))


def test_workers_never_exceed_the_cores_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: range(32), raising=False)
    monkeypatch.delenv("SLURM_CPUS_PER_TASK", raising=False)
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    assert usable_cores() == worker_count("auto") == worker_count("100") == 32
    monkeypatch.setattr("joblib.externals.loky.backend.context._cpu_count_cgroup", lambda cores: 16)  # of a container
    assert usable_cores() == 16
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "6")
    assert (worker_count("auto"), worker_count("4")) == (6, 4)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "3")  # torchrun's processes on this machine
    assert worker_count("auto") == 2
    for wrong in ("0", "-1", "two", ""):
        with pytest.raises(ConfigError, match="workers: must be auto or a number"):
            build({"_target_": "eval.config.RunConfig", "workers": wrong}, "")
