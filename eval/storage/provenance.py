"""Collects and stores the versions, hardware, weights and data behind a run, so that its numbers can be traced."""

from __future__ import annotations

import json
import os
import platform
import subprocess
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
        facts = json.loads(path.read_text(encoding="utf-8"))
        if not all({"code", "git_commit"} <= each.keys() for each in facts):
            raise ValueError("facts are missing")
    except (ValueError, AttributeError, TypeError) as error:
        raise RecordError(f"{path}: damaged ({error}); delete it, and start the same command again") from None
    return facts


def add_provenance(
    folder: Path, settings: Sequence[Mapping[str, Any]], earlier: Sequence[Mapping[str, Any]], command: str
) -> bool:
    """Adds the facts of this process, with date and command line, to ``provenance.json``.

    Args:
        folder: folder of the records.
        settings: settings of each row of this process, `eval.rows.Row.settings`.
        earlier: facts of earlier processes, from `read_provenance`.
        command: the command line.

    Returns:
        True if the code differs from that of an earlier process.
    """
    facts = provenance(settings)
    run = {"date": datetime.now(UTC).isoformat(timespec="seconds"), "command": command}
    together = [dict(each) for each in earlier]
    same = next((each for each in together if {**each, RUNS: None} == {**facts, RUNS: None}), None)
    if same is None:
        together.append({**facts, RUNS: [run]})
    else:
        same[RUNS] = [*same.get(RUNS, []), run]
    write_text(folder / PROVENANCE, json.dumps(together, indent=2) + "\n")
    return any(each["code"] != facts["code"] for each in earlier)


def provenance(settings: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Facts about a run. A repetition on the same machine and checkout has the same facts.

    Args:
        settings: settings of each row, `eval.rows.Row.settings`.

    Returns:
        JSON-ready: git commit (with ``+changes`` if the checkout differs from it), sha256 of the code that makes
        records, versions, hardware, fingerprints and names of the weights, fingerprints of the data.
    """
    names = {each["backbone"]["weights"]: each["backbone"]["weights_name"] for each in settings}
    return {
        **_process(),
        "weights": sorted(names),
        "weights_names": dict(sorted(names.items())),
        "data": sorted({each["dataset"]["fingerprint"] for each in settings}),
    }


@cache
def _process() -> dict[str, Any]:
    """The facts that are constant in a process. Cached, because collecting them takes time."""
    import torch  # readers need none

    return {
        "git_commit": _git_commit(),
        "code": project_code(),
        "python": platform.python_version(),
        "versions": _versions(),
        "hardware": {
            "machine": platform.machine(),
            "system": platform.system(),
            "cpu_cores": os.cpu_count(),
            "torch_threads": torch.get_num_threads(),
            "gpus": [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())],
        },
    }


def _versions() -> dict[str, str]:
    """Versions of all installed packages, sorted by name: a segmenter may import its package after this was written."""
    packages = {package.metadata["Name"]: package.version for package in distributions()}
    return dict(sorted(packages.items(), key=lambda item: str(item[0]).lower()))


def _git_commit() -> str | None:
    """Commit of the checkout that contains this file; None outside of git."""

    def git(*command: str) -> str:
        here = Path(__file__).parents[1]
        return subprocess.run(["git", *command], cwd=here, check=True, capture_output=True, text=True).stdout.strip()

    try:
        return git("rev-parse", "HEAD") + ("+changes" if git("status", "--porcelain", "-uno") else "")
    except (OSError, subprocess.CalledProcessError):
        return None
