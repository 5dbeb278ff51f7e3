"""Composes the configurations of many rows or jobs fast: those with the same choices are composed by Hydra once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType
from omegaconf import DictConfig, OmegaConf


class Composer:
    """Composes configurations. Those that differ only in values share a base: Hydra takes 0.1 s per composition.

    Args:
        compose: overrides -> configuration with the key ``hydra``.
    """

    def __init__(self, compose: Callable[[list[str]], DictConfig]) -> None:
        self._compose = compose
        self._bases: dict[tuple[str, ...], DictConfig] = {}

    def __call__(self, overrides: Sequence[str]) -> DictConfig:
        """Composes a configuration. The caller may change it.

        Args:
            overrides: overrides in Hydra's grammar, without sweeps.

        Raises:
            HydraException, OmegaConfBaseException: an unknown choice or key, or an invalid value.
        """
        parsed = OverridesParser.create().parse_overrides(list(overrides))
        chosen = tuple(str(override.input_line) for override in parsed if not _is_value(override))
        if chosen not in self._bases:
            self._bases[chosen] = self._compose(list(chosen))
        config = deepcopy(self._bases[chosen])
        for value in filter(_is_value, parsed):
            OmegaConf.update(config, value.key_or_group, value.value(), merge=True, force_add=True)
        return config


def _is_value(override: Override) -> bool:
    """True if an override sets a key: ``group.key=value`` or ``++group.key=value``."""
    return "." in override.key_or_group and override.type in (OverrideType.CHANGE, OverrideType.FORCE_ADD)
