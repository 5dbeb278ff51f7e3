"""Configurations that differ only in values are composed by Hydra once."""

from __future__ import annotations

import pytest
from experiments.running.composing import Composer
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigAttributeError


@pytest.fixture
def composed() -> list[list[str]]:
    """The overrides with which the configuration was composed."""
    return []


@pytest.fixture
def composer(composed: list[list[str]]) -> Composer:
    def compose(overrides: list[str]) -> DictConfig:
        composed.append(overrides)
        config = OmegaConf.create({"segmenter": {"name": "diffseg", "tau": 0.3, "nested": {"a": 1, "b": 2}}})
        OmegaConf.set_struct(config, True)
        if "segmenter=dbscan" in overrides:
            config.segmenter.name = "dbscan"
        return config

    return Composer(compose)


def test_values_are_set_on_a_copy_of_one_configuration(composer: Composer, composed: list[list[str]]) -> None:
    first, second = (composer([f"segmenter.tau={tau}"]) for tau in (0.4, "null"))
    assert composed == [[]]
    assert (first.segmenter.tau, second.segmenter.tau) == (0.4, None)
    first.segmenter.name = "changed"
    assert composer([]).segmenter.name == "diffseg"


def test_another_choice_is_composed_anew(composer: Composer, composed: list[list[str]]) -> None:
    composer(["segmenter=dbscan", "segmenter.tau=1"])
    composer(["segmenter.tau=2", "segmenter=dbscan"])
    composer(["batch_size=2"])
    assert composed == [["segmenter=dbscan"], ["batch_size=2"]]
    config = composer(["segmenter=dbscan", "segmenter.tau=1"])
    assert (config.segmenter.name, config.segmenter.tau) == ("dbscan", 1)


def test_a_dictionary_is_merged_and_an_unknown_key_needs_plus_signs(composer: Composer) -> None:
    assert composer(["segmenter.nested={b: 3}"]).segmenter.nested == {"a": 1, "b": 3}
    assert composer(["++segmenter.new=3"]).segmenter.new == 3
    with pytest.raises(ConfigAttributeError):
        composer(["segmenter.new=3"])
