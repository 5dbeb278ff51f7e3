"""Published numbers, the CSV files of ``published/``: method, resolution, requirements, ACC and mIoU in percent."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from eval.config import ConfigError


def published_table(name: str) -> pd.DataFrame:
    """The rows of a paper's table.

    Args:
        name: of a CSV file here, without ``.csv``.

    Returns:
        Columns ``method``; ``resolution``, the side of the square that enters the backbone in pixels, as text, empty
        where the method has none; ``language_dependency``, ``auxiliary_images``, ``unsupervised_adaptation``, yes or
        no; ``published_acc`` and ``published_miou`` in percent, NaN where the paper leaves the cell empty.

    Raises:
        ConfigError: there is no such table.
    """
    path = Path(__file__).parent / "published" / f"{name}.csv"
    if not path.is_file():
        known = ", ".join(sorted(other.stem for other in path.parent.glob("*.csv")))
        raise ConfigError(f"published: must be one of {known}, got {name!r}")
    table = pd.read_csv(path, dtype={"resolution": str}).fillna({"resolution": ""})
    return table.rename(columns={"acc": "published_acc", "miou": "published_miou"})


def published_score(table: str | None, method: str, resolution: int) -> dict[str, float | None] | None:
    """ACC and mIoU that a paper gives for a method.

    Args:
        table: see `published_table`; None: nothing to compare with.
        method: its row, by name.
        resolution: its row, by the side of the square that enters the backbone in pixels.

    Returns:
        ``acc`` and ``miou`` in percent (None where the paper leaves the cell empty); None without such a row.

    Raises:
        ConfigError: there is no such table.
    """
    if table is None:
        return None
    for row in published_table(table).itertuples():
        if (row.method, row.resolution) == (method, str(resolution)):
            scores = {"acc": row.published_acc, "miou": row.published_miou}
            return {name: None if pd.isna(value) else value for name, value in scores.items()}
    return None
