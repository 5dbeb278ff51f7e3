"""Tracks a run in Weights & Biases while it runs, one wandb run per row. Settings: ``conf/tracker/wandb.yaml``.

Sends only results: no code, console output, git state, environment or machine statistics.
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

from eval.results.names import telling_names
from eval.results.row_results import RowResults
from eval.storage.files import write_text
from eval.storage.layout import PER_CLASS_CSV, SUMMARY_CSV
from eval.storage.records import Record
from eval.tracking.base import NoTracking, RunFacts, Tracking, one_line
from eval.tracking.wandb_environment import environment_mode, given, overruled
from eval.tracking.wandb_run import RowTracking

if TYPE_CHECKING:
    import wandb

Mode = Literal["online", "offline"]

PROJECT = "diffseg"
PROJECT_LIMIT, PROJECT_TABOO = 128, "/\\#?%:"  # wandb's limits, which it checks only when a run begins
# With these settings wandb sends only logged values and files.
PLAIN: dict[str, Any] = {
    **{"console": "off", "save_code": False, "disable_code": True, "disable_git": True, "x_save_requirements": False},
    **{"x_disable_meta": True, "x_disable_machine_info": True, "x_disable_stats": True},
    **{"use_dot_wandb": False, "symlink": False, "finish_timeout_raises": True},
}

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class WandbTracker:
    """Tracker for wandb.

    wandb's environment variables set whatever is left open here. WANDB_DIR, WANDB_NAME, WANDB_RUN_GROUP and
    WANDB_JOB_TYPE work, too. A setting given here overrules its variable, and one line says so.

    Attributes:
        project: project of the wandb runs; None: WANDB_PROJECT, else `PROJECT`.
        entity: user or team; None: WANDB_ENTITY, else wandb's default.
        mode: ``online`` sends to the server; ``offline`` writes files. ``auto``: the value of WANDB_MODE, which may be
            ``disabled``; if it is not set, online with a login (``wandb login`` or WANDB_API_KEY), else offline.
        timeout: seconds to wait for the server when a wandb run begins, and when it ends.
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
        """Begins a wandb run for each row; its files are in ``wandb`` in the folder of the run or sweep.

        The id of a wandb run consists of a token of that folder, the key of the row and, in a sweep, the number of
        pictures. It does not depend on the number of the job, which can change when the sweep grows.

        Raises:
            RuntimeError: wandb is not installed.
            ValueError: the agent of a wandb sweep started this run, and it has several rows.
        """
        chosen = {"project": self.project, "entity": self.entity, "mode": None if self.mode == "auto" else self.mode}
        for line in [] if _agent() else overruled(chosen):
            _say(line)
        if self.mode == "auto" and environment_mode() == "disabled":
            _say("switched off by the environment variable WANDB_MODE or WANDB_DISABLED; nothing is recorded")
            return NoTracking()
        try:
            import wandb
        except ImportError:
            raise RuntimeError("wandb is not installed (pip install wandb)") from None
        if _agent() and len(run.rows) > 1:
            raise ValueError(f"a run of a wandb sweep has one row, this one has {len(run.rows)}")
        wandb.setup(wandb.Settings(silent=True))
        # Absolute paths: a later upload from another folder finds the files.
        run = replace(run, folder=run.folder.resolve(), sweep=run.sweep and run.sweep.resolve())
        mode = self._mode()
        token = _token(_common_folder(run))
        ids = {each.key: f"{token}-{each.key}" + (f"-{run.pictures}" if run.sweep else "") for each in run.rows}
        runs: dict[str, RowTracking] = {}
        address = ""
        with ExitStack() as opened:
            for number, (name, row) in enumerate(zip(telling_names(run.rows), run.rows, strict=True)):
                if row.key in runs or run.shared.get(row.key):  # tracked under another name or by an earlier job
                    continue
                begun, mode = self._begin(mode, run, ids[row.key], name, row)
                opened.callback(begun.finish, exit_code=1)
                runs[row.key] = RowTracking(begun, number, row, run.classes, run.report)
                address = (begun.url if len(runs) == 1 else begun.project_url) or ""
            opened.pop_all()
        if mode == "online" and address:
            _say(address)
        artifact = f"results-{hashlib.sha256(' '.join(ids.values()).encode()).hexdigest()[:16]}"
        return _WandbTracking(run, artifact, runs)

    def _mode(self) -> Mode:
        """The mode: online if a login is stored. The server checks the login when a run begins."""
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

    def _begin(self, mode: Mode, run: RunFacts, id: str, name: str, row: RowResults) -> tuple[wandb.Run, Mode]:
        """Begins a wandb run, offline if the server does not answer in time. Returns the run and its mode."""
        import wandb

        agent = _agent()  # an agent sets project, entity and id through environment variables
        project = self.project or (None if given("WANDB_PROJECT") else PROJECT)
        name = f"{name}, {run.point}" if run.sweep and row.key not in run.shared else name
        if theirs := given("WANDB_NAME"):
            name = theirs if len(run.rows) == 1 and not run.sweep else f"{theirs}, {name}"
        try:
            begun = wandb.init(
                project=None if agent else project,
                entity=None if agent else self.entity,
                id=None if agent else id,
                dir=None if given("WANDB_DIR") else str(_common_folder(run)),
                group=agent or given("WANDB_RUN_GROUP") or _common_folder(run).name,
                name=name,
                mode=mode,
                job_type=given("WANDB_JOB_TYPE") or row.settings["segmenter"]["name"],
                config=dict(row.settings),
                # Online, the wandb run is resumed. Offline, each process records the run from its beginning, and the
                # last upload replaces earlier ones.
                resume="allow" if mode == "online" else None,
                reinit="create_new",
                settings=wandb.Settings(**PLAIN, init_timeout=self.timeout, finish_timeout=self.timeout),
            )
        except Exception as error:
            if mode == "offline" or agent:
                raise
            logger.warning("wandb: %s; recording offline", one_line(error))
            wandb.setup(wandb.Settings(mode="offline"))  # later runs of this process do not wait for the server again
            # The failed attempt still occupies its id in this process.
            return self._begin("offline", run, f"{id}-offline", name, row)
        return begun, mode


