"""Files appear whole or not at all."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from diffseg.files.writing import replacing, write_text


def test_a_file_is_replaced_when_the_new_one_is_complete(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_text("old")
    with replacing(file) as temporary:
        temporary.write_text("new")
        assert temporary.parent == tmp_path
        assert file.read_text() == "old"
    assert file.read_text() == "new"
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt(), ValueError()])
def test_the_old_file_stays_when_writing_fails(tmp_path: Path, error: BaseException) -> None:
    file = tmp_path / "a.txt"
    file.write_text("old")

    def write() -> None:
        with replacing(file) as temporary:
            temporary.write_text("half")
            raise error

    with pytest.raises(type(error)) as caught:
        write()
    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]
    if isinstance(caught.value, OSError):  # names the file that the user knows
        assert caught.value.filename == str(file)


def test_the_file_of_a_killed_process_is_overwritten(tmp_path: Path) -> None:
    for _ in range(2):
        with replacing(tmp_path / "a.txt") as temporary:
            temporary.write_text("new")
        temporary.write_text("left")  # as if the process had been killed at the next attempt
    write_text(tmp_path / "a.txt", "ü\n")
    assert (tmp_path / "a.txt").read_bytes() == "ü\n".encode()
    assert [file.name for file in tmp_path.iterdir()] == ["a.txt"]
