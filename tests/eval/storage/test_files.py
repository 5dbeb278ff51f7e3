"""Writing result files: the old file or the new one, and one line if neither can be written."""

from __future__ import annotations

from pathlib import Path

import pytest

from eval.storage.files import WriteError, make_folder, writing


def test_an_error_names_the_file_and_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(WriteError) as error, writing(tmp_path / "a.csv"):
        raise OSError(28, "No space left on device", "elsewhere")
    assert str(error.value) == (
        f"{tmp_path}/a.csv: cannot be written (No space left on device); recorded results are kept: remove the cause, "
        "then start the same command again"
    )
    with pytest.raises(WriteError, match=r"a\.csv: cannot be written \(cut short\)"), writing(tmp_path / "a.csv"):
        raise OSError("cut short")  # without a number, as some libraries do


def test_a_folder_is_made_with_its_parents_and_may_exist(tmp_path: Path) -> None:
    for _ in range(2):
        make_folder(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()
    (tmp_path / "file").touch()
    with pytest.raises(WriteError, match=r"file/c: cannot be written \(Not a directory\)"):
        make_folder(tmp_path / "file" / "c")
