"""The example of datasets/README.md, a data set outside the project, works as written."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.helpers.runs import SMALL, evaluate

PAGE = Path(__file__).resolve().parents[2] / "datasets" / "README.md"


@pytest.mark.usefixtures("dinov2")
def test_the_data_set_of_the_example_is_evaluated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = re.findall(r"```(?:python|yaml)\n# ([^\s:]+)[^\n]*\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert [name for name, _ in blocks] == ["my_data/streets.py", "my_conf/dataset/streets.yaml"]
    for name, text in blocks:
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "my_data" / "streets.csv").write_text("value,label,name\n0,0,road\n1,1,sky\n")
    for id in ("0001", "0002"):
        for path, shape in ((f"shots/{id}.jpg", (20, 30, 3)), (f"masks/{id}.png", (20, 30))):
            (tmp_path / "town" / path).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.random.default_rng(0).integers(0, 2, shape, np.uint8)).save(tmp_path / "town" / path)
    monkeypatch.setattr(sys, "path", [str(tmp_path / "my_data"), *sys.path])
    run = evaluate(
        tmp_path / "run",
        *("dataset=streets", f"dataset.root={tmp_path / 'town'}", *SMALL),
        config_dir=tmp_path / "my_conf",
    )
    assert run.status == 0, run.err
    assert set(run.table()["dataset"]) == {"streets"}
    assert set(run.table()["images"]) == {2}
