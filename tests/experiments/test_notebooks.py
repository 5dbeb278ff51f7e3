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

# Notebook -> overrides of the results it reads, and how many figures it shows.
SWEEP = ("segmenter.tau=0.2,0.6", "segmenter.anchors=2,4", "segmenter.iterations=2,3")
SWEEP += ("aggregation.weights=proportional,finest", "backbone.size=112", "backbone.sides=[8,4]", *FEW)
TIMESTEPS = ("backbone=sd14", "backbone.size=128", "backbone.timestep=1,300", "segmenter.tau=0.1", *FEW)
CASES = {
    "ablation_tau": (SWEEP, 3),
    "ablation_anchors": (SWEEP, 5),
    "ablation_weights": (SWEEP, 3),
    "ablation_timestep": (TIMESTEPS, 3),
    "baselines": (("experiment=demo", *SMALL, *FEW), 3),
    "protocol": (("experiment=protocol_audit", *SMALL, *FEW), 2),
}
SLOW = ("ablation_anchors", "ablation_weights")  # they share results and plots with ablation_tau


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("notebooks")


def tables(folder: Path, overrides: tuple[str, ...]) -> Path:
    """Folder of the CSV files of real results. Notebooks with the same overrides share it."""
    number = abs(hash(overrides))
    run, copy = folder / f"run{number}", folder / f"csv{number}"
    if not copy.is_dir():
        weights = [f"backbone.path={build_tiny_sd(folder / 'sd')}"] if "backbone=sd14" in overrides else []
        multirun = any("," in override and "[" not in override for override in overrides)
        done = evaluate(run, *overrides, *weights, multirun=multirun)
        assert done.status == 0, done.err
        copy.mkdir()
        for path in run.glob("*.csv"):
            shutil.copy(path, copy)
    return copy


def test_every_notebook_is_tested() -> None:
    assert {path.stem for path in NOTEBOOKS.glob("*.ipynb")} == set(CASES)


@pytest.mark.parametrize("name", CASES)
def test_a_notebook_is_stored_without_output_and_reads_the_results_of_the_command_at_its_top(name: str) -> None:
    notebook = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=nbformat.NO_CONVERT)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert not any(cell.outputs or cell.execution_count for cell in code)
    assert [cell.metadata.get("tags") for cell in code].count(["parameters"]) == 1
    source = "\n".join(cell.source for cell in code)
    assert "pd.read_csv" in source
    assert not re.search(r"^(import|from) (eval|experiments)\b", source, re.MULTILINE)
    top = notebook.cells[0].source
    written = re.search(r"results_dir=(\S+)", top) or re.search(r"experiment=(\S+)", top)
    default = re.search(r'environ\.get\("RESULTS", "results/(.+)"\)', source)
    assert written
    assert default
    assert written[1].removeprefix("results/") == default[1]


def execute(name: str) -> list[Any]:
    """Runs a notebook and returns its outputs."""
    notebook = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)
    # "python3" is the kernel of the Python that runs the tests, whatever else is installed. It starts in the folder of
    # the notebook, as in Jupyter.
    client = NotebookClient(notebook, kernel_name="python3", timeout=120, resources={"metadata": {"path": NOTEBOOKS}})
    client.execute()
    return [output for cell in notebook.cells for output in cell.get("outputs", [])]


@pytest.mark.long
@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.slow] * (name in SLOW)) for name in CASES])
@pytest.mark.usefixtures("dinov2")
def test_a_notebook_runs_on_real_results(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    overrides, figures = CASES[name]
    monkeypatch.setenv("RESULTS", str(tables(folder, overrides)))
    outputs = execute(name)
    assert sum("image/png" in output.get("data", {}) for output in outputs) == figures
    assert any("text/html" in output.get("data", {}) for output in outputs)
    assert not [output for output in outputs if output.get("name") == "stderr"]


@pytest.mark.long
@pytest.mark.usefixtures("dinov2")
def test_a_notebook_runs_on_a_single_row(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RESULTS", str(tables(folder, (*SMALL, *FEW))))
    assert sum("image/png" in output.get("data", {}) for output in execute("ablation_tau")) == 3
