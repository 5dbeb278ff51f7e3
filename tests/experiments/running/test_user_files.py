"""A new run replaces no file of the user."""

from __future__ import annotations

from pathlib import Path

import pytest
from eval.storage.records import RecordError
from eval.storage.written import WrittenFiles
from experiments.running.user_files import check_files, check_names

from tests.helpers.open_runs import plan_of


@pytest.mark.parametrize(
    "name", ["job/config.yaml", "provenance.json", "job/summary.csv", "job/table.tex", "job/audit.csv", "sweep.csv"]
)
def test_a_file_that_no_run_wrote_is_named(tmp_path: Path, name: str) -> None:
    plan = plan_of(tmp_path / "job")
    check_files(tmp_path, [plan])
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("size: 3\n")
    with pytest.raises(RecordError, match=rf"^{tmp_path / name}: no run of this version wrote this file; move it"):
        check_files(tmp_path, [plan])


def test_files_of_an_earlier_run_may_be_replaced(tmp_path: Path) -> None:
    plan = plan_of(tmp_path / "job")
    (tmp_path / "job").mkdir()
    (tmp_path / "job" / "config.yaml").write_text("name: run\nresolved: []\n")
    (tmp_path / "provenance.json").write_text('[{"git_commit": null}]')
    for folder, name in ((tmp_path / "job", "summary.csv"), (tmp_path, "sweep.csv")):
        (folder / name).touch()
        WrittenFiles(folder).add([name])
    (tmp_path / "notes.txt").touch()
    check_files(tmp_path, [plan])


def test_a_table_of_the_user_beside_a_sweep_is_named(tmp_path: Path) -> None:
    check_names(tmp_path, ["sweep.csv"])
    (tmp_path / "sweep.csv").write_text("mine")
    with pytest.raises(RecordError, match=rf"^{tmp_path / 'sweep.csv'}: no run of this version wrote this file"):
        check_names(tmp_path, ["sweep.csv"])
    WrittenFiles(tmp_path).add(["sweep.csv"])
    check_names(tmp_path, ["sweep.csv"])
