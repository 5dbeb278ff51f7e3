"""The configuration of a run: its schema, its variants, and the checks made before any model loads.

A part (data set, backbone, aggregation, segmenter, scoring) is a dataclass named by ``_target_`` in its YAML. Its
fields are the keys; pydantic holds values to the annotated types, the class itself to the ranges.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import product
from typing import Any, cast

from hydra import compose
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import ConfigCompositionException
from hydra.utils import get_class
from omegaconf import MISSING, DictConfig, OmegaConf
from omegaconf.errors import ConfigAttributeError, ConfigKeyError
from pydantic import TypeAdapter, ValidationError

from datasets.base import Dataset, DatasetError
from diffseg.backbones import Backbone, MissingWeights
from eval.protocols import PROTOCOLS, ProtocolName

# Raised by one whenever the same settings give other counts: records of an older version are not reused.
PROTOCOL_VERSION = 1


class ConfigError(Exception):
    """A setting that cannot be: the message names the key, the value, and what is allowed."""


@dataclass
class RunConfig:
    """Keys of the configuration; ``Any`` stands for a part, see the module's docstring."""

    dataset: Any = MISSING
    backbone: Any = MISSING
    aggregation: Any = MISSING
    segmenter: Any = MISSING
    protocol: Any = MISSING
    tracker: Any = MISSING
    variants: Any = None
    """Rows of an experiment, see `Variation`; None: the one that the keys above describe."""
    published: str | None = None
    """CSV under experiments/published/ whose rows stand beside those of the same method and resolution."""
    audit: bool = False
    """Write how far every row is from the first one of its name: ``audit.csv``, ``audit.md``."""
    name: str = "run"
    results_dir: str = "results/run"
    device: str = "auto"
    panels: int = 8
    """Pictures of which label maps and a panel are kept: the first so many."""
    allow_failures: bool = False
    """End with status 0 although pictures failed."""


ConfigStore.instance().store(name="schema", node=RunConfig)


@dataclass(frozen=True)
class Scoring:
    """How label maps are scored (``conf/protocol``).

    Attributes:
        report: protocols in the tables; all are recorded, whichever these are.
        size: side in pixels of the scored label map; None: the side that enters the backbone.
    """

    report: tuple[ProtocolName, ...] = PROTOCOLS
    size: int | None = None

    def __post_init__(self) -> None:
        if not self.report or len(set(self.report)) < len(self.report):
            raise ValueError(f"report: must list one or more of {', '.join(PROTOCOLS)}, once each, got {self.report}")
        if self.size is not None and self.size < 1:
            raise ValueError(f"size: must be at least 1 pixel, or null, got {self.size}")


@dataclass(frozen=True)
class Variation:
    """What an experiment says of a row, or of several that share a name.

    Attributes:
        name: how tables call it.
        overrides: what would be typed for it. Hydra's sweeps (``segmenter.seed=range(5)``) make several rows.
        note: a footnote for tables.
    """

    name: str
    overrides: tuple[str, ...] = ()
    note: str | None = None


@dataclass(frozen=True)
class Row:
    """One row of a run, as configured and checked; its parts are built, nothing is loaded.

    Attributes:
        name: how tables call it.
        config: the composed configuration.
        choices: group -> chosen YAML.
        dataset, backbone, scoring: its parts. Aggregation and segmenter import torch, so `eval.run` builds them.
        note: a footnote for tables.
    """

    name: str
    config: DictConfig
    choices: Mapping[str, str]
    dataset: Dataset
    backbone: Backbone
    scoring: Scoring
    note: str | None = None

    @property
    def size(self) -> int:
        """Side in pixels of the label map that is scored."""
        return self.scoring.size or self.backbone.size

    def tuned(self, segmenter: str) -> dict[str, Any]:
        """Parameter -> value that suits this backbone on this data set, for a kind of segmenter."""
        return {
            name: value.get(self.dataset.name, value.get("default")) if isinstance(value, Mapping) else value
            for name, value in self.backbone.tuned.get(segmenter, {}).items()
        }


