"""Composes the rows of a command: its YAML files and overrides become checked rows. Imports no torch.

A command has one point, or with ``-m`` one for each combination of values. A point has one row, or those of its
experiment. Each distinct row is evaluated once.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from itertools import chain, product
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import TypeAdapter, ValidationError

from datasets.base import Dataset, DatasetError
from diffseg import parts
from diffseg.backbones import MissingWeights, WeightsError
from diffseg.files.paths import expanded
from eval.config import ConfigError, ProtocolSettings, RunConfig, build, config_errors
from eval.protocols import INSTANCES
from eval.rows import RowConfig
from experiments.running.arguments import Arguments, Assignment, parse
from experiments.running.errors import user_message

GROUPS = ("dataset", "backbone", "aggregation", "segmenter", "protocol", "tracker")
DEFAULTS = RunConfig()
SHARED = ("tracker", *(key.name for key in fields(RunConfig) if key.name not in ("published", "audit", "name")))
"""Keys that all rows of a run share."""
CHOICE = "override /"
"""Beginning of a key in an experiment's ``defaults`` that chooses the part of a group."""

Point = Sequence[Assignment]


@dataclass(frozen=True)
class Composed:
    """The rows of a command, composed.

    Attributes:
        config: the keys that its rows share.
        tracker: configuration of its tracker.
        rows: its distinct rows, in order; not yet prepared.
        folder: results folder.
    """

    config: RunConfig
    tracker: DictConfig
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

    name: str | None
    overrides: tuple[str, ...] = ()
    note: str | None = None


def compose_rows(arguments: Arguments, checked: bool = True) -> Composed:
    """Composes and checks the rows of a command.

    Args:
        arguments: the command line.
        checked: look whether data and weights are there, see `check`.

    Raises:
        ConfigError: a setting is wrong, or data or weights are missing.
    """
    points = points_of(arguments)
    common = set.intersection(*(set(map(str, point)) for point in points))
    keys = {one.key for point in points for one in point if str(one) not in common}
    for key in keys:
        if key.split(".")[0] in SHARED:
            raise ConfigError(f"{key}: all rows of a run share this key; give it one value")
    composer = _Composer(arguments.config_dir, optional=keys & {*GROUPS})
    rows: list[RowConfig] = []
    for point in points:
        try:
            rows += composer.rows(point)
        except (ConfigError, OmegaConfBaseException) as error:
            if len(points) == 1:
                raise
            values = " ".join(str(one) for key, one in {one.key: one for one in point}.items() if key in keys)
            raise ConfigError(f"point {values}: {user_message(error)}") from error
    for key in composer.unused - composer.used:
        raise ConfigError(f"{key}: no point of the sweep has this key")
    first = rows[0].composed
    config: RunConfig = build(
        {"_target_": "eval.config.RunConfig", **{key: first[key] for key in asdict(DEFAULTS)}}, ""
    )
    if config.audit and not all("classes" in row.truths for row in rows):
        raise ConfigError(
            "audit: compares ACC and mIoU, but a row has no protocol with classes; type audit=false, and after the run "
            "python -m experiments.compare"
        )
    folder = expanded(
        config.results_dir or f"results/{config.name or first.experiment or rows[0].choices['segmenter']}"
    )
    return Composed(config, first.tracker, check(rows) if checked else rows, folder.absolute())


def points_of(arguments: Arguments) -> list[Point]:
    """The points of a sweep, one for each combination of values; without ``-m``, one point."""
    return list(product(*(parse(override, arguments.swept, arguments.config_dir) for override in arguments.overrides)))


def select_protocol(arguments: Arguments) -> ProtocolSettings:
    """The protocol that ``protocol=...`` and its keys choose."""
    composer = _Composer(arguments.config_dir)
    typed = {one.key: one.value for override in arguments.overrides for one in parse(override, swept=False)}
    choices, content = composer.choices(typed)
    config = composer.config(content, choices, {key: value for key, value in typed.items() if key not in GROUPS})
    protocol: ProtocolSettings = build(config.protocol, "protocol")
    return protocol


