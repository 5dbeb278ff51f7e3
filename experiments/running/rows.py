"""Composes and checks the rows of a run before any model loads; an experiment lists several."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from itertools import product

from hydra import compose
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf
from pydantic import TypeAdapter, ValidationError

from datasets.base import Dataset, DatasetError
from diffseg.backbones import MissingWeights, WeightsError
from eval.config import ConfigError, RowConfig, RunConfig, build, unknown_key
from experiments.running.arguments import quote_path
from experiments.running.composing import Composer


@dataclass(frozen=True)
class RowSpec:
    """What an experiment says of a row, or of several that share a name.

    Attributes:
        name: how tables call it.
        overrides: what would be typed for it. Hydra's sweeps (``segmenter.seed=range(5)``) make several rows.
        note: a footnote for tables.
    """

    name: str
    overrides: tuple[str, ...] = ()
    note: str | None = None


def expand(config: DictConfig, overrides: Sequence[str], choices: Mapping[str, str]) -> list[RowConfig]:
    """Rows of a run, each composed as if it had been typed on the command line, and checked.

    What the user gives beats what the row gives. A group that rows choose themselves cannot be given. A key of such a
    group is set in the rows that have it and leave the choice to the experiment; if there are none, in all that have
    it: with ``experiment=table1``, ``backbone.path`` is Stable Diffusion's, not DINO's, ``segmenter.tau`` is DiffSeg's.

    Args:
        config: the composed configuration of the run.
        overrides: what the user typed, Hydra's grammar.
        choices: group -> chosen YAML.

    Raises:
        ConfigError: see `build`.
    """
    known = [each.name for each in fields(RunConfig)]
    for name in config:
        if name not in known:  # Hydra lets +key=value add any
            raise ConfigError(unknown_key(str(name), known))
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
    rows = [_row(each.name, *parts, each.note) for each, parts in zip(specs, composed, strict=True)]
    if any((row.dataset, row.scoring.report) != (rows[0].dataset, rows[0].scoring.report) for row in rows):
        raise ConfigError(f"rows: the rows of {table} must share dataset and protocol.report")
    # What the user gives can make rows equal, such as those of a sweep over it.
    return [row for index, row in enumerate(rows) if row not in rows[:index]]


def _row_specs(config: DictConfig) -> list[RowSpec]:
    """Rows of an experiment, sweeps multiplied."""
    given = OmegaConf.to_container(config.rows) if OmegaConf.is_config(config.rows) else config.rows
    try:
        specs = TypeAdapter(list[RowSpec], config={"extra": "forbid"}).validate_python(given)
    except ValidationError:
        raise ConfigError(
            f"rows: must be a list of {{name: ..., overrides: [group=choice, ...], note: ...}}, got {given!r}"
        ) from None
    if not specs:
        raise ConfigError("rows: is empty; list at least one row, or leave the key out")
    return [RowSpec(each.name, overrides, each.note) for each in specs for overrides in _without_sweeps(each)]


def _without_sweeps(spec: RowSpec) -> list[tuple[str, ...]]:
    """Overrides for each combination of the values that its sweeps list."""
    parsed = OverridesParser.create().parse_overrides([quote_path(each, swept=True) for each in spec.overrides])
    values = [
        [f"{each.get_key_element()}={value}" for value in each.sweep_string_iterator()]
        if each.is_sweep_override()
        else [str(each.input_line)]
        for each in parsed
    ]
    return list(product(*values))


def _compose_all(specs: Sequence[RowSpec], common: Sequence[str]) -> list[tuple[DictConfig, Mapping[str, str]]]:
    """Configuration and choices of each row; what is ``common`` to all beats what a row says."""
    composer = Composer(lambda overrides: compose("config", overrides=overrides, return_hydra_config=True))
    given = {override.split("=")[0] for override in common}
    rows: list[tuple[DictConfig, Mapping[str, str]]] = []
    for each in specs:
        own = [override for override in each.overrides if override.split("=")[0] not in given]
        config = composer([*own, *common])
        choices = dict(config.hydra.runtime.choices)
        OmegaConf.set_struct(config, False)
        del config["hydra"]
        rows.append((config, choices))
    return rows


def _set_where_meant(override: Override, specs: Sequence[RowSpec], configs: Sequence[DictConfig], table: str) -> None:
    """Sets a key of a group that rows choose themselves, see `expand`."""
    key = override.key_or_group
    having = [index for index, config in enumerate(configs) if _has(config, key)]
    if not having:
        raise ConfigError(f"{key}: no row of {table} has this key")
    leaving = [index for index in having if key.split(".")[0] not in _groups(specs[index])]
    for index in leaving or having:
        OmegaConf.update(configs[index], key, override.value(), merge=False)


def _groups(spec: RowSpec) -> list[str]:
    """What a row's overrides set: groups, among them, and keys."""
    return [override.split("=")[0] for override in spec.overrides]


def _has(config: DictConfig, key: str) -> bool:
    parent, _, name = key.rpartition(".")
    node = OmegaConf.select(config, parent) if parent else config
    return isinstance(node, DictConfig) and name in node


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
    """Looks whether data and weights are there, and all of what is missing at once. Imports no torch.

    Returns:
        The rows; those of one data set share one object, which lists its files once.

    Raises:
        ConfigError: something is missing; the message says what, from where, and how to get it.
        DatasetError, WeightsError: the one thing that is.
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
    """The error with the whole key, and the environment variable from which the YAML reads the path, if it does."""
    key = "backbone." if str(error).startswith("path: ") else ""
    # A backbone outside this project may have no such key.
    path = OmegaConf.to_container(row.composed.backbone, resolve=False).get("path")  # type: ignore[union-attr]
    variable = re.match(r"\$\{oc\.env:(\w+)", str(path))
    hint = f"; beside another backbone: the environment variable {variable[1]}=DIR" if variable else ""
    kind = MissingWeights if isinstance(error, MissingWeights) else WeightsError
    return kind(f"{key}{error}{hint}")
