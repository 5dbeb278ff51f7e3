"""Composes and checks the rows of a run before a model is loaded. An experiment lists several rows."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from itertools import product

from hydra import compose
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf
from pydantic import TypeAdapter, ValidationError

from datasets.base import Dataset, DatasetError
from diffseg import parts
from diffseg.backbones import MissingWeights, WeightsError
from eval.config import ConfigError, RowConfig, RunConfig, build
from experiments.running.arguments import quote_path
from experiments.running.composing import Composer

ConfigStore.instance().store(name="schema", node=RunConfig)  # for conf/config.yaml


@dataclass(frozen=True)
class _RowSpec:
    """A row in an experiment's YAML, or several rows with the same name.

    Attributes:
        name: name in the tables.
        overrides: overrides, as on the command line. A sweep (``segmenter.seed=range(5)``) makes several rows.
        note: a footnote for tables.
    """

    name: str
    overrides: tuple[str, ...] = ()
    note: str | None = None


def expand(config: DictConfig, overrides: Sequence[str], choices: Mapping[str, str]) -> list[RowConfig]:
    """Composes and checks the rows of a run.

    An override of the user beats an override of the row. If rows choose a group, the user cannot choose it. A key of
    such a group is set in the rows that have this key and do not choose the group; if there are none, in all rows that
    have it. Example: with ``experiment=table1``, ``backbone.path`` is that of Stable Diffusion, not of DINO, and
    ``segmenter.tau`` is that of DiffSeg.

    Args:
        config: the composed configuration of the run.
        overrides: overrides of the user, in Hydra's grammar.
        choices: group -> name of the chosen YAML file.

    Raises:
        ConfigError: see `build`.
    """
    known = [each.name for each in fields(RunConfig)]
    for name in config:
        if name not in known:  # +key=value adds any key in Hydra
            raise ConfigError(parts.unknown_key(str(name), known))
    if config.panels < 0:
        raise ConfigError(f"panels: must be at least 0, got {config.panels}")
    if config.rows is None:
        return [_row(choices["segmenter"], config, choices)]
    specs = _row_specs(config)
    chosen = {group for each in specs for group in _groups(each) if group in choices}
    table = f"experiment={choices['experiment']}" if choices.get("experiment") else "rows"
    typed = OverridesParser.create().parse_overrides(list(overrides))
    for override in typed:
        if override.key_or_group in chosen:
            raise ConfigError(
                f"{override.input_line}: the rows of {table} choose their {override.key_or_group} "
                "themselves; leave out one of the two"
            )
    deferred = [override for override in typed if override.key_or_group.split(".")[0] in chosen]
    common = [str(override.input_line) for override in typed if override not in deferred]
    composed = _compose_all(specs, common)
    for override in deferred:
        _set_where_meant(override, specs, [row for row, _ in composed], table)
    rows = [_row(each.name, *of_row, each.note) for each, of_row in zip(specs, composed, strict=True)]
    if any((row.dataset, row.protocol.report) != (rows[0].dataset, rows[0].protocol.report) for row in rows):
        raise ConfigError(f"rows: the rows of {table} must share dataset and protocol.report")
    # An override of the user can make rows equal, for example if the rows sweep over the same key.
    return [row for index, row in enumerate(rows) if row not in rows[:index]]


def _row_specs(config: DictConfig) -> list[_RowSpec]:
    """The rows of an experiment, with one row for each combination of values in a sweep."""
    given = OmegaConf.to_container(config.rows) if OmegaConf.is_config(config.rows) else config.rows
    try:
        specs = TypeAdapter(list[_RowSpec], config={"extra": "forbid"}).validate_python(given)
    except ValidationError:
        raise ConfigError(
            f"rows: must be a list of {{name: ..., overrides: [group=choice, ...], note: ...}}, got {given!r}"
        ) from None
    if not specs:
        raise ConfigError("rows: is empty; list at least one row, or leave the key out")
    return [_RowSpec(each.name, overrides, each.note) for each in specs for overrides in _without_sweeps(each)]


def _without_sweeps(spec: _RowSpec) -> list[tuple[str, ...]]:
    """The overrides for each combination of values in the sweeps of a row."""
    parsed = OverridesParser.create().parse_overrides([quote_path(each, swept=True) for each in spec.overrides])
    values = [
        [f"{each.get_key_element()}={value}" for value in each.sweep_string_iterator()]
        if each.is_sweep_override()
        else [str(each.input_line)]
        for each in parsed
    ]
    return list(product(*values))


def _compose_all(specs: Sequence[_RowSpec], common: Sequence[str]) -> list[tuple[DictConfig, Mapping[str, str]]]:
    """Configuration and choices of each row. The ``common`` overrides beat the row's."""
    composer = Composer(lambda overrides: compose("config", overrides=overrides, return_hydra_config=True))
    given = {override.split("=")[0] for override in common}
    rows: list[tuple[DictConfig, Mapping[str, str]]] = []
    for each in specs:
        of_row = [override for override in each.overrides if override.split("=")[0] not in given]
        config = composer([*of_row, *common])
        choices = dict(config.hydra.runtime.choices)
        OmegaConf.set_struct(config, False)
        del config["hydra"]
        rows.append((config, choices))
    return rows


