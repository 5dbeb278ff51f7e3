"""The backbone without a network."""

from __future__ import annotations

import pytest

from diffseg.backbones.none import NoBackbone


def test_rows_of_one_size_share_the_pictures() -> None:
    assert NoBackbone(64).encoder == NoBackbone(64).encoder != NoBackbone(65).encoder


def test_there_is_nothing_to_load_and_a_size_is_needed() -> None:
    NoBackbone(1).check()
    with pytest.raises(ValueError, match="backbone=none has no model to load"):
        NoBackbone().load()
    with pytest.raises(ValueError, match="size"):
        NoBackbone(size=0)
