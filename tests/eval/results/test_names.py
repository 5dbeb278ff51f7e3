"""Names that tell apart the rows of a table."""

from __future__ import annotations

from typing import Any

from eval.results.row_results import RowResults

from eval.results.names import telling_names
from eval.results.tables import per_class, per_image
from tests.helpers.made_records import results_of
from tests.helpers.worked_results import CLASSES, DBSCAN, DIFFSEG, ok


def test_namesakes_are_told_apart_by_settings_without_a_fixed_column() -> None:
    powers = [RowResults("NCut", "", {"segmenter": {"tau": 0.6, "power": power}}) for power in (1, 2)]
    assert telling_names(powers) == ["NCut, power=1", "NCut, power=2"]


def test_namesakes_are_told_apart() -> None:
    def row(**segmenter: Any) -> RowResults:
        return RowResults("K-Means-C", "", {"segmenter": {"clusters": 6, **segmenter}, "scoring": {"size": 448}})

    assert telling_names([DIFFSEG, DBSCAN]) == ["DiffSeg", "DBSCAN"]
    seeds = [row(seed=seed) for seed in range(3)]
    assert telling_names([DIFFSEG, *seeds]) == ["DiffSeg", *(f"K-Means-C, seed={seed}" for seed in range(3))]
    # A value that most of them share is not named.
    changed = [row(seed=0), row(seed=0, upsample="nearest"), row(seed=0, clusters=7)]
    assert telling_names(changed) == ["K-Means-C", "K-Means-C, upsample=nearest", "K-Means-C, clusters=7"]
    # One setting is enough if the others follow from it.
    sizes = [RowResults("DiffSeg", "", {"backbone": {"size": size, "sides": [size // 8]}}) for size in (320, 512)]
    assert telling_names(sizes) == ["DiffSeg, size=320", "DiffSeg, size=512"]
    records = {"": [ok("a", [0], [0], seconds=1.0)]}
    assert per_class(results_of(seeds, records), CLASSES)["row"].unique().tolist() == telling_names(seeds)
    assert per_image(results_of(seeds, records))["row"].unique().tolist() == telling_names(seeds)
