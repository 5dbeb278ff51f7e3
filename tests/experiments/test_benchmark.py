"""The benchmark, on small inputs: its lines, its goals, its clock."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from diffseg.backbones import MissingWeights
from experiments.bench import lines
from experiments.bench.measuring import NO_CUDA, seconds
from experiments.benchmark import main

QUICK = (True, 1)


def test_quick_run_writes_what_it_prints(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    groups = ["merging", "kmeans", "dbscan"]
    main(["--quick", "--out", str(tmp_path / "new"), "--only", *groups])
    (path,) = (tmp_path / "new").glob("*-quick.txt")
    printed = capsys.readouterr().out
    assert path.read_text() == printed
    assert "QUICK: not for comparison" in printed
    assert "<=" not in printed  # goals are for the full sizes
    rows = printed.splitlines()[3:]
    assert [row.partition(":")[0] for row in rows] == [group for group in groups for _ in ("cpu", "cuda")]
    assert [row for row in rows if "cpu" in row and "100.00% of the " not in row] == []


@pytest.mark.skipif(torch.cuda.is_available(), reason="with a GPU the lines are measured")
def test_absent_hardware_and_weights_are_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(*_: object) -> None:
        raise MissingWeights("no weights")

    for name in ("load", "check"):
        monkeypatch.setattr(lines.ViT, name, absent)
    vit, diffusion = lines.picture(*QUICK)
    assert (vit.ours, diffusion.ours, diffusion.note) == (None, None, NO_CUDA)
    (many,) = lines.sweep(*QUICK)
    assert "make setup" in vit.note == many.note


@pytest.mark.long
def test_one_picture_is_measured_against_its_bare_passes(dinov2: Path) -> None:
    line, *_ = lines.picture(*QUICK)
    assert line.ratio is not None
    assert 0.1 < line.ratio < 10


def test_peers_that_are_not_installed_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> None:
        raise ModuleNotFoundError(f"No module named '{name}'")

    monkeypatch.setattr(lines, "import_module", absent)
    cut, spectral, *ious = lines.peers(*QUICK)
    assert cut.note == "unmeasured: fastncut is not installed (No module named 'fastncut')"
    assert [line.cells[1] for line in (cut, spectral, *ious)] == [""] * 4


class Peer:
    """A package whose metric is written plainly."""

    class IoUMetric:
        @staticmethod
        def intersect_and_union(one: torch.Tensor, two: torch.Tensor, classes: int, _: int) -> tuple[torch.Tensor, ...]:
            pairs = [(one == label, two == label) for label in range(classes)]
            both = torch.stack([(a & b).sum() for a, b in pairs])
            return both, torch.stack([(a | b).sum() for a, b in pairs])


def test_ious_are_those_of_a_peer(monkeypatch: pytest.MonkeyPatch) -> None:
    def installed(name: str) -> type[Peer]:
        if name == "torchmetrics":
            raise ModuleNotFoundError(name)
        return Peer

    monkeypatch.setattr(lines, "CITYSCAPES", (40, 60))
    monkeypatch.setattr(lines, "import_module", installed)
    assert list(lines._ious(2))[1].note == "IoU differ by at most 0.0e+00"


class Clock:
    """A clock that only `sleep` moves, so that other work of the machine does not count."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        patch.setattr("time.perf_counter", lambda: self.now)

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def test_seconds_takes_turns_after_a_warm_up(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    order: list[str] = []

    def slow_at_first() -> None:
        order.append("a")
        clock.sleep(9 if len(order) == 1 else len(order))

    took = seconds({"a": slow_at_first, "b": lambda: order.append("b")}, repeats=2)
    assert "".join(order) == "ababab"
    assert took == {"a": (3 + 5) / 2, "b": 0}, "the warm-up counts, or calls are not told apart"


def test_a_sweep_is_measured_against_one_of_its_points(dinov2: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[tuple[str, ...]] = []
    clock = Clock(monkeypatch)

    def run(*arguments: str) -> None:
        started.append(arguments)
        clock.sleep(3 if "-m" in arguments else 2)

    monkeypatch.setattr(lines, "_run", run)
    (line,) = lines.sweep(False, 5)
    assert line.ratio == 1.5
    (one,), (many,) = ({call for call in started if ("-m" in call) is swept} for swept in (False, True))
    values = [argument.partition("=")[2].split(",") for argument in many if argument not in one and argument != "-m"]
    assert math.prod(map(len, values)) == 24
