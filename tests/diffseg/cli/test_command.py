"""`run_command`: what the user sees of errors, narrow terminals and closed pipes."""

from __future__ import annotations

import io
import shlex
import subprocess
import sys

import pytest

from diffseg.cli.command import NEW_OBJECTS, run_command
from tests.conftest import ROOT


def test_letters_that_a_terminal_cannot_show_are_printed_as_codes(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(shown, encoding="ascii"))
    run_command(lambda: print("Tables: /tmp/ü/日本"))
    sys.stdout.flush()
    assert shown.getvalue().decode("ascii").rstrip("\r\n") == r"Tables: /tmp/\xfc/\u65e5\u672c"


def test_an_unexpected_error_is_one_line_with_its_place_in_the_code(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def main() -> None:
        raise ValueError("two\nlines")

    with pytest.raises(SystemExit) as ended:
        run_command(main)
    assert ended.value.code == 2
    line = f"error: ValueError at {__file__}:{main.__code__.co_firstlineno + 1}: two lines (DIFFSEG_TRACEBACK=1 shows"
    assert capsys.readouterr().err == f"{line} the traceback)\n"
    monkeypatch.setenv("DIFFSEG_TRACEBACK", "1")
    with pytest.raises(ValueError, match="two"):
        run_command(main)


@pytest.mark.parametrize(
    "guard",
    ["from contextlib import suppress as guard", "from experiments.running.errors import one_line_errors as guard"],
)
def test_a_reader_that_stops_early_ends_the_command_silently(guard: str) -> None:
    program = f"""{guard}
from diffseg.cli.command import run_command
def main():
    with guard():
        print(*range(10**6), sep='\\n')
run_command(main)"""
    shell = f"{shlex.quote(sys.executable)} -c {shlex.quote(program)} | head -1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", shell], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (141, "0\n", "")


def test_python_seldom_searches_for_garbage_and_not_at_the_end() -> None:
    program = """import atexit, gc
before = gc.get_freeze_count()  # Python 3.12 begins with some
atexit.register(lambda: print(gc.get_threshold()[0], gc.get_freeze_count() > before))  # runs last
from diffseg.cli.command import begin_command
begin_command()
print(gc.get_freeze_count() - before)"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["0", f"{NEW_OBJECTS} True"]
