"""Composes the rows of a command: its YAML files and overrides become checked rows. Imports no torch.

A command has one point, or with ``-m`` one for each combination of values. A point has one row, or those of its
experiment. Each distinct row is evaluated once.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, fields
from itertools import product
from pathlib import Path

from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType, Quote, QuotedString
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import TypeAdapter, ValidationError

from datasets.base import Dataset, DatasetError
from diffseg import parts
from diffseg.backbones import MissingWeights, WeightsError
from diffseg.paths import expanded
from eval.config import ConfigError, ProtocolSettings, RunConfig, build
from eval.cores import check_workers
from eval.protocols import INSTANCES
from eval.rows import RowConfig
from experiments.running.arguments import CONF, Arguments, parse, quote_path
from experiments.running.errors import user_message

ConfigStore.instance().store(name="schema", node=RunConfig)  # for conf/config.yaml

SHARED = ("results_dir", "tracker", "device", "workers", "shard", "batch_size", "panels", "labels", "allow_failures")
"""Keys that all rows of a run share."""


@dataclass(frozen=True)
class Composed:
    """The rows of a command, composed.

    Attributes:
        config: the composed configuration of its first point.
        rows: its distinct rows, in order; not yet prepared.
        folder: results folder.
    """

    config: DictConfig
    rows: Sequence[RowConfig]
    folder: Path


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


def compose_rows(arguments: Arguments, checked: bool = True) -> Composed:
    """Composes and checks the rows of a command.

    Args:
        arguments: the command line.
        checked: look whether data and weights are there, see `check`.

    Raises:
        ConfigError: a setting is wrong, or data or weights are missing.
        HydraException, OmegaConfBaseException: see `experiments.running.errors.user_message`.
    """
    with search_path(arguments.config_dir):
        overrides = parse(arguments.overrides, arguments.swept)
        return compose_points(points_of(overrides), arguments.config_dir, checked)


def compose_points(
    points: Sequence[Sequence[Override]], config_dir: Path | None = None, checked: bool = True
) -> Composed:
    """Composes the rows of all points.

    Args:
        points: for each point its overrides, without sweeps.
        config_dir: the user's folder in the layout of ``conf/``.
        checked: look whether data and weights are there, see `check`.
    """
    composer = _Composer(config_dir)
    varying = _varying(points)
    for override in sorted(varying):
        if override.partition("=")[0] in SHARED:
            raise ConfigError(f"{override}: all rows of a run share this key; give it one value")
    optional = _keys_of_swept_groups(points, varying)
    configs, rows = [], []
    for point in points:
        try:
            config, of_point = _expand(point, composer, optional)
        except (ConfigError, HydraException, OmegaConfBaseException) as error:
            if len(points) == 1:
                raise
            values = " ".join(line for line in map(_line, point) if line in varying)
            raise ConfigError(f"point {values}: {user_message(error)}") from error
        configs.append(config)
        rows += of_point
    for key in optional:
        if not any(_has(row.composed, key) for row in rows):
            raise ConfigError(f"{key}: no point of the sweep has this key")
    first = configs[0]
    name = first.name or ("experiment" in first and first.experiment) or rows[0].choices["segmenter"]
    folder = expanded(first.results_dir or f"results/{name}").absolute()
    return Composed(first, check(rows) if checked else rows, folder)


def select_protocol(overrides: Sequence[Override], config_dir: Path | None = None) -> ProtocolSettings:
    """The protocol that ``protocol=...`` and its keys choose."""
    config = _Composer(config_dir)(list(map(_line, overrides)))
    protocol: ProtocolSettings = build(config.protocol, "protocol")
    return protocol


@contextmanager
def search_path(config_dir: Path | None) -> Iterator[None]:
    """Context in which `hydra.compose` finds the YAML files, and Python the user's modules beside their folder."""
    if config_dir is not None:
        beside = [str(config_dir.absolute()), str(config_dir.absolute().parent)]
        sys.path += [folder for folder in beside if folder not in sys.path]
    if GlobalHydra.instance().is_initialized():  # Hydra's own program has started this process
        yield
        return
    with initialize_config_dir(str(CONF), version_base="1.3", job_name="evaluate"):
        yield


def points_of(overrides: Sequence[Override]) -> list[list[Override]]:
    """The points of a sweep: one for each combination of values."""
    loader = GlobalHydra.instance().config_loader()
    parser = OverridesParser.create(config_loader=loader)
    parsed = parser.parse_overrides([_line(override) for override in overrides])
    values = []
    for override in parsed:
        if not override.is_sweep_override():
            values.append([_line(override)])
        elif override.is_discrete_sweep():
            values.append([f"{override.get_key_element()}={value}" for value in override.sweep_string_iterator()])
        else:
            raise ConfigError(f"{_line(override)}: an interval needs a sweeper that draws from it (hydra/sweeper=...)")
    return [OverridesParser.create().parse_overrides(list(point)) for point in product(*values)]


