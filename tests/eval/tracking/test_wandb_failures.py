"""Failures of wandb: results stay as they are, one line reports the failure, and no wandb run stays open."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest

from eval.tracking.base import SafeTracking
from eval.tracking.wandb_tracker import WandbTracker
from tests.helpers.wandb_runs import KEY, NOWHERE, OFFLINE, begin, messages, recorded, track

wandb = pytest.importorskip("wandb")


@pytest.mark.parametrize("problem", ["open", "record", "finish", "close"])
def test_a_failure_is_reported_once_and_changes_no_result(
    problem: str, folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space\nleft")

    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    target = {"record": "log", "finish": "log_artifact", "close": "finish"}
    with monkeypatch.context() as patch:
        if problem == "open":
            patch.setattr(wandb, "init", fail)
        else:
            patch.setattr(wandb.Run, target[problem], fail)
        track(SafeTracking(lambda: begin(OFFLINE, folder)), folder)
    if problem == "close":  # one for each row, because each run is closed
        assert messages(caplog) == ["wandb: [Errno 28] No space left"] * 3
    else:
        assert messages(caplog) == ["tracking stopped: [Errno 28] No space left; results are unaffected"]
        assert [file.exit_code for _, file in recorded(folder)] == ([] if problem == "open" else [1, 1, 1])
    assert all(path.read_bytes() == content for path, content in before.items())


def test_a_failure_while_opening_closes_the_runs_already_open(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    init, calls = wandb.init, []

    def second_fails(**given: Any) -> Any:
        calls.append(given)
        if len(calls) == 2:
            raise RuntimeError("no more")
        return init(**given)

    monkeypatch.setattr(wandb, "init", second_fails)
    with pytest.raises(RuntimeError, match="no more"):
        begin(OFFLINE, folder)
    assert [file.exit_code for _, file in recorded(folder)] == [1]


def test_runs_are_recorded_offline_if_the_server_does_not_answer(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    monkeypatch.setenv("WANDB_BASE_URL", NOWHERE)
    init, modes = wandb.init, []

    def counted(**given: Any) -> Any:
        modes.append(given["mode"])
        return init(**given)

    monkeypatch.setattr(wandb, "init", counted)
    jobs = [folder, Path(shutil.copytree(folder, folder.with_name("job")))]
    for job in jobs:
        track(begin(WandbTracker(timeout=0.5), job), job)
    assert modes.count("online") == 1, "it waits for the server once, not for each row and job"
    (message,) = messages(caplog)
    assert message.endswith("; recording offline")
    printed = capfd.readouterr().err
    for job in jobs:
        complete = [place for place, file in recorded(job) if len(file.history) == 2]
        assert len(complete) == 3
        assert all(place.name.startswith("offline-run-") for place in complete)
        assert f"wandb sync {shlex.join(map(str, complete))}\n" in printed
