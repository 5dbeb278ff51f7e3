"""Keys of groups that rows choose are passed on to the rows."""

from __future__ import annotations

from pathlib import Path

import pytest
from experiments.running.row_groups import pass_on_to_rows
from hydra.core.override_parser.overrides_parser import OverridesParser

ROWS = "rows: [{name: A, overrides: [segmenter=dbscan, backbone.size=3]}, {name: B}]"


def passed_on(folders: list[Path], *overrides: str) -> list[str]:
    return pass_on_to_rows(OverridesParser.create().parse_overrides(list(overrides)), folders)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "mine.yaml").write_text(ROWS)
    (tmp_path / "experiment" / "other.yaml").write_text("rows: null")
    return tmp_path


def test_only_keys_of_groups_that_rows_choose_get_plus_signs(folder: Path) -> None:
    given = ("experiment=mine", "segmenter.eps=0.1,0.2", "backbone.size=4", "segmenter=diffseg", "+segmenter.new=1")
    assert passed_on([folder], *given) == ["experiment=mine", "++segmenter.eps=0.1,0.2", *given[2:]]


def test_rows_of_any_chosen_experiment_and_of_the_command_line_count(folder: Path) -> None:
    eps = "segmenter.eps=1"
    assert passed_on([folder], "experiment=other,mine", eps)[1] == f"++{eps}"
    assert passed_on([folder], "experiment=other", eps)[1] == eps
    assert passed_on([folder], "rows=[{name: A, overrides: ['segmenter=dbscan']}]", eps)[1] == f"++{eps}"
    assert passed_on([], "experiment=mine", eps)[1] == eps  # Hydra names the missing file


def test_the_first_folder_with_the_experiment_counts(folder: Path) -> None:
    (folder / "users" / "experiment").mkdir(parents=True)
    (folder / "users" / "experiment" / "mine.yaml").write_text("rows: []")
    assert passed_on([folder / "users", folder], "experiment=mine", "segmenter.eps=1")[1] == "segmenter.eps=1"


@pytest.mark.parametrize("content", ["{", "3", "rows: 3", "rows: [3, {overrides: 3}]", "rows: {a: 1}"])
def test_malformed_rows_are_left_to_their_reader(folder: Path, content: str) -> None:
    (folder / "experiment" / "mine.yaml").write_text(content)
    given = ("experiment=mine", "segmenter.eps=1")
    assert passed_on([folder], *given) == [*given]
