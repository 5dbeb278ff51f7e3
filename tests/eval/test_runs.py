"""Runs: a folder that grows by commands, its rows, and the folders that are refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from eval.config import ConfigError
from eval.metrics import accuracy
from eval.records import RecordError, merged_record
from eval.results.tables import write_per_image
from eval.runs import Run, read_run, read_runs
from eval.storage.commands import Command, add_command, check_folder
from eval.storage.record_files import open_records
from tests.helpers.folder_rows import KMEANS, dataset_of, row_config, write_picture
from tests.helpers.made_runs import made_run

TAU = "segmenter.tau"


def taus(run: Run) -> list[float]:
    return [row.settings["segmenter"]["tau"] for row in run.rows]


def rows_of(*values: float, **further: Any) -> list[dict[str, Any]]:
    return [{TAU: value, **further} for value in values]


def command(*typed: str, keys: Sequence[str] = ("k",)) -> Command:
    return Command(typed, [{"key": key} for key in keys], [{"name": "photos"}])


def test_a_folder_grows_and_the_rows_of_the_newest_command_come_first(tmp_path: Path) -> None:
    made_run(tmp_path, *rows_of(0.1, 0.2))
    run = made_run(tmp_path, *rows_of(0.3, 0.2), pictures=("b", "a"), protocols=["present"])
    assert taus(run) == [0.3, 0.2, 0.1]
    assert [[record.picture for record in row.records] for row in run.rows] == [["b", "a"], ["b", "a"], [*"abcd"]]
    assert [row.pictures for row in run.rows] == [2, 2, 4]
    assert [list(row.protocols) for row in run.rows] == [["present"], ["present"], ["official", "present"]]
    assert run.table()["tau"].tolist() == ["0.3", "0.2", "0.1", "0.1"]
    assert [len(run.counts(row, "official")) for row in run.rows] == [2, 2, 4]


def test_an_equal_command_moves_to_the_end_and_the_folder_keeps_its_token(tmp_path: Path) -> None:
    first, second = command("a"), command("b")
    token, _ = add_command(tmp_path, first)
    add_command(tmp_path, second)
    again, commands = add_command(tmp_path, first)
    assert [list(each.arguments) for each in commands] == [["b"], ["a"]]
    assert again == token
    _, commands = add_command(tmp_path, command("a", keys=("k", "l")))  # the same words, but other rows
    assert [list(each.arguments) for each in commands] == [["b"], ["a"], ["a"]]
    assert add_command(tmp_path / "other", first)[0] != token


def test_a_row_that_failed_is_no_result(tmp_path: Path) -> None:
    (row,) = made_run(tmp_path, {}, failed=["b"]).rows
    assert ([each.picture for each in row.evaluated], [each.picture for each in row.failed]) == ([*"acd"], ["b"])
    assert len(row.tables()) == len(row.agreement) == len(row.counts("present")) == 3
    assert (row.dataset_name, row.frame, row.background, row.reads_files) == ("photos", "square", None, False)


def test_a_record_without_the_truth_of_a_protocol_is_not_yet_a_result(tmp_path: Path) -> None:
    """A command with a new protocol may be killed, or another shard of it may still run."""
    run = made_run(tmp_path, {}, failed="d")
    b = run.rows[0].records[1]
    with open_records(tmp_path) as writer:
        writer.append(merged_record(b, {"person 1": b.tables["classes"]}, {}))
    entry = {**run.commands[0].rows[0], "protocols": ["present", "regions"]}
    add_command(tmp_path, replace(run.commands[0], rows=[entry]))
    (row,) = read_run(tmp_path).rows
    assert [record.picture for record in row.evaluated] == ["b"]
    assert [len(values) for values in (row.records, row.failed, row.counts("present"))] == [4, 1, 1]
    write_per_image(tmp_path / "images.csv", [row], ["DiffSeg"])
    lines = pd.read_csv(tmp_path / "images.csv")
    assert lines["image"].tolist() == ["b", "d"] * 2
    assert lines["acc"].tolist()[:2] == pytest.approx(
        [100 * accuracy(row.counts("present")[0]), np.nan], abs=1e-4, nan_ok=True
    )


def test_of_rows_that_differ_only_in_code_the_newest_is_shown(tmp_path: Path) -> None:
    made_run(tmp_path, {TAU: 0.1, "segmenter.code": "old"}, {TAU: 0.2, "segmenter.code": "old"})
    run = made_run(tmp_path, {TAU: 0.1, "segmenter.code": "new"}, {TAU: 0.1})
    # A row without foreign code is another method, even if its other settings are equal.
    assert [row.settings["segmenter"].get("code") for row in run.rows] == ["new", None, "old"]
    assert [(row.code, row.settings["segmenter"]["tau"]) for row in run.older] == [("old", 0.1)]


def test_label_maps_are_found_by_row_and_picture(tmp_path: Path) -> None:
    run = made_run(tmp_path, {}, labels=True, failed=["b"])
    (row,) = run.rows
    labels = run.label_map(row, "a")
    assert labels is not None
    assert len(set(labels.ravel())) == row.evaluated[0].segments
    assert run.label_map(row, "b") is None
    assert run.label_path("k", "in/a.b") == tmp_path / "labels/k/in/a.b.png"  # an id may name a folder


def test_a_row_names_its_pictures_once_for_all_shards(tmp_path: Path) -> None:
    for id in "ab":
        write_picture(tmp_path / "data", id)
    row = row_config(dataset_of(tmp_path / "data"), KMEANS)
    row.prepare()
    for number in (1, 2):
        with Run.open(tmp_path / "run", [row], ["typed"], (number, 2)):
            pass
    run = read_run(tmp_path / "run")
    assert [(list(each.arguments), each.rows[0]["pictures"]["count"]) for each in run.commands] == [(["typed"], 2)]
    (only,) = run.rows
    assert (only.key, [*only.records], only.pictures, list(only.classes)) == (row.key, [], 2, [*row.dataset.classes])


@pytest.mark.parametrize("name", [".nfs0001", "wandb", "multirun.yaml", "3"])
def test_hidden_files_and_those_of_wandb_hydra_and_jobs_are_no_foreign_files(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    check_folder(tmp_path)
    check_folder(tmp_path / "missing")


@pytest.mark.parametrize("name", ["notes.txt", "config.yaml", "records.txt", "3a"])
def test_a_folder_with_foreign_files_is_refused_and_stays(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    with pytest.raises(ConfigError, match=f"such as {name}; give another results_dir"), Run.open(tmp_path, [], []):
        pass
    assert [path.name for path in tmp_path.iterdir()] == [name]
    with open_records(tmp_path):
        pass
    check_folder(tmp_path)  # with records it is a results folder


def test_folders_of_jobs_are_read_as_runs_in_their_order(tmp_path: Path) -> None:
    for job, tau in (("10", 0.3), ("2", 0.2)):
        made_run(tmp_path / "sweep" / job, *rows_of(tau))
    made_run(tmp_path / "alone", *rows_of(0.1))
    (tmp_path / "sweep" / "3").mkdir()  # a job that has not begun
    made_run(tmp_path / "sweep" / "other", *rows_of(0.4))
    runs = read_runs(tmp_path / "sweep", tmp_path / "alone")
    assert [taus(run) for run in runs] == [[0.2], [0.3], [0.1]]


def test_folders_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds no results"):
        read_runs(tmp_path)
    made_run(tmp_path, {})
    config = tmp_path / "config.yaml"
    for damage in ("commands: [", "name: demo", "token: a\ncommands: [{rows: []}]"):
        config.write_text(damage)
        with pytest.raises(ConfigError, match=r"config\.yaml: damaged, or of another version"):
            read_run(tmp_path)
    config.unlink()
    with pytest.raises(ConfigError, match=r"config\.yaml: is missing; type the command of the run again"):
        read_run(tmp_path)
    (tmp_path / "records.jsonl").write_text("{}\n")
    with pytest.raises(RecordError, match="another version"):
        read_run(tmp_path)
