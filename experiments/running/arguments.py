"""Reads the command line of `experiments.evaluate`: options, and overrides in Hydra's grammar with paths as typed."""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple, NoReturn, cast

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, Override, Quote, QuotedString, RangeSweep, ValueType
from hydra.errors import OverrideParseException

from diffseg import parts
from diffseg.files.paths import NoHome, expanded
from eval.config import ConfigError

COMMAND = "python -m experiments.evaluate"
TEXT_KEYS = ("root", "images", "maps", "split_file", "classes", "path", "folder", "results_dir", "out", "name")
"""Last parts of the keys, such as dataset.root, whose values are taken as typed, as are all values like `A_PATH`."""
A_PATH = re.compile(r"~|\.{0,2}/")
A_FUNCTION = re.compile(r"\w+\(.*\)")
"""A function of Hydra's grammar, such as choice(a,b)."""


class Assignment(NamedTuple):
    """An override with one value.

    Attributes:
        key: the group or key, without Hydra's ``+``.
        value: the value, or the name of the choice.
        text: the value in Hydra's grammar.
    """

    key: str
    value: Any
    text: str

    def __str__(self) -> str:
        return f"{self.key}={self.text}"


@dataclass
class Arguments:
    """A command line.

    Attributes:
        overrides: ``group=choice`` and ``key=value``, as typed.
        swept: True with ``-m``: several values of a key are a sweep.
        config_dir: the user's folder in the layout of ``conf/``.
        tables, rescore, rerun: the results folder after that option.
        coco: the folder after ``--coco``.
        help: True with ``--help``.
        cfg: ``job`` with ``--cfg job``: print the configuration of each row.
        hydra: overrides of Hydra's own settings, which choose sweepers and launchers of other packages.
        typed: all arguments.
    """

    overrides: list[str] = field(default_factory=list)
    swept: bool = False
    config_dir: Path | None = None
    tables: Path | None = None
    rescore: Path | None = None
    rerun: Path | None = None
    coco: Path | None = None
    help: bool = False
    cfg: str | None = None
    hydra: list[str] = field(default_factory=list)
    typed: Sequence[str] = ()

    @property
    def for_config(self) -> list[str]:
        """The arguments that ``config.yaml`` lists: without ``shard`` and ``results_dir``."""
        options = [f"--config-dir={self.config_dir}"] if self.config_dir else []
        kept = [override for override in self.overrides if key_of(override) not in ("shard", "results_dir")]
        return [*["-m"] * self.swept, *options, *kept]

    def refuse_options(self, command: str) -> None:
        """Raises ConfigError if a command that takes only keys and ``--config-dir`` got something else."""
        if self.swept or self.tables or self.rescore or self.rerun or self.coco or self.cfg or self.hydra:
            raise ConfigError(f"{command}: takes one point and writes no tables; leave -m and options of {COMMAND} out")


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ConfigError(f"{message.removeprefix('argument ')} ({COMMAND} --help lists options)")


def read_arguments(typed: Sequence[str]) -> Arguments:
    """Sorts a command line.

    Raises:
        ConfigError: an option is unknown, lacks its folder or excludes another one, or an argument is empty.
    """
    if "" in typed:
        raise ConfigError("an argument is empty; is a variable of the shell not set?")
    parser = _Parser(add_help=False, allow_abbrev=False)
    parser.add_argument("overrides", nargs="*")
    parser.add_argument("-m", "--multirun", action="store_true", dest="swept")
    parser.add_argument("--config-dir", "-cd", type=expanded)
    one_of = parser.add_mutually_exclusive_group()
    for option in ("--tables", "--rescore", "--rerun"):
        one_of.add_argument(option, type=expanded)
    parser.add_argument("--coco", type=expanded)
    parser.add_argument("--help", "-h", action="store_true")
    parser.add_argument("--cfg", "-c", choices=["job"])
    try:
        arguments = Arguments(**vars(parser.parse_intermixed_args(typed)), typed=tuple(typed))
    except NoHome as error:
        raise ConfigError(str(error)) from None
    for option in ("--config-dir", "--tables", "--rescore", "--rerun"):
        folder = getattr(arguments, option[2:].replace("-", "_"))
        if folder is not None and not folder.is_dir():
            kind = "a folder like conf/" if option == "--config-dir" else "a results folder"
            raise ConfigError(f"{option}: must be followed by {kind}, got {folder}")
    if arguments.coco and not (arguments.tables or arguments.rescore):
        raise ConfigError("--coco: writes the label maps of a results folder; give the folder with --tables DIR")
    arguments.hydra = [
        override for override in arguments.overrides if key_of(override).startswith(("hydra.", "hydra/"))
    ]
    arguments.overrides = [override for override in arguments.overrides if override not in arguments.hydra]
    return arguments


def key_of(argument: str) -> str:
    """Key of ``key=value``, without Hydra's ``+``."""
    return argument.partition("=")[0].lstrip("+")


