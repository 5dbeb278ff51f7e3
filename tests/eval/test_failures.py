"""A picture that fails at any step is recorded with its reason, and the others count."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.sparse.linalg import eigsh

from diffseg.aggregation import Aggregation
from diffseg.backbones.vit_attention import ViTAttention
from diffseg.merging import NoProposals
from diffseg.segmenters.base import UnusablePicture
from diffseg.segmenters.diffseg import DiffSeg
from diffseg.segmenters.kmeans_rgbxy import KMeansRGBXY
from tests.helpers.runs import SMALL, Run, evaluate

REASON = "CUDA out of memory. Tried to allocate 9.00 GiB"


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., Run]:
    return partial(evaluate, tmp_path / "run", "dataset.limit=3", "panels=2", *SMALL)


@pytest.mark.parametrize(
    ("kind", "method"), [(ViTAttention, "run_pass"), (Aggregation, "__call__"), (DiffSeg, "__call__")]
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
    assert [(record["status"], record.get("reason")) for record in done.images()] == [
        ("ok", None),
        ("failed", REASON),
        ("ok", None),
    ]
    assert freed == ["tensor", "cache"] * 2
    assert "2, 1 failed" in done.out
    assert "1 evaluation failed; " in done.err
    monkeypatch.undo()
    again = run()  # tries the failed picture again
    assert again.status == 0
    ids = [record["picture"] for record in again.images()]
    assert ids == [ids[0], ids[1], ids[2], ids[1]]
    assert [record["status"] for record in again.images()] == ["ok", "failed", "ok", "ok"]
    assert set(again.table()["images"]) == {3}


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
    assert [record["status"] for record in done.images()] == ["failed", "ok", "ok"]
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
    assert [record["status"] for record in done.images()] == ["ok", "failed", "ok"]


def test_a_row_whose_picture_fails_leaves_the_other_rows_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also if they share its work, and if the user allows failures."""
    together = KMeansRGBXY.prepare

    def fails(self: KMeansRGBXY, scene: Any) -> Any:
        if self.clusters == 3:
            raise UnusablePicture("three are too many")
        return together(self, scene)

    monkeypatch.setattr(KMeansRGBXY, "prepare", fails)
    segmenter = ("segmenter=kmeans_rgbxy", "segmenter.clusters=2,3")
    command = ("backbone=none", "backbone.size=32", *segmenter, "dataset.limit=1")
    done = evaluate(tmp_path / "run", *command, multirun=True)
    assert done.status == 1
    assert done.table()[["clusters", "failed"]].drop_duplicates().to_numpy().tolist() == [[2, 0], [3, 1]]
    assert done.table("per_image")["reason"].dropna().unique().tolist() == ["three are too many"]
    allowed = evaluate(tmp_path / "run", *command, "allow_failures=true", multirun=True)
    assert allowed.status == 0
    assert "1 evaluation failed" in allowed.err
