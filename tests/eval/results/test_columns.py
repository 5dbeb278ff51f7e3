"""The columns of the settings, and their cells."""

from __future__ import annotations

from typing import Any

import pytest

from eval.results.columns import SETTINGS, setting_columns, setting_text


def test_every_further_setting_of_a_segmenter_has_a_column() -> None:
    segmenters: list[dict[str, Any]] = [
        {"kind": "Cut", "name": "cut", "tau": 0.5, "alpha": 10, "size": 32},
        {"power": 2, "alpha": 5, "miou": None},
    ]
    columns = setting_columns([{"segmenter": each} for each in segmenters] + [{"backbone": {"size": 448}}])
    assert columns == {
        **SETTINGS,
        "alpha": ("segmenter", "alpha"),
        "segmenter.size": ("segmenter", "size"),  # `size` is that of the backbone
        "power": ("segmenter", "power"),
        "segmenter.miou": ("segmenter", "miou"),  # `miou` is a score
    }


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"a": {"b": (32.0, 16, 0.5)}}, "[32,16,0.5]"),
        ({"a": {"b": {"x": [1.0]}}}, '{"x":[1]}'),
        ({"a": {"b": True}}, "true"),
        ({"a": {"b": "dino"}}, "dino"),
        ({"a": {"b": 0}}, "0"),
        ({"a": {"b": None}}, ""),
        ({"a": {}}, ""),
        ({"a": "dino"}, ""),
        ({}, ""),
    ],
)
def test_a_setting_is_written_as_on_the_command_line(settings: dict[str, Any], text: str) -> None:
    assert setting_text(settings, ("a", "b")) == text
