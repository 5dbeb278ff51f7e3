"""The command line of `experiments.evaluate`, read before Hydra does, whose own words for what is wrong are many."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from hydra._internal.utils import get_args_parser
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override

from eval.config import ConfigError, unknown_choice

CONF = Path(__file__).resolve().parents[2] / "conf"
COMMAND = "python -m experiments.evaluate"
MULTIRUN = ("-m", "--multirun")


def normalise_argv(arguments: Sequence[str]) -> list[str]:
    """The arguments with ``-m`` in front, where Hydra looks for it; it may be typed anywhere.

    Args:
        arguments: options, ``group=choice`` and ``key=value``.

    Raises:
        ConfigError: there is no such option or choice, or a key is given several values without ``-m``.
        OverrideParseException: an argument is none.
    """
    swept = any(each in MULTIRUN for each in arguments)
    arguments = [*MULTIRUN[:swept], *(each for each in arguments if each not in MULTIRUN)]
    parser = get_args_parser()
    parser.error = _refuse  # type: ignore[method-assign]
    options = parser.parse_args(arguments)
    if swept and (options.run or options.cfg or options.info):
        raise ConfigError("-m: evaluates a sweep; leave it out, or --run, --cfg or --info")
    overrides = OverridesParser.create().parse_overrides(options.overrides)
    for each in overrides:
        choices = [path.stem for path in (CONF / each.key_or_group).glob("*.yaml")]
        if choices and not each.is_delete() and isinstance(each.value(), bool | int | float | dict | None):
            name = str(each.input_line).partition("=")[2]  # what reads as no text makes Hydra fail
            raise ConfigError(unknown_choice(f"{each.key_or_group}/{name}", choices))
    if not swept and not any(each.key_or_group == "hydra.mode" for each in overrides):
        for each in overrides:
            if each.is_sweep_override():
                raise ConfigError(_not_swept(each))
    return arguments


def _refuse(message: str) -> NoReturn:
    raise ConfigError(f"{message}; options come before group=choice and key=value ({COMMAND} --help)")


def _not_swept(override: Override) -> str:
    line = str(override.input_line)
    key, _, values = line.partition("=")
    brackets = f"; a list is typed {key}=[{values}]" if "." in key and override.is_choice_sweep() else ""
    return f"{line}: several values are a sweep, which needs -m: {COMMAND} -m {line} ...{brackets}"
