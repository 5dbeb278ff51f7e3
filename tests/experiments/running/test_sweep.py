"""Sweeps in one pass: each job has the files of a single run, and nothing is computed twice."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import eval.decoding
from diffseg.aggregation import Aggregation
from diffseg.backbones.unet_attention import UNetAttention
from diffseg.backbones.vit_attention import ViTAttention
from diffseg.divergence import Logarithms
from diffseg.merging import Merger
from diffseg.segmenters import lloyd
from eval.results.reading import ResultsError, read_results
from eval.storage.provenance import provenance
from experiments.bench.tiny_sd import build_tiny_sd
from experiments.plotting.all_plots import all_plots
from experiments.running.panels import MAX_POINTS
from tests.conftest import ROOT
from tests.helpers.coco_folder import write_spoilt_folder
from tests.helpers.forks import log, start
from tests.helpers.runs import SMALL, Run, evaluate, without_timings

Sweep = Callable[..., Run]
VIT = ("backbone.size=112", "backbone.sides=[8,4]")

pytestmark = pytest.mark.usefixtures("dinov2")


@pytest.fixture
def sweep(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Sweep:
    def call(*overrides: str, folder: str = "sweep") -> Run:
        return evaluate(tmp_path / folder, *overrides, capture=capsys, multirun=True)

    return call


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Number of calls of each step that jobs can share."""
    counted: Counter[str] = Counter()

    def count(owner: Any, name: str) -> None:
        original = getattr(owner, name)

        def counting(*arguments: Any, **keywords: Any) -> Any:
            counted[name] += 1
            return original(*arguments, **keywords)

        monkeypatch.setattr(owner, name, counting)

    for owner, name in (
        (ViTAttention, "attend_encoded"),
        (UNetAttention, "encode"),
        (UNetAttention, "predict"),
        (Aggregation, "__call__"),
        (Logarithms, "of"),
        (Logarithms, "divergence"),
        (Merger, "proposals"),
        (lloyd, "cluster_seeds"),
        (eval.decoding, "square_image"),
    ):
        count(owner, name)
    return counted


def jobs(run: Run) -> dict[str, Any]:
    """Job -> name -> content of its tables and its configuration, without timings."""
    folders = [path for path in sorted(run.folder.iterdir()) if path.name.isdecimal()]
    files = {path.name: without_timings(path) for path in folders}
    return {
        job: {name: each for name, each in of_job.items() if name.endswith((".csv", ".md", "config.yaml"))}
        for job, of_job in files.items()
    }


def results(run: Run) -> tuple[list[str], dict[str, bytes]]:
    """All records without timings, and all label maps, from one folder or several."""
    records = []
    for path in run.folder.rglob("records.jsonl"):
        for line in path.read_text().splitlines():
            records.append(json.dumps({key: value for key, value in json.loads(line).items() if key != "seconds"}))
    labels = {"/".join(path.parts[-2:]): path.read_bytes() for path in run.folder.rglob("labels/*/*.png")}
    return sorted(set(records)), labels


def test_files_are_those_of_jobs_run_one_by_one(sweep: Sweep, calls: Counter[str]) -> None:
    points = ("segmenter.tau=0.3,0.5", "segmenter.anchors=4,2", "aggregation.weights=proportional,finest")
    overrides = (*VIT, "dataset.limit=2", "panels=1", *points)
    together = sweep(*overrides)
    assert together.status == 0, together.err
    assert calls == {
        **{"square_image": 2, "attend_encoded": 2},  # 2 pictures
        **{"__call__": 4, "of": 4},  # times 2 weights
        "divergence": 8,  # times 2 numbers of anchors
        "proposals": 16,  # times 2 thresholds
    }
    apart = sweep(*overrides, "hydra/launcher=basic", folder="apart")
    assert apart.status == 0, apart.err
    assert jobs(together) == jobs(apart)
    assert results(together) == results(apart)
    assert sorted(jobs(together)) == sorted(map(str, range(8)))
    assert not [path for path in together.folder.glob("*/*") if path.name in ("records.jsonl", "panels", "labels")]
    (sheet,) = together.folder.glob("panels/*.png")
    with Image.open(sheet) as drawn:
        assert drawn.width > 4 * 220  # picture, ground truth and the points side by side
    assert list(together.table("sweep")["job"].unique()) == list(range(8))


