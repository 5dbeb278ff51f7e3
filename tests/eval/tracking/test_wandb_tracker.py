"""The wandb tracker: real wandb, offline, shown a real result; what it recorded is read back from its own files."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

from eval.metrics import accuracy, mean_iou
from eval.protocols import PROTOCOLS
from eval.results.run_results import read_config
from eval.rows import Row, telling_names
from eval.storage.records import Record
from eval.tracking.base import RunFacts, SafeTracking, Tracker, Tracking
from eval.tracking.wandb_tracker import WandbTracker, _say
from tests.conftest import ROOT
from tests.helpers.made_records import counts_of
from tests.helpers.runs import SMALL, Run, evaluate
from tests.helpers.wandb_file import BLOCK, WandbFile, read_wandb_file

wandb = pytest.importorskip("wandb")

KEY = "a1b2c3d4e5" * 4  # as long as a real one
NOWHERE = "http://127.0.0.1:9"  # nothing listens on the discard port
METRICS = {"acc": accuracy, "miou": mean_iou}
OFFLINE = WandbTracker(mode="offline")
ROWS = "[{name: DiffSeg, overrides: ['segmenter.tau=0.2,0.4']}, {name: K-Means, overrides: ['segmenter=kmeans_s']}]"


@pytest.fixture(scope="module")
def made() -> list[Run]:
    return []


@pytest.fixture
def results(
    made: list[Run], dinov2: Path, tmp_path_factory: pytest.TempPathFactory, capfd: pytest.CaptureFixture[str]
) -> Run:
    """Three rows, two of them namesakes, on two photographs."""
    if not made:
        folder = tmp_path_factory.mktemp("results") / "run"
        made.append(evaluate(folder, *SMALL, f"rows={ROWS}", "dataset.limit=2", capture=capfd))
        assert made[0].status == 0, made[0].err
    return made[0]


@pytest.fixture
def folder(results: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of the results; wandb knows no login, keeps its own things below ``tmp_path``, and forgets all after."""
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    for name, path in {"NETRC": "netrc", "WANDB_CONFIG_DIR": "config", "WANDB_CACHE_DIR": "cache"}.items():
        monkeypatch.setenv(name, str(tmp_path / path))
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    yield Path(shutil.copytree(results.folder, tmp_path / "run"))
    wandb.teardown()
    assert not list((tmp_path / "cwd").iterdir()), "files lie where the user works"


def rows(folder: Path) -> list[Row]:
    return read_config(folder)[1]


def images(folder: Path, key: str | None = None) -> list[Record]:
    records = [json.loads(line) for line in (folder / "records.jsonl").read_text().splitlines()]
    return [record for record in records if record["type"] == "image" and key in (None, record["key"])]


def begin(tracker: Tracker, folder: Path, chosen: slice = slice(None), **job: Any) -> Tracking:
    classes = list(pd.read_csv(folder / "per_class.csv")["class"].drop_duplicates())
    return tracker.open(RunFacts(folder, rows(folder)[chosen], classes, PROTOCOLS, pictures=2, **job))


def mirror(tracking: Tracking, folder: Path) -> None:
    for record in 2 * images(folder):  # shown again, they add nothing
        tracking.record(record)
    tracking.finish()
    tracking.close(failed=False)


def recorded(folder: Path) -> list[tuple[Path, WandbFile]]:
    """The wandb runs below a results folder in the order of its rows: their folders and what they recorded.

    Runs of one row, or of a folder without rows, stand in the order in which they began, which wandb notes in
    microseconds. Folders are named by the second, and files are written by another process: neither has an order.
    """
    wandb.teardown()  # what runs in its own process has written all
    keys = [row.key for row in rows(folder)] if (folder / "config.yaml").is_file() else []
    found = [(path.parent, read_wandb_file(path)) for path in folder.glob("wandb/*/run-*.wandb")]

    def order(each: tuple[Path, WandbFile]) -> tuple[int, int]:
        row = next((number for number, key in enumerate(keys) if key in each[1].run.run_id), 0)
        return row, each[1].run.start_time.ToNanoseconds()

    return sorted(found, key=order)


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name.startswith("eval")]


