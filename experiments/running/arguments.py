"""Reads the command line of `experiments.evaluate`: options, and overrides in Hydra's grammar with paths as typed."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, Override, Quote, QuotedString
from hydra.errors import OverrideParseException

from diffseg.paths import NoHome, expanded
from eval.config import ConfigError

CONF = Path(__file__).resolve().parents[2] / "conf"
COMMAND = "python -m experiments.evaluate"
MULTIRUN = ("-m", "--multirun")
FOLDERS = {"--tables": "tables", "--rescore": "rescore", "--rerun": "rerun"}
"""Option -> attribute of `Arguments`: options that take a results folder."""
CONFIG_DIR = ("--config-dir", "-cd")
OURS = ("basic", "rows")
"""Launchers and sweepers of Hydra that this project replaces by its own."""
# Last parts of the keys that take a path, such as dataset.root.
PATH_KEYS = ("root", "images", "maps", "split_file", "classes", "path", "folder", "results_dir", "out")
LOOKS_LIKE_A_PATH = re.compile(r"~|\.{0,2}/")
A_FUNCTION = re.compile(r"\w+\(.*\)")  # a function in Hydra's grammar, such as choice(a,b)


@dataclass
class Arguments:
    """A command line.

    Attributes:
        overrides: ``group=choice`` and ``key=value``, as typed.
        swept: True with ``-m``: several values of a key are a sweep.
        config_dir: the user's folder in the layout of ``conf/``.
        tables, rescore, rerun: the results folder after that option.
        coco: the folder after ``--coco``.
        hydra: arguments that only Hydra's own program understands, such as ``--help``.
        typed: all arguments.
    """

    overrides: list[str] = field(default_factory=list)
    swept: bool = False
    config_dir: Path | None = None
    tables: Path | None = None
    rescore: Path | None = None
    rerun: Path | None = None
    coco: Path | None = None
    hydra: list[str] = field(default_factory=list)
    typed: Sequence[str] = ()

    @property
    def for_config(self) -> list[str]:
        """The arguments that ``config.yaml`` lists: without ``shard`` and ``results_dir``."""
        options = [f"--config-dir={self.config_dir}"] if self.config_dir else []
        kept = [each for each in self.overrides if key_of(each) not in ("shard", "results_dir")]
        return [*["-m"] * self.swept, *options, *kept]


def read_arguments(typed: Sequence[str]) -> Arguments:
    """Sorts a command line.

    Raises:
        ConfigError: an option lacks its folder, or an argument is empty.
    """
    found = Arguments(typed=tuple(typed))
    left = list(typed)
    while left:
        argument = left.pop(0)
        option, equals, value = argument.partition("=")
        takes_folder = option in FOLDERS or option in CONFIG_DIR or option == "--coco"
        if not argument:
            raise ConfigError("an argument is empty; is a variable of the shell not set?")
        if argument in MULTIRUN:
            found.swept = True
        elif takes_folder:
            value = value or (left.pop(0) if left and not equals else "")
            attribute = "coco" if option == "--coco" else FOLDERS.get(option, "config_dir")
            setattr(found, attribute, _folder(option, value))
        elif argument.startswith("-"):
            found.hydra.append(argument)
            if argument in ("--cfg", "-c", "--package", "-p", "--info", "-i") and left and "=" not in left[0]:
                found.hydra.append(left.pop(0))
        elif argument.lstrip("+").startswith(("hydra.", "hydra/")) and not _is_ours(argument):
            found.hydra.append(argument)
        else:
            found.overrides.append(argument)
    return found


def key_of(argument: str) -> str:
    """Key of ``key=value``, without Hydra's ``+``; of an option its name."""
    return argument.partition("=")[0].lstrip("+")


def parse(arguments: Sequence[str], swept: bool) -> list[Override]:
    """Parses overrides like Hydra; paths may be typed as they are.

    Args:
        arguments: ``group=choice`` and ``key=value``.
        swept: True if several values of a key are a sweep.

    Raises:
        ConfigError: a value cannot be read, a key has several values without ``-m``, or a value occurs twice.
        OverrideParseException: an argument is neither ``group=choice`` nor ``key=value``.
    """
    overrides = [_parse(quote_path(each, swept)) for each in arguments]
    for override in overrides:
        line = str(override.input_line)
        if override.is_sweep_override() and not swept:
            key, _, listed = line.partition("=")
            brackets = f"; a list is typed {key}=[{listed}]" if "." in key and override.is_choice_sweep() else ""
            raise ConfigError(f"{line}: several values are a sweep, which needs -m: {COMMAND} -m {line} ...{brackets}")
        # The names that a glob stands for are not known yet.
        choices = override.is_choice_sweep() and not isinstance(override.value(), Glob)
        values = [str(value) for value in override.sweep_iterator()] if choices else []
        if repeated := [value for value in values if values.count(value) > 1]:
            raise ConfigError(f"{line}: the value {repeated[0]} occurs twice; give each value once")
    return overrides


def quote_path(argument: str, swept: bool = False) -> str:
    """Quotes the value of ``key=value`` for Hydra if it is a path. Returns any other argument unchanged.

    The path may contain spaces, ``=``, ``#``, brackets, quotes and any letters. If ``swept``, a comma separates the
    values of a sweep, and a path with a comma needs quotes: ``'dataset.root="/a,b"'``.

    >>> quote_path("dataset.root=/data/my pictures (2)")
    "dataset.root='/data/my pictures (2)'"
    >>> quote_path("dataset.root=a b,c", swept=True)
    "dataset.root='a b',c"

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
    elif not swept:
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
        if not equals or value[:1] in "[{" or _read(quoted) is None:
            raise
        raise ConfigError(f"{argument}: the value needs quotes; type {shlex.quote(quoted)}") from None


def _folder(option: str, value: str) -> Path:
    try:
        folder = expanded(value) if value else None
    except NoHome as error:
        raise ConfigError(f"{option}: {error}") from None
    if folder is None or (option != "--coco" and not folder.is_dir()):
        kind = "a folder like conf/" if option in CONFIG_DIR else "a results folder"
        raise ConfigError(f"{option}: must be followed by {kind}, got {value or 'nothing'}")
    return folder


def _is_ours(argument: str) -> bool:
    """True if an argument chooses Hydra's own launcher or sweeper, which this project replaces."""
    key, _, value = argument.partition("=")
    return key in ("hydra/launcher", "hydra/sweeper") and value in OURS