def test_time_steps_share_the_latent(sweep: Sweep, calls: Counter[str], tmp_path: Path) -> None:
    sd = build_tiny_sd(tmp_path / "sd")
    overrides = (
        *("backbone=sd14", "backbone.size=64", f"backbone.path={sd}", "segmenter.tau=0.1", "segmenter.anchors=4"),
        *("dataset.limit=2", "panels=0", "backbone.timestep=1,300,900", "aggregation.weights=proportional,finest"),
    )
    together = sweep(*overrides)
    assert together.status == 0, together.err
    assert (calls["encode"], calls["predict"], calls["__call__"]) == (2, 6, 12)
    apart = sweep(*overrides, "hydra/launcher=basic", folder="apart")
    assert calls["encode"] == 2 + 12
    assert jobs(together) == jobs(apart)


def test_rows_of_an_experiment_share_the_pass_too(sweep: Sweep, calls: Counter[str]) -> None:
    """The baselines are the same in both jobs, so they run once and have one line in the table."""
    demo = (*SMALL[:2], "experiment=demo", "dataset.limit=1", "panels=1", "segmenter.anchors=2,4")
    together = sweep(*demo)
    assert together.status == 0, together.err
    assert (calls["attend_encoded"], calls["__call__"], calls["proposals"]) == (1, 1, 2)
    assert calls["cluster_seeds"] == 1  # the picture has 6 classes, K-Means-C's number of clusters
    assert together.out.count("K-Means-C") == 2  # once for each score
    assert jobs(together) == jobs(sweep(*demo, "hydra/launcher=basic", folder="apart"))


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
    monkeypatch.setattr(
        "eval.storage.provenance.provenance", lambda settings, names: provenance(settings, names) | other
    )
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


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("segmenter.anchors=4,2,40", "job 2 (segmenter.anchors=40): segmenter.anchors: must be 1..8"),
        ("segmenter.tau=0.3,-1", "job 1 (segmenter.tau=-1): segmenter.tau: must be a finite number above 0"),
        ("device=cpu,cuda", "device: the jobs of a sweep share one, got cpu, cuda"),
        ("hydra.sweep.subdir=job-${hydra.job.num}", "job 0: its results would go to"),
        ("hydra.sweeper.max_batch_size=1", "hydra.sweeper.max_batch_size: the jobs of a sweep share one pass"),
        (
            "segmenter.tau=0.2,0.3,0.20",
            "segmenter.tau=0.2,0.3,0.20: the value 0.2 is there twice; give each value once",
        ),
        ("segmenter=diffseg,diffseg", "segmenter=diffseg,diffseg: the value diffseg is there twice"),
        ("tracker=wandb tracker.timeout=5,-1", "job 1 (tracker.timeout=-1): tracker.timeout: must be"),
        ("backbone.timestep=1,2", "backbone.timestep: ViT has no such key; known: debias, dtype"),
        ("segmenter=diffseg,dbscan", "job 1 (segmenter=dbscan): segmenter.anchors: DBSCAN has no such key; known: eps"),
    ],
)
def test_a_wrong_point_is_one_line_before_any_point_runs(
    sweep: Sweep, calls: Counter[str], override: str, message: str
) -> None:
    run = sweep(*(SMALL[:2] if "anchors" in override else SMALL), "dataset.limit=1", *override.split())
    assert run.status == 2
    assert run.err.startswith("error: ")
    assert message in run.err
    assert len(run.err.splitlines()) == 1
    assert not calls["attend_encoded"]
    assert not run.folder.exists()


def test_a_sweep_that_is_refused_leaves_the_folder_as_it_was(sweep: Sweep) -> None:
    overrides = (*SMALL, "dataset.limit=1", "panels=0")
    before = _contents(sweep(*overrides, "segmenter.tau=0.3").folder)
    run = sweep(*overrides, "segmenter.tau=0.3,0.4,-1")
    assert run.status == 2
    assert _contents(run.folder) == before


def _contents(folder: Path) -> dict[str, bytes | None]:
    """Files and folders, without the file that Hydra writes at every launch."""
    paths = [path for path in folder.rglob("*") if path.name != "multirun.yaml"]
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None for path in paths}


