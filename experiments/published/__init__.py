"""Published numbers, as CSV files beside this one: method, resolution, requirements, ACC and mIoU in percent."""

from __future__ import annotations

import csv
from pathlib import Path

from eval.config import ConfigError


def published_score(table: str | None, method: str, resolution: int) -> dict[str, float | None] | None:
    """ACC and mIoU that a paper gives for a method.

    Args:
        table: name of a CSV file here, without ``.csv``; None: nothing to compare with.
        method: its row, by name.
        resolution: its row, by the side of the square that enters the backbone in pixels.

    Returns:
        ``acc`` and ``miou`` in percent (None where the paper leaves the cell empty); None without such a row.

    Raises:
        ConfigError: there is no such table.
    """
    if table is None:
        return None
    path = Path(__file__).with_name(f"{table}.csv")
    if not path.is_file():
        known = ", ".join(sorted(other.stem for other in path.parent.glob("*.csv")))
        raise ConfigError(f"published: must be one of {known}, got {table!r}")
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            if (row["method"], row["resolution"]) == (method, str(resolution)):
                return {name: float(row[name]) if row[name] else None for name in ("acc", "miou")}
    return None
