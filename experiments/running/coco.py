"""Writes the label maps of a run in COCO's form: ``--tables DIR --coco FOLDER``, a file for each row."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from diffseg.files import distinct_names
from diffseg.result import write_coco
from eval.config import ConfigError
from eval.results.names import telling_names
from eval.runs import Run
from eval.storage.files import make_folder, writing

NOT_IN_NAMES = '/\\:*?"<>|'


def write_coco_files(run: Run, folder: Path) -> str:
    """Writes ``FOLDER/ROW.json`` for each row.

    Args:
        run: the run with its label maps.
        folder: created if missing.

    Returns:
        A line for each file.

    Raises:
        ConfigError: a row has no label maps.
        WriteError: a file cannot be written.
    """
    make_folder(folder)
    names = ["".join("-" if letter in NOT_IN_NAMES else letter for letter in name) for name in telling_names(run.rows)]
    lines = []
    for name, row in zip(distinct_names(names), run.rows, strict=True):
        maps = [(record.picture, run.label_map(row, record.picture)) for record in row.evaluated]
        known = [(id, labels.astype(np.int64), None) for id, labels in maps if labels is not None]
        if not known:
            raise ConfigError(f"--coco: {row.name} has no label maps; type its command again with labels=all")
        path = folder / f"{name}.json"
        with writing(path):
            write_coco(path, known)
        missing = f", {len(maps) - len(known)} without a label map" if len(known) < len(maps) else ""
        lines.append(f"{path}: {len(known)} pictures{missing}")
    return "\n".join(lines)
