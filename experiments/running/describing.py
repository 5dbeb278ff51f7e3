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
from eval.results.run_results import CONFIG, RESOLVED, resolved_row
from eval.rows import RowToRun
from eval.storage.files import write_text
from eval.storage.provenance import provenance
from eval.storage.records import RecordError
from eval.storage.written import WrittenFiles
from experiments.running.arguments import COMMAND
from experiments.running.plan import RunPlan

PROVENANCE, RUNS = "provenance.json", "runs"


def check_config(folder: Path) -> None:
    """Raises RecordError if a folder holds a ``config.yaml`` that no run wrote: it would be overwritten."""
    path = folder / CONFIG
    if path.is_file() and f"\n{RESOLVED}:" not in path.read_text(encoding="utf-8", errors="replace"):
        raise RecordError(f"{path}: no run of this version wrote this file; move it, or give another results_dir")


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
