"""Prepares the command line of `experiments.evaluate` for Hydra: quotes paths, and reports errors in one clear line."""

from __future__ import annotations

import re
import shlex
import shutil
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from hydra._internal.utils import get_args_parser
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, Quote, QuotedString
from hydra.errors import OverrideParseException
from omegaconf import OmegaConf

from diffseg.parts import find_modules_beside
from diffseg.paths import NoHome, expanded
from eval.config import ConfigError
from experiments.running.errors import unknown_choice
from experiments.running.row_groups import pass_on_to_rows

CONF = Path(__file__).resolve().parents[2] / "conf"
COMMAND = "python -m experiments.evaluate"
MULTIRUN_OPTIONS = ("-m", "--multirun")
PATH_OPTIONS = ("--config-dir", "-cd", "--config-path", "-cp")
# Last parts of the keys that take a path, such as dataset.root and hydra.sweep.dir.
PATH_KEYS = ("root", "images", "maps", "split_file", "classes", "path", "folder", "results_dir", "dir")
# A comma in these paths never separates two values, because a sweep has a single results folder.
SINGLE_KEYS = ("results_dir", "dir")
LOOKS_LIKE_A_PATH = re.compile(r"~|\.{0,2}/")
# For ${expanded:~/results} in YAML files: Hydra creates the folder of a sweep, and does not expand ~.
OmegaConf.register_new_resolver("expanded", lambda path: str(expanded(path)), replace=True)
A_FUNCTION = re.compile(r"\w+\(.*\)")  # a function in Hydra's grammar, such as choice(a,b)


def normalise_argv(arguments: Sequence[str]) -> list[str]:
    """Rewrites the command line for Hydra: options first, paths quoted, ``~`` replaced by the home folder.

    The value of a path key (`PATH_KEYS`) may contain spaces, ``=``, ``#``, brackets, quotes and any letters. Under
    ``-m``, a comma separates the values of a sweep. A path with a comma then needs quotes: ``'dataset.root="/a,b"'``.

    Args:
        arguments: options, ``group=choice`` and ``key=value``.

    Raises:
        ConfigError: there is no such option or choice, a value cannot be read, or a key has several values without
            ``-m``.
        OverrideParseException: an argument is none of these.
    """
    swept = any(each in MULTIRUN_OPTIONS for each in arguments)
    arguments = [*MULTIRUN_OPTIONS[:swept], *(each for each in arguments if each not in MULTIRUN_OPTIONS)]
    arguments = _expand_options(arguments)
    options = _parse_options(arguments)
    if swept and (options.run or options.cfg or options.info):
        raise ConfigError("-m: evaluates a sweep; leave it out, or --run, --cfg or --info")
    if options.config_dir:
        find_modules_beside(options.config_dir)
    overrides = [_parse(quote_path(each, swept)) for each in options.overrides]
    folders = [*([Path(options.config_dir)] if options.config_dir else []), CONF]
    for each in overrides:
        _check_choice(each, folders)
        _check_launcher(each)
        _check_sweep(each, swept or any(other.key_or_group == "hydra.mode" for other in overrides))
    return [*(each for each in arguments if each not in options.overrides), *pass_on_to_rows(overrides, folders)]


def _parse_options(arguments: Sequence[str]) -> Namespace:
    """The options of Hydra, and the other arguments as ``overrides``."""
    parser = get_args_parser()
    parser.error = _refuse  # type: ignore[method-assign]
    parser.allow_abbrev = False  # --multi would be a sweep that `normalise_argv` does not see
    options = parser.parse_intermixed_args(arguments)
    if "" in options.overrides:
        raise ConfigError("an argument is empty; is a variable of the shell not set?")
    return options


def _check_choice(override: Override, folders: Sequence[Path]) -> None:
    """Checks ``group=choice``: Hydra fails on a choice that it does not parse as text, and on a file not in UTF-8."""
    group = override.key_or_group
    for folder in folders[:-1]:  # the user's folders
        _check_encoding(folder / group / f"{override.value()}.yaml")
    choices = [path.stem for path in (CONF / group).glob("*.yaml")]
    if choices and not override.is_delete() and isinstance(override.value(), bool | int | float | dict | None):
        raise ConfigError(unknown_choice(f"{group}/{str(override.input_line).partition('=')[2]}", choices))


def _check_launcher(override: Override) -> None:
    if override.key_or_group != "hydra/launcher" or override.value() != "submitit_slurm":
        return
    if not shutil.which("srun"):
        raise ConfigError(
            "hydra/launcher=submitit_slurm: SLURM is not on this machine (there is no command srun); start the "
            "sweep on a login node of the cluster, or use hydra/launcher=submitit_local"
        )


