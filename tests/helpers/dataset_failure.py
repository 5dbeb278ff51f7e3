"""Provokes the errors of data sets."""

from __future__ import annotations

import pytest

from datasets.base import Dataset, DatasetError


def failure(dataset: Dataset, id: str | None = None) -> str:
    """Message, on one line, of the error that loading a picture raises; without ``id``, that the check raises."""
    with pytest.raises(DatasetError) as error:
        dataset.check() if id is None else dataset.load(id)
    message = str(error.value)
    assert "\n" not in message
    return message
