"""All commands: help without delay, and one line for an interrupt or a wrong argument."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
import skimage

from diffseg.cli.command import run_command
from diffseg.segmenters.slic import SLIC
from tests.conftest import ROOT

# Python imports sitecustomize.py from its path before all else.
INTERRUPTS_ITSELF = """
import os, signal, sys
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == os.environ["INTERRUPTED_AT"]:
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Finder())
"""
COFFEE = Path(skimage.__file__).parent / "data" / "coffee.png"


def run_and_list_imports(*arguments: str) -> tuple[int, str, str, set[str]]:
    """Exit status, output, errors, and the modules that the command imported."""
    command = [sys.executable, "-X", "importtime", "-m", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    lines = done.stderr.splitlines()
    imported = {line.rsplit("|", 1)[1].strip() for line in lines if line.startswith("import time:")}
    errors = [line for line in lines if not line.startswith("import time:")]
    return done.returncode, done.stdout, "\n".join(errors), imported


SLOW = {"torch", "transformers", "diffusers", "sklearn", "pandas", "scipy"}


@pytest.mark.parametrize(
    "command",
    [
        "experiments.evaluate",
        "experiments.attend",
        "experiments.benchmark",
        "experiments.report",
        "experiments.leaderboard",
        "experiments.tune",
        "diffseg",
    ],
)
def test_help_imports_nothing_slow(command: str) -> None:
    status, printed, _, imported = run_and_list_imports(command, "--help")
    assert status == 0
    assert command in printed
    needed = {"pandas", "scipy"} if command in ("experiments.report", "experiments.leaderboard") else set()
    assert not imported & (SLOW - needed)


def test_the_help_of_a_part_lists_its_keys() -> None:
    _, printed, _, _ = run_and_list_imports("experiments.evaluate", "segmenter=slic", "dataset=camvid", "--help")
    assert f"  segmenter.clusters={SLIC().clusters} (at least 1): " in printed
    assert "  dataset.split=test (train, val, test)" in printed


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("segmenter.tua=3", "segmenter.tua: no row of experiment=demo has this key; did you mean segmenter.tau?"),
        ("backbone.size=0", "backbone.size: must be at least 1, got 0"),
        ("protocol=ofical", "protocol=ofical: there is no such choice; did you mean protocol=official?"),
    ],
)
def test_an_error_of_the_configuration_imports_nothing_slow(argument: str, message: str) -> None:
    status, _, errors, imported = run_and_list_imports("experiments.evaluate", "experiment=demo", argument)
    assert (status, errors) == (2, f"error: {message}")
    assert not imported & SLOW


@pytest.mark.parametrize(
    ("module", "command"),
    [
        # numpy._core._multiarray_umath swallows the exception of an interrupt.
        *((module, ["experiments.evaluate"]) for module in ("hydra", "numpy._core._multiarray_umath", "torch")),
        *((module, ["diffseg", str(COFFEE), "-o"]) for module in ("numpy._core._multiarray_umath", "torch")),
        ("numpy", ["diffseg", "--help"]),
        ("torch", ["experiments.benchmark", "--quick", "--only", "kmeans", "--out"]),
        ("pandas", ["experiments.report"]),
        ("matplotlib", ["experiments.figures", "-o"]),
        ("torch", ["experiments.app", "--port", "0"]),
    ],
)
def test_an_interrupt_during_imports_is_one_line_with_status_130(
    module: str, command: list[str], dinov2: Path, tmp_path: Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text(INTERRUPTS_ITSELF)
    out = tmp_path / "out"
    if command[-1] in ("-o", "--out", "experiments.report"):
        command = [*command, str(out)]
    elif command == ["experiments.evaluate"]:
        command = [*command, f"results_dir={out}", "dataset.limit=1"]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "INTERRUPTED_AT": module}
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 130, done.stderr
    assert done.stderr.startswith("interrupted")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["leaderboard", "{run}", "-o", ""], "argument -o/--out: is empty; give a path"),
        (["leaderboard", "{none}"], "{none}: holds no results"),
        (["leaderboard", "~nobody-of-that-name/x"], "there is no user nobody-of-that-name on this machine"),
        (["report", "{none}"], "{none}: holds no results"),
        (["report", "{run}", "-o", ""], "argument -o/--output: is empty"),
        (["figures", "-o", "{file}", "--photo", "coffee"], "{file}: cannot be written (File exists)"),
        (["figures", "-o", "{run}", "--size", "0"], "argument --size: must be a whole number, at least 1, got 0"),
        (["figures", "-o", "{run}", "--photo", "{none}"], "--photo: {none} is no file"),
        (["figures", "-o", "{run}", "--photo", "{file}"], "{file}: "),
        (["benchmark", "--out", "{file}"], "File exists: '{file}'"),
        (["benchmark", "--only", "speed"], "argument --only: invalid choice: 'speed'"),
    ],
)
@pytest.mark.usefixtures("dinov2")
def test_a_wrong_argument_is_one_line_and_writes_no_file(
    command: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command ends with status 2 before it measures or draws anything."""
    places = {"run": tmp_path, "none": tmp_path / "none", "file": tmp_path / "file"}
    places["file"].write_text("mine")
    name, *arguments = [each.format(**places) for each in command]
    module = importlib.import_module(f"experiments.{name}" + ".__main__" * (name == "report"))
    with pytest.raises(SystemExit) as ended:
        run_command(lambda: sys.exit(module.main(arguments)))
    (line,) = capsys.readouterr().err.splitlines()
    assert ended.value.code == 2
    assert message.format(**places) in line
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert places["file"].read_text() == "mine"
