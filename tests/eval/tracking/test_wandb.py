"""The wandb runs of rows: real wandb, offline. The tests read the files that it writes."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

from eval.tracking.base import Tracking
from eval.tracking.wandb_tracker import WandbTracker, _mode
from tests.conftest import ROOT
from tests.helpers.tracked_rows import made_record, made_row
from tests.helpers.wandb_runs import FINAL, KEY, NOWHERE, OFFLINE, recorded, track, would_upload

wandb = pytest.importorskip("wandb")

RECORDS = [made_record("a", 4), made_record("b", 8)]


def messages(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name.startswith("eval")]


def test_each_row_has_a_run_with_its_settings_history_and_final_scores(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    rows = [made_row("one", tau=0.2), made_row("two", tau=0.4)]
    track(folder, rows, [made_record(id, correct, row.key) for id, correct in (("a", 4), ("b", 8)) for row in rows])
    out, err = capfd.readouterr()
    for row, (place, file) in zip(rows, recorded(folder), strict=True):
        assert (file.run.project, file.run.run_group, file.run.job_type) == ("diffseg", "run", "diffseg")
        assert file.run.display_name == f"DiffSeg, {row.key}"
        assert {key: value for key, value in file.config.items() if key != "_wandb"} == row.settings
        assert [line["_step"] for line in file.history] == [0, 1]
        assert [line["image/official/acc"] for line in file.history] == [40, 80]
        assert [line["running/present/acc"] for line in file.history] == [40, 60]
        assert {name: file.summary[name] for name in FINAL} == FINAL
        assert not [name for name in file.summary if name.startswith("image/")], "of the last image alone"
        assert file.exit_code == 0
        assert not {"output", "output_raw", "stats", "environment"} & file.kinds
        assert not file.run.git.commit
        assert not list((place / "files").rglob("*.*"))
    assert out == ""
    (line,) = err.splitlines()
    assert sorted(would_upload(line)) == sorted(place for place, _ in recorded(folder))
    for sweep in (ROOT / "experiments" / "sweeps").glob("*.yaml"):
        assert yaml.safe_load(sweep.read_text())["metric"]["name"] in FINAL


def test_a_killed_and_resumed_row_keeps_its_run_and_a_grown_folder_adds_one(folder: Path) -> None:
    """Offline, each process records the run from its beginning, so the last file is complete."""
    track(folder, [made_row("one")], [made_record("a", 4, "one")], killed=True)
    resumed = made_row("one", [made_record("a", 4, "one")])
    track(folder, [resumed], [made_record("b", 8, "one")])
    track(folder, [made_row("two")], [made_record("a", 4, "two")])  # a second sweep into the folder
    before, after, other = (file for _, file in recorded(folder))
    assert before.run.run_id == after.run.run_id != other.run.run_id
    assert (len(before.history), before.exit_code) == (1, 1)
    assert (len(after.history), after.exit_code) == (2, 0)

    tracking = Tracking(OFFLINE, folder, "another")  # as with a deleted results folder
    tracking.start(made_row("one"), "mine")
    tracking.close()
    assert recorded(folder)[-1][1].run.run_id not in (before.run.run_id, other.run.run_id)


def test_panels_and_classes_are_shown(folder: Path) -> None:
    paths = [folder / f"{name}.png" for name in ("overview", "a")]
    for number, path in enumerate(paths):
        Image.new("RGB", (4 + number, 3), (number, 0, 0)).save(path)
    classes = pd.DataFrame({"class": ["sky"], "iou": [100 / 3]})
    tracking, row = Tracking(OFFLINE, folder, "token"), made_row()
    tracking.start(row, "mine")
    tracking.finish(row, FINAL, paths, classes)
    tracking.close()
    ((place, file),) = recorded(folder)
    last = file.history[-1]
    for key, path in {"overview": paths[0], "panels/1": paths[1]}.items():
        assert np.array_equal(
            np.asarray(Image.open(place / "files" / last[f"{key}.path"])), np.asarray(Image.open(path))
        )
    table = json.loads((place / "files" / last["per_class.path"]).read_text())
    assert (table["columns"], table["data"]) == (["class", "iou"], [["sky", 100 / 3]])


@pytest.mark.parametrize("method", ["init", "log", "finish"])
def test_a_failure_is_reported_once_and_closes_the_runs(
    method: str, folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space\nleft")

    with monkeypatch.context() as patch:
        patch.setattr(wandb if method == "init" else wandb.Run, method, fail)
        track(folder, [made_row("one"), made_row("two")], [made_record("a", 4, "one")])
    assert messages(caplog) == ["tracking stopped: [Errno 28] No space left; results are unaffected"]
    if method != "finish":  # which closes the files
        assert {file.exit_code for _, file in recorded(folder)} == ({1} if method == "log" else set())


def test_rows_are_recorded_offline_if_the_server_does_not_answer(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    monkeypatch.setenv("WANDB_BASE_URL", NOWHERE)
    init, modes = wandb.init, []

    def counted(**given: Any) -> Any:
        modes.append(given["mode"])
        return init(**given)

    monkeypatch.setattr(wandb, "init", counted)
    track(folder, [made_row("one", RECORDS), made_row("two", RECORDS)], tracker=WandbTracker(timeout=0.5))
    assert modes.count("online") == 1, "it waits for the server once, not for each row"
    (message,) = messages(caplog)
    assert message.endswith("; recording offline")
    complete = [place for place, file in recorded(folder) if len(file.history) == 2]
    assert len(complete) == 2
    out, err = capfd.readouterr()
    line = next(line for line in err.splitlines() if "wandb sync" in line)
    assert set(complete) <= set(would_upload(line))
    encoded = base64.b64encode(f"api:{KEY}".encode())  # as a request would carry it
    for path in [path for path in folder.parent.rglob("*") if path.is_file()]:
        assert KEY.encode() not in path.read_bytes(), path
        assert encoded not in path.read_bytes(), path
    assert KEY not in out + err + caplog.text


@pytest.mark.parametrize(
    ("environment", "netrc", "chosen", "mode"),
    [
        ({"WANDB_API_KEY": KEY}, "", "auto", "online"),
        ({}, f"machine 127.0.0.1:9 login user password {KEY}", "auto", "online"),
        ({}, "", "auto", "offline"),
        ({}, "", "online", "offline"),
        ({"WANDB_API_KEY": KEY}, "", "offline", "offline"),
        ({"WANDB_API_KEY": KEY, "WANDB_MODE": "dryrun"}, "", "auto", None),
        ({"WANDB_API_KEY": "short"}, "", "auto", "offline"),
    ],
)
def test_the_mode_is_online_only_with_a_login(
    environment: Mapping[str, str],
    netrc: str,
    chosen: str,
    mode: str | None,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in {"WANDB_BASE_URL": NOWHERE, **environment}.items():
        monkeypatch.setenv(name, value)
    Path(os.environ["NETRC"]).write_text(netrc)
    wandb.setup(wandb.Settings(silent=True))
    assert _mode(chosen) == mode


def test_wandb_reads_its_environment(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = folder.parent / "elsewhere"
    elsewhere.mkdir()
    given = {"MODE": "offline", "PROJECT": "theirs", "ENTITY": "team", "RUN_GROUP": "group", "NAME": "mine"}
    given |= {"TAGS": "a,b", "NOTES": "note", "DIR": str(elsewhere)}
    for name, value in given.items():
        monkeypatch.setenv(f"WANDB_{name}", value)
    track(folder, [made_row()], RECORDS, WandbTracker())
    ((_, file),) = recorded(elsewhere)
    assert (file.run.project, file.run.entity, file.run.run_group) == ("theirs", "team", "group")
    assert (file.run.display_name, list(file.run.tags), file.run.notes) == ("mine", ["a", "b"], "note")
    assert not list(folder.iterdir())
    assert len(file.history) == 2


def test_the_environment_switches_wandb_off(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("WANDB_MODE", "disabled")
    track(folder, [made_row()], RECORDS, WandbTracker())
    assert not list(folder.glob("wandb/*"))
    assert messages(caplog) == []


def test_under_an_agent_the_run_belongs_to_its_sweep(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parameters = folder.parent / "parameters.yaml"
    parameters.write_text("wandb_version: 1\nsegmenter.tau:\n  value: 0.2\n")
    given = {"SWEEP_ID": "sw33p", "RUN_ID": "r0n", "PROJECT": "theirs", "SWEEP_PARAM_PATH": str(parameters)}
    for name, value in given.items():
        monkeypatch.setenv(f"WANDB_{name}", value)
    track(folder, [made_row(tau=0.2)], RECORDS, WandbTracker(mode="offline", project="ours", entity="me"))
    ((_, file),) = recorded(folder)
    assert (file.run.run_id, file.run.sweep_id, file.run.run_group) == ("r0n", "sw33p", "sw33p")
    assert file.run.project == "theirs"
    assert (file.config["segmenter.tau"], file.config["segmenter"]["tau"]) == (0.2, 0.2)
