"""Settings of the wandb tracker: the login, wandb's environment variables, and the agent of a sweep."""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from eval.results.names import telling_names
from eval.tracking.wandb_tracker import WandbTracker, _say
from tests.helpers.wandb_runs import KEY, NOWHERE, OFFLINE, begin, messages, recorded, rows, track

wandb = pytest.importorskip("wandb")


@pytest.mark.parametrize("tracker", [OFFLINE, WandbTracker(mode="online", timeout=0.5)], ids=lambda each: each.mode)
def test_the_key_is_written_nowhere(
    tracker: WandbTracker,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    monkeypatch.setenv("WANDB_BASE_URL", NOWHERE)
    track(begin(tracker, folder), folder)
    wandb.teardown()
    files = [path for path in folder.parent.rglob("*") if path.is_file()]
    assert any(path.suffix == ".wandb" for path in files)
    assert any("debug" in path.name for path in files)
    encoded = base64.b64encode(f"api:{KEY}".encode())  # as a request would carry it
    for path in files:
        content = path.read_bytes()
        assert KEY.encode() not in content, path
        assert encoded not in content, path
    out, err = capfd.readouterr()
    assert KEY not in out + err + caplog.text


@pytest.mark.parametrize(
    ("environment", "netrc", "mode", "online"),
    [
        ({"WANDB_API_KEY": KEY}, "", "auto", True),
        ({}, f"machine 127.0.0.1:9 login user password {KEY}", "auto", True),
        ({}, "", "auto", False),
        ({}, "", "online", False),
        ({"WANDB_API_KEY": KEY}, "", "offline", False),
        ({"WANDB_API_KEY": KEY, "WANDB_MODE": "offline"}, "", "auto", False),
        ({"WANDB_API_KEY": "short"}, "", "auto", False),
    ],
)
def test_the_mode_is_online_only_with_a_login(
    environment: Mapping[str, str],
    netrc: str,
    mode: Any,
    online: bool,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    for name, value in {"WANDB_BASE_URL": NOWHERE, **environment}.items():
        monkeypatch.setenv(name, value)
    Path(os.environ["NETRC"]).write_text(netrc)
    wandb.setup(wandb.Settings(silent=True))
    assert WandbTracker(mode=mode)._mode() == ("online" if online else "offline")
    assert bool(messages(caplog)) == (mode == "online" and not online)


@pytest.mark.parametrize(
    "environment", [{"WANDB_MODE": "disabled"}, {"WANDB_DISABLED": "true"}], ids=lambda each: next(iter(each))
)
def test_the_environment_switches_wandb_off(
    environment: Mapping[str, str], folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    _say.cache_clear()
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    track(begin(WandbTracker(), folder), folder)
    assert not (folder / "wandb").exists()
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith("wandb: switched off by the environment variable")


def test_the_environment_decides_settings_that_are_not_given(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = {"MODE": "dryrun", "PROJECT": "theirs", "ENTITY": "team", "RUN_GROUP": "group", "NAME": "mine"}
    given |= {"JOB_TYPE": "type", "TAGS": "a,b", "NOTES": "note", "DIR": str(folder.parent / "elsewhere")}
    (folder.parent / "elsewhere").mkdir()
    for name, value in given.items():
        monkeypatch.setenv(f"WANDB_{name}", value)
    begin(WandbTracker(), folder, slice(1)).close(failed=False)
    begin(WandbTracker(), folder, slice(2)).close(failed=False)
    runs = [file.run for _, file in recorded(folder.parent / "elsewhere")]
    for run in runs:
        assert (run.project, run.entity, run.run_group, run.job_type) == ("theirs", "team", "group", "type")
        assert (list(run.tags), run.notes) == (["a", "b"], "note")
    names = telling_names(rows(folder)[:2])
    assert [run.display_name for run in runs] == ["mine", *(f"mine, {name}" for name in names)]
    assert {path.name for path in (folder / "wandb").iterdir()} == {"id"}


def test_a_given_setting_beats_the_environment_and_says_so(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    for name, value in {"MODE": "disabled", "PROJECT": "theirs", "ENTITY": "me"}.items():
        monkeypatch.setenv(f"WANDB_{name}", value)
    begin(WandbTracker(project="ours", entity="me", mode="offline"), folder, slice(1)).close(failed=False)
    assert [file.run.project for _, file in recorded(folder)] == ["ours"]
    lines = capfd.readouterr().err.splitlines()
    assert lines[:2] == [
        "wandb: tracker.project=ours is used, not WANDB_PROJECT=theirs",
        "wandb: tracker.mode=offline is used, not WANDB_MODE=disabled",
    ]


def test_under_an_agent_the_run_belongs_to_its_sweep(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parameters = folder.parent / "parameters.yaml"
    parameters.write_text("wandb_version: 1\nsegmenter.tau:\n  value: 0.2\n")
    given = {
        "SWEEP_ID": "sw33p",
        "RUN_ID": "r0n",
        "PROJECT": "theirs",
        "ENTITY": "team",
        "SWEEP_PARAM_PATH": parameters,
    }
    for name, value in given.items():
        monkeypatch.setenv(f"WANDB_{name}", str(value))
    with pytest.raises(ValueError, match="one row, this one has 3"):
        begin(OFFLINE, folder)
    begin(WandbTracker(mode="offline", project="ours", entity="me"), folder, slice(1)).close(failed=False)
    ((_, file),) = recorded(folder)
    assert (file.run.run_id, file.run.sweep_id, file.run.run_group) == ("r0n", "sw33p", "sw33p")
    assert (file.run.project, file.run.entity) == ("theirs", "team")
    assert (file.config["segmenter.tau"], file.config["segmenter"]["tau"]) == (0.2, 0.2)
