"""The example of "Add a part" in ``experiments/README.md``, as printed, in every command that it names."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

import diffseg
from diffseg.cli import main as cli
from experiments.app.__main__ import PAGE
from tests.conftest import ROOT
from tests.helpers.runs import evaluate

PAGE_OF_EXAMPLE = ROOT / "experiments" / "README.md"
SMALL = ("backbone.size=112", "backbone.sides=[8]", "dataset.limit=2")


def example() -> str:
    text = PAGE_OF_EXAMPLE.read_text(encoding="utf-8")
    return text[text.index("## Add a part") : text.index("| part | YAML in")]


def printed(command: str) -> list[list[str]]:
    """The arguments of each printed call of a command."""
    lines = re.findall(rf"^    python -m {re.escape(command)} (.*)$", example(), re.MULTILINE)
    assert lines, command
    return [shlex.split(line) for line in lines]


@pytest.fixture
def folder(dinov2: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The working directory, with the files of the example and a photograph."""
    files = re.findall(r"```\w+\n# (\S+)\n(.*?)```", example(), re.DOTALL)
    assert [name for name, _ in files] == ["mine/stripes.py", "mine/conf/segmenter/stripes.yaml"]
    for name, content in files:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content, encoding="utf-8")
    Image.fromarray(np.zeros((40, 60, 3), np.uint8)).save(tmp_path / "photo.jpg")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield tmp_path
    sys.modules.pop("stripes", None)


def test_evaluate_and_a_sweep(folder: Path) -> None:
    single, swept = (arguments[2:] for arguments in printed("experiments.evaluate"))
    run = evaluate(folder / "run", *single, *SMALL, config_dir=Path("mine/conf"))
    assert run.status == 0, run.err
    assert set(run.table()["segments"]) == {3}
    assert swept.pop(0) == "-m"
    run = evaluate(folder / "sweep", *swept, *SMALL, multirun=True, config_dir=Path("mine/conf"))
    assert run.status == 0, run.err
    assert set(run.table()["count"]) == set(run.table()["segments"]) == {2, 3, 4}
    bad = evaluate(folder / "bad", *single, "segmenter.count=0", *SMALL, config_dir=Path("mine/conf"))
    assert (bad.status, bad.err) == (2, "error: segmenter.count: must be at least 1, got 0\n")


def test_the_command_line(folder: Path) -> None:
    (arguments,) = printed("diffseg")
    assert cli.main([*arguments, "--size", "112", "--device", "cpu"]) == 0
    with Image.open(folder / "out" / "photo.labels.png") as image:
        labels = np.array(image)
    assert labels.shape == (40, 60)
    assert (labels == labels[0]).all()
    assert len(np.unique(labels)) == 5


def test_python(folder: Path) -> None:
    code = next(block for block in re.findall(r"```python\n(.*?)```", example(), re.DOTALL) if "load(" in block)
    names: dict[str, object] = {"diffseg": diffseg}
    exec(code, names)
    result = names["result"]
    assert isinstance(result, diffseg.Result)
    assert result.count == 5
    with pytest.raises(ValueError, match=r"^count: must be at most 32, got 33$"):
        diffseg.load("dinov2_small", config_dir="mine/conf").segment("photo.jpg", "stripes", count=33)


def test_the_page(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    testing: ModuleType = pytest.importorskip("streamlit.testing.v1", reason="streamlit is not installed")
    (arguments,) = printed("experiments.app")
    monkeypatch.setattr(sys, "argv", ["page", *arguments, "--size", "112", "--device", "cpu"])
    page = testing.AppTest.from_file(str(PAGE), default_timeout=120).run()
    assert not page.exception
    assert not page.error
    page.selectbox(key="left").set_value("stripes").run()
    assert not page.exception
    assert not page.error
    slider = page.slider(key="left-stripes-count")
    assert (slider.min, slider.max, slider.value) == (1, 32, 3)
    assert slider.help == "number of stripes"