class _Composer:
    """Composes the rows of points.

    Args:
        config_dir: the user's folder in the layout of ``conf/``.
        optional: groups that are swept: their parts need not all have a key that the user sets.

    Attributes:
        unused, used: keys of these groups that some part lacks, and that some part has.
    """

    def __init__(self, config_dir: Path | None, optional: Collection[str] = ()) -> None:
        self.config_dir, self.optional = config_dir, optional
        self.unused, self.used = set[str](), set[str]()
        self._presets: dict[tuple[str, str], Mapping[str, Any]] = {}

    def rows(self, point: Point) -> list[RowConfig]:
        """The rows of a point.

        A value of the user beats that of a row. If rows choose a group, the user cannot choose it. A key of such a
        group is set in the rows that have this key and do not choose the group; if there are none, in all rows that
        have it. Example: with ``experiment=table1``, ``backbone.path`` is that of Stable Diffusion, not of DINO, and
        ``segmenter.tau`` is that of DiffSeg.
        """
        typed = {one.key: one.value for one in point}
        choices, content = self.choices(typed)
        content |= {key: value for key, value in typed.items() if key in content and key not in GROUPS}
        specs = self._specs(content.pop("rows"), content["name"])
        table = f"experiment={content['experiment']}" if content["experiment"] else "rows"
        for group in GROUPS:
            if group in typed and any(group in settings for _, settings in specs):
                raise ConfigError(
                    f"{group}={typed[group]}: the rows of {table} choose their {group} themselves; leave out one of "
                    "the two"
                )
        chosen = [choices | {group: settings[group] for group in GROUPS if group in settings} for _, settings in specs]
        values = [{key: value for key, value in settings.items() if key not in GROUPS} for _, settings in specs]
        for key in typed.keys() - content.keys() - {*GROUPS, "rows"}:
            for index in self._where(key, chosen, [key.split(".")[0] in settings for _, settings in specs], table):
                values[index][key] = typed[key]
        rows = []
        for (spec, _), own_choices, settings in zip(specs, chosen, values, strict=True):
            config = self.config(content, own_choices, settings)
            dataset, backbone, protocol = (build(config[group], group) for group in ("dataset", "backbone", "protocol"))
            name = spec.name or own_choices["segmenter"]
            row = RowConfig(name, config, own_choices, dataset, backbone, protocol, spec.note)
            _ = row.scoring  # checks that protocol, frame and data set fit
            rows.append(row)
        return rows

    def choices(self, typed: Mapping[str, Any]) -> tuple[dict[str, str], dict[str, Any]]:
        """Group -> name of its part, by ``conf/config.yaml``, the experiment and the user; other keys -> values."""
        entries = parts.read_yaml(parts.conf_folder() / "config.yaml")["defaults"]
        name = typed.get("experiment")
        content = {} if name is None else dict(self._preset("experiment", str(name)))
        choices: dict[str, Any] = {}
        for entry in entries:
            choices |= entry if isinstance(entry, dict) else {}
        for key, choice in content.pop("defaults", {}).items():
            group = key.removeprefix(CHOICE)
            if group not in GROUPS:
                near = parts.nearest(group, GROUPS, CHOICE)
                raise ConfigError(f"experiment={name}: defaults: {key}: there is no such group{near}")
            choices[group] = choice
        for group in GROUPS:
            if not isinstance(content.get(group, {}), dict):
                raise ConfigError(f"experiment={name}: {group}: must hold keys and values; its part stands in defaults")
        choices = {group: str(typed.get(group, choices[group])) for group in GROUPS}
        return choices, {**asdict(DEFAULTS), "rows": None, **content, "experiment": name}

    def _preset(self, group: parts.Group, name: str) -> Mapping[str, Any]:
        """Content of the YAML file of a part or an experiment."""
        if (group, name) not in self._presets:
            known = parts.names(group, self.config_dir)
            if name not in known:
                raise ConfigError(f"{group}={name}: there is no such choice{parts.nearest(name, known, f'{group}=')}")
            with config_errors():
                self._presets[group, name] = parts.read_unresolved(group, name, self.config_dir)
        return self._presets[group, name]

    def _specs(self, rows: Any, name: str | None) -> list[tuple[_RowSpec, dict[str, Any]]]:
        """The rows of an experiment with their values, one for each combination of values in a sweep."""
        if rows is None:
            return [(_RowSpec(name), {})]
        try:
            specs = TypeAdapter(list[_RowSpec], config={"extra": "forbid"}).validate_python(rows)
        except ValidationError:
            raise ConfigError(
                f"rows: must be a list of {{name: ..., overrides: [group=choice, ...], note: ...}}, got {rows!r}"
            ) from None
        if not specs:
            raise ConfigError("rows: is empty; list at least one row, or leave the key out")
        return [
            (spec, {one.key: one.value for one in point})
            for spec in specs
            for point in points_of(Arguments([*spec.overrides], swept=True, config_dir=self.config_dir))
        ]

    def _where(
        self, key: str, chosen: Sequence[Mapping[str, str]], choosing: Sequence[bool], table: str
    ) -> Sequence[int]:
        """Numbers of the rows in which a key of the user is set. ``choosing``: True for rows that choose its group."""
        group, _, name = key.partition(".")
        if group not in GROUPS or not (any(choosing) or group in self.optional):
            return range(len(chosen))  # if there is no such key, `_row` says so
        keys = [self._keys(group, choices[group]) for choices in chosen]
        having = [index for index in range(len(chosen)) if name.split(".")[0] in keys[index]]
        if group in self.optional:
            (self.used if having else self.unused).add(key)
        elif not having:
            near = parts.nearest(name, {*chain(*keys)}, f"{group}.")
            raise ConfigError(f"{key}: no row of {table} has this key{near}")
        return [index for index in having if not choosing[index]] or having

    def _keys(self, group: parts.Group, name: str) -> Sequence[str]:
        with config_errors(f"{group}."):
            return parts.keys_of(str(self._preset(group, name).get("_target_")), f"{group}.")

    def config(self, content: Mapping[str, Any], choices: Mapping[str, str], values: Mapping[str, Any]) -> DictConfig:
        """The configuration of a row: keys of the command, name of the part of each group, keys of the parts."""
        presets = {group: self._preset(group, choices[group]) for group in GROUPS}
        config = OmegaConf.create(parts.merged(presets, content))
        for key, value in values.items():
            OmegaConf.update(config, key, value, force_add=True)
        for key in config.keys() - {*GROUPS, *asdict(DEFAULTS), "rows", "experiment"}:
            homes = [f"{group}.{key}" for group in GROUPS if key in self._keys(group, choices[group])]
            near = (
                f"; did you mean {' or '.join(homes)}?" if homes else parts.nearest(key, [*GROUPS, *asdict(DEFAULTS)])
            )
            raise ConfigError(f"{key}: there is no such key{near}")
        for group in ("segmenter", "aggregation", "tracker"):  # built when torch has been imported
            with config_errors():
                parts.check_keys(config[group], f"{group}.")
        return config


