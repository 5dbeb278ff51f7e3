"""The columns of the settings, and their cells."""

from __future__ import annotations

from typing import Any

import pytest

from eval.results.columns import setting_text


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
