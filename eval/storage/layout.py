"""Names of the files in a results folder. Imports no torch."""

from __future__ import annotations

import re

LABELS = "labels"
"""Folder of the label maps: ``labels/KEY/ID.png``."""
CONFIG = "config.yaml"
PROVENANCE = "provenance.json"
SUMMARY_CSV, SCALES_CSV = "summary.csv", "scales.csv"
TABLE_MD, TABLE_TEX = "table.md", "table.tex"
PER_CLASS_CSV, PER_IMAGE_CSV, CONFUSION_CSV = "per_class.csv", "per_image.csv", "confusion.csv"
AUDIT_CSV, AUDIT_MD = "audit.csv", "audit.md"
PANELS = "panels"
"""Folder of the panels."""
OVERVIEW = "overview"
"""Name of the panel with all pictures, without its ending."""
JOB_FOLDER = re.compile(r"\d+")
"""Name of the folder of a job of ``hydra/launcher=submitit_*``."""
