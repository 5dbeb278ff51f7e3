"""A file of records."""

from __future__ import annotations

from pathlib import Path

import pytest
from eval.storage.records import RecordFile

from tests.helpers.record_lines import SETTINGS, ok


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file with one row and the images a and b."""
    path = tmp_path / "results" / "records.jsonl"
    with RecordFile(path) as records:
        records.declare(SETTINGS)
        records.append(ok("a"))
        records.append(ok("b"))
    return path
