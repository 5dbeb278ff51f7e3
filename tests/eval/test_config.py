"""The configuration of a run: the checks of its parts, and the one-line errors of their classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from omegaconf import OmegaConf

from datasets.base import DatasetError
from diffseg.aggregation import Aggregation
from eval.config import ConfigError, ProtocolSettings, Scoring, build


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"report": ()}, "protocol.report: must list one or more of official, "),
        ({"report": ("present", "present")}, "protocol.report: must list one or more of"),
        ({"report": ("instances", "regions")}, "protocol.report: instances has a frame of its own"),
        ({"frame": "round"}, "protocol.frame: input should be 'square' or 'whole'"),
    ],
)
def test_wrong_settings_of_the_scores_are_named(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as error:
        build({"_target_": "eval.config.ProtocolSettings", **settings}, "protocol")
    assert str(error.value).startswith(message)


class People:
    name, truths = "bsds", ("people",)


class Objects:
    name, truths = "voc", ("classes", "instances")


@pytest.mark.parametrize(
    ("dataset", "settings", "protocols", "scoring"),
    [
        (Objects, {}, ("official", "present"), Scoring("square", 448)),
        (Objects, {"size": 3}, ("official", "present"), Scoring("square", 3)),
        (Objects, {"frame": "whole", "components": True}, ("official", "present"), Scoring("whole", None, True)),
        (Objects, {"report": ("instances",), "convention": "spot"}, ("instances",), Scoring("spot", 320)),
        (People, {}, ("regions", "boundaries"), Scoring("whole", None)),
        (People, {"frame": "square"}, ("regions", "boundaries"), Scoring("square", 448)),
    ],
)
def test_protocols_and_pixels_follow_from_the_truth_of_the_data_set(
    dataset: Any, settings: dict[str, Any], protocols: tuple[str, ...], scoring: Scoring
) -> None:
    given = ProtocolSettings(**settings)
    assert (tuple(given.reported(dataset)), given.scoring(dataset, 448)) == (protocols, scoring)
    assert scoring.enters == ("whole" if scoring.frame == "whole" else "square")


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
