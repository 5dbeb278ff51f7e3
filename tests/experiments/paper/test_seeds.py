"""Rows that differ only in the seed."""

from __future__ import annotations

from typing import Any

from eval.runs import Row
from experiments.paper.seeds import key_without_seed


def key(name: str = "K-Means-C", size: int = 448, **segmenter: Any) -> str:
    settings = {"backbone": {"size": size}, "segmenter": {"clusters": 6, **segmenter}}
    return key_without_seed(Row("", name, settings, (), ()))


def test_only_the_seed_of_the_segmenter_does_not_matter() -> None:
    assert key() == key(seed=0) == key(seed=1)
    assert len({key(), key("K-Means-S"), key(size=224), key(clusters=7), key(n_init=3)}) == 5
