"""Runs and sweeps in one folder: which tables are there, and which are read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from eval.results.reading import ResultsError, read_results

from diffseg.backbones.vit_attention import ViTAttention
from diffseg.merging import Merger
from experiments.plotting.all_plots import all_plots
from tests.helpers.runs import SMALL, evaluate
from tests.helpers.sweeps import Sweep, jobs

pytestmark = pytest.mark.usefixtures("dinov2")


@pytest.mark.parametrize("fails", [False, True])
def test_other_launchers_list_only_their_own_jobs(sweep: Sweep, fails: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    overrides = (*SMALL, "dataset.limit=1", "panels=0")
    together = sweep(*overrides, "segmenter.tau=0.3,0.4,0.5")
    if fails:  # in the second job
        original, taus = Merger.proposals, set[object]()

        def interrupted(merger: Merger, tau: object, *rest: Any) -> Any:
            taus.add(tau)
            if len(taus) > 1:
                raise KeyboardInterrupt
            return original(merger, tau, *rest)

        monkeypatch.setattr(Merger, "proposals", interrupted)
    apart = sweep(*overrides, "segmenter.tau=0.6,0.7", "hydra/launcher=basic")
    assert apart.status == (130 if fails else 0), apart.err
    expected = ["0.6"] if fails else ["0.6", "0.7"]
    assert list(read_results(together.folder).summary["tau"].unique()) == expected
    assert [str(tau) for tau in apart.table("sweep")["tau"].dropna().unique()] == expected
    assert list(apart.table("sweep")["job"].unique()) == [0, 1]
    assert "Tables: " in apart.out
    monkeypatch.undo()
    again = sweep(*overrides, "segmenter.tau=0.6,0.7")
    assert list(again.table("sweep")["tau"].unique()) == [0.6, 0.7]
    assert jobs(again)["0"] == jobs(sweep(*overrides, "segmenter.tau=0.6,0.7", folder="afresh"))["0"]


def test_of_a_run_and_a_sweep_in_one_folder_the_last_is_read(
    sweep: Sweep, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    overrides = (*SMALL, "dataset.limit=1", "panels=0")
    folder = tmp_path / "sweep"
    evaluate(folder, *overrides, "segmenter.tau=0.9", capture=capsys)
    run = sweep(*overrides, "segmenter.tau=0.3,0.5")
    assert "tau=0.5" in run.out
    assert list(read_results(folder).summary["tau"].unique()) == ["0.3", "0.5"]
    for refused in ("segmenter.tau=-1", "segmenter.tua=0.9", "device=tpu9"):
        assert evaluate(folder, *overrides, refused, capture=capsys).status == 2
        assert list(read_results(folder).summary["tau"].unique()) == ["0.3", "0.5"]
    alone = evaluate(folder, *overrides, "segmenter.tau=0.9", capture=capsys)
    assert alone.out.splitlines()[-1] == (
        f"{folder / 'sweep.csv'}: removed, so that the tables of this run are read; the sweep's jobs keep their folders"
    )
    assert list(read_results(folder).summary["tau"].unique()) == ["0.9"]
    assert "removed" not in evaluate(folder, *overrides, "segmenter.tau=0.9", capture=capsys).out


def test_a_sweep_of_a_folder_stays_until_a_single_run_has_tables(
    sweep: Sweep, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    overrides = (*SMALL, "dataset.limit=1", "panels=0")
    sweep(*overrides, "segmenter.tau=0.3,0.5")

    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(ViTAttention, "attend_encoded", interrupted)
    assert evaluate(tmp_path / "sweep", *overrides, "segmenter.tau=0.9", capture=capsys).status == 130
    assert list(read_results(tmp_path / "sweep").summary["tau"].unique()) == ["0.3", "0.5"]


def test_jobs_left_by_a_larger_sweep_are_reported(sweep: Sweep, caplog: pytest.LogCaptureFixture) -> None:
    overrides = (*SMALL, "dataset.limit=1", "panels=0")
    kept = "Jobs of earlier launches are kept, but not in these tables: "
    assert kept not in sweep(*overrides, "segmenter.tau=0.3,0.4,0.5,0.6").out
    run = sweep(*overrides, "segmenter.tau=0.5,0.6")
    assert run.out.splitlines()[-1] == (f"{kept}folders 2, 3")
    assert run.out.count(kept) == 1
    assert f"{run.folder}/records.jsonl also holds results of other settings" in caplog.text


def test_tables_of_other_settings_are_removed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An interrupted run must not leave the scores of other settings beside its configuration."""
    overrides = (*SMALL, "dataset.limit=1", "panels=0")
    evaluate(tmp_path / "run", *overrides, "segmenter.tau=0.3", capture=capsys)

    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(ViTAttention, "attend_encoded", interrupted)
    assert evaluate(tmp_path / "run", *overrides, "segmenter.tau=0.9", capture=capsys).status == 130
    with pytest.raises(ResultsError, match="no summary"):
        read_results(tmp_path / "run")
    monkeypatch.undo()
    assert evaluate(tmp_path / "run", *overrides, "segmenter.tau=0.3", capture=capsys).status == 0
    assert list(read_results(tmp_path / "run").summary["tau"]) == ["0.3"] * 2


def test_scores_that_only_some_runs_report_are_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    overrides = (*SMALL, "dataset.limit=1", "panels=0")
    evaluate(tmp_path / "both", *overrides, "segmenter.tau=0.3", capture=capsys)
    evaluate(tmp_path / "one", *overrides, "segmenter.tau=0.5", "protocol=official", capture=capsys)
    results = read_results(tmp_path / "both", tmp_path / "one")
    assert set(results.summary["protocol"]) == {"official"}
    assert all_plots(results)
