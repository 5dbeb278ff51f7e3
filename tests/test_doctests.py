"""The examples in the docstrings of the library run and show what they print."""

from __future__ import annotations

import doctest
from importlib import import_module
from pathlib import Path

import pytest

import diffseg
from tests.conftest import ROOT


def _module(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


MODULES = [_module(path) for path in sorted((ROOT / "diffseg").rglob("*.py")) if ">>>" in path.read_text("utf-8")]


@pytest.mark.parametrize("module", MODULES)
def test_examples_print_what_they_show(module: str) -> None:
    failed, attempted = doctest.testmod(import_module(module))
    assert attempted
    assert not failed


def test_the_page_on_files_of_attention_prints_what_it_shows() -> None:
    failed, attempted = doctest.testfile(str(ROOT / "diffseg" / "attention.md"), module_relative=False)
    assert attempted
    assert not failed


@pytest.mark.parametrize("name", diffseg.__all__)
def test_every_exported_name_has_an_example(name: str) -> None:
    assert ">>>" in (getattr(diffseg, name).__doc__ or "")
