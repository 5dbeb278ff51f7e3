"""Tracks a run in Weights & Biases while it runs, one wandb run per row. Settings: ``conf/tracker/wandb.yaml``.

Sends only results: no code, console output, git state, environment or machine statistics. wandb's environment
variables are read by wandb itself.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import pandas as pd
from pydantic import Field

from eval.row import Row
from eval.tracking.base import one_line

if TYPE_CHECKING:
    import wandb

PROJECT = "diffseg"
ID_DIGITS = 16  # of a sha256 in hex
MOST_PANELS = 9  # the overview and eight pictures
# With these settings wandb sends only logged values and files.
PLAIN: dict[str, Any] = {
    "console": "off",
    "disable_code": True,
    "disable_git": True,
    "finish_timeout_raises": True,
    "save_code": False,
    "symlink": False,
    "use_dot_wandb": False,
    "x_disable_machine_info": True,
    "x_disable_meta": True,
    "x_disable_stats": True,
    "x_save_requirements": False,
}

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class WandbTracker:
    """Tracker for wandb. What is None or ``auto`` here is left to wandb's environment variables.

    Attributes:
        project: project of the wandb runs; None: WANDB_PROJECT, else `PROJECT`.
        entity: user or team; None: wandb's default.
        mode: ``online`` sends to the server; ``offline`` writes files. ``auto``: the value of WANDB_MODE; if it is not
            set, online with a login (``wandb login`` or WANDB_API_KEY), else offline.
        timeout: seconds to wait for the server when a wandb run begins, and when it ends.
    """

    project: str | None = None
    entity: str | None = None
    mode: Literal["auto", "online", "offline"] = "auto"
    timeout: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 60.0

    def start(self, row: Row, name: str, folder: Path, token: str) -> WandbRow:
        """Begins or continues the wandb run of a row; its files are in ``wandb`` in the results folder.

        The id of the wandb run is a hash of the folder's token and the row's key: a resumed or grown folder continues
        the wandb runs of its rows. Under the agent of a wandb sweep, the agent chooses project, entity and id.

        Raises:
            RuntimeError: wandb is not installed.
        """
        try:
            import wandb
        except ImportError:
            raise RuntimeError("wandb is not installed (pip install wandb)") from None
        agent = os.environ.get("WANDB_SWEEP_ID")
        wandb.setup(wandb.Settings(silent=True))
        project = self.project or os.environ.get("WANDB_PROJECT") or PROJECT
        id = hashlib.sha256(f"{token} {row.key}".encode()).hexdigest()[:ID_DIGITS]
        facts: dict[str, Any] = {
            "project": None if agent else project,
            "entity": None if agent else self.entity,
            "dir": os.environ.get("WANDB_DIR") or str(folder),
            "group": agent or os.environ.get("WANDB_RUN_GROUP") or folder.name,
            "name": os.environ.get("WANDB_NAME") or name,
            "job_type": row.settings["segmenter"]["name"],
            "config": dict(row.settings),
            "reinit": "create_new",
            "settings": wandb.Settings(**PLAIN, init_timeout=self.timeout, finish_timeout=self.timeout),
        }
        mode = _mode(self.mode)
        try:
            # Offline, each process records the run from its beginning, and the last upload replaces earlier ones.
            resume: Literal["allow"] | None = None if mode == "offline" else "allow"
            return WandbRow(wandb.init(id=None if agent else id, mode=mode, resume=resume, **facts))
        except Exception as error:
            if mode == "offline" or agent:
                raise
            logger.warning("wandb: %s; recording offline", one_line(error))
            wandb.setup(wandb.Settings(mode="offline"))  # later rows do not wait for the server again
            # The failed attempt still occupies its id in this process.
            return WandbRow(wandb.init(id=f"{id}-offline", mode="offline", **facts))


class WandbRow:
    """Logs a row in its open wandb run."""

    def __init__(self, run: wandb.Run) -> None:
        self.run = run
        self._step = 0  # number of pictures so far
        run.define_metric("image/*", summary="none")  # otherwise wandb would show the last image as the result
        if not run.offline and run.project_url:
            _say(run.project_url)

    def record(self, scores: Mapping[str, Any], live: bool) -> None:
        """Logs a picture, one step each, unless the continued wandb run already has the step.

        ``live``: False if an earlier process may have logged it.
        """
        if live:
            self._step = max(self._step, self.run.starting_step)
        if self._step >= self.run.starting_step:
            self.run.log(dict(scores), step=self._step)
        self._step += 1

    def finish(self, final: Mapping[str, float], panels: Sequence[Path], per_class: pd.DataFrame | None) -> None:
        """Adds the final scores to the summary, and shows the classes and the first panels."""
        import wandb

        self.run.summary.update(dict(final))
        media: dict[str, Any] = {} if per_class is None else {"per_class": wandb.Table(dataframe=per_class)}
        for number, path in enumerate(panels[:MOST_PANELS]):  # one key each: images of one key must be of equal size
            media[f"panels/{number}" if number else "overview"] = wandb.Image(str(path), caption=path.stem)
        if media:
            self.run.log(media)  # in the step of the last picture: a continued run finds the next step free

    def close(self, failed: bool) -> None:
        """Ends the wandb run. Says how to upload it if it is not on the server."""
        folder, uploaded = shlex.quote(str(Path(self.run.sync_dir).parent)), False
        files = f"{folder}/offline-run-*" if self.run.offline else f"--include-online {folder}/run-*"
        try:
            self.run.finish(exit_code=int(failed))
            uploaded = not self.run.offline
        finally:
            if not uploaded:
                _say(f"to upload: wandb sync {files}")


def _mode(chosen: str) -> Literal["online", "offline"] | None:
    """The mode of `WandbTracker`; None: WANDB_MODE decides. Without a login it is offline."""
    import wandb

    if chosen == "auto" and os.environ.get("WANDB_MODE"):
        return None
    if chosen == "offline" or wandb.setup().settings.mode == "offline":  # the server did not answer before
        return "offline"
    try:
        return "online" if wandb.login(prompt=False, verify=False) else "offline"
    except wandb.Error as error:
        logger.warning("wandb: %s; recording offline", one_line(error))
        return "offline"


@cache
def _say(line: str) -> None:
    """Prints a line for the user, once in a process."""
    print(f"wandb: {line}", file=sys.stderr)