def check(rows: Sequence[RowConfig]) -> list[RowConfig]:
    """Checks that data and weights exist; reports everything that is missing in one error. Imports no torch.

    Returns:
        The rows. Rows with the same data set share one object, which lists its files once.

    Raises:
        ConfigError: several things are missing. The message names each and says how to get it.
        DatasetError, WeightsError: a single thing is missing.
    """
    datasets: dict[Dataset, Dataset] = {}
    shared = [replace(row, dataset=datasets.setdefault(row.dataset, row.dataset)) for row in rows]
    checks: dict[Callable[[], None], RowConfig] = {}
    for row in shared:
        instances = [row.dataset.check_instances] if INSTANCES in row.protocols else []
        for check_files in (row.dataset.check, row.backbone.check, *instances):
            checks.setdefault(check_files, row)
    errors: dict[str, Exception] = {}
    for check_files, row in checks.items():
        try:
            check_files()
        except WeightsError as error:
            named = _of_row(error, row)
            errors[str(named)] = named
        except ValueError as error:
            raise ConfigError(f"backbone.{error}") from error
        except DatasetError as error:
            errors[str(error)] = error
    if len(errors) == 1:
        raise errors.popitem()[1]
    if errors:
        raise ConfigError("\n  ".join(["this is missing:", *errors]))
    return shared


def _of_row(error: WeightsError, row: RowConfig) -> WeightsError:
    """Adds to an error the full key, and the environment variable if the YAML reads the path from one."""
    key = "backbone." if str(error).startswith("path: ") else ""
    # A backbone outside this project may have no such key.
    path = OmegaConf.to_container(row.composed.backbone, resolve=False).get("path")  # type: ignore[union-attr]
    variable = re.match(r"\$\{oc\.env:(\w+)", str(path))
    hint = f"; beside another backbone: the environment variable {variable[1]}=DIR" if variable else ""
    kind = MissingWeights if isinstance(error, MissingWeights) else WeightsError
    return kind(f"{key}{error.advising('backbone.path=DIR')}{hint}")
