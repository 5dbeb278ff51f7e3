"""Names that tell apart the rows of a table."""

from __future__ import annotations

from typing import Any

from eval.results.names import telling_names
from eval.row import Row
from tests.helpers.worked_results import DBSCAN, DIFFSEG


def row(name: str, **settings: Any) -> Row:
    return Row("", name, settings, (), ())


def test_namesakes_are_told_apart_by_settings_without_a_fixed_column() -> None:
    powers = [row("NCut", segmenter={"tau": 0.6, "power": power}) for power in (1, 2)]
    assert telling_names(powers) == ["NCut, power=1", "NCut, power=2"]


def test_namesakes_are_told_apart() -> None:
    def kmeans(size: int = 448, **segmenter: Any) -> Row:
        return row("K-Means-C", segmenter={"clusters": 6, **segmenter}, scoring={"size": size})

    assert telling_names([DIFFSEG, DBSCAN]) == ["DiffSeg", "DBSCAN"]
    seeds = [kmeans(seed=seed) for seed in range(3)]
    assert telling_names([DIFFSEG, *seeds]) == ["DiffSeg", *(f"K-Means-C, seed={seed}" for seed in range(3))]
    # A value that most of them share is not named.
    changed = [kmeans(seed=0), kmeans(seed=0, upsample="nearest"), kmeans(seed=0, clusters=7)]
    assert telling_names(changed) == ["K-Means-C", "K-Means-C, upsample=nearest", "K-Means-C, clusters=7"]
    # One setting is enough if the others follow from it.
    sizes = [row("DiffSeg", backbone={"size": size, "sides": [size // 8]}) for size in (320, 512)]
    assert telling_names(sizes) == ["DiffSeg, size=320", "DiffSeg, size=512"]
    # The scored size has no column.
    assert telling_names([kmeans(), kmeans(size=224)]) == [
        "K-Means-C, protocol.size=448",
        "K-Means-C, protocol.size=224",
    ]
