"""The configuration of a run: the checks of its parts, and the one-line errors of their classes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from datasets.base import DatasetError
from diffseg.aggregation import Aggregation
from eval.config import ConfigError, ProtocolSettings, build
from tests.helpers.folder_rows import SIDE, dataset_of, row_config, write_picture


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"report": ()}, "report: must list one or more of official, present, dataset, once each, got []"),
        ({"report": ("present", "present")}, "report: must list one or more of"),
        ({"report": ("both",)}, "report: must be one of official, present, dataset, or the dotted path"),
        ({"size": 0}, "size: must be at least 1 pixel, or null, got 0"),
    ],
)
def test_wrong_settings_of_the_scores_are_named(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError) as error:  # noqa: PT011
        ProtocolSettings(**settings)
    assert str(error.value).startswith(message)


def test_labels_are_scored_at_the_size_of_the_backbone_unless_another_is_given(tmp_path: Path) -> None:
    write_picture(tmp_path, "a")
    assert row_config(dataset_of(tmp_path)).size == SIDE
    assert row_config(dataset_of(tmp_path), size=3).size == 3


@dataclass
class Part:
    """A user's part that cannot be built."""

    error: str

    def __post_init__(self) -> None:
        raise {"dataset": DatasetError, "file": FileNotFoundError, "bug": KeyError}[self.error]("first line\nsecond")


def test_a_part_is_built_from_its_configuration() -> None:
    """Values are resolved, and lists become tuples."""
    config = OmegaConf.create(
        {
            "halves": [0.5, 0.5],
            "aggregation": {"_target_": "diffseg.aggregation.Aggregation", "weights": "${halves}"},
        }
    )
    part = build(config.aggregation, "aggregation")
    assert isinstance(part, Aggregation)
    assert part.weights == (0.5, 0.5)


def test_an_unknown_key_of_a_part_is_named() -> None:
    node = OmegaConf.create({"_target_": "diffseg.aggregation.Aggregation", "weight": "finest"})
    with pytest.raises(ConfigError, match=r"^aggregation\.weight: .* did you mean aggregation\.weights\?$"):
        build(node, "aggregation")


@pytest.mark.parametrize(
    ("kind", "error", "message"),
    [
        ("dataset", DatasetError, "first line\nsecond"),  # these are clear already
        ("file", FileNotFoundError, "first line\nsecond"),
        ("bug", ConfigError, r"segmenter: Part cannot be built (KeyError: 'first line\nsecond')"),
    ],
)
def test_any_error_of_a_users_part_is_one_of_the_configuration(kind: str, error: type, message: str) -> None:
    node = OmegaConf.create({"_target_": f"{__name__}.Part", "error": kind})
    with pytest.raises(error) as caught:
        build(node, "segmenter")
    assert str(caught.value) == message
