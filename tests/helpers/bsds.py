"""The results that the authors of BSDS500 print for gPb-owt-ucm."""

from __future__ import annotations

from pathlib import Path

THRESHOLDS = [step / 100 for step in range(1, 100)]


def printed(shared: Path, file: str, id: str) -> list[float]:
    """Line of a test picture in a file of the authors, without the number of the line."""
    ids = (shared / "facts" / "bsds500_test.txt").read_text().split()
    lines = (shared / "data" / "bsds500" / "BSDS500" / "ucm2" / "test_eval" / file).read_text().splitlines()
    number, *values = map(float, lines[ids.index(id)].split())
    assert number == ids.index(id) + 1
    return values
