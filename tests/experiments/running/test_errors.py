"""Errors end a command with one line and a status."""

from __future__ import annotations

import pytest

from diffseg.backbones import WeightsError
from eval.config import ConfigError
from experiments.running.errors import PicturesFailed, one_line_errors


@pytest.mark.parametrize(
    ("error", "status", "printed"),
    [
        (ConfigError("tau: must be above 0"), 2, "error: tau: must be above 0\n"),
        (WeightsError("not there; give path=DIR"), 2, "error: not there; give backbone.path=DIR\n"),
        (WeightsError("not there; give backbone.path=DIR"), 2, "error: not there; give backbone.path=DIR\n"),
        (OSError(28, "No space left on device", "a.csv"), 2, "error: a.csv: No space left on device\n"),
        (PicturesFailed(), 1, ""),
        (KeyError("a bug"), 2, "error: KeyError at "),
    ],
)
def test_the_status_tells_errors_from_failed_pictures(
    error: Exception, status: int, printed: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended, one_line_errors():
        raise error
    assert ended.value.code == status
    message = capsys.readouterr().err
    assert message.startswith(printed)
    assert message.count("\n") == bool(printed)


def test_the_traceback_of_a_bug_and_a_closed_pipe_are_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BrokenPipeError), one_line_errors():
        raise BrokenPipeError
    monkeypatch.setenv("DIFFSEG_TRACEBACK", "1")
    with pytest.raises(KeyError), one_line_errors():
        raise KeyError("a bug")
