"""Saved figures: equal bytes for equal figures."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure

from experiments.plotting.saving import save


def figure(value: float) -> Figure:
    made = Figure((1, 1))
    made.subplots().plot([0, value])
    return made


def test_equal_figures_are_equal_bytes(tmp_path: Path) -> None:
    first, again, other = (
        [path.read_bytes() for path in save({"a": figure(value)}, tmp_path / folder)]
        for folder, value in (("first", 1), ("again", 1), ("other", 2))
    )
    assert first == again
    assert all(old != new for old, new in zip(first, other, strict=True))
    assert {path.name for path in (tmp_path / "first").iterdir()} == {"a.png", "a.pdf"}
