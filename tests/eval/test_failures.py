"""A picture that fails at any step is recorded with its reason, and the others count."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.sparse.linalg import eigsh

from diffseg.aggregation import Aggregation
from diffseg.backbones.vit_attention import ViTAttention
from diffseg.merging import NoProposals
from diffseg.segmenters.diffseg import DiffSeg
from tests.helpers.runs import SMALL, Run, evaluate

REASON = "CUDA out of memory. Tried to allocate 9.00 GiB"


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., Run]:
    def call(*overrides: str) -> Run:
        return evaluate(tmp_path / "run", "dataset.limit=3", "panels=2", *SMALL, *overrides, capture=capsys)

    return call


@pytest.mark.parametrize(
    ("kind", "method"), [(ViTAttention, "attend_encoded"), (Aggregation, "__call__"), (DiffSeg, "__call__")]
)
@pytest.mark.usefixtures("dinov2")
def test_a_picture_that_lacks_memory_fails_and_the_next_run_tries_it_again(
    run: Callable[..., Run], monkeypatch: pytest.MonkeyPatch, kind: type, method: str
) -> None:
    """The second picture fails in the attention, the aggregation or the segmenter, twice. Each try frees its memory."""
    work, calls, freed = getattr(kind, method), [], []

    def fails_twice(self: Any, *arguments: Any) -> Any:
        calls.append(self)
        if len(calls) in (2, 3):
            held = torch.zeros(1)
            weakref.finalize(held, freed.append, "tensor")
            raise torch.OutOfMemoryError(REASON)
        return work(self, *arguments)

    monkeypatch.setattr(kind, method, fails_twice)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: freed.append("cache"))
    done = run()
    assert done.status == 1
    assert [(each["status"], each.get("reason")) for each in done.images()] == [
        ("ok", None),
        ("failed", REASON),
        ("ok", None),
    ]
    assert freed == ["tensor", "cache"] * 2
    assert "2, 1 failed" in done.out
    assert "1 evaluation failed; " in done.err
    monkeypatch.undo()
    again = run()  # tries the failed picture again and puts its record in order
    assert again.status == 0
    ids = [each["image"] for each in again.images()]
    assert ids == [ids[0], ids[1], ids[1], ids[3]]
    assert [each["status"] for each in again.images()] == ["ok", "failed", "ok", "ok"]
    assert set(again.table()["images"]) == {3}


@pytest.mark.usefixtures("dinov2")
def test_a_picture_that_fits_the_memory_at_the_second_try_counts(
    run: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    work, calls = DiffSeg.__call__, []

    def fails_once(self: DiffSeg, scene: Any) -> Any:
        calls.append(scene)
        if len(calls) == 2:
            raise torch.OutOfMemoryError(REASON)
        return work(self, scene)

    monkeypatch.setattr(DiffSeg, "__call__", fails_once)
    done = run()
    assert done.status == 0, done.err
    assert [each["status"] for each in done.images()] == ["ok"] * 3


@pytest.mark.usefixtures("dinov2")
def test_a_failure_that_repeats_is_one_record(run: Callable[..., Run], monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any) -> None:
        raise torch.OutOfMemoryError(REASON)

    monkeypatch.setattr(ViTAttention, "attend_encoded", fails)
    assert run("allow_failures=true").status == 0
    assert run().status == 1
    assert [each["status"] for each in run().images()] == ["failed"] * 3


@pytest.mark.usefixtures("dinov2")
def test_a_picture_that_fails_before_its_batch_lacks_memory_is_told_and_tried_once(
    run: Callable[..., Run], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    work, calls = DiffSeg.__call__, []

    def fails(self: DiffSeg, scene: Any) -> Any:
        calls.append(scene.id)
        if scene.id == calls[0]:
            raise NoProposals("no proposals")
        if len(calls) == 2:
            raise torch.OutOfMemoryError(REASON)
        return work(self, scene)

    monkeypatch.setattr(DiffSeg, "__call__", fails)
    done = run("batch_size=3")
    assert [each["status"] for each in done.images()] == ["failed", "ok", "ok"]
    assert calls == [calls[0], calls[1], calls[1], calls[3]]
    assert [text for text in caplog.messages if "failed: no proposals" in text] == [
        f"{calls[0]}, diffseg: failed: no proposals"
    ]


def inverse_in_numpy() -> None:
    np.linalg.inv(np.zeros((2, 2)))


def inverse_in_torch() -> None:
    torch.linalg.inv(torch.zeros(2, 2))


def eigenvector_in_scipy() -> None:
    eigsh(np.random.default_rng(0).random((500, 500)), k=6, maxiter=1, tol=1e-12)


@pytest.mark.parametrize("solve", [inverse_in_numpy, inverse_in_torch, eigenvector_in_scipy])
@pytest.mark.usefixtures("dinov2")
def test_a_picture_whose_equations_have_no_solution_fails_alone(
    run: Callable[..., Run], monkeypatch: pytest.MonkeyPatch, solve: Callable[[], None]
) -> None:
    work, calls = DiffSeg.__call__, []

    def unsolved(self: DiffSeg, scene: Any) -> Any:
        calls.append(scene)
        if len(calls) == 2:
            solve()
        return work(self, scene)

    monkeypatch.setattr(DiffSeg, "__call__", unsolved)
    done = run()
    assert done.status == 1
    assert [each["status"] for each in done.images()] == ["ok", "failed", "ok"]


@pytest.mark.usefixtures("dinov2")
def test_a_sweep_goes_on_after_a_job_with_failures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    work = ViTAttention.attend_encoded

    tries = []

    def fails_twice(*arguments: Any) -> Any:
        tries.append(arguments)
        if len(tries) <= 2:  # both tries of the first job's picture
            raise torch.OutOfMemoryError(REASON)
        return work(*arguments)

    monkeypatch.setattr(ViTAttention, "attend_encoded", fails_twice)
    overrides = ("dataset.limit=1", "segmenter.tau=0.2,0.5", "panels=0", *SMALL, "hydra/launcher=basic")
    done = evaluate(tmp_path, *overrides, capture=capsys, multirun=True)
    assert done.status == 1
    tables = [Run(0, "", "", tmp_path / job).table() for job in ("0", "1")]
    assert [set(table["images"]) for table in tables] == [{0}, {1}]
