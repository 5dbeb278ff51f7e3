"""Batches: pictures that pass the backbone together have the results of pictures that pass it alone."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch

from datasets.photos import Photos
from diffseg.aggregation import Aggregation
from diffseg.attention import AttentionError
from diffseg.backbones.vit_attention import ViTAttention
from diffseg.segmenters import kmeans
from diffseg.segmenters.diffseg import DiffSeg
from diffseg.segmenters.kmeans import lloyd
from eval.config import Scoring
from eval.decoding import decode
from eval.records import Record
from eval.row_progress import RowProgress
from eval.rows import RowConfig
from eval.run import evaluate as evaluate_rows
from eval.runs import Run, read_run
from eval.shards import Shard
from experiments.bench.tiny_sd import build_tiny_sd
from tests.helpers.rows import rows_of
from tests.helpers.runs import SMALL, evaluate, without_timings
from tests.helpers.runs import Run as Done

pytestmark = pytest.mark.usefixtures("dinov2")
ATTEND = ViTAttention.run_pass
SINGLE = Shard()
TRUTHS = {Scoring("square", 112): {"classes"}}


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., Done]:
    def call(size: int | str, *overrides: str) -> Done:
        options = (f"batch_size={size}", "panels=2", *SMALL, *overrides)
        return evaluate(tmp_path / str(size) / "run", *options)

    return call


@pytest.fixture
def batches(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Sizes of the batches that the backbone has been given."""
    seen: list[int] = []

    def attend(self: Any, encoded: torch.Tensor, specs: Any) -> Any:
        seen.append(len(encoded))
        return ATTEND(self, encoded, specs)

    monkeypatch.setattr(ViTAttention, "run_pass", attend)
    return seen


def files(run: Done) -> dict[str, Any]:
    contents = without_timings(run.folder)
    del contents["config.yaml"]  # holds the batch size
    return contents


def test_files_are_those_of_batches_of_one(run: Callable[..., Done], batches: list[int]) -> None:
    together, alone = run(3), run(1)
    assert batches == [3, 3, 3] + [1] * 8  # a copy of the last picture fills the last batch
    assert (together.status, alone.status) == (0, 0)
    assert files(together) == files(alone)


@pytest.fixture
def kernels_by_shape(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes the attention depend on the size of the batch, as on a GPU, but strongly."""

    def attend(self: Any, encoded: torch.Tensor, specs: Any) -> Any:
        return ATTEND(self, encoded * (1 - len(encoded) / 10), specs)

    monkeypatch.setattr(ViTAttention, "run_pass", attend)


def records_of(
    folder: Path, *rows: RowConfig, shard: Shard = SINGLE, stop_after: int | None = None
) -> dict[tuple[str, str], dict[str, Any]]:
    """Evaluates rows in batches of four. Returns the records of the folder without times."""
    seen: list[Record] = []

    def stop(record: Record) -> None:
        seen.append(record)
        if len(seen) == stop_after:
            raise KeyboardInterrupt

    for row in rows:
        row.prepare()
    with suppress(KeyboardInterrupt), Run.open(folder, rows, [], shard.number) as run:
        evaluate_rows([RowProgress(row, run, on_record=stop) for row in rows], "cpu", shard, batch_size=4)
    timed = {"seconds": None, "time": None}
    records = [record for row in read_run(folder).rows for record in row.records]
    return {(record.row, record.picture): {**record.to_json(), **timed} for record in records}


@pytest.mark.usefixtures("kernels_by_shape")
def test_counts_do_not_depend_on_the_other_pictures_of_a_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor on a stop, shards, recorded rows or a failure: the network always sees batches of one shape."""
    limit = ("dataset.limit=6", *SMALL)
    rows = [rows_of("segmenter.tau=0.4", *limit)[0], rows_of("backbone.debias=true", *limit)[0]]
    whole = records_of(tmp_path / "whole", *rows)
    assert len(whole) == 12
    assert len(records_of(tmp_path / "stopped", rows[0], stop_after=5)) == 5
    assert records_of(tmp_path / "stopped", *rows) == whole
    records_of(tmp_path / "shards", *rows, shard=Shard(0, 2, alone=True))
    assert records_of(tmp_path / "shards", *rows, shard=Shard(1, 2, alone=True)) == whole

    bad, attend = (
        decode(Photos(), Photos().ids[2], TRUTHS, 112).image,
        ViTAttention.run_pass,
    )

    def fails(self: Any, encoded: torch.Tensor, specs: Any) -> Any:
        if any(torch.equal(image, bad) for image in encoded):
            raise AttentionError("maps: NaN")
        return attend(self, encoded, specs)

    monkeypatch.setattr(ViTAttention, "run_pass", fails)
    with_failure = records_of(tmp_path / "failure", *rows)
    failed = [key for key, record in with_failure.items() if record["status"] == "failed"]
    assert failed == [(row.key, Photos().ids[2]) for row in rows]
    assert {**whole, **dict.fromkeys(failed)} == {**with_failure, **dict.fromkeys(failed)}


@pytest.mark.parametrize(
    ("kind", "method"), [(ViTAttention, "project"), (Aggregation, "__call__"), (DiffSeg, "__call__")]
)
def test_a_lack_of_memory_halves_the_batch(
    run: Callable[..., Done], batches: list[int], monkeypatch: pytest.MonkeyPatch, kind: type, method: str
) -> None:
    """The attention of the other pictures of the batch fills the memory."""
    work = getattr(kind, method)

    def crowded(self: Any, *arguments: Any) -> Any:
        if batches[-1] > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return work(self, *arguments)

    monkeypatch.setattr(kind, method, crowded)
    done = run(4)
    assert done.status == 0
    assert batches == [4, 2, 2, 2, 2]
    assert [record["status"] for record in done.images()] == ["ok"] * 8


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_with_little_memory_loses_no_picture(tmp_path: Path) -> None:
    """The maps of eight pictures at 512 pixels would fill the memory."""
    limit = 600e6
    folder = build_tiny_sd(tmp_path / "sd")
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(limit / torch.cuda.get_device_properties(0).total_memory)
    try:
        options = ("backbone=sd14", f"backbone.path={folder}", "segmenter=diffseg", "batch_size=8", "device=cuda")
        done = evaluate(tmp_path / "run", *options)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert done.status == 0
    assert [record["status"] for record in done.images()] == ["ok"] * 8


def test_rows_that_differ_only_in_upsampling_share_one_clustering(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []

    def counted(points: torch.Tensor, clusters: int, seed: int, n_init: int) -> torch.Tensor:
        calls.append(seed)
        return lloyd(points, clusters, seed, n_init)

    monkeypatch.setattr(kmeans, "lloyd", counted)
    small = [option for option in SMALL if option.startswith("backbone")]
    sweep = ("segmenter=kmeans_c", "segmenter.upsample=soft,nearest", "dataset.limit=2", *small)
    assert evaluate(tmp_path, *sweep, multirun=True).status == 0
    assert calls == [0, 0]
