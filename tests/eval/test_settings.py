"""Keys and differences of settings."""

from __future__ import annotations

import json

import pytest

from eval.settings import differences, row_key

SETTINGS = {"experiment": "table1", "segmenter": {"name": "diffseg", "tau": 1.0, "layers": (8, 9)}}
KEY = row_key(SETTINGS)


def test_the_key_covers_values_and_not_their_spelling() -> None:
    same = {"segmenter": {"layers": [8, 9], "tau": 1, "name": "diffseg"}, "experiment": "table1"}
    assert row_key(same) == KEY
    assert row_key(json.loads(json.dumps(SETTINGS))) == KEY
    assert row_key({"weights": {32: 1, 8: 0.5}}) == row_key({"weights": {"8": 0.5, "32": 1.0}})
    assert len(KEY) == 16
    assert int(KEY, 16) >= 0
    others = [{"tau": 1.1}, {"tau": None}, {"tau": True}, {"tau": "1"}, {"layers": [9, 8]}, {"seed": 0}]
    changed = [{**SETTINGS, "segmenter": {**SETTINGS["segmenter"], **other}} for other in others]  # type: ignore[dict-item]
    assert len({KEY, *map(row_key, changed)}) == 1 + len(others)
    with pytest.raises(ValueError, match="JSON compliant"):
        row_key({"tau": float("inf")})


def test_differences_name_what_changed() -> None:
    old = {"segmenter": {"name": "diffseg", "tau": 0.3, "grid": {}}, "sides": (32, 16), "size": 448.0}
    new = {"segmenter": {"name": "diffseg", "tau": 0.4, "rule": "paper"}, "sides": [32], "size": 448}
    assert differences(old, new) == [
        "segmenter.grid: {} -> (not set)",
        "segmenter.rule: (not set) -> paper",
        "segmenter.tau: 0.3 -> 0.4",
        "sides: [32, 16] -> [32]",
    ]
    assert differences(new, new) == []
