"""Provenance: which code, machine, weights and data made the records of a folder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import eval.storage.provenance
from eval.records import RecordError
from eval.rows import RowConfig
from eval.storage.provenance import add_provenance, provenance, read_provenance
from tests.helpers.folder_rows import dataset_of, row_config, write_picture

PROCESS = {"code": "c0de", "git_commit": "abc"}


@pytest.fixture
def row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RowConfig:
    monkeypatch.setattr(eval.storage.provenance, "_process", lambda: PROCESS)
    write_picture(tmp_path / "data", "a")
    return row_config(dataset_of(tmp_path / "data"))


def add(folder: Path, row: RowConfig, command: str) -> bool:
    return add_provenance(folder, [row.line.settings], command)


def test_equal_processes_are_one_entry_with_several_runs(tmp_path: Path, row: RowConfig) -> None:
    assert read_provenance(tmp_path) == []
    assert not add(tmp_path, row, "first")
    assert not add(tmp_path, row, "again")
    (facts,) = read_provenance(tmp_path)
    assert [each["command"] for each in facts["runs"]] == ["first", "again"]
    assert {**facts, "runs": None} == {
        **PROCESS,
        **{"weights": [""], "weights_names": {"": ""}, "data": [row.dataset.fingerprint], "runs": None},
    }


def test_another_code_is_another_entry_and_told(
    tmp_path: Path, row: RowConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(tmp_path, row, "first")
    monkeypatch.setattr(eval.storage.provenance, "_process", lambda: {**PROCESS, "git_commit": "def"})
    assert not add(tmp_path, row, "another commit, the same code")
    monkeypatch.setattr(eval.storage.provenance, "_process", lambda: {**PROCESS, "code": "other"})
    assert add(tmp_path, row, "another code")
    assert [(each["code"], each["git_commit"]) for each in read_provenance(tmp_path)] == [
        *(("c0de", "abc"), ("c0de", "def"), ("other", "abc"))
    ]


def test_weights_and_data_are_named_once() -> None:
    settings = [
        {"backbone": {"weights": weights, "weights_name": name}, "dataset": {"fingerprint": data}}
        for weights, name, data in (("w2", "large", "d"), ("w1", "small", "d"), ("w2", "large", "e"))
    ]
    facts = provenance(settings)
    assert (facts["weights"], facts["data"]) == (["w1", "w2"], ["d", "e"])
    assert list(facts["weights_names"].items()) == [("w1", "small"), ("w2", "large")]
    assert len(facts["code"]) == 64
    assert facts["versions"]["torch"]
    assert json.loads(json.dumps(facts)) == facts


@pytest.mark.parametrize("damage", ["{", "3", "[3]", '[{"code": "c0de"}]'])
def test_a_damaged_file_is_named(tmp_path: Path, damage: str) -> None:
    (tmp_path / "provenance.json").write_text(damage)
    with pytest.raises(RecordError, match=r"provenance\.json: damaged \(.+\); delete it, and start the same command"):
        read_provenance(tmp_path)
