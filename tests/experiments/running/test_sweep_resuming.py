"""Sweeps that are started again: changed, grown, killed, with other code."""

from __future__ import annotations

import json
import signal
import time
from collections import Counter
from pathlib import Path

import pytest

from eval.storage.provenance import provenance
from tests.helpers.forks import log, start
from tests.helpers.runs import SMALL, Run
from tests.helpers.sweeps import Sweep, jobs, results

pytestmark = pytest.mark.usefixtures("dinov2")


def test_a_sweep_that_grows_evaluates_only_its_new_points(sweep: Sweep, calls: Counter[str]) -> None:
    overrides = (*SMALL[:2], "dataset.limit=2", "panels=1")
    sweep(*overrides, "segmenter.anchors=2,4", "segmenter.tau=0.3,0.4")
    calls.clear()
    grown = sweep(*overrides, "segmenter.anchors=2,3,4", "segmenter.tau=0.3,0.35,0.4")
    assert calls["proposals"] == 2 * (9 - 4)
    assert "resuming, 8 results are already there" in grown.err
    afresh = sweep(*overrides, "segmenter.anchors=2,3,4", "segmenter.tau=0.3,0.35,0.4", folder="afresh")
    assert jobs(grown) == jobs(afresh)  # the numbers of jobs have changed
    assert results(grown) == results(afresh)
    calls.clear()
    sweep(*overrides, "segmenter.anchors=4,2", "segmenter.tau=0.4,0.3")
    assert calls["attend_encoded"] == 0
    assert list(grown.table("sweep")["job"].unique()) == list(range(4))  # of the jobs of the last launch


def test_the_provenance_of_all_launches_is_kept(sweep: Sweep, monkeypatch: pytest.MonkeyPatch) -> None:
    overrides = (*SMALL, "dataset.limit=1", "panels=0")
    sweep(*overrides, "segmenter.tau=0.3,0.4")
    other = {"code": "0" * 64}
    monkeypatch.setattr("eval.storage.provenance.provenance", lambda settings: provenance(settings) | other)
    sweep(*overrides, "segmenter.tau=0.4,0.5")
    again = sweep(*overrides, "segmenter.tau=0.4,0.5")
    facts = json.loads((again.folder / "provenance.json").read_text())
    assert [each["code"] == other["code"] for each in facts] == [False, True]
    assert [len(each["runs"]) for each in facts] == [1, 2]
    assert "segmenter.tau=0.4,0.5" in facts[1]["runs"][0]["command"]


def test_a_changed_sweep_keeps_records_and_label_maps(sweep: Sweep, calls: Counter[str]) -> None:
    """Other points, another experiment and fewer pictures; then the first sweep again, which computes nothing."""
    overrides = (*SMALL[:2], "segmenter.anchors=4")
    first = ("dataset.limit=2", "panels=2", "experiment=demo", "segmenter.tau=0.3,0.4")
    before = sweep(*overrides, *first)
    tables, (records, labels) = jobs(before), results(before)
    other = ("dataset.limit=1", "panels=0", "segmenter.tau=0.4,0.5,0.6")
    changed = sweep(*overrides, *other)
    assert changed.status == 0, changed.err
    assert jobs(changed) == jobs(sweep(*overrides, *other, folder="other"))
    kept_records, kept_labels = results(changed)
    assert set(records) < set(kept_records)
    assert kept_labels == labels
    calls.clear()
    last = sweep(*overrides, *first)
    assert last.status == 0, last.err
    again = jobs(last)
    assert {name: files for name, files in again.items() if name in tables} == tables
    assert not calls["attend_encoded"]


@pytest.mark.long
def test_a_killed_sweep_is_resumed(sweep: Sweep, calls: Counter[str], tmp_path: Path) -> None:
    overrides = (*SMALL[:2], "dataset.limit=6", "panels=1", "segmenter.anchors=2,4", "segmenter.tau=0.3,0.4")
    folder = tmp_path / "killed"
    process = start(folder, *overrides, "-m")
    while process.is_alive() and _records(folder) < 10:
        time.sleep(0.001)
    process.kill()
    process.join()
    assert process.exitcode == -signal.SIGKILL, log(folder).read_text()
    done = _records(folder)
    assert 10 <= done < 24
    sweep(*overrides, folder="killed")
    assert calls["proposals"] <= 24 - done + 4  # plus, at most, the label maps of one picture
    assert jobs(Run(0, "", "", folder)) == jobs(sweep(*overrides, folder="undisturbed"))


def _records(folder: Path) -> int:
    path = folder / "records.jsonl"
    return path.read_text().count('"image",') if path.exists() else 0


def test_a_sweep_in_a_folder_behind_a_link_is_resumed(sweep: Sweep, calls: Counter[str], tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    overrides = (*SMALL[:2], "dataset.limit=1", "panels=1")
    assert sweep(*overrides, "segmenter.anchors=2,4", folder="link/sweep").status == 0
    calls.clear()
    grown = sweep(*overrides, "segmenter.anchors=2,3,4", folder="link/sweep")
    assert grown.status == 0, grown.err
    assert calls["proposals"] == 1