def _set_where_meant(override: Override, specs: Sequence[_RowSpec], configs: Sequence[DictConfig], table: str) -> None:
    """Sets a key of a group that rows choose, see `expand`."""
    key = override.key_or_group
    having = [index for index, config in enumerate(configs) if _has(config, key)]
    if not having:
        parent, _, name = key.rpartition(".")
        nodes = [OmegaConf.select(config, parent) for config in configs]
        known = {each for node in nodes if isinstance(node, DictConfig) for each in parts.keys_of(node)}
        raise ConfigError(f"{key}: no row of {table} has this key{parts.nearest(name, known, f'{parent}.')}")
    leaving = [index for index in having if key.split(".")[0] not in _groups(specs[index])]
    for index in leaving or having:
        OmegaConf.update(configs[index], key, override.value(), merge=False, force_add=True)


def _groups(spec: _RowSpec) -> list[str]:
    """The groups and keys that the overrides of a row set."""
    return [override.split("=")[0] for override in spec.overrides]


def _has(config: DictConfig, key: str) -> bool:
    parent, _, name = key.rpartition(".")
    node = OmegaConf.select(config, parent) if parent else config
    return isinstance(node, DictConfig) and name in parts.keys_of(node)


def _row(name: str, config: DictConfig, choices: Mapping[str, str], note: str | None = None) -> RowConfig:
    return RowConfig(
        name,
        config,
        choices,
        build(config.dataset, "dataset"),
        build(config.backbone, "backbone"),
        build(config.protocol, "protocol"),
        note,
    )


def check(rows: Sequence[RowConfig]) -> list[RowConfig]:
    """Checks that data and weights exist; reports everything that is missing in one error. Imports no torch.

    Returns:
        The rows. Rows with the same data set share one object, which lists its files once.

    Raises:
        ConfigError: several things are missing. The message names each and says how to get it.
        DatasetError, WeightsError: a single thing is missing.
    """
    datasets: dict[Dataset, Dataset] = {}
    rows = [replace(row, dataset=datasets.setdefault(row.dataset, row.dataset)) for row in rows]
    errors: list[Exception] = []
    for row in rows:
        for part in (row.dataset, row.backbone):
            try:
                part.check()
            except WeightsError as error:
                errors.append(_of_row(error, row))
            except ValueError as error:
                raise ConfigError(f"backbone.{error}") from error
            except DatasetError as error:
                errors.append(error)
    errors = list({str(error): error for error in errors}.values())
    if len(errors) == 1:
        raise errors[0]
    if errors:
        raise ConfigError("\n  ".join(["this is missing:", *map(str, errors)]))
    return rows


def _of_row(error: WeightsError, row: RowConfig) -> WeightsError:
    """Adds to an error the full key, and the environment variable if the YAML reads the path from one."""
    key = "backbone." if str(error).startswith("path: ") else ""
    # A backbone outside this project may have no such key.
    path = OmegaConf.to_container(row.composed.backbone, resolve=False).get("path")  # type: ignore[union-attr]
    variable = re.match(r"\$\{oc\.env:(\w+)", str(path))
    hint = f"; beside another backbone: the environment variable {variable[1]}=DIR" if variable else ""
    kind = MissingWeights if isinstance(error, MissingWeights) else WeightsError
    return kind(f"{key}{error.advising('backbone.path=DIR')}{hint}")
