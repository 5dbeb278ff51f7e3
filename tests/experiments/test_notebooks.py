"""The notebooks, executed on the CSV files of small real results."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from experiments.bench.tiny_sd import build_tiny_sd
from tests.conftest import ROOT
from tests.helpers.runs import SMALL, evaluate

NOTEBOOKS = ROOT / "experiments" / "notebooks"
FEW = ("dataset.limit=2", "panels=0")
SIDES = ("backbone.size=112", "backbone.sides=[8,4]")

# Notebook -> overrides of the results it reads, and how many figures it shows.
SWEEP = (
    *("segmenter.tau=0.2,0.6", "segmenter.anchors=2,4", "segmenter.iterations=2,3"),
    *("aggregation.weights=proportional,finest", *SIDES, *FEW),
)
TIMESTEPS = (
    *("backbone=sd14", "backbone.size=128", "backbone.timestep=1,300", "aggregation.weights=proportional,finest"),
    *("segmenter.tau=0.1", *FEW),
)
CASES = {
    "ablation_tau": (SWEEP, 4),
    "ablation_anchors": (SWEEP, 6),
    "ablation_weights": (SWEEP, 4),
    "ablation_timestep": (TIMESTEPS, 4),
    "baselines": (("experiment=demo", *SMALL, *FEW), 4),
    "protocol": (("experiment=protocol_audit", *SMALL, *FEW), 3),
}

SLOW = ("ablation_anchors", "ablation_weights")  # they share results and plots with ablation_tau


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("notebooks")


def tables(folder: Path, overrides: tuple[str, ...], capture: pytest.CaptureFixture[str]) -> Path:
    """Folder of the CSV files of real results. Notebooks with the same overrides share it."""
    number = list(dict.fromkeys(overrides for overrides, _ in CASES.values())).index(overrides)
    run, copy = folder / f"run{number}", folder / f"csv{number}"
    if not copy.is_dir():
        weights = [f"backbone.path={build_tiny_sd(folder / 'sd')}"] if "backbone=sd14" in overrides else []
        multirun = not overrides[0].startswith("experiment")
        done = evaluate(run, *overrides, *weights, capture=capture, multirun=multirun)
        assert done.status == 0, done.err
        for path in run.rglob("*.csv"):
            (copy / path.relative_to(run)).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, copy / path.relative_to(run))
    return copy


def test_every_notebook_is_tested() -> None:
    assert {path.stem for path in NOTEBOOKS.glob("*.ipynb")} == set(CASES)


@pytest.mark.parametrize("name", CASES)
def test_a_notebook_is_stored_without_output(name: str) -> None:
    notebook = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=nbformat.NO_CONVERT)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert not any(cell.outputs or cell.execution_count for cell in code)
    assert [cell.metadata.get("tags") for cell in code].count(["parameters"]) == 1
    # Text before each plot says what to look for.
    for before, cell in zip(notebook.cells, notebook.cells[1:], strict=False):
        if "plots." in cell.source and "import" not in cell.source:
            assert before.cell_type == "markdown" or "contrast(" in cell.source


@pytest.mark.parametrize("name", CASES)
def test_a_notebook_reads_the_results_of_the_command_at_its_top(name: str) -> None:
    top, *cells = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4).cells
    written = re.search(r"results_dir=(\S+)", top.source) or re.search(r"experiment=(\S+)", top.source)
    default = next(
        found[1] for cell in cells if (found := re.search(r'environ\.get\("RESULTS", "results/(.+)"\)', cell.source))
    )
    assert written
    assert written[1].removeprefix("results/") == default
    if default == "sweep":
        assert "results_dir=results/sweep" in (ROOT / "experiments" / "README.md").read_text(encoding="utf-8")


def execute(name: str, compare: str = "None", allow_errors: bool = False) -> list[Any]:
    """Runs a notebook and returns its outputs."""
    notebook = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)
    for cell in notebook.cells:
        cell.source = cell.source.replace("COMPARE = None", f"COMPARE = {compare}")
    # "python3" is the kernel of the Python that runs the tests, whatever else is installed. It starts in the folder of
    # the notebook, as in Jupyter.
    client = NotebookClient(notebook, kernel_name="python3", timeout=120, resources={"metadata": {"path": NOTEBOOKS}})
    client.allow_errors = allow_errors
    client.execute()
    return [output for cell in notebook.cells for output in cell.get("outputs", [])]


@pytest.mark.long
@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.slow] * (name in SLOW)) for name in CASES])
@pytest.mark.usefixtures("dinov2")
def test_a_notebook_runs_on_real_results(
    name: str, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    overrides, figures = CASES[name]
    monkeypatch.setenv("RESULTS", str(tables(folder, overrides, capsys)))
    outputs = execute(name)
    assert sum("image/png" in output.get("data", {}) for output in outputs) == figures
    assert any("text/html" in output.get("data", {}) for output in outputs)
    assert not [output for output in outputs if output.get("name") == "stderr"]


@pytest.mark.long
def test_a_wrong_folder_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RESULTS", str(tmp_path / "nowhere"))
    error = next(output for output in execute("protocol", allow_errors=True) if output["output_type"] == "error")
    (line,) = error["traceback"]
    assert line.startswith(f"error: {tmp_path}/nowhere: no summary.csv")
    assert "\n" not in line


@pytest.mark.long
@pytest.mark.usefixtures("dinov2")
def test_the_user_may_choose_two_settings_to_compare(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RESULTS", str(tables(folder, CASES["baselines"][0], capsys)))
    outputs = execute("baselines", '("DBSCAN", "K-Means-S")')
    tables_shown = [output["data"]["text/html"] for output in outputs if "text/html" in output.get("data", {})]
    assert "<th>DBSCAN</th>" in tables_shown[-1]
    assert "<th>K-Means-S</th>" in tables_shown[-1]
    outputs = execute("baselines", '("DBSCAN", "K-Means-X")', allow_errors=True)
    error = next(output for output in outputs if output["output_type"] == "error")
    (line,) = error["traceback"]
    assert line.startswith("error: K-Means-X: no such setting; choose from: K-Means-C; ")
