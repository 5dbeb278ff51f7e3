"""Lines that a reader of the tables must know."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from experiments.running.reporting import remarks
from tests.helpers.made_runs import made_run


def test_a_single_segment_everywhere_means_a_large_tau(tmp_path: Path) -> None:
    run = made_run(tmp_path, {"segmenter.tau": 3.0})
    (row,) = run.rows
    assert remarks(run, [row]) == []
    flat = replace(row, records=[replace(record, segments=1) for record in row.records])
    line = "DiffSeg: a single segment in every picture; tau is too large for this attention"
    assert remarks(run, [flat]) == [line]
