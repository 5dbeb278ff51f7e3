"""A run from its plan to its files."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from eval.config import ConfigError
from experiments.running.runner import run_plans
from tests.helpers.folder_rows import KMEANS, dataset_of, row_config, write_picture
from tests.helpers.open_runs import plan_of


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for id in "abc":
        write_picture(tmp_path / "data", id)
    (tmp_path / "data" / "images" / "b.png").write_bytes(b"damaged")
    return tmp_path / "data"


def test_a_run_counts_its_failures_and_writes_its_tables(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = plan_of(tmp_path / "run", row_config(dataset_of(data)))
    assert run_plans([plan]) == [1]
    summary = pd.read_csv(tmp_path / "run" / "summary.csv")
    assert summary[["protocol", "images", "failed", "acc"]].to_numpy().tolist() == [
        ["official", 2, 1, 100.0],
        ["present", 2, 1, 100.0],
    ]
    printed = capsys.readouterr()
    assert f"Tables: {tmp_path}/run/summary.csv" in printed.out
    assert f"1 evaluation failed; for the reasons, see {tmp_path}/run/per_image.csv\n" in printed.err


def test_jobs_of_a_sweep_share_records_and_have_their_own_tables(data: Path, tmp_path: Path) -> None:
    rows = [row_config(dataset_of(data), {**KMEANS, "clusters": clusters}) for clusters in (2, 3)]
    plans = [plan_of(tmp_path / str(job), row, sweep=tmp_path, together=True) for job, row in enumerate(rows)]
    assert run_plans(plans) == [1, 1]
    assert [pd.read_csv(tmp_path / job / "summary.csv")["clusters"].unique().tolist() for job in "01"] == [[2], [3]]
    assert len(pd.read_csv(tmp_path / "sweep.csv")) == 2 * 2
    assert [path.parent for path in tmp_path.rglob("records.jsonl")] == [tmp_path]


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ([{"device": "cpu"}, {"device": "cuda"}], "^device: the jobs of a sweep share one, got cpu, cuda; add "),
        ([{"batch_size": 2}, {"batch_size": None}], "^batch_size: the jobs of a sweep share one, got 2, None; add "),
        ([{"batch_size": 0}], "^batch_size: must be at least 1, or null, got 0"),
        ([{"device": "tpu9"}], "^device: "),
        (
            [{"published": "table9", "prefix": "job 3: "}],
            "^job 3: published: must be one of .*, got 'table9'",
        ),
    ],
)
def test_a_wrong_key_is_named_and_nothing_is_written(
    tmp_path: Path, keys: list[dict[str, object]], message: str
) -> None:
    plans = [plan_of(tmp_path / str(job), **each) for job, each in enumerate(keys)]
    with pytest.raises(ConfigError, match=message):
        run_plans(plans)
    assert list(tmp_path.iterdir()) == []
