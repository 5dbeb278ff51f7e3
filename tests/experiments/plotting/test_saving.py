"""Saved figures: equal bytes for equal figures, and a note of their inputs."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure

from experiments.plotting.saving import KINDS, are_saved, save


def figure(value: float) -> Figure:
    made = Figure((1, 1))
    made.subplots().plot([0, value])
    return made


def test_figures_of_the_same_inputs_are_not_drawn_again(tmp_path: Path) -> None:
    assert not are_saved(["a"], tmp_path / "out", "hash")
    paths = save({"a": figure(1)}, tmp_path / "out", "hash")
    assert [path.name for path in paths] == [f"a.{kind}" for kind in KINDS]
    assert are_saved(["a"], tmp_path / "out", "hash")
    assert not are_saved(["a"], tmp_path / "out", "another hash")
    assert not are_saved(["a", "b"], tmp_path / "out", "hash")
    paths[0].write_bytes(b"cut short")
    assert not are_saved(["a"], tmp_path / "out", "hash")


def test_equal_figures_are_equal_bytes(tmp_path: Path) -> None:
    first, again, other = (
        [path.read_bytes() for path in save({"a": figure(value)}, tmp_path / folder)]
        for folder, value in (("first", 1), ("again", 1), ("other", 2))
    )
    assert first == again
    assert all(old != new for old, new in zip(first, other, strict=True))
