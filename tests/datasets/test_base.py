"""The interface of data sets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import pytest

from datasets.base import Dataset


def test_a_data_set_that_lacks_a_member_cannot_be_built() -> None:
    @dataclass(frozen=True)
    class Unfinished(Dataset):
        name: ClassVar[str] = "unfinished"

    with pytest.raises(TypeError, match=r"Unfinished with abstract methods .*background.*check.*load"):
        Unfinished()  # type: ignore[abstract]
