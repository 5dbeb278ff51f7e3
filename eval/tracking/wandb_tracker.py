"""Mirrors a run in Weights & Biases: a wandb run a row, written live. Settings: ``conf/tracker/wandb.yaml``.

Only what stands in the results folder is sent: no code, console output, git state, environment or machine statistics.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shlex
import sys
import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd

from eval.files import write_text
from eval.records import Record
from eval.rows import Row, telling_names
from eval.tracking.base import NoTracking, RunFacts, Tracking, one_line
from eval.tracking.wandb_environment import environment_mode, given, overruled
from eval.tracking.wandb_run import RowMirror

if TYPE_CHECKING:
    import wandb

Mode = Literal["online", "offline"]

PROJECT = "diffseg"
PROJECT_LIMIT, PROJECT_TABOO = 128, "/\\#?%:"  # as wandb checks them, when the run has begun
# Nothing is collected besides what is logged.
PLAIN: dict[str, Any] = {
    **{"console": "off", "save_code": False, "disable_code": True, "disable_git": True, "x_save_requirements": False},
    **{"x_disable_meta": True, "x_disable_machine_info": True, "x_disable_stats": True},
    **{"use_dot_wandb": False, "symlink": False, "finish_timeout_raises": True},
}

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class WandbTracker:
    """Tracker for wandb.

    wandb's environment variables decide what is left open here, WANDB_DIR, WANDB_NAME, WANDB_RUN_GROUP and
    WANDB_JOB_TYPE too. A setting given here wins, and one line says so.

    Attributes:
        project: that the runs belong to; None: WANDB_PROJECT, else `PROJECT`.
        entity: user or team; None: WANDB_ENTITY, else wandb's default.
        mode: ``online`` sends to the server; ``offline`` records into files. ``auto``: WANDB_MODE, ``disabled``
            among its values; if it is not set, online with a login (``wandb login`` or WANDB_API_KEY), else offline.
        timeout: seconds that the server may take to begin a run, and to receive what is left when it ends.
    """

    project: str | None = None
    entity: str | None = None
    mode: Literal["auto", "online", "offline"] = "auto"
    timeout: float = 60.0

    def __post_init__(self) -> None:
        project = PROJECT if self.project is None else self.project
        if not 0 < len(project) <= PROJECT_LIMIT or set(project) & set(PROJECT_TABOO):
            raise ValueError(
                f"project: must have 1..{PROJECT_LIMIT} characters, none of {PROJECT_TABOO}, got {self.project!r}"
            )
        if not 0 < self.timeout < float("inf"):
            raise ValueError(f"timeout: must be a positive number of seconds, got {self.timeout}")

    def open(self, run: RunFacts) -> Tracking:
        """Begins a wandb run for each row; its files lie under ``wandb`` in the folder of the run or sweep.

        The id of a wandb run begins with one of that folder, and goes on with the row's key and, in a sweep, the
        number of pictures: it stays the same when a job's number moves because its sweep grows.

        Raises:
            RuntimeError: wandb is not installed.
            ValueError: an agent of a wandb sweep started this run, and it has several rows.
        """
        chosen = {"project": self.project, "entity": self.entity, "mode": None if self.mode == "auto" else self.mode}
        for line in [] if _agent() else overruled(chosen):
            _say(line)
        if self.mode == "auto" and environment_mode() == "disabled":
            _say("switched off by the environment variable WANDB_MODE or WANDB_DISABLED, nothing is recorded")
            return NoTracking()
        try:
            import wandb
        except ImportError:
            raise RuntimeError("wandb is not installed (pip install wandb)") from None
        if _agent() and len(run.rows) > 1:
            raise ValueError(f"a run of a wandb sweep has one row, this one has {len(run.rows)}")
        wandb.setup(wandb.Settings(silent=True))
        # Resolved: a later upload, from wherever, finds the files.
        run = replace(run, folder=run.folder.resolve(), sweep=run.sweep and run.sweep.resolve())
        mode = self._mode()
        token = _token(_home(run))
        ids = {each.key: f"{token}-{each.key}" + (f"-{run.pictures}" if run.sweep else "") for each in run.rows}
        runs: dict[str, RowMirror] = {}
        address = ""
        with ExitStack() as opened:
            for number, (name, row) in enumerate(zip(telling_names(run.rows), run.rows, strict=True)):
                if row.key in runs or run.shared.get(row.key):  # under another name, or in another job
                    continue
                begun, mode = self._begin(mode, run, ids[row.key], name, row)
                opened.callback(begun.finish, exit_code=1)
                runs[row.key] = RowMirror(begun, number, name, row, run.classes, run.report)
                address = (begun.url if len(runs) == 1 else begun.project_url) or ""
            opened.pop_all()
        if mode == "online" and address:
            _say(address)
        artifact = f"results-{hashlib.sha256(' '.join(ids.values()).encode()).hexdigest()[:16]}"
        return _WandbTracking(run, artifact, runs)

    def _mode(self) -> Mode:
        """Online where there is a login; whether the server takes it shows when a run begins."""
        import wandb

        wanted = environment_mode() if self.mode == "auto" else self.mode
        if wanted == "offline":
            return "offline"
        try:
            if wandb.login(prompt=False, verify=False):
                return "online"
            problem = "there is no login (wandb login, or the environment variable WANDB_API_KEY)"
        except wandb.Error as error:
            problem = one_line(error)
        if wanted == "online":
            source = "tracker.mode" if self.mode == "online" else "WANDB_MODE"
            logger.warning("%s=online: %s; wandb records offline", source, problem)
        return "offline"

    def _begin(self, mode: Mode, run: RunFacts, id: str, name: str, row: Row) -> tuple[wandb.Run, Mode]:
        """Begins one wandb run, offline where the server does not take it in time. Returns it and how it was begun."""
        import wandb

        agent = _agent()  # it has chosen project, entity and id, by environment variables
        project = self.project or (None if given("WANDB_PROJECT") else PROJECT)
        name = f"{name}, {run.point}" if run.sweep and row.key not in run.shared else name
        if theirs := given("WANDB_NAME"):
            name = theirs if len(run.rows) == 1 and not run.sweep else f"{theirs}, {name}"
        try:
            begun = wandb.init(
                project=None if agent else project,
                entity=None if agent else self.entity,
                id=None if agent else id,
                dir=None if given("WANDB_DIR") else str(_home(run)),
                group=agent or given("WANDB_RUN_GROUP") or _home(run).name,
                name=name,
                mode=mode,
                job_type=given("WANDB_JOB_TYPE") or row.settings["segmenter"]["name"],
                config=dict(row.settings),
                # Online, the run goes on where the last process was. Offline, each process records the run from its
                # beginning, and what is synced last replaces what was there.
                resume="allow" if mode == "online" else None,
                reinit="create_new",
                settings=wandb.Settings(**PLAIN, init_timeout=self.timeout, finish_timeout=self.timeout),
            )
        except Exception as error:
            if mode == "offline" or agent:
                raise
            logger.warning("wandb: %s; recording offline", one_line(error))
            wandb.setup(wandb.Settings(mode="offline"))  # no other run of this process waits for that server again
            # The failed attempt keeps its id in this process.
            return self._begin("offline", run, f"{id}-offline", name, row)
        return begun, mode


class _WandbTracking:
    """The wandb runs of one run of ours, by the keys of its rows; ``artifact``: name of its result files."""

    def __init__(self, run: RunFacts, artifact: str, runs: Mapping[str, RowMirror]) -> None:
        self.run, self.artifact, self.runs = run, artifact, runs

    def record(self, record: Record) -> None:
        if record["key"] in self.runs:  # or another job mirrors it
            self.runs[record["key"]].record(record)

    def finish(self) -> None:
        folder = self.run.folder
        summary = pd.read_csv(folder / "summary.csv")
        names = {"row": str, "class": str}
        per_class = pd.read_csv(folder / "per_class.csv", dtype=names, na_values=[""], keep_default_na=False)
        with _staging(_home(self.run)):
            for each in self.runs.values():
                each.finish(folder, self.artifact, summary, per_class)

    def close(self, failed: bool) -> None:
        left = []
        for each in self.runs.values():
            try:
                each.run.finish(exit_code=int(failed))
                sent = not each.run.offline
            except Exception as error:  # the others are to be closed too; what this one recorded lies on the disk
                logger.warning("wandb: %s", one_line(error))
                sent = False
            if not sent:
                left.append(each)
        if left:
            option = " --include-online" if any(not each.run.offline for each in left) else ""
            folders = shlex.join(each.run.settings.sync_dir for each in left)
            if self.run.sweep:  # one command for all jobs
                folders = shlex.quote(str(Path(left[0].run.settings.sync_dir).parent))
            _say(f"to upload: wandb sync{option} {folders}")


@cache
def _say(line: str) -> None:
    """Tells the user; what the jobs of a sweep have in common is told once."""
    print(f"wandb: {line}", file=sys.stderr)


def _agent() -> str | None:
    """The wandb sweep whose agent started this process."""
    return os.environ.get("WANDB_SWEEP_ID")


def _home(run: RunFacts) -> Path:
    """In which folder wandb's files lie: the sweep's, so that a job's holds what it would without a mirror."""
    return run.sweep or run.folder


def _token(folder: Path) -> str:
    """What the ids of all wandb runs of this folder begin with. It lies in the folder, so that they end with it."""
    path = folder / "wandb" / "id"
    path.parent.mkdir(exist_ok=True)
    if not path.is_file():
        token = uuid.uuid4().hex[:8]
        write_text(own := path.with_name(token), token)
        with suppress(FileExistsError):  # another job was faster: its token is that of all
            os.link(own, path)
        own.unlink()
    return path.read_text(encoding="utf-8")


@contextmanager
def _staging(folder: Path) -> Iterator[None]:
    """Has wandb put the copies of tables that an upload needs into the folder too, not into the user's home."""
    name = "WANDB_DATA_DIR"
    given = os.environ.get(name)
    os.environ[name] = given or str(folder / "wandb")
    try:
        yield
    finally:
        if given is None:
            del os.environ[name]