@pytest.fixture
def mirrored(folder: Path) -> Path:
    mirror(begin(OFFLINE, folder), folder)
    return folder


def test_a_run_for_each_row_with_its_settings(mirrored: Path) -> None:
    runs = [file for _, file in recorded(mirrored)]
    assert len(runs) == 3
    for file, row, name in zip(runs, rows(mirrored), telling_names(rows(mirrored)), strict=True):
        assert (file.run.project, file.run.run_group, file.run.display_name) == ("diffseg", "run", name)
        assert file.run.job_type == row.settings["segmenter"]["name"]
        assert file.run.run_id.endswith(row.key)
        assert {key: value for key, value in file.config.items() if key != "_wandb"} == row.settings
        assert file.exit_code == 0
    assert [file.config["segmenter"].get("tau") for file in runs] == [0.2, 0.4, None]
    assert len({file.run.display_name for file in runs}) == 3


def test_history_has_each_image_and_the_score_so_far(mirrored: Path) -> None:
    per_image = pd.read_csv(mirrored / "per_image.csv").set_index(["row", "protocol", "image"])
    names = telling_names(rows(mirrored))
    for name, row, (_, file) in zip(names, rows(mirrored), recorded(mirrored), strict=True):
        records = images(mirrored, row.key)
        assert len(file.history) == len(records) == 2
        for step, (shown, record) in enumerate(zip(file.history, records, strict=True)):
            assert (shown["_step"], shown["image/id"], shown["images"]) == (step, record["image"], step + 1)
            assert shown["image/segments"] == record["segments"]
            for protocol in PROTOCOLS:
                total = sum(counts_of(each, protocol) for each in records[: step + 1])
                for metric, score in METRICS.items():
                    own = per_image.loc[(name, protocol, record["image"]), metric]
                    assert shown[f"image/{protocol}/{metric}"] == pytest.approx(own, abs=1e-4)
                    assert shown[f"running/{protocol}/{metric}"] == pytest.approx(100 * score(total))


def test_summary_has_the_final_scores_with_intervals(mirrored: Path) -> None:
    tables = pd.read_csv(mirrored / "summary.csv")
    for number, (_, file) in enumerate(recorded(mirrored)):
        for row in tables.iloc[2 * number : 2 * number + 2].to_dict("records"):
            for name in ("acc", "acc_low", "acc_high", "miou", "miou_low", "miou_high"):
                assert file.summary[f"final/{row['protocol']}/{name}"] == row[name]
            assert file.summary["final/images"] == row["images"] == 2
            assert file.summary["final/segments"] == row["segments"]
        assert not [name for name in file.summary if name.startswith("image/")], "of the last image alone"
        for sweep in (ROOT / "experiments" / "sweeps").glob("*.yaml"):
            assert yaml.safe_load(sweep.read_text())["metric"]["name"] in file.summary


def test_table_panels_and_files(mirrored: Path) -> None:
    per_class = pd.read_csv(mirrored / "per_class.csv")
    panels = {path.stem: np.asarray(Image.open(path)) for path in (mirrored / "panels").glob("*.png")}
    for name, (place, file) in zip(telling_names(rows(mirrored)), recorded(mirrored), strict=True):
        last = file.history[-1]
        table = json.loads((place / "files" / last["per_class.path"]).read_text())
        shown = pd.DataFrame(table["data"], columns=table["columns"])
        expected = per_class[per_class["row"] == name].drop(columns="row").reset_index(drop=True)
        pd.testing.assert_frame_equal(shown, expected, check_dtype=False)
        assert shown["iou"].notna().any()

        files = [last["overview.path"], *last["panels.filenames"]]
        for id, path in zip(["overview", *last["panels.captions"]], files, strict=True):
            assert np.array_equal(np.asarray(Image.open(place / "files" / path)), panels[id])
        assert {"overview", *last["panels.captions"]} == set(panels)

        (artifact,) = [each for each in file.artifacts if each.type == "results"]
        tables = {path.name for path in mirrored.glob("*.csv")}
        assert {each.path for each in artifact.manifest.contents} == {
            *("records.jsonl", "config.yaml", "provenance.json"),
            *tables,
        }
        for each in [each for artifact in file.artifacts for each in artifact.manifest.contents]:
            content = Path(each.local_path).read_bytes()  # where an upload finds it
            assert base64.b64encode(hashlib.md5(content, usedforsecurity=False).digest()).decode() == each.digest
            assert Path(each.local_path).is_relative_to(mirrored)


