"""The command line of ``python -m datasets.prepare``: its arguments and its error lines."""

from __future__ import annotations

from pathlib import Path

import pytest

from datasets.prepare.__main__ import main
from tests.helpers.archives import error_line, pack


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "the following arguments are required: dataset"),
        (["voc2012", "--dir", "x"], "argument dataset: invalid choice: 'voc2012'"),
        (["cocostuff"], "the following arguments are required: --dir"),
        (["cocostuff", "--dir", "x", "--labels", "jpg"], "argument --labels: invalid choice: 'jpg'"),
        (["camvid", "--dir", "x", "--labels", "png"], "unrecognized arguments: --labels png"),
        (["cityscapes", "--dir", "x", "--archives"], "argument --archives: expected at least one argument"),
    ],
)
def test_a_wrong_argument_is_one_line(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(arguments)
    printed = capsys.readouterr().err
    assert message in printed
    assert printed.count("\n") == 1
    assert "--help" in printed


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    archive, root = tmp_path / "a.zip", tmp_path / "file" / "cityscapes"
    pack(archive, {"leftImg8bit/val/ulm/ulm_000000_000019_leftImg8bit.png": b"PNG"})
    root.parent.write_bytes(b"")
    assert main(["cityscapes", "--dir", str(root), "--archives", str(archive)]) == 2
    assert error_line(capsys).startswith(f"error: {root}: [Errno ")
