"""Collects and stores the versions, hardware, weights and data behind a run, so that its numbers can be traced."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

from eval.code import project_code
from eval.records import RecordError
from eval.storage.files import write_text
from eval.storage.layout import PROVENANCE

RUNS = "runs"
"""Key of the dates and command lines of processes with the same facts."""


def read_provenance(folder: Path) -> list[dict[str, Any]]:
    """Reads the provenance of earlier processes that recorded into this folder.

    Raises:
        RecordError: the file is damaged.
    """
    path = folder / PROVENANCE
    if not path.is_file():
        return []
    try:
        facts: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
        if not all({"code", "git_commit"} <= process.keys() for process in facts):
            raise ValueError("facts are missing")
    except (ValueError, AttributeError, TypeError) as error:
        raise RecordError(f"{path}: damaged ({error}); delete it, and start the same command again") from None
    return facts


def add_provenance(folder: Path, settings: Sequence[Mapping[str, Any]], command: str) -> bool:
    """Adds the facts of this process, with date and command line, to ``provenance.json``.

    Args:
        folder: folder of the records.
        settings: settings of each row of this process, `eval.row.Row.settings`.
        command: the command line.

    Returns:
        True if the code differs from that of an earlier process.

    Raises:
        RecordError: see `read_provenance`.
    """
    facts, known = provenance(settings), read_provenance(folder)
    run = {"date": datetime.now(UTC).isoformat(timespec="seconds"), "command": command}
    for earlier in known:
        if {**earlier, RUNS: None} == {**facts, RUNS: None}:
            earlier[RUNS] = [*earlier.get(RUNS, []), run]
            break
    else:
        known.append({**facts, RUNS: [run]})
    write_text(folder / PROVENANCE, json.dumps(known, indent=2) + "\n")
    return any(earlier["code"] != facts["code"] for earlier in known)


def provenance(settings: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Facts about a run. A repetition on the same machine and checkout has the same facts.

    Args:
        settings: settings of each row, `eval.row.Row.settings`.

    Returns:
        JSON-ready: git commit (with ``+changes`` if the checkout differs from it), sha256 of the code that makes
        records, versions, hardware, fingerprints and names of the weights, fingerprints of the data.
    """
    names = {row["backbone"]["weights"]: row["backbone"]["weights_name"] for row in settings}
    return {
        **_process(),
        "weights": sorted(names),
        "weights_names": dict(sorted(names.items())),
        "data": sorted({row["dataset"]["fingerprint"] for row in settings}),
    }


@cache
def _process() -> dict[str, Any]:
    """The facts that are constant in a process. Cached, because collecting them takes time."""
    # All packages: a segmenter may import its own after this was written.
    versions = {package.metadata["Name"]: package.version for package in distributions()}
    torch = sys.modules.get("torch")  # None: no row of the command needs it
    gpus = range(torch.cuda.device_count()) if torch else ()
    return {
        "git_commit": _git_commit(),
        "code": project_code(),
        "python": platform.python_version(),
        "versions": dict(sorted(versions.items(), key=lambda item: str(item[0]).lower())),
        "hardware": {
            "machine": platform.machine(),
            "system": platform.system(),
            "cpu_cores": os.cpu_count(),
            "torch_threads": torch.get_num_threads() if torch else None,
            "gpus": [torch.cuda.get_device_name(index) for index in gpus] if torch else [],
        },
    }


def _git_commit() -> str | None:
    """Commit of the checkout that contains this file; None outside of git."""
    try:
        commit, changes = (
            subprocess.run(
                ["git", *command], cwd=Path(__file__).parent, check=True, capture_output=True, text=True
            ).stdout.strip()
            for command in (["rev-parse", "HEAD"], ["status", "--porcelain", "-uno"])
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return commit + ("+changes" if changes else "")
