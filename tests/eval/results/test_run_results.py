"""Reading finished results: tables and new scores need no pass of the network."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from eval.results.run_results import read_run_results

from tests.conftest import ROOT
from tests.helpers.runs import SMALL, Run, evaluate, without_timings

# A score that this project does not have: the share of the pixels in the largest segment. It needs no torch.
NEW_SCORE = """
import sys
from pathlib import Path
from eval.results.run_results import read_run_results
for each in read_run_results(Path(sys.argv[1])).rows:
    for record, table in zip(each.evaluated, each.tables, strict=True):
        print(each.name, record["image"], table.dense().sum(axis=0).max() / table.pixels.sum())
assert "torch" not in sys.modules, "reading results needs no torch"
"""


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("finished")


@pytest.fixture
def sweep(finished: Path, dinov2: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """A sweep of two jobs over three pictures, run by the first test that needs it."""
    if not (finished / "sweep").is_dir():
        overrides = ("dataset.limit=3", "panels=1", *SMALL[:2], "segmenter.anchors=2,4")
        assert evaluate(finished / "sweep", *overrides, capture=capsys, multirun=True).status == 0
    return Run(0, "", "", finished / "sweep")


def test_a_new_score_needs_no_pass(sweep: Run) -> None:
    command = [sys.executable, "-c", NEW_SCORE, str(sweep.folder / "1")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    assert [image for _, image, _ in lines] == sorted(image for _, image, _ in lines)
    assert len(lines) == 3
    assert all(0 < float(share) <= 1 for _, _, share in lines)


def test_tables_are_made_from_the_records_alone(
    sweep: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(sweep.folder, copy)
    for job in ("0", "1"):
        for path in (copy / job).glob("*.csv"):
            path.unlink()
        capsys.readouterr()
        with monkeypatch.context() as patch:
            patch.setattr("sys.argv", ["evaluate", "--tables", str(copy / job)])
            patch.setattr("diffseg.backbones.vit.ViT.load", lambda *_: pytest.fail("a backbone is loaded"))
            from experiments.evaluate import main

            main()
        assert "Protocol `official`" in capsys.readouterr().out
        assert without_timings(copy / job) == without_timings(sweep.folder / job)


def test_results_are_read_without_their_pictures(sweep: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from datasets.base import DatasetError
    from datasets.photos import Photos

    before = read_run_results(sweep.folder / "0")

    def missing(self: Photos) -> None:
        raise DatasetError("photos: not here")

    monkeypatch.setattr(Photos, "check", missing)
    after = read_run_results(sweep.folder / "0")
    assert [each.records for each in after.rows] == [each.records for each in before.rows]
    assert np.array_equal(after.rows[0].tables[0].dense(), before.rows[0].tables[0].dense())