def parse(argument: str, swept: bool, config_dir: Path | None = None) -> list[Assignment]:
    """Reads an override in Hydra's grammar. Paths, and values that Hydra cannot read, are taken as typed.

    Args:
        argument: ``group=choice`` or ``key=value``.
        swept: True if several values of a key are a sweep. A comma then separates values, in paths too; a path with a
            comma needs quotes: ``'dataset.root="/a,b"'``.
        config_dir: the user's folder, for patterns such as ``segmenter=glob(*)``.

    Returns:
        An assignment for each value of a sweep; else one.

    Raises:
        ConfigError: the argument cannot be read, a key has several values without ``-m``, or a value occurs twice.

    >>> parse("dataset.root=/data/my pictures (2)", swept=False)[0].value
    '/data/my pictures (2)'
    >>> [assignment.value for assignment in parse("segmenter.tau=0.2,0.3", swept=True)]
    [0.2, 0.3]
    """
    key, equals, text = key_of(argument), *argument.partition("=")[1:]
    override = _read(key, text)
    if not equals or not key or key[0] == "~" or (override is None and text[:1] in "[{" and not _is_text(key, text)):
        raise ConfigError(f"{argument}: is neither group=choice nor key=value; check its brackets and quotes")
    if argument[0] == "+" and (parts.conf_folder() / key).is_dir():
        raise ConfigError(f"{argument}: leave out the +")
    if key == "results_dir" and not text:
        raise ConfigError("results_dir: is empty; give a folder")
    if override is None or (_is_text(key, text) and not _for_hydra(key, text, swept)):
        values = text.split(",") if swept else [text]
        return [Assignment(key, _home(key, value), QuotedString(value, Quote.single).with_quotes()) for value in values]
    if not override.is_sweep_override():
        return [Assignment(key, _home(key, override.value()), text)]
    if not swept:
        brackets = f"; a list is typed {key}=[{text}]" if "." in key and override.is_choice_sweep() else ""
        raise ConfigError(
            f"{argument}: several values are a sweep, which needs -m: {COMMAND} -m {argument} ...{brackets}"
        )
    if override.value_type == ValueType.GLOB_CHOICE_SWEEP:
        glob = cast(Glob, override.value())
        names = glob.filter(parts.names(key, config_dir))
        if not names:
            raise ConfigError(f"{argument}: there is no such choice")
        return [Assignment(key, name, name) for name in names]
    if not override.is_discrete_sweep():
        raise ConfigError(f"{argument}: an interval needs a sweeper that draws from it (hydra/sweeper=...)")
    sweep = override.value()
    texts = _numbers(sweep) if isinstance(sweep, RangeSweep) else list(override.sweep_string_iterator())
    if repeated := [value for value in texts if texts.count(value) > 1]:
        raise ConfigError(f"{argument}: the value {repeated[0]} occurs twice; give each value once")
    return [assignment for value in texts for assignment in parse(f"{key}={value}", swept, config_dir)]


def _numbers(sweep: RangeSweep) -> list[str]:
    """The values of ``range(start,stop,step)``, without ``stop``.

    Hydra 1.3 adds binary fractions: it gives 0.30000000000000004 for 0.3, and 0.4 as the last value of
    ``range(0.1,0.4,0.1)``.
    """
    start, stop, step = (Decimal(str(number)) for number in (sweep.start, sweep.stop, sweep.step))
    count = math.ceil((stop - start) / step) if step else 0
    return [str(start + number * step) for number in range(count)]


def for_hydra(argument: str) -> str:
    """An override of a sweep in Hydra's grammar: values that are taken as typed get quotes."""
    key, text = key_of(argument), argument.partition("=")[2]
    if _read(key, text) and (not _is_text(key, text) or _for_hydra(key, text, swept=True)):
        return f"{key}={text}"
    return f"{key}={','.join(assignment.text for assignment in parse(argument, swept=True))}"


def _is_text(key: str, text: str) -> bool:
    return key.rpartition(".")[2] in TEXT_KEYS or A_PATH.match(text) is not None


def _for_hydra(key: str, text: str, swept: bool) -> bool:
    """True if a value that Hydra can read is no text as typed: null, text in quotes, a list of classes, a sweep."""
    is_list = key.endswith("classes") and text[:1] in "[{"
    return text in ("", "null") or text[0] in "'\"" or is_list or (swept and A_FUNCTION.fullmatch(text) is not None)


def _home(key: str, value: Any) -> Any:
    """The value; of a path with ``~``, the path in the home folder."""
    try:
        return str(expanded(value)) if isinstance(value, str) and value.startswith("~") else value
    except NoHome as error:
        raise ConfigError(f"{key}: {error}") from None


def _read(key: str, text: str) -> Override | None:
    """Reads an argument like Hydra; None if Hydra cannot."""
    try:
        return OverridesParser.create().parse_overrides([f"{key}={text}"])[0]
    except OverrideParseException:
        return None
