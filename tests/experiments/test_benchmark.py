"""The benchmark: it runs in one call, and reports the lines that it could not measure."""

from __future__ import annotations

import json
import math
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch

from diffseg.backbones.stable_diffusion import StableDiffusion
from diffseg.backbones.unet_attention import UNetAttention
from experiments import benchmark
from experiments.bench import merging, precision, sweep, table1, unet, vit
from experiments.bench.inputs import aggregated_attention, attention_maps
from experiments.bench.measuring import NO_CUDA, Line, Settings, peak_bytes, seconds
from experiments.bench.pictures import PHOTOS
from experiments.bench.table import table
from experiments.bench.tiny_sd import build_tiny_sd
from experiments.benchmark import GROUPS, main

WITHOUT_MODELS = ["merging", "kmeans", "dbscan", "table1", "pictures", "scaling"]


def test_quick_run_writes_what_it_prints(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["--quick", "--out", str(tmp_path / "new"), "--only", *WITHOUT_MODELS])
    (text,), (record,) = (list((tmp_path / "new").glob(f"*-quick.{kind}")) for kind in ("txt", "json"))
    printed = capsys.readouterr().out
    assert text.read_text() == printed
    assert "QUICK: not for comparison" in printed
    facts = json.loads(record.read_text())
    assert {line["name"].partition(":")[0] for line in facts["lines"]} == set(WITHOUT_MODELS)
    assert facts["hardware"]["torch_threads"] == torch.get_num_threads()
    for line in facts["lines"]:
        assert (line["ours"] is None) == line["note"].startswith("unmeasured")
        assert line["met"] is None  # goals are for the full sizes
    same = next(line for line in facts["lines"] if line["name"].startswith("dbscan"))
    assert "100.00% of the labels are the same" in same["note"]


@pytest.mark.skipif(torch.cuda.is_available(), reason="with a GPU the lines are measured")
def test_absent_hardware_is_reported() -> None:
    assert {line.note.partition(";")[0] for line in unet.picture_lines(Settings())} == {NO_CUDA}
    names = [line.name for line in merging.lines(Settings(quick=True, repeats=1)) if line.ours is None]
    assert len(names) == 1
    assert names[0].endswith("cuda")


def test_absent_weights_are_reported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DIFFSEG_CACHE", str(tmp_path))
    for lines in (vit.picture_lines, vit.memory_lines, precision.lines):
        found = lines(Settings(quick=True, golden=tmp_path / "absent"))
        assert {line.ours for line in found} == {None}
        assert "make setup" in found[0].note


