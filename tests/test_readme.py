"""The Markdown pages: their Python lines run, their links and make targets exist."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import ROOT

ROOMS = ("experiments", "experiments/bench", "datasets")
PAGES = ("README.md", *(f"{room}/README.md" for room in ROOMS), "experiments/RESULTS.md")


def test_the_python_lines_of_the_readme_run(dinov2: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (block,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "lines.py").write_text(block, encoding="utf-8")
    pixels = np.zeros((90, 120, 3), np.uint8)
    pixels[:, 60:] = (200, 120, 40)
    Image.fromarray(pixels).save(tmp_path / "photo.jpg")
    monkeypatch.chdir(tmp_path)
    names = runpy.run_path("lines.py")
    assert names["result"].labels.shape == (90, 120)
    assert names["tensor"].shape == (1024, 1024)
    assert (tmp_path / "out" / "photo.labels.png").is_file()


@pytest.mark.parametrize("page", PAGES)
def test_links_and_make_targets_of_a_page_exist(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    for link in re.findall(r"\]\(([^)#]+)\)", text):
        if not link.startswith("http"):
            assert ((ROOT / page).parent / link).exists(), link
    targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    used = re.findall(r"(?:^|`|    )make ([a-z][a-z0-9-]*)", text, re.MULTILINE)
    assert set(used) <= targets, set(used) - targets