def build(node: DictConfig, key: str) -> Any:
    """Builds the part that a configuration node describes.

    Args:
        node: ``_target_``, a dataclass, and values for its fields.
        key: where the node stands, for messages.

    Raises:
        ConfigError: an unknown key, a value of the wrong type or out of range.
    """
    values = cast(dict[str, Any], OmegaConf.to_container(node, resolve=True))
    kind = get_class(values.pop("_target_"))
    known = [each.name for each in fields(kind)]
    for name in values:
        if name not in known:
            raise ConfigError(unknown_key(f"{key}.{name}", known))
    try:
        return TypeAdapter(kind).validate_python(values)
    except ValidationError as error:
        raise ConfigError(_explain(error, key)) from error


def unknown_key(key: str, known: Iterable[str]) -> str:
    """One line for a key that does not exist, with the nearest that does."""
    parent, _, name = key.rpartition(".")
    near = difflib.get_close_matches(name, known := sorted(known), n=1)
    hint = f"; did you mean {f'{parent}.' if parent else ''}{near[0]}?" if near else f"; known: {', '.join(known)}"
    return f"{key}: there is no such key{hint}"


def _explain(error: ValidationError, key: str) -> str:
    first = error.errors()[0]
    if first["type"] == "value_error":  # raised by the part itself: "field: must be ..."
        return f"{key}.{first['ctx']['error']}"
    where = ".".join([key, *(str(part) for part in first["loc"][:1])])
    reasons = " or ".join(dict.fromkeys(each["msg"][0].lower() + each["msg"][1:] for each in error.errors()))
    return f"{where}: {reasons}, got {first['input']!r}"


def expand(config: DictConfig, overrides: Sequence[str], choices: Mapping[str, str]) -> list[Row]:
    """Rows of a run, each composed as if it had been typed on the command line, and checked.

    What the user gives beats what the row gives. A group that rows choose themselves cannot be given. A key of such a
    group is set in the rows that have it and leave the choice to the experiment; if there are none, in all that have
    it: with ``experiment=table1``, ``backbone.path`` is Stable Diffusion's, not DINO's, ``segmenter.tau`` is DiffSeg's.

    Args:
        config: the composed configuration of the run.
        overrides: what the user typed, Hydra's grammar.
        choices: group -> chosen YAML, for a run of one row.

    Raises:
        ConfigError: see `build`.
    """
    if config.panels < 0:
        raise ConfigError(f"panels: must be at least 0, got {config.panels}")
    if config.variants is None:
        return [_row(choices["segmenter"], config, choices)]
    variations = _variations(config)
    chosen = {group for each in variations for group in _groups(each) if group in choices}
    typed = OverridesParser.create().parse_overrides(list(overrides))
    for override in typed:
        if override.key_or_group in chosen:
            raise ConfigError(
                f"{override.input_line}: the rows of experiment={config.name} choose their {override.key_or_group} "
                "themselves; leave out one of the two"
            )
    deferred = [override for override in typed if override.key_or_group.split(".")[0] in chosen]
    common = [str(override.input_line) for override in typed if override not in deferred]
    composed = [_compose([*each.overrides, *common]) for each in variations]
    for override in deferred:
        _set_where_meant(override, variations, [row for row, _ in composed], config.name)
    rows = [_row(each.name, *parts, each.note) for each, parts in zip(variations, composed, strict=True)]
    if any((row.dataset, row.scoring.report) != (rows[0].dataset, rows[0].scoring.report) for row in rows):
        raise ConfigError(f"variants: the rows of experiment={config.name} must share dataset and protocol.report")
    # What the user gives can make rows equal, such as those of a sweep over it.
    return [row for index, row in enumerate(rows) if row not in rows[:index]]


def _variations(config: DictConfig) -> list[Variation]:
    """Rows of an experiment, sweeps multiplied."""
    given = OmegaConf.to_container(config.variants) if OmegaConf.is_config(config.variants) else config.variants
    try:
        variations = TypeAdapter(list[Variation], config={"extra": "forbid"}).validate_python(given)
    except ValidationError:
        raise ConfigError(
            f"variants: must be a list of {{name: ..., overrides: [group=choice, ...], note: ...}}, got {given!r}"
        ) from None
    return [Variation(each.name, overrides, each.note) for each in variations for overrides in _without_sweeps(each)]


