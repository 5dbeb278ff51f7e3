"""Where the files of a run lie."""

from __future__ import annotations

from pathlib import Path

from eval.storage.layout import label_path, records_folder


def test_the_records_of_a_job_lie_in_the_folder_of_its_sweep(tmp_path: Path) -> None:
    job = tmp_path / "sweep" / "0"
    job.mkdir(parents=True)
    assert records_folder(job) == job  # neither has records yet
    (tmp_path / "sweep" / "records.jsonl").touch()
    assert records_folder(job) == tmp_path / "sweep"
    (job / "records.jsonl").touch()  # another launcher gives each job its own
    assert records_folder(job) == job


def test_an_id_may_name_a_folder() -> None:
    assert label_path(Path("run"), "k", "in/a.b") == Path("run/labels/k/in/a.b.png")
