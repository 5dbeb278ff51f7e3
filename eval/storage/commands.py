"""The commands of a results folder, which ``config.yaml`` lists."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from diffseg.parts import load_yaml
from eval.config import ConfigError
from eval.settings import normalise
from eval.storage.files import make_folder, write_text
from eval.storage.layout import CONFIG, JOB_FOLDER
from eval.storage.locks import SHORT_WORK, locked
from eval.storage.record_files import pictures_key, record_files

if TYPE_CHECKING:
    from eval.rows import RowConfig

OF_COMMAND = ("name", "protocols", "note", "published", "official_count")
"""Attributes of a row that the newest command decides."""

BESIDE = ("wandb", "multirun.yaml")
"""Names that Weights & Biases and Hydra's sweepers write into a results folder, perhaps before the first record."""


@dataclass(frozen=True)
class Command:
    """A command that wrote into a results folder.

    Attributes:
        arguments: what the user typed, without ``shard`` and ``results_dir``.
        rows: for each row its ``key``, the attributes `OF_COMMAND`, the number of its data set in ``datasets``, and the
            key and number of its ``pictures``.
        datasets: configurations of the data sets.
        published: name of a table of published scores.
        audit: see `eval.config.RunConfig`.
        scale: see `eval.config.ProtocolSettings`.
        date: when it was typed last.
    """

    arguments: Sequence[str]
    rows: Sequence[Mapping[str, Any]]
    datasets: Sequence[Mapping[str, Any]]
    published: str | None = None
    audit: bool = False
    scale: str | None = None
    date: str = ""

    @classmethod
    def of(cls, arguments: Sequence[str], configs: Sequence[RowConfig]) -> Command:
        """The command that evaluates these rows."""
        datasets: list[Mapping[str, Any]] = []
        rows = []
        for config in configs:
            row = config.line
            if row.dataset not in datasets:
                datasets.append(row.dataset)
            facts = {name: getattr(row, name) for name in ("key", *OF_COMMAND)}
            pictures = {"key": pictures_key(config.dataset.ids), "count": row.pictures}
            rows.append({**facts, "dataset": datasets.index(row.dataset), "pictures": pictures})
        first = configs[0].composed
        scale = next((config.protocol.scale for config in configs if config.protocol.scale), None)
        return cls(list(arguments), rows, datasets, first.published, bool(first.audit), scale)


def add_command(folder: Path, command: Command) -> tuple[str, list[Command]]:
    """Adds a command to ``config.yaml``, newest last; an equal one moves to the end.

    Returns:
        The token of the folder, and all its commands.
    """
    make_folder(folder)
    with locked(folder / CONFIG, SHORT_WORK):
        token, commands = read_commands(folder) if (folder / CONFIG).is_file() else (uuid.uuid4().hex[:8], [])
        others = [other for other in commands if _plain(replace(other, date="")) != _plain(replace(command, date=""))]
        commands = [*others, replace(command, date=datetime.now(UTC).isoformat(timespec="seconds"))]
        _write(folder, token, commands)
    return token, commands


def add_protocols(folder: Path, protocols: Mapping[str, Sequence[str]]) -> None:
    """Adds protocols to the tables of rows. ``protocols``: key of a row -> names."""
    with locked(folder / CONFIG, SHORT_WORK):
        token, commands = read_commands(folder)
        changed = []
        for command in commands:
            rows = [
                {**row, "protocols": list(dict.fromkeys([*row["protocols"], *protocols.get(row["key"], ())]))}
                for row in command.rows
            ]
            changed.append(replace(command, rows=rows))
        _write(folder, token, changed)


def read_commands(folder: Path) -> tuple[str, list[Command]]:
    """The token of the folder, and its commands.

    Raises:
        ConfigError: ``config.yaml`` cannot be read.
    """
    path = folder / CONFIG
    try:
        data = load_yaml(path.read_text(encoding="utf-8"))
        return str(data["token"]), [Command(**command) for command in data["commands"]]
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from error
    except (yaml.YAMLError, UnicodeDecodeError, LookupError, TypeError) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"{path}: damaged, or of another version of this project ({reason})") from error


def _write(folder: Path, token: str, commands: Sequence[Command]) -> None:
    content = {"token": token, "commands": [_plain(command) for command in commands]}
    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    text = yaml.dump(content, Dumper=dumper, sort_keys=False, allow_unicode=True, width=120)
    write_text(folder / CONFIG, text)


def _plain(command: Command) -> Mapping[str, Any]:
    """A command as YAML holds it."""
    values = asdict(command)
    plain: Mapping[str, Any] = normalise({"date": values.pop("date"), **values})
    return plain


def check_folder(folder: Path) -> None:
    """Raises ConfigError if a folder holds files but no records. Hidden files, `BESIDE` and jobs do not count."""
    if not folder.is_dir() or record_files(folder):
        return
    names = sorted(path.name for path in folder.iterdir())
    foreign = [name for name in names if name[0] != "." and name not in BESIDE and not JOB_FOLDER.fullmatch(name)]
    if foreign:
        raise ConfigError(
            f"{folder}: holds files but no results of this project, such as {foreign[0]}; give another results_dir"
        )