def test_says_how_to_upload_once_and_nothing_else(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    capfd.readouterr()
    mirror(begin(OFFLINE, folder), folder)
    out, err = capfd.readouterr()
    assert out == ""
    (line,) = err.splitlines()
    places = [place for place, _ in recorded(folder)]
    assert sorted(shlex.split(line.partition("wandb sync")[2])) == sorted(str(place) for place in places)
    assert sorted(would_upload(line)) == sorted(places)


def test_the_jobs_of_a_sweep_are_uploaded_by_one_command(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    sweep = folder.parent / "my sweep"
    for number in range(2):
        job = Path(shutil.copytree(folder, sweep / str(number)))
        begin(OFFLINE, job, slice(number, number + 1), sweep=sweep, point=f"tau=0.{number}").close(failed=False)
        assert not (job / "wandb").exists()
    (line,) = capfd.readouterr().err.splitlines()
    assert sorted(would_upload(line)) == sorted(place for place, _ in recorded(sweep))
    assert [file.run.run_group for _, file in recorded(sweep)] == ["my sweep"] * 2
    assert [file.run.display_name.rpartition(", ")[2] for _, file in recorded(sweep)] == ["tau=0.0", "tau=0.1"]


@pytest.mark.parametrize("launcher", ["one_pass", "basic"])
def test_a_point_keeps_its_run_when_its_sweep_grows(
    launcher: str, folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """A run a row, though jobs share one; numbers of jobs move, ids and scores do not; the last upload has all."""
    overrides = (*SMALL, f"rows={ROWS.replace('0.2,0.4', '0.2')}", "dataset.limit=2", "tracker=wandb")
    overrides += ("tracker.mode=offline", "panels=0", f"hydra/launcher={launcher}")

    def launch(weights: str) -> dict[str, WandbFile]:
        """Run id -> what the last file of that run holds, as an upload leaves it."""
        sweep = folder.parent / "sweep"
        _say.cache_clear()  # in a process of its own it would be told anew
        run = evaluate(sweep, *overrides, f"segmenter.tau={weights}", capture=capfd, multirun=True)
        assert run.status == 0, run.err
        assert not list(sweep.glob("*/wandb"))
        line = next(line for line in run.err.splitlines() if "wandb sync" in line)
        order = [place.name for place in would_upload(line)]
        assert [name[:27] for name in order] == sorted(name[:27] for name in order), "not in the order of time"
        files = dict(sorted(recorded(sweep), key=lambda each: order.index(each[0].name)))
        return {file.run.run_id: file for file in files.values()}

    before, after = launch("0.3,0.5"), launch("0.2,0.3,0.5")
    assert len(before) == 3
    assert len(after) == 4
    for id, file in before.items():
        for name in [name for name in file.summary if name.startswith(("final/official", "final/present"))]:
            assert after[id].summary[name] == file.summary[name]
        assert after[id].config == file.config
    assert all((len(file.history), file.exit_code) == (2, 0) for file in after.values())
    names = {file.run.display_name for file in after.values()}
    assert launcher == "basic" or names == {"K-Means", *(f"DiffSeg, tau={tau}" for tau in (0.2, 0.3, 0.5))}


def would_upload(line: str) -> list[Path]:
    """Folders that wandb itself finds for the command that is printed."""
    arguments = line.partition("wandb sync")[2]
    shell = f"{shlex.quote(sys.executable)} -m wandb sync --dry-run --verbose {arguments}"
    done = subprocess.run(shell, shell=True, capture_output=True, text=True, check=True)
    return [Path(found[1]).parent for found in re.finditer(r"^wandb:\s+(/.+\.wandb)$", done.stderr, re.MULTILINE)]


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
    mirror(begin(tracker, folder), folder)
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


def test_only_results_are_sent(mirrored: Path) -> None:
    for place, file in recorded(mirrored):
        assert not {"output", "output_raw", "stats", "environment"} & set(file.kinds)
        assert not file.run.git.commit
        assert {path.relative_to(place / "files").parts[0] for path in (place / "files").rglob("*")} == {"media"}


@pytest.mark.parametrize("problem", ["open", "record", "finish", "close"])
def test_a_failing_mirror_is_told_once_and_changes_nothing(
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
        mirror(SafeTracking(lambda: begin(OFFLINE, folder)), folder)
    if problem == "close":  # each row's own; all are closed
        assert told(caplog) == ["wandb: [Errno 28] No space left"] * 3
    else:
        assert told(caplog) == ["tracking stopped: [Errno 28] No space left; results are unaffected"]
        assert [file.exit_code for _, file in recorded(folder)] == ([] if problem == "open" else [1, 1, 1])
    assert all(path.read_bytes() == content for path, content in before.items())


def test_a_failure_while_opening_ends_what_was_opened(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_records_offline_when_the_server_does_not_answer(
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
        mirror(begin(WandbTracker(timeout=0.5), job), job)
    assert modes.count("online") == 1, "it waits for the server once, not for each row and job"
    (message,) = told(caplog)
    assert message.endswith("; recording offline")
    printed = capfd.readouterr().err
    for job in jobs:
        complete = [place for place, file in recorded(job) if len(file.history) == 2]
        assert len(complete) == 3
        assert all(place.name.startswith("offline-run-") for place in complete)
        assert f"wandb sync {shlex.join(map(str, complete))}\n" in printed


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
def test_online_with_a_login(
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
    assert bool(told(caplog)) == (mode == "online" and not online)


@pytest.mark.parametrize(
    "environment", [{"WANDB_MODE": "disabled"}, {"WANDB_DISABLED": "true"}], ids=lambda each: next(iter(each))
)
def test_the_environment_switches_wandb_off(
    environment: Mapping[str, str], folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    _say.cache_clear()
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    mirror(begin(WandbTracker(), folder), folder)
    assert not (folder / "wandb").exists()
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith("wandb: switched off by the environment variable")


def test_the_environment_decides_what_is_left_open(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_a_later_process_tracks_the_same_runs(folder: Path) -> None:
    """Offline each process records the run from its beginning: its file alone is complete."""
    first, second = images(folder)[:2]
    tracking = begin(OFFLINE, folder, slice(1))
    tracking.record(first)
    tracking.close(failed=True)
    tracking = begin(OFFLINE, folder, slice(1))
    for record in images(folder, first["key"]):
        tracking.record(record)
    tracking.close(failed=False)
    (_, before), (_, after) = recorded(folder)
    assert before.run.run_id == after.run.run_id
    assert not after.run.resume
    assert (len(before.history), before.exit_code) == (1, 1)
    assert (len(after.history), after.exit_code) == (2, 0)
    assert second["key"] != first["key"]

    shutil.rmtree(folder / "wandb")  # with its results, so that there are others now
    begin(OFFLINE, folder, slice(1)).close(failed=False)
    assert recorded(folder)[0][1].run.run_id != before.run.run_id


def test_under_an_agent_the_run_is_the_agents(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_the_reader_puts_records_together_and_sees_damage(tmp_path: Path, folder: Path) -> None:
    text = "x" * (2 * BLOCK)  # longer than a block: in three parts
    tracking = begin(OFFLINE, folder, slice(1))
    run = next(iter(tracking.runs.values())).run  # type: ignore[attr-defined]
    run.summary["long"] = text
    tracking.close(failed=False)
    ((place, file),) = recorded(folder)
    assert file.summary["long"] == text
    (path,) = place.glob("*.wandb")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(AssertionError, match="checksum"):
        read_wandb_file(path)