def _without_sweeps(variation: Variation) -> list[tuple[str, ...]]:
    """Overrides for each combination of the values that its sweeps list."""
    parsed = OverridesParser.create().parse_overrides(list(variation.overrides))
    values = [
        [f"{each.get_key_element()}={value}" for value in each.sweep_string_iterator()]
        if each.is_sweep_override()
        else [str(each.input_line)]
        for each in parsed
    ]
    return list(product(*values))


def _compose(overrides: Sequence[str]) -> tuple[DictConfig, Mapping[str, str]]:
    """Configuration and choices of one row."""
    composed = compose("config", overrides=list(overrides), return_hydra_config=True)
    choices = dict(composed.hydra.runtime.choices)
    OmegaConf.set_struct(composed, False)
    del composed["hydra"]
    return composed, choices


def _set_where_meant(
    override: Override, variations: Sequence[Variation], configs: Sequence[DictConfig], experiment: str
) -> None:
    """Sets a key of a group that rows choose themselves, see `expand`."""
    key = override.key_or_group
    having = [index for index, config in enumerate(configs) if _has(config, key)]
    if not having:
        raise ConfigError(f"{key}: no row of experiment={experiment} has this key")
    leaving = [index for index in having if key.split(".")[0] not in _groups(variations[index])]
    for index in leaving or having:
        OmegaConf.update(configs[index], key, override.value(), merge=False)


def _groups(variation: Variation) -> list[str]:
    """What a row's overrides set: groups, among them, and keys."""
    return [override.split("=")[0] for override in variation.overrides]


def _has(config: DictConfig, key: str) -> bool:
    parent, _, name = key.rpartition(".")
    node = OmegaConf.select(config, parent) if parent else config
    return isinstance(node, DictConfig) and name in node


def _row(name: str, config: DictConfig, choices: Mapping[str, str], note: str | None = None) -> Row:
    return Row(
        name,
        config,
        choices,
        build(config.dataset, "dataset"),
        build(config.backbone, "backbone"),
        build(config.protocol, "protocol"),
        note,
    )


def check(rows: Sequence[Row]) -> None:
    """Looks whether data and weights are there, and all of what is missing at once. Imports no torch.

    Raises:
        ConfigError: something is missing; the message says what, from where, and how to get it.
        DatasetError, MissingWeights: the one thing that is.
    """
    errors: list[Exception] = []
    for row in rows:
        for part in (row.dataset, row.backbone):
            try:
                part.check()
            except ValueError as error:
                raise ConfigError(f"backbone.{error}") from error
            except DatasetError as error:
                errors.append(error)
            except MissingWeights as error:
                errors.append(_of_row(error, row))
    errors = list({str(error): error for error in errors}.values())
    if len(errors) == 1:
        raise errors[0]
    if errors:
        raise ConfigError("\n  ".join(["this is missing:", *map(str, errors)]))


def _of_row(error: MissingWeights, row: Row) -> MissingWeights:
    """The error with the whole key, and the environment variable from which the YAML reads the path, if it does."""
    key = "backbone." if str(error).startswith("path: ") else ""
    path = OmegaConf.to_container(row.config.backbone, resolve=False)["path"]  # type: ignore[call-overload, index]
    variable = re.match(r"\$\{oc\.env:(\w+)", path)
    hint = f"; beside another backbone: the environment variable {variable[1]}=DIR" if variable else ""
    return MissingWeights(f"{key}{error}{hint}")


def explain(error: Exception) -> str:
    """What a user reads of an error: one line that names the key or file."""
    cause = error.__cause__ if isinstance(error, ConfigCompositionException) else error
    if isinstance(cause, ConfigAttributeError | ConfigKeyError) and cause.full_key and cause.parent_node is not None:
        return unknown_key(cause.full_key, [str(name) for name in cause.parent_node if name != "_target_"])
    if isinstance(error, ConfigError):
        return str(error)
    message = str(error).split("Config search path")[0]  # Hydra's folders are no news to a user
    lines = [message, *str(cause).splitlines()[:1]] if cause is not error and cause else [message]
    return " ".join(": ".join(lines).split())
