"""Progress without a terminal is printed as plain lines."""

from __future__ import annotations

import pytest

from eval.progress import Progress


def test_a_clock_that_stands_still_is_no_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Windows' clock moves in steps of 16 ms. Scoring a label map from a file can take less."""
    monkeypatch.setattr("time.monotonic", lambda: 5.0)
    with Progress("photos", total=2, done=1) as bar:
        bar.advance("ACC 50 %")
    assert capsys.readouterr().err.startswith("photos: 2/2, ")


def test_lines_show_rate_and_time_left(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    now = iter((0.0, 10.0, 40.0, 50.0))
    monkeypatch.setattr("time.monotonic", lambda: next(now))
    with Progress("photos", total=4, done=1) as bar:
        for note in "abc":
            bar.advance(note)
    assert capsys.readouterr().err.splitlines() == [
        "photos: 3/4, 0.05 img/s, 20 s left, b",
        "photos: 4/4, 0.06 img/s, 0 s left, c",
    ]