def _check_sweep(override: Override, swept: bool) -> None:
    """Checks that several values of a key are a sweep, and that they differ."""
    if override.is_sweep_override() and not swept:
        raise ConfigError(_not_swept(override))
    values = [str(value) for value in override.sweep_iterator()] if override.is_choice_sweep() else []
    if repeated := [value for value in values if values.count(value) > 1]:
        raise ConfigError(f"{override.input_line}: the value {repeated[0]} occurs twice; give each value once")


def _check_encoding(path: Path) -> None:
    """Raises ConfigError if an existing file is not UTF-8. Hydra's error would not name the file."""
    try:
        path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is not UTF-8 (byte {error.start}); save it as UTF-8") from None
    except OSError:
        pass


def quote_path(argument: str, swept: bool = False) -> str:
    """Quotes the value of ``key=value`` for Hydra if it is a path. Returns any other argument unchanged.

    >>> quote_path("dataset.root=/data/my pictures (2)")
    "dataset.root='/data/my pictures (2)'"
    >>> quote_path("dataset.root=a b,c", swept=True)
    "dataset.root='a b',c"

    Args:
        argument: an argument of the command line.
        swept: True if a comma separates the values of a sweep.

    Raises:
        ConfigError: the value begins with ``~`` but the home folder is unknown.
    """
    key, equals, value = argument.partition("=")
    name = key.lstrip("+").rpartition(".")[2]
    if not equals or key.startswith("~"):
        return argument
    if name == "results_dir" and not value:
        raise ConfigError("results_dir: is empty; give a folder")
    if name not in PATH_KEYS and not (LOOKS_LIKE_A_PATH.match(value) and _read(argument) is None):
        return argument
    if value in ("", "null") or "${" in value or (name == "classes" and value[0] in "[{"):
        return argument
    read = _read(argument) if value[0] in "'\"" else None
    if read and not (isinstance(read.value(), str) and str(read.value()).startswith("~")):
        return argument
    if read:
        values = [str(read.value())]
    elif not swept or name in SINGLE_KEYS:
        values = [value]
    elif A_FUNCTION.fullmatch(value):
        return argument
    else:
        values = value.split(",")
    return f"{key}={','.join(_quoted(key, each) for each in values)}"


def _quoted(key: str, path: str) -> str:
    """The path with ``~`` expanded, in quotes if Hydra would read it differently without them."""
    if path.startswith("~"):
        try:
            path = str(expanded(path))
        except NoHome as error:
            raise ConfigError(f"{key}: {error}") from None
    read = _read(f"{key}={path}")
    plain = read is not None and read.value() == path and "\\" not in path  # a backslash escapes the next character
    return path if plain else QuotedString(path, Quote.single).with_quotes()


def _read(argument: str) -> Override | None:
    """Parses an argument like Hydra; None if that fails."""
    try:
        return OverridesParser.create().parse_overrides([argument])[0]
    except OverrideParseException:
        return None


def _parse(argument: str) -> Override:
    """Parses an argument like Hydra. If that fails, the error says how to type the argument."""
    try:
        return OverridesParser.create().parse_overrides([argument])[0]
    except OverrideParseException:
        key, equals, value = argument.partition("=")
        quoted = f"{key}={QuotedString(value, Quote.double).with_quotes()}"
        if not equals or value[0] in "[{" or _read(quoted) is None:
            raise
        raise ConfigError(f"{argument}: the value needs quotes; type {shlex.quote(quoted)}") from None


def _expand_options(arguments: Sequence[str]) -> list[str]:
    """Expands ``~`` in the folders after `PATH_OPTIONS`."""
    expanded_arguments: list[str] = []
    for each in arguments:
        option, equals, value = each.partition("=")
        if option in PATH_OPTIONS and equals:
            each = f"{option}={_home_expanded(option, value)}"
        elif expanded_arguments and expanded_arguments[-1] in PATH_OPTIONS:
            each = _home_expanded(expanded_arguments[-1], each)
        expanded_arguments.append(each)
    return expanded_arguments


def _home_expanded(option: str, value: str) -> str:
    try:
        return str(expanded(value))
    except NoHome as error:
        raise ConfigError(f"{option}: {error}") from None


def _refuse(message: str) -> NoReturn:
    raise ConfigError(f"{message} ({COMMAND} --help lists options, groups and keys)")


def _not_swept(override: Override) -> str:
    line = str(override.input_line)
    key, _, values = line.partition("=")
    brackets = f"; a list is typed {key}=[{values}]" if "." in key and override.is_choice_sweep() else ""
    return f"{line}: several values are a sweep, which needs -m: {COMMAND} -m {line} ...{brackets}"