def test_failed_pictures_are_counted_for_each_job(sweep: Sweep, tmp_path: Path) -> None:
    data = write_spoilt_folder(tmp_path / "coco", ["000000000001", "000000000002"], "000000000001")
    overrides = (*SMALL[:2], *data, "panels=0", "segmenter.anchors=2,4")
    run = sweep(*overrides)
    assert run.status == 1
    assert run.err.count("1 evaluation failed; ") == 2
    assert [int(failed) for failed in run.table("sweep")["failed"]] == [1] * 4
    assert sweep(*overrides, "allow_failures=true").status == 0


def test_batches_share_one_table(sweep: Sweep) -> None:
    overrides = (*SMALL[:2], "dataset.limit=1", "panels=0", "segmenter.anchors=2,3,4", "hydra.sweeper.max_batch_size=2")
    run = sweep(*overrides, "hydra/launcher=basic")
    assert run.status == 0, run.err
    assert list(run.table("sweep")["anchors"]) == [2, 2, 3, 3, 4, 4]


def test_processes_that_share_a_sweep_write_the_same_tables(sweep: Sweep, tmp_path: Path) -> None:
    overrides = (*SMALL[:2], "dataset.limit=3", "panels=1", "segmenter.anchors=2,4")
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    command = [*torchrun, "-m", "experiments.evaluate", "-m", f"results_dir={tmp_path / 'shared'}", *overrides]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Protocol `official`") == 1
    assert jobs(Run(0, "", "", tmp_path / "shared")) == jobs(sweep(*overrides))


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


def test_the_option_m_may_stand_anywhere(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    overrides = (*SMALL, "dataset.limit=1", "panels=0")
    run = evaluate(tmp_path / "sweep", *overrides, "segmenter.tau=0.3,0.4", "-m", capture=capsys)
    assert run.status == 0, run.err
    assert list(run.table("sweep")["tau"].unique()) == [0.3, 0.4]


def test_a_sweep_in_a_folder_behind_a_link_is_resumed(sweep: Sweep, calls: Counter[str], tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    overrides = (*SMALL[:2], "dataset.limit=1", "panels=1")
    assert sweep(*overrides, "segmenter.anchors=2,4", folder="link/sweep").status == 0
    calls.clear()
    grown = sweep(*overrides, "segmenter.anchors=2,3,4", folder="link/sweep")
    assert grown.status == 0, grown.err
    assert calls["proposals"] == 1


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


def test_a_sweep_of_an_older_version_is_left_alone(sweep: Sweep, tmp_path: Path) -> None:
    old = tmp_path / "sweep" / "0"
    old.mkdir(parents=True)
    (old / "records.jsonl").write_text('{"type": "variant", "key": "k", "settings": {}}\n')
    (old / "summary.csv").write_text("variant,acc\n")
    before = _contents(tmp_path / "sweep")
    run = sweep(*SMALL, "dataset.limit=1", "panels=0", "segmenter.tau=0.3,0.4")
    assert run.status == 2
    assert run.err.splitlines() == [
        f"error: {old}/records.jsonl: written by an older version of this project, and not changed; give this run "
        "another results_dir"
    ]
    assert _contents(tmp_path / "sweep") == before


def test_a_sheet_shows_a_choice_of_many_points(sweep: Sweep) -> None:
    taus = ",".join(str(0.1 + number / 50) for number in range(MAX_POINTS + 3))
    run = sweep(*SMALL, "dataset.limit=1", "panels=1", f"segmenter.tau={taus}")
    assert run.status == 0, run.err
    (line,) = (line for line in run.out.splitlines() if line.startswith("Sheets of the first pictures: "))
    assert f"{MAX_POINTS} of {MAX_POINTS + 3} points: tau=0.1; " in line


def test_scores_that_only_some_runs_report_are_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    overrides = (*SMALL, "dataset.limit=1", "panels=0")
    evaluate(tmp_path / "both", *overrides, "segmenter.tau=0.3", capture=capsys)
    evaluate(tmp_path / "one", *overrides, "segmenter.tau=0.5", "protocol=official", capture=capsys)
    results = read_results(tmp_path / "both", tmp_path / "one")
    assert set(results.summary["protocol"]) == {"official"}
    assert all_plots(results)


def test_a_sweep_without_any_picture_has_no_plots(sweep: Sweep, tmp_path: Path) -> None:
    data = write_spoilt_folder(tmp_path / "coco", ["000000000001"], "000000000001")
    run = sweep(*SMALL[:2], *data, "panels=0", "segmenter.anchors=2,4")
    assert run.status == 1
    assert all_plots(read_results(run.folder)) == {}
