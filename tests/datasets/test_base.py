"""The interface of data sets, and paths that begin with a tilde."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest

from datasets.base import Dataset, DatasetError, expanded


def test_a_data_set_that_lacks_a_member_cannot_be_built() -> None:
    @dataclass(frozen=True)
    class Unfinished(Dataset):
        name: ClassVar[str] = "unfinished"

    with pytest.raises(TypeError, match=r"Unfinished with abstract methods .*background.*check.*load"):
        Unfinished()  # type: ignore[abstract]


def test_the_tilde_is_the_home_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/people/me")
    assert expanded("~/a b", "dataset.root") == Path("/people/me/a b")
    assert expanded("a~/b", "dataset.root") == Path("a~/b")


def test_an_unknown_home_folder_is_an_error_that_names_the_key() -> None:
    with pytest.raises(DatasetError, match=r"^dataset\.root: the home folder of ~nobody-of-this-name/x is unknown; "):
        expanded("~nobody-of-this-name/x", "dataset.root")
