"""Composes rows like the command line."""

from __future__ import annotations

from experiments.running.rows import expand
from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig

from eval.config import RowConfig
from tests.conftest import ROOT


def rows_of(*overrides: str) -> list[RowConfig]:
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        config = compose("config", overrides=list(overrides), return_hydra_config=True)
        HydraConfig.instance().set_config(config)
        choices = dict(config.hydra.runtime.choices)
        config = compose("config", overrides=list(overrides))
        return expand(config, overrides, choices)
