"""Tracking: a failing tracker does not stop a run; the scores and steps that are logged. Needs no wandb."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from omegaconf import OmegaConf

from eval.config import ConfigError, build
from eval.row import Row
from eval.tracking.base import NoTracker, Tracking, final_scores
from eval.tracking.wandb_tracker import WandbRow, WandbTracker
from tests.conftest import ROOT
from tests.helpers.tracked_rows import made_record, made_row


class Noting:
    """A tracker that notes its calls, and fails at those whose names begin with ``fails``."""

    def __init__(self, fails: str, error: BaseException) -> None:
        self.fails, self.error, self.told = fails, error, []  # type: tuple[str, BaseException, list[str]]

    def start(self, row: Row, name: str, folder: Path, token: str) -> Noting:
        self._step(f"start {name} {token}")
        return self

    def record(self, scores: Mapping[str, Any], live: bool) -> None:
        self._step(f"record {scores['image/id']}{'' if live else ' of before'}")

    def finish(self, final: Mapping[str, float], panels: object, per_class: object) -> None:
        self._step(f"finish {final['final/images']}")

    def close(self, failed: bool) -> None:
        self._step(f"close {failed}")

    def _step(self, name: str) -> None:
        self.told.append(name)
        if name.startswith(self.fails):
            raise self.error


def use(tracker: Noting | NoTracker) -> None:
    tracking = Tracking(tracker, Path(), "t0k")
    row = made_row(records=[made_record("a", 1)])
    tracking.start(row, "mine")
    tracking.start(row, "again")  # a row has one run
    tracking.record(made_record("b", 2))
    tracking.finish(row, {"final/images": 2})
    tracking.close()


@pytest.mark.parametrize(
    ("fails", "told"),
    [
        ("nowhere", ["start mine t0k", "record a of before", "record b", "finish 2", "close False"]),
        ("start", ["start mine t0k"]),
        ("record b", ["start mine t0k", "record a of before", "record b", "close True"]),
        ("record a", ["start mine t0k", "record a of before", "close True"]),
        ("finish", ["start mine t0k", "record a of before", "record b", "finish 2", "close True"]),
        ("close", ["start mine t0k", "record a of before", "record b", "finish 2", "close False"]),
        ("", ["start mine t0k"]),
    ],
)
def test_a_failure_is_one_line_and_ends_the_tracking(
    fails: str, told: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    tracker = Noting(fails, RuntimeError("no\n  space"))
    use(tracker)
    assert tracker.told == told
    expected = [] if fails == "nowhere" else ["tracking stopped: no space; results are unaffected"]
    assert [record.getMessage() for record in caplog.records] == expected


@pytest.mark.parametrize("fails", ["start", "record", "finish", "close"])
def test_an_interrupt_passes_through(fails: str) -> None:
    with pytest.raises(KeyboardInterrupt):
        use(Noting(fails, KeyboardInterrupt()))


def test_without_a_tracker_nothing_happens(caplog: pytest.LogCaptureFixture) -> None:
    use(NoTracker())
    assert not caplog.records


@pytest.mark.parametrize(("name", "kind"), [("none", NoTracker), ("wandb", WandbTracker)])
def test_the_yaml_of_a_tracker_holds_its_defaults(name: str, kind: Callable[[], object]) -> None:
    node = OmegaConf.load(ROOT / "conf" / "tracker" / f"{name}.yaml")
    assert build(node, "tracker") == kind()  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("key", "value"), [("mode", "onlin"), ("timeout", 0), ("timeout", float("inf")), ("projekt", "x")]
)
def test_settings_are_checked(key: str, value: object) -> None:
    with pytest.raises(ConfigError, match=f"tracker.{key}"):
        build(OmegaConf.create({"_target_": "eval.tracking.wandb_tracker.WandbTracker", key: value}), "tracker")


class WandbRun:
    """Stands for a wandb run whose first steps are already on the server."""

    offline, project_url = True, None

    def __init__(self, starting_step: int) -> None:
        self.starting_step, self.rows = starting_step, []  # type: tuple[int, list[tuple[int, dict[str, Any]]]]

    def define_metric(self, *_: object, **__: object) -> None: ...

    def log(self, row: dict[str, Any], step: int) -> None:
        self.rows.append((step, row))


class Server:
    """A tracker whose wandb run is already on the server up to a step."""

    def __init__(self, starting_step: int) -> None:
        self.run = WandbRun(starting_step)

    def start(self, row: Row, name: str, folder: Path, token: str) -> WandbRow:
        return WandbRow(self.run)  # type: ignore[arg-type]


def logged(
    starting_step: int, before: list[tuple[str, int | None]], new: list[tuple[str, int | None]]
) -> list[tuple[int, dict[str, Any]]]:
    """Steps and values that are logged for the records of earlier processes and the new ones."""
    server = Server(starting_step)
    tracking = Tracking(server, Path(), "token")
    row = made_row(records=[made_record(*picture) for picture in before])
    tracking.start(row, "mine")
    for picture in new:
        tracking.record(made_record(*picture))
    return server.run.rows


@pytest.mark.parametrize(
    ("on_the_server", "before", "new", "sent"),
    [
        (2, "ab", "cd", [(2, "c"), (3, "d")]),  # a resumed run sends only new steps
        (1, "ab", "c", [(1, "b"), (2, "c")]),  # a process without tracking had recorded b
        (3, "ab", "c", [(3, "c")]),  # a picture that failed and was tried again had two steps, and has one record now
    ],
)
def test_each_record_is_sent_once(on_the_server: int, before: str, new: str, sent: list[tuple[int, str]]) -> None:
    counts = {"a": 1, "b": 1, "c": 2, "d": 3}
    rows = logged(on_the_server, [(id, counts[id]) for id in before], [(id, counts[id]) for id in new])
    assert [(step, row["image/id"]) for step, row in rows] == sent
    known = before + new
    assert rows[-1][1]["running/official/acc"] == pytest.approx(10 * sum(counts[id] for id in known) / len(known))
    assert rows[-1][1]["image/seconds"] == 1.5


def test_the_newest_record_of_an_image_counts() -> None:
    rows = [row for _, row in logged(0, [], [("a", None), ("b", 4), ("a", 10), ("b", 2), ("b", None), ("b", 1)])]
    assert np.isnan(rows[0]["running/present/acc"])
    assert [row["running/present/acc"] for row in rows[1:]] == pytest.approx([40, 70, 60, 100, 55])
    assert [(row["images"], row["failed"]) for row in rows] == [(0, 1), (1, 1), (2, 0), (2, 0), (1, 1), (2, 0)]
    assert [row.get("image/present/acc") for row in rows] == [None, 40, 100, 20, None, 10]
    assert not [name for name in rows[-1] if "dataset" in name], "it is known only at the end"


def test_final_scores_have_the_numbers_of_the_table() -> None:
    shared = {"images": 2, "failed": 0, "segments": 3.5, "seconds_per_image": np.nan}
    scores = dict.fromkeys(
        [f"{name}{end}" for name in ("ari", "voi", "covering") for end in ("", "_low", "_high")], 0.5
    )
    lines = pd.DataFrame(
        [
            {**shared, **scores, "protocol": name, "acc": acc, "acc_low": 1 / 3, "acc_high": 99.0, "miou": np.nan}
            for name, acc in (("official", 2 / 3), ("present", 7 / 9))
        ]
    ).assign(miou_low=np.nan, miou_high=np.nan)
    final = final_scores(lines)
    assert (final["final/official/acc"], final["final/present/acc"]) == (2 / 3, 7 / 9), "rounded"
    assert final["final/images"] == 2
    assert final["final/present/ari_low"] == 0.5
    assert not [name for name in final if "miou" in name or "seconds" in name], "empty cells"