class _Composer:
    """Composes configurations. Those that differ only in values share a base: Hydra takes 0.1 s per composition."""

    def __init__(self, config_dir: Path | None) -> None:
        self._config_dir = config_dir
        self._search = []
        if config_dir is not None:
            place = QuotedString(f"file://{config_dir.absolute()}", Quote.single).with_quotes()
            self._search = [f"hydra.searchpath=[{place}]"]
        self._bases: dict[tuple[str, ...], DictConfig] = {}

    def __call__(self, overrides: Sequence[str]) -> DictConfig:
        """Composes a configuration with the key ``hydra``. The caller may change it.

        Raises:
            HydraException, OmegaConfBaseException: an unknown choice or key, or an invalid value.
        """
        parsed = OverridesParser.create().parse_overrides(list(overrides))
        chosen = tuple(_as_name(override) for override in parsed if not _is_value(override))
        if chosen not in self._bases:
            try:
                config = compose("config", overrides=[*self._search, *chosen], return_hydra_config=True)
            except UnicodeDecodeError as error:
                raise _not_utf8(self._config_dir, error) from None
            self._bases[chosen] = config
        config = deepcopy(self._bases[chosen])
        for value in filter(_is_value, parsed):
            # The YAML of a part holds only what differs from its class, which refuses unknown keys when it is built.
            part = OmegaConf.select(config, value.key_or_group.partition(".")[0])
            added = value.type != OverrideType.CHANGE or (isinstance(part, DictConfig) and "_target_" in part)
            OmegaConf.update(config, value.key_or_group, value.value(), merge=True, force_add=added)
        return config


def _not_utf8(config_dir: Path | None, error: UnicodeDecodeError) -> ConfigError:
    """The error of Hydra with the name of the file, which Hydra does not tell."""
    for path in sorted(config_dir.rglob("*.yaml")) if config_dir else []:
        if path.read_bytes() == error.object:
            return ConfigError(f"{path}: is not UTF-8 (byte {error.start}); save it as UTF-8")
    return ConfigError(f"a YAML file is not UTF-8 ({error})")


def _as_name(override: Override) -> str:
    """The override. A number as the choice of a group becomes a name: Hydra has no message about numbers."""
    if (CONF / override.key_or_group).is_dir() and isinstance(override.value(), int | float):
        return f"{override.key_or_group}='{override.value()}'"
    return _line(override)


def _is_value(override: Override) -> bool:
    """True if an override sets a key: ``group.key=value``, with or without Hydra's ``+`` and ``++``."""
    return "." in override.key_or_group and override.type != OverrideType.DEL


def _expand(
    point: Sequence[Override], composer: _Composer, optional: AbstractSet[str] = frozenset()
) -> tuple[DictConfig, list[RowConfig]]:
    """The configuration and the rows of a point.

    An override of the user beats an override of the row. If rows choose a group, the user cannot choose it. A key of
    such a group is set in the rows that have this key and do not choose the group; if there are none, in all rows that
    have it. Example: with ``experiment=table1``, ``backbone.path`` is that of Stable Diffusion, not of DINO, and
    ``segmenter.tau`` is that of DiffSeg. Keys in ``optional`` are left out where the part has no such key.
    """
    _refuse_plus(point, composer)
    values = [override for override in point if _is_value(override)]
    base = composer([_line(override) for override in point if override not in values])
    _check_keys(base)
    if base.rows is None:
        left_out = [each for each in values if each.key_or_group in optional and not _has(base, each.key_or_group)]
        config = composer([_line(override) for override in point if override not in left_out])
        _check_keys(config)
        choices = dict(config.hydra.runtime.choices)
        return config, [_row(config.name or choices["segmenter"], config, choices)]
    specs = _row_specs(base)
    choices = dict(base.hydra.runtime.choices)
    chosen = {group for spec in specs for group in _groups(spec) if group in choices}
    table = f"experiment={choices['experiment']}" if choices.get("experiment") else "rows"
    for override in point:
        if override.key_or_group in chosen:
            raise ConfigError(
                f"{_line(override)}: the rows of {table} choose their {override.key_or_group} themselves; leave out "
                "one of the two"
            )
    deferred = [override for override in values if override.key_or_group.split(".")[0] in chosen]
    common = [_line(override) for override in point if override not in deferred]
    given = {override.split("=")[0] for override in common}
    composed = []
    _check_keys(composer(common))
    for spec in specs:
        composed.append(composer([*(each for each in spec.overrides if each.split("=")[0] not in given), *common]))
    for override in deferred:
        _set_where_meant(override, specs, composed, table)
    rows = [
        _row(spec.name, config, dict(config.hydra.runtime.choices), spec.note)
        for spec, config in zip(specs, composed, strict=True)
    ]
    return composer(common), rows


def _refuse_plus(point: Sequence[Override], composer: _Composer) -> None:
    """Raises ConfigError for ``+experiment=demo``, which Hydra would accept and put in the wrong place."""
    for override in point:
        if override.type == OverrideType.ADD and (CONF / override.key_or_group).is_dir():
            raise ConfigError(f"{_line(override)}: leave out the +")


