"""Writes ``config.yaml`` and ``provenance.json`` of a run."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from diffseg.backbones.weights.locating import name_of
from eval.results.reading import SWEEP_TABLE
from eval.results.run_results import CONFIG, RESOLVED, resolved_row
from eval.results.tables import TABLES
from eval.rows import RowToRun
from eval.storage.files import write_text
from eval.storage.provenance import provenance
from eval.storage.records import RecordError
from eval.storage.written import WrittenFiles
from experiments.paper.table import PAPER_TABLES
from experiments.running.arguments import COMMAND
from experiments.running.audit import AUDIT_TABLES
from experiments.running.plan import RunPlan

PROVENANCE, RUNS = "provenance.json", "runs"
ALL_TABLES = (*TABLES, *PAPER_TABLES, *AUDIT_TABLES)


def check_files(home: Path, plans: Sequence[RunPlan]) -> None:
    """Checks that a new run replaces no file of the user.

    Args:
        home: folder for the records, which has none yet.
        plans: of the run, or of the jobs of a sweep.

    Raises:
        RecordError: a file with the name of a result file is there, and no run of this version wrote it.
    """
    marks = {home / PROVENANCE: '"git_commit":', **{plan.folder / CONFIG: f"\n{RESOLVED}:" for plan in plans}}
    foreign = [path for path, mark in marks.items() if path.is_file() and mark not in _text(path)]
    for folder, names in {**{plan.folder: ALL_TABLES for plan in plans}, home: (*ALL_TABLES, SWEEP_TABLE)}.items():
        written = WrittenFiles(folder).names
        foreign += [folder / name for name in names if name not in written and (folder / name).is_file()]
    if foreign:
        raise RecordError(f"{foreign[0]}: no run of this version wrote this file; move it, or give another results_dir")


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace")


def write_config(plan: RunPlan, rows: Sequence[RowToRun]) -> None:
    """Writes ``config.yaml``, without ``results_dir``. If the configuration has changed, deletes the old tables."""
    given = OmegaConf.to_container(plan.config, resolve=True)
    assert isinstance(given, dict)
    del given["results_dir"]
    given["overrides"] = list(plan.overrides)
    given[RESOLVED] = [resolved_row(row) for row in rows]
    plain = json.loads(json.dumps(given))  # tuples become lists
    text, path = OmegaConf.to_yaml(OmegaConf.create(plain)), plan.folder / CONFIG
    if path.is_file() and path.read_text(encoding="utf-8") != text:
        WrittenFiles(plan.folder).delete()
    write_text(path, text)


def read_provenance(home: Path) -> list[dict[str, Any]]:
    """Reads the provenance of earlier processes that recorded into this folder.

    Raises:
        RecordError: the file is damaged.
    """
    path = home / PROVENANCE
    if not path.is_file():
        return []
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        if not all({"code", "git_commit"} <= each.keys() for each in facts):
            raise ValueError("facts are missing")
    except (ValueError, AttributeError, TypeError) as error:
        raise RecordError(f"{path}: damaged ({error}); delete it, and start the same command again") from None
    return facts


def add_provenance(home: Path, rows: Sequence[RowToRun], earlier: Sequence[Mapping[str, Any]]) -> bool:
    """Adds the facts of this process, with date and command line, to ``provenance.json``.

    Returns:
        True if the code differs from that of an earlier process.
    """
    names = {row.recorded["backbone"]["weights"]: name_of(row.config.backbone) for row in rows}
    facts = provenance([row.recorded for row in rows], names)
    run = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": shlex.join([*COMMAND.split(), *sys.argv[1:]]),
    }
    together = [dict(each) for each in earlier]
    same = next((each for each in together if {**each, RUNS: None} == {**facts, RUNS: None}), None)
    if same is None:
        together.append({**facts, RUNS: [run]})
    else:
        same[RUNS] = [*same.get(RUNS, []), run]
    write_text(home / PROVENANCE, json.dumps(together, indent=2) + "\n")
    return any(each["code"] != facts["code"] for each in earlier)
