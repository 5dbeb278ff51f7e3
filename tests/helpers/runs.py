"""Runs the command line inside the test process, and reads its results."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hydra.core.global_hydra import GlobalHydra

from experiments.evaluate import main

# DINOv2 with its published weights at 112 pixels: 0.1 s per picture.
SMALL = ("backbone.size=112", "backbone.sides=[8]", "segmenter.anchors=4")
TIMINGS = ("seconds_per_image", "seconds")


@dataclass(frozen=True)
class Run:
    """Exit status, output and results folder of a run."""

    status: int
    out: str
    err: str
    folder: Path

    def table(self, name: str = "summary") -> pd.DataFrame:
        return pd.read_csv(self.folder / f"{name}.csv")

    def records(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.folder / "records.jsonl").read_text().splitlines()]

    def images(self) -> list[dict[str, Any]]:
        return [record for record in self.records() if "record" in record]


def evaluate(folder: Path, *overrides: str, multirun: bool = False, config_dir: Path | None = None) -> Run:
    """Runs ``python -m experiments.evaluate ...`` in this process. Importing torch again would take longer.

    Panels take a third of a small run. They are drawn only if the test asks for them, with ``panels=``.
    """
    flags = ["-m"] if multirun else []
    flags += ["--config-dir", str(config_dir)] if config_dir else []
    panels = [] if any(override.startswith("panels=") for override in overrides) else ["panels=0"]
    return command(*flags, f"results_dir={folder}", *panels, *overrides, folder=folder)


def command(*arguments: str, folder: Path = Path(), main: Callable[[], None] = main) -> Run:
    """Runs a command with exactly these arguments, ``python -m experiments.evaluate`` if no other is given."""
    out, err, status = StringIO(), StringIO(), 0
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setattr("sys.argv", ["a command", *arguments])
        try:
            main()
        except SystemExit as stopped:
            status = int(stopped.code or 0)
        finally:
            GlobalHydra.instance().clear()
    return Run(status, out.getvalue(), err.getvalue(), folder)


def without_timings(folder: Path) -> dict[str, Any]:
    """Path -> content of every result file without times. It is the same for two equal runs."""
    contents: dict[str, Any] = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_dir() or path.name.endswith(".lock"):
            continue
        if path.suffix == ".csv":
            table = pd.read_csv(path, dtype=str)
            contents[name] = table.drop(columns=[column for column in TIMINGS if column in table]).to_csv()
        elif path.suffix == ".jsonl":
            lines = [json.loads(line) for line in path.read_text().splitlines()]
            timed = ("seconds", "time")
            contents[name] = [{key: value for key, value in line.items() if key not in timed} for line in lines]
        elif path.name == "config.yaml":
            contents[name] = re.sub("date: .*|token: .*", "", path.read_text())
        elif path.name == "provenance.json":  # the checkout may change while the tests run
            contents[name] = [
                {**facts, "git_commit": None, "code": None, "runs": None} for facts in json.loads(path.read_text())
            ]
        elif path.suffix == ".md":
            contents[name] = re.sub(r"\d+\.\d\d \|", "", path.read_text())  # only seconds have two decimals
        else:
            contents[name] = path.read_bytes()
    return contents
