"""Names of the files in a results folder. Imports no torch."""

from __future__ import annotations

from pathlib import Path

RECORDS = "records.jsonl"
LABELS = "labels"
"""Folder of the label maps, see `label_path`."""
CONFIG = "config.yaml"
PROVENANCE = "provenance.json"
SUMMARY_CSV, SUMMARY_MD = "summary.csv", "summary.md"
PER_CLASS_CSV, PER_IMAGE_CSV, CONFUSION_CSV = "per_class.csv", "per_image.csv", "confusion.csv"
AUDIT_CSV, AUDIT_MD = "audit.csv", "audit.md"
PANELS = "panels"
"""Folder of the panels."""
OVERVIEW = "overview"
"""Name of the panel with all pictures, without its ending."""
SWEEP_CSV = "sweep.csv"
"""Table of the jobs of a sweep's last launch. The folder may also contain older jobs."""
MULTIRUN_YAML = "multirun.yaml"
"""Hydra writes the overrides of a sweep here."""


def records_folder(folder: Path) -> Path:
    """The folder with the records, label maps and provenance of a run or job: a job's are in the sweep's folder."""
    alone = (folder / RECORDS).is_file() or not (folder.parent / RECORDS).is_file()
    return folder if alone else folder.parent


def label_path(folder: Path, key: str, id: str) -> Path:
    """Path of a label map.

    Args:
        folder: see `records_folder`.
        key: key of the row.
        id: id of the picture.
    """
    return folder / LABELS / key / f"{id}.png"