def _check_keys(config: DictConfig) -> None:
    known = [each.name for each in fields(RunConfig)]
    for name in config:
        if name not in (*known, "hydra"):  # +key=value adds any key in Hydra
            raise ConfigError(parts.unknown_key(str(name), known))
    if config.panels < 0:
        raise ConfigError(f"panels: must be at least 0, got {config.panels}")
    if config.labels not in ("all", "panels", "none"):
        raise ConfigError(f"labels: must be all, panels or none, got {config.labels}")
    if config.batch_size is not None and config.batch_size < 1:
        raise ConfigError(f"batch_size: must be at least 1, or null, got {config.batch_size}")
    try:
        check_workers(config.workers)
    except ValueError as error:
        raise ConfigError(str(error)) from None


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
    return [
        _RowSpec(spec.name, tuple(map(_line, point)), spec.note)
        for spec in specs
        for point in points_of(parse([quote_path(each, swept=True) for each in spec.overrides], swept=True))
    ]


def _set_where_meant(override: Override, specs: Sequence[_RowSpec], configs: Sequence[DictConfig], table: str) -> None:
    """Sets a key of a group that rows choose, see `_expand`."""
    key = override.key_or_group
    having = [index for index, config in enumerate(configs) if _has(config, key)]
    if not having:
        parent, _, name = key.rpartition(".")
        nodes = [OmegaConf.select(config, parent) for config in configs]
        known = {str(each) for node in nodes for each in _fields_of(node)}
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
    return name in _fields_of(node)


def _fields_of(node: object) -> set[str]:
    """Keys that a node of a part may have: the fields of its class."""
    if not isinstance(node, DictConfig):
        return set()
    if "_target_" not in node:
        return {str(name) for name in node}
    return {each.name for each in fields(parts.kind_of({"_target_": node["_target_"]}))}


def _row(name: str, config: DictConfig, choices: Mapping[str, str], note: str | None = None) -> RowConfig:
    config = deepcopy(config)
    OmegaConf.set_struct(config, False)
    del config["hydra"]
    dataset = build(config.dataset, "dataset")
    row = RowConfig(
        name, config, choices, dataset, build(config.backbone, "backbone"), build(config.protocol, "protocol"), note
    )
    _ = row.scoring  # checks that protocol, frame and data set fit
    return row


def check(rows: Sequence[RowConfig]) -> list[RowConfig]:
    """Checks that data and weights exist; reports everything that is missing in one error. Imports no torch.

    Returns:
        The rows. Rows with the same data set share one object, which lists its files once.

    Raises:
        ConfigError: several things are missing. The message names each and says how to get it.
        DatasetError, WeightsError: a single thing is missing.
    """
    datasets: dict[Dataset, Dataset] = {}
    shared = [_with_dataset(row, datasets.setdefault(row.dataset, row.dataset)) for row in rows]
    errors: list[Exception] = []
    checks: dict[tuple[int, bool], tuple[Callable[[], None], RowConfig]] = {}
    for row in shared:
        checks.setdefault((id(row.dataset), False), (row.dataset.check, row))
        checks.setdefault((id(row.backbone), False), (row.backbone.check, row))
        if INSTANCES in row.protocols:
            checks.setdefault((id(row.dataset), True), (row.dataset.check_instances, row))
    for check_files, row in checks.values():
        try:
            check_files()
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
    return shared


def _with_dataset(row: RowConfig, dataset: Dataset) -> RowConfig:
    return RowConfig(row.name, row.composed, row.choices, dataset, row.backbone, row.protocol, row.note)


def _of_row(error: WeightsError, row: RowConfig) -> WeightsError:
    """Adds to an error the full key, and the environment variable if the YAML reads the path from one."""
    key = "backbone." if str(error).startswith("path: ") else ""
    # A backbone outside this project may have no such key.
    path = OmegaConf.to_container(row.composed.backbone, resolve=False).get("path")  # type: ignore[union-attr]
    variable = re.match(r"\$\{oc\.env:(\w+)", str(path))
    hint = f"; beside another backbone: the environment variable {variable[1]}=DIR" if variable else ""
    kind = MissingWeights if isinstance(error, MissingWeights) else WeightsError
    return kind(f"{key}{error.advising('backbone.path=DIR')}{hint}")


def _line(override: Override) -> str:
    return str(override.input_line)


def _keys_of_swept_groups(points: Sequence[Sequence[Override]], varying: AbstractSet[str]) -> set[str]:
    """Keys such as ``segmenter.tau`` with ``segmenter=diffseg,dbscan``: not every part need have them."""
    groups = {line.partition("=")[0] for line in varying}
    keys = {override.key_or_group for point in points for override in point if _is_value(override)}
    return {key for key in keys if key.split(".")[0] in groups}


def _varying(points: Sequence[Sequence[Override]]) -> set[str]:
    """The overrides that not all points have."""
    lines = [set(map(_line, point)) for point in points]
    return {line for line in set[str]().union(*lines) if not all(line in each for each in lines)}
