"""Trackers: a failing one does not stop a run, and the steps that the wandb tracker logs. Needs no wandb."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from omegaconf import OmegaConf

from eval.config import ConfigError, build
from eval.protocols import PROTOCOLS
from eval.results.row_results import RowResults
from eval.scores import SparseTable
from eval.storage.records import Record
from eval.tracking.base import NoTracker, SafeTracking, Tracking
from eval.tracking.wandb_run import RowTracking
from eval.tracking.wandb_tracker import WandbTracker
from tests.conftest import ROOT

STEPS = ("record", "record", "finish", "close")


class Noting:
    """A tracker that notes its calls, and fails at those whose names begin with ``fails``."""

    def __init__(self, fails: str, error: BaseException) -> None:
        self.fails, self.error, self.told = fails, error, []  # type: tuple[str, BaseException, list[str]]

    def begin(self) -> Tracking:
        self._step("open")
        return self

    def record(self, record: Record) -> None:
        self._step("record")

    def finish(self) -> None:
        self._step("finish")

    def close(self, failed: bool) -> None:
        self._step(f"close {failed}")

    def _step(self, name: str) -> None:
        self.told.append(name)
        if name.startswith(self.fails):
            raise self.error


def use(tracking: Tracking) -> None:
    tracking.record({})
    tracking.record({})
    tracking.finish()
    tracking.close(failed=False)


@pytest.mark.parametrize(
    ("fails", "told"),
    [
        ("nowhere", ["open", "record", "record", "finish", "close False"]),
        ("open", ["open"]),
        ("record", ["open", "record", "close True"]),
        ("finish", ["open", "record", "record", "finish", "close True"]),
        ("close", ["open", "record", "record", "finish", "close False"]),
    ],
)
def test_a_failure_is_one_line_and_ends_the_tracking(
    fails: str, told: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    tracker = Noting(fails, RuntimeError("no\n  space"))
    use(SafeTracking(tracker.begin))
    assert tracker.told == told
    expected = [] if fails == "nowhere" else ["tracking stopped: no space; results are unaffected"]
    assert [record.getMessage() for record in caplog.records] == expected


@pytest.mark.parametrize("fails", ["open", "record", "finish", "close"])
def test_an_interrupt_passes_through(fails: str) -> None:
    with pytest.raises(KeyboardInterrupt):
        use(SafeTracking(Noting(fails, KeyboardInterrupt()).begin))


def test_a_failing_close_after_a_failure_is_not_reported_again(caplog: pytest.LogCaptureFixture) -> None:
    use(SafeTracking(Noting("", RuntimeError()).begin))  # "" fails everywhere
    tracker = Noting("nowhere", ValueError())
    tracking = SafeTracking(tracker.begin)
    tracker.fails = ""
    use(tracking)
    assert [record.getMessage() for record in caplog.records] == [
        "tracking stopped: RuntimeError; results are unaffected",
        "tracking stopped: ValueError; results are unaffected",
    ]


@pytest.mark.parametrize(("name", "kind"), [("none", NoTracker), ("wandb", WandbTracker)])
def test_the_yaml_of_a_tracker_holds_its_defaults(name: str, kind: Callable[[], object]) -> None:
    node = OmegaConf.load(ROOT / "conf" / "tracker" / f"{name}.yaml")
    assert build(node, "tracker") == kind()  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("mode", "onlin", "tracker.mode: input should be 'auto', 'online' or 'offline', got 'onlin'"),
        ("project", "a/b", r"tracker.project: must have 1..128 characters, none of /\#?%:, got 'a/b'"),
        ("project", "", r"tracker.project: must have 1..128 characters, none of /\#?%:, got ''"),
        ("timeout", 0, "tracker.timeout: must be a positive number of seconds, got 0.0"),
        ("timeout", float("inf"), "tracker.timeout: must be a positive number of seconds, got inf"),
        ("projekt", "x", "tracker.projekt: WandbTracker has no such key; did you mean tracker.project?"),
    ],
)
def test_settings_are_checked(key: str, value: object, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        build(OmegaConf.create({"_target_": "eval.tracking.wandb_tracker.WandbTracker", key: value}), "tracker")
    assert str(error.value) == message


class WandbRun:
    """Stands for a wandb run whose first steps are already on the server."""

    def __init__(self, starting_step: int) -> None:
        self.starting_step, self.rows = starting_step, []  # type: tuple[int, list[tuple[int, dict[str, Any]]]]

    def define_metric(self, *_: object, **__: object) -> None: ...

    def log(self, row: dict[str, Any], step: int) -> None:
        self.rows.append((step, row))


def shown(starting_step: int, *records: tuple[str, int | None]) -> list[tuple[int, dict[str, Any]]]:
    """Steps and values that are logged for these records.

    ``records``: image of 10 pixels of one class, and how many are correct; None: the image failed.
    """
    run = WandbRun(starting_step)
    row = RowTracking(run, 0, RowResults("DiffSeg", "key", {}), ["class"], PROTOCOLS)  # type: ignore[arg-type]
    for image, correct in records:
        record: dict[str, Any] = {"image": image, "status": "failed", "reason": "torn"}
        if correct is not None:
            table = SparseTable.of(np.array([[correct, *[1] * (10 - correct)]]))  # the largest segment is matched
            record = {"image": image, "status": "ok", "segments": 1, "table": table.to_json()}
            record["seconds"] = {"attention": 1.0, "segment": 0.5}
        row.record(record)
    return run.rows


def test_a_resumed_run_sends_only_new_steps() -> None:
    rows = shown(2, ("a", 1), ("b", 1), ("c", 2), ("a", 1), ("d", 3))
    assert [(step, row["image/id"]) for step, row in rows] == [(2, "c"), (3, "d")]
    assert rows[-1][1]["running/official/acc"] == pytest.approx(100 * 7 / 40)
    assert rows[-1][1]["image/seconds"] == 1.5


def test_the_newest_record_of_an_image_counts() -> None:
    rows = [row for _, row in shown(0, ("a", None), ("b", 4), ("b", 4), ("a", 10), ("b", 2), ("b", None), ("b", 1))]
    assert np.isnan(rows[0]["running/present/acc"])
    assert [row["running/present/acc"] for row in rows[1:]] == pytest.approx([40, 70, 60, 100, 55])
    assert [(row["images"], row["failed"]) for row in rows] == [(0, 1), (1, 1), (2, 0), (2, 0), (1, 1), (2, 0)]
    assert [row.get("image/present/acc") for row in rows] == [None, 40, 100, 20, None, 10]