class _WandbTracking:
    """The wandb runs of a run, by the keys of its rows. ``artifact``: name of the result files."""

    def __init__(self, run: RunFacts, artifact: str, runs: Mapping[str, RowTracking]) -> None:
        self.run, self.artifact, self.runs = run, artifact, runs

    def record(self, record: Record) -> None:
        if record["key"] in self.runs:  # otherwise an earlier job has the row
            self.runs[record["key"]].record(record)

    def finish(self) -> None:
        folder = self.run.folder
        summary = pd.read_csv(folder / SUMMARY_CSV)
        names = {"row": str, "class": str}
        per_class = pd.read_csv(folder / PER_CLASS_CSV, dtype=names, na_values=[""], keep_default_na=False)
        with _staging(_common_folder(self.run)):
            for each in self.runs.values():
                each.finish(folder, self.artifact, summary, per_class)

    def close(self, failed: bool) -> None:
        left = []
        for each in self.runs.values():
            try:
                each.run.finish(exit_code=int(failed))
                sent = not each.run.offline
            except Exception as error:  # closes the other runs, too; this run's records are on disk
                logger.warning("wandb: %s", one_line(error))
                sent = False
            if not sent:
                left.append(each)
        if left:
            option = " --include-online" if any(not each.run.offline for each in left) else ""
            folders = shlex.join(each.run.settings.sync_dir for each in left)
            if self.run.sweep:  # one command uploads all jobs
                folders = shlex.quote(str(Path(left[0].run.settings.sync_dir).parent))
            _say(f"to upload: wandb sync{option} {folders}")


@cache
def _say(line: str) -> None:
    """Prints a line for the user. Cached, so that the jobs of a sweep do not repeat it."""
    print(f"wandb: {line}", file=sys.stderr)


def _agent() -> str | None:
    """Id of the wandb sweep whose agent started this process; None without an agent."""
    return os.environ.get("WANDB_SWEEP_ID")


def _common_folder(run: RunFacts) -> Path:
    """Parent of wandb's folder. A sweep has one for all jobs, so that a job's folder contains only results."""
    return run.sweep or run.folder


def _token(folder: Path) -> str:
    """First part of the ids of this folder's wandb runs, stored in the folder. A deleted folder gets a new one."""
    path = folder / "wandb" / "id"
    path.parent.mkdir(exist_ok=True)
    if not path.is_file():
        token = uuid.uuid4().hex[:8]
        write_text(new := path.with_name(token), token)
        with suppress(FileExistsError):  # another job was faster: use its token
            os.link(new, path)
        new.unlink()
    return path.read_text(encoding="utf-8")


@contextmanager
def _staging(folder: Path) -> Iterator[None]:
    """Context in which wandb stages uploads in this folder, not in the user's home."""
    name = "WANDB_DATA_DIR"
    given = os.environ.get(name)
    os.environ[name] = given or str(folder / "wandb")
    try:
        yield
    finally:
        if given is None:
            del os.environ[name]
