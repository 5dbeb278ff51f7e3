"""The code of a user's part: what changes its hash, and what does not."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from eval import code
from eval.code import kind_name, part_code
from eval.metrics import accuracy
from tests.helpers.folder_rows import KMEANS, dataset_of, row_config, write_picture

FILES = {
    "single.py": "import json\nimport beside\nfrom aside import value\nclass Part:\n    pass\n",
    "beside.py": "import further\n",
    "further.py": "",
    "aside.py": "value = 1\n",
    "unused.py": "",
    "pack/__init__.py": "",
    "pack/parts.py": "from . import helper\nfrom .deep.inner import name\nimport beside\nclass Part:\n    pass\n",
    "pack/helper.py": "",
    "pack/deep/__init__.py": "",
    "pack/deep/inner.py": "name = 1\n",
    "pack/unused.py": "",
    "twin.py": "class Part:\n    pass\n",
}


@pytest.fixture
def hashes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], str]]:
    """Writes the files; hashes the part of a module as a new process would."""
    known = set(sys.modules)
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.syspath_prepend(tmp_path)

    def hashed(module: str) -> str:
        code._module_code.cache_clear()
        return part_code(importlib.import_module(module).Part)

    yield hashed
    code._module_code.cache_clear()
    for name in set(sys.modules) - known:
        del sys.modules[name]


@pytest.mark.parametrize(
    ("module", "covered"),
    [
        ("single", {"single.py", "beside.py", "further.py", "aside.py"}),
        ("pack.parts", {f"pack/{name}.py" for name in ("__init__", "parts", "helper", "deep/__init__", "deep/inner")}),
    ],
)
def test_the_hash_covers_the_modules_that_a_part_imports_from_its_folder_or_package(
    hashes: Callable[[str], str], tmp_path: Path, module: str, covered: set[str]
) -> None:
    before = hashes(module)
    changed = set()
    for name, text in FILES.items():
        (tmp_path / name).write_text(f"{text}# edited\n")
        if hashes(module) != before:
            changed.add(name)
        (tmp_path / name).write_text(text)
    assert changed == covered
    assert hashes(module) == before


def test_what_else_the_process_has_loaded_does_not_matter(hashes: Callable[[str], str]) -> None:
    before = hashes("single")
    importlib.import_module("unused")
    importlib.import_module("pack.parts")
    assert hashes("single") == before


def test_classes_of_one_name_in_two_modules_are_told_apart(hashes: Callable[[str], str]) -> None:
    parts = [importlib.import_module(name).Part for name in ("single", "twin")]
    assert [kind_name(part()) for part in parts] == [kind_name(part) for part in parts] == ["single.Part", "twin.Part"]
    assert hashes("single") != hashes("twin")


def test_parts_of_this_project_have_no_code_but_a_users_package_of_that_name_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_picture(tmp_path, "a")
    row = row_config(dataset_of(tmp_path), KMEANS)
    assert (kind_name(row.segmenter), part_code(row.segmenter), part_code(accuracy)) == ("KMeansRGBXY", "", "")
    (tmp_path / "mine.py").write_text("class Part:\n    pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    mine = importlib.import_module("mine")
    monkeypatch.setattr(mine.Part, "__module__", "datasets.mine")
    monkeypatch.setitem(sys.modules, "datasets.mine", mine)
    assert kind_name(mine.Part()) == "datasets.mine.Part"
    monkeypatch.delitem(sys.modules, "mine")
