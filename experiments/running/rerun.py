"""Reads the options ``--rerun DIR`` and ``--tables DIR``, which use finished results."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from diffseg.paths import expanded
from eval.config import ConfigError
from eval.storage.layout import CONFIG, MULTIRUN_YAML

RERUN_OPTION, TABLES_OPTION = "--rerun", "--tables"


def with_rerun(arguments: Sequence[str]) -> list[str]:
    """Replaces ``--rerun DIR`` by the arguments of the run, job or sweep that made the results folder DIR.

    Further arguments change the run. Without ``results_dir=``, results go to DIR again, and recorded pictures are not
    evaluated again.

    Raises:
        ConfigError: DIR does not exist, or is not a results folder.
    """
    arguments = list(arguments)
    folder = option_value(arguments, RERUN_OPTION)
    if folder is None:
        return arguments
    if (folder / MULTIRUN_YAML).is_file():
        given = ["-m", *_stored(folder / MULTIRUN_YAML, "hydra.overrides.task")]
    else:
        given = _stored(folder / CONFIG, "overrides")
    given = [each for each in given if not each.startswith("results_dir=")]
    typed = set(map(key_of, arguments))
    given = [each for each in given if key_of(each) not in typed]
    place = [] if "results_dir" in typed else [f"results_dir={folder}"]
    return [*given, *place, *arguments]


def key_of(argument: str) -> str:
    """Key of ``key=value``, without Hydra's ``+``; of an option its name."""
    return argument.partition("=")[0].lstrip("+")


def option_value(arguments: list[str], option: str) -> Path | None:
    """Removes ``OPTION DIR`` or ``OPTION=DIR`` from the arguments, and returns DIR; None without the option.

    Raises:
        ConfigError: DIR is missing, or not a folder.
    """
    for index, argument in enumerate(arguments):
        name, _, value = argument.partition("=")
        if name != option:
            continue
        del arguments[index]
        if not value and index < len(arguments):
            value = arguments.pop(index)
        folder = expanded(value) if value else None
        if folder is None or not folder.is_dir():
            raise ConfigError(f"{option}: must be followed by a results folder, got {value or 'nothing'}")
        return folder
    return None


def _stored(path: Path, key: str) -> list[str]:
    """Reads the overrides under a key of a YAML file."""
    try:
        config = OmegaConf.load(path)
        found = OmegaConf.select(config, key) if isinstance(config, DictConfig) else None
    except (OSError, OmegaConfBaseException, ValueError) as error:
        raise ConfigError(f"{RERUN_OPTION}: {path} cannot be read ({error})") from None
    if found is None:
        raise ConfigError(
            f"{RERUN_OPTION}: {path.parent} is no results folder of this version: {path.name} has no {key}"
        )
    return [str(each) for each in found]