def test_wrong_arguments_are_refused_and_help_lists_the_groups(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--only", "speed"])
    assert "speed" in capsys.readouterr().err
    with pytest.raises(SystemExit) as caught:
        main(["--repeats", "0"])
    assert caught.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "argument --repeats: must be a whole number, at least 1, got 0" in line
    with pytest.raises(SystemExit):
        main(["--help"])
    helped = capsys.readouterr().out
    assert all(name in helped for name in (*GROUPS, "--quick", "--only", "--golden"))


def test_a_goal_is_met_by_a_value_or_a_ratio() -> None:
    assert Line("a", ours=1.0, goal=1.0).met
    assert Line("a", ours=1.1, goal=1.0).met is False
    assert Line("a", ours=40.0, goal=50.0, more_is_better=True).met is False
    assert Line("a", ours=3.0, theirs=2.5, goal_ratio=1.25).met
    assert Line("a", ours=3.0, theirs=2.0, goal_ratio=1.25).met is False
    assert Line("a", ours=1.0).met is None
    assert Line("a", goal=1.0).met is None


def test_table_shows_goal_and_reason() -> None:
    text = table([Line("fast", "s", 0.5, 2.0, "plain", goal=0.35, floor=0.2), Line("gpu", goal=0.1, note=NO_CUDA)])
    fast, gpu = text.splitlines()[2:]
    assert fast.split() == ["fast", "0.5", "s", "2", "s", "(plain)", "0.25", "<=", "0.35", "s", "NO", "0.2", "s"]
    assert gpu.split("  ")[0] == "gpu"
    assert gpu.endswith(NO_CUDA)


def test_plain_version_gives_the_same_mask() -> None:
    maps = attention_maps(32)
    labels = merging.ours(maps, 0.5, 8, 64)
    assert len(labels.unique()) > 3
    assert float((merging.plain(maps, 0.5, 8, 64) == labels).float().mean()) > 0.999


def test_exponents_of_a_power_law_are_found() -> None:
    sizes = np.array([[s, m] for s in (32, 64, 128) for m in (8, 16)])
    times = 3e-6 * sizes[:, 0] ** 3.5 * sizes[:, 1] ** 0.5
    assert merging.exponents(sizes, times) == pytest.approx([3.5, 0.5])
    assert merging.exponents(sizes[:, :1], 2.0 * sizes[:, 0] ** 4) == pytest.approx([4.0])


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


def test_peak_memory_is_that_of_the_call() -> None:
    size = 2**26
    nothing, peak = peak_bytes(lambda: None), peak_bytes(lambda: torch.ones(size, dtype=torch.uint8))
    if nothing is None or peak is None:
        pytest.skip("no Linux /proc")
    assert peak - nothing == pytest.approx(size, rel=0.1)


def test_lines_of_collecting_are_measured_on_a_tiny_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = build_tiny_sd(tmp_path / "sd")

    def tiny(spec: StableDiffusion, device: str) -> UNetAttention:
        return StableDiffusion(str(folder), spec.size).load(device)

    monkeypatch.setattr(unet, "stable_diffusion", tiny)
    took, memory, *absent = unet.collecting_lines(Settings(quick=True, repeats=1))
    assert took.ratio is not None
    assert 0.5 < took.ratio < 5
    assert memory.ours is not None or "no Linux" in memory.note
    assert "11 MB" not in memory.note  # the tiny model's heads, not the full one's
    assert len(absent) == 4  # time and memory at two batch sizes on a GPU
    assert {line.note for line in absent} == {NO_CUDA}


def test_pictures_are_scored_in_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = StableDiffusion(str(build_tiny_sd(tmp_path / "sd")), 128).load("cpu")
    encode, batches, scored = UNetAttention.encode, [], []

    def encoded(self: UNetAttention, images: torch.Tensor) -> torch.Tensor:
        batches.append(len(images))
        return encode(self, images)

    monkeypatch.setattr(unet, "ROUNDS", 1)
    monkeypatch.setattr(unet, "score", lambda labels, picture: scored.append((picture.id, tuple(labels.shape))))
    monkeypatch.setattr(UNetAttention, "encode", encoded)
    unet.pictures(model, 3)
    assert batches == [3, 3, 2]
    assert scored == [(id, (128, 128)) for id in PHOTOS.ids]


def test_sweeps_are_measured_against_one_of_their_points(dinov2: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[tuple[str, ...]] = []
    clock = Clock(monkeypatch)

    def run(*arguments: str) -> None:
        started.append(arguments)
        folders = [each.removeprefix("backbone.path=") for each in arguments if each.startswith("backbone.path=")]
        assert all(Path(folder, "unet").is_dir() for folder in folders)
        clock.sleep(3 if "-m" in arguments else 2)

    monkeypatch.setattr(sweep, "_run", run)
    found = sweep.lines(Settings())
    assert [line.goal_ratio for line in found] == [2.5, 2.5, 2.5]
    assert [line.ratio for line in found] == [1.5, 1.5, 1.5]
    for line, calls, points in zip(found, (started[:8], started[8:16], started[16:]), (24, 6, 6), strict=True):
        assert f"{points} points" in line.name
        (one,), (many,) = ({each for each in calls if ("-m" in each) is swept} for swept in (False, True))
        values = [each.partition("=")[2].split(",") for each in many if each not in one and each != "-m"]
        assert math.prod(map(len, values)) == points
        sizes = [each.removeprefix("backbone.size=") for each in one if each.startswith("backbone.size=")]
        assert all(f"{size} px" in line.name for size in sizes)
        assert len(sizes) == (points == 6)


def test_benchmark_needs_no_arguments() -> None:
    options = benchmark._parse([])
    assert (options.quick, options.only, options.golden) == (False, None, None)
    assert options.out == Path(benchmark.__file__).parent / "bench" / "results"
    quick = benchmark._parse(["--quick"])
    ignored = subprocess.run(["git", "check-ignore", "-q", quick.out], cwd=Path(benchmark.__file__).parent, check=False)
    assert ignored.returncode == 0  # a quick run leaves nothing that git would show


def test_rows_of_table1_together_give_the_labels_of_the_rows_alone() -> None:
    tensor = aggregated_attention(16)
    together, alone = (call(tensor, table1.ROWS, 128) for call in (table1.rows_together, table1.rows_alone))
    assert all(torch.equal(one, other) for one, other in zip(together, alone, strict=True))
    assert len({len(labels.unique()) for labels in together}) > 2


@pytest.mark.slow
def test_each_dtype_and_batch_size_has_a_line(dinov2: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "METHODS", {"DiffSeg": vit.METHODS["DiffSeg"]})
    monkeypatch.setattr(precision, "DTYPES", {"cpu": ("float16",), "cuda": ("float32",)})  # bfloat16 is slow on a CPU
    found = precision._backbone(Settings(quick=True)) + precision._batches(Settings(quick=True))
    measured = {line.name: line for line in found if line.ours is not None}
    for name in ("backbone in float16, cpu", "batches of 4, float32, cpu"):
        line = measured[f"precision: {name}, DiffSeg"]
        assert line.ours is not None
        assert 0 <= line.ours < 30
        assert "equal counts in" in line.note
    if not torch.cuda.is_available():
        assert {line.note for line in found if line.ours is None} == {NO_CUDA}
