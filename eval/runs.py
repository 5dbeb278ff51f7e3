"""A run: a results folder with its rows and their records. Tables, plots, pages and trackers are made from runs.

Reading a run needs neither torch, nor the data set, nor the network. `Run.open` opens a folder for new records.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import yaml
from numpy.typing import NDArray

from eval.agreement import Agreement, agreement
from eval.config import ConfigError
from eval.image_counts import ImageCounts
from eval.label_maps import read_label_map
from eval.protocols import ProtocolName, truths_of
from eval.records import Record, Records, RecordWriter, RowLine, SparseTable, open_records, pictures_key, record_files
from eval.scores import counts_in_turn
from eval.settings import normalise
from eval.storage.files import make_folder, write_text
from eval.storage.layout import CONFIG, JOB_FOLDER, LABELS
from eval.storage.locks import locked_shortly
from eval.stored import PackedTables, RecordList

if TYPE_CHECKING:
    import pandas as pd

    from eval.rows import RowConfig

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Row:
    """A line of the tables with its records.

    Attributes:
        key: hash of the settings that change a result.
        name: name in the tables; several rows may have the same name.
        settings: group -> name -> value; a setting that is missing or None does not apply.
        classes: class names; the position is the label.
        protocols: the protocols in the tables.
        records: the newest record of each picture, in the order of the data set (intervals depend on the order).
        pictures: number of pictures of the newest command that named the row.
        code: sha256 (hex) of its parts' code outside this project; "" without such parts.
        note: a footnote for tables.
        published: ``acc`` and ``miou`` of the paper in percent; None if the paper has no such row.
        official_count: number of pictures in the published evaluation; None if the data set has none.
        dataset: configuration of its data set.
    """

    key: str
    name: str
    settings: Mapping[str, Any]
    classes: Sequence[str]
    protocols: Sequence[ProtocolName]
    records: Sequence[Record] = ()
    pictures: int = 0
    code: str = ""
    note: str | None = None
    published: Mapping[str, float | None] | None = None
    official_count: int | None = None
    dataset: Mapping[str, Any] = field(default_factory=dict)
    _counts: dict[ProtocolName, ImageCounts] = field(default_factory=dict, init=False, repr=False)

    @cached_property
    def evaluated(self) -> Sequence[Record]:
        """Records of the pictures that were evaluated. One without the truth of a protocol is not yet one."""
        needed = truths_of(self.protocols)
        if isinstance(self.records, RecordList):  # each record is read from its file when it is asked for
            return self.records.evaluated(needed)
        return [record for record in self.records if record.ok and needed <= record.truths]

    @cached_property
    def failed(self) -> Sequence[Record]:
        """Records of the pictures that could not be evaluated."""
        if isinstance(self.records, RecordList):
            return self.records.failed()
        return [record for record in self.records if not record.ok]

    @cached_property
    def facts(self) -> Facts:
        """Columns of the evaluated pictures, read in one pass over their records."""
        return Facts(self.evaluated)

    def tables(self, name: str = "classes") -> Sequence[SparseTable]:
        """Contingency table of each evaluated picture with one truth."""
        if name == "classes":
            return self.facts.tables
        return PackedTables(record.stored_tables[name] for record in self.evaluated if name in record.stored_tables)

    @cached_property
    def agreement(self) -> NDArray[np.float64]:
        """Class-agnostic scores of each evaluated picture, ``(images, 3)``, see `eval.agreement.Agreement`."""
        scores = np.empty((len(self.tables()), len(Agreement._fields)))
        for number, table in enumerate(self.tables()):
            scores[number] = agreement(table.dense())
        return scores

    @property
    def background(self) -> int | None:
        """See `datasets.base.Dataset.background`."""
        return self.settings.get("dataset", {}).get("background")

    @property
    def dataset_name(self) -> str:
        """Name of the data set."""
        return str(self.settings.get("dataset", {}).get("name", ""))

    @property
    def frame(self) -> str:
        """The pixels that are scored, see `eval.config.Scoring`."""
        return str(self.settings.get("scoring", {}).get("frame", ""))

    @property
    def reads_files(self) -> bool:
        """True if its segments come from files."""
        return bool(self.settings.get("segmenter", {}).get("reads_files"))

    def counts(self, protocol: ProtocolName) -> ImageCounts:
        """Counts of each evaluated picture under a protocol that matches classes."""
        if protocol not in self._counts:
            tables = self.tables()
            counts = counts_in_turn(tables, protocol, self.background, self.reads_files)
            self._counts[protocol] = ImageCounts(len(tables), len(self.classes), counts)
        return self._counts[protocol]


NONE_UNSCORED: Mapping[str, int] = {}


class Facts:
    """Columns of evaluated pictures.

    Attributes:
        segments: ``(images,)`` int64, number of segments.
        seconds: ``(images,)`` float64, time for attention and segmentation.
        devices, dtypes: all that occur; "" left out.
        unscored: what records say of values that are not scored.
        tables: contingency tables with the classes; empty if records have none.
    """

    def __init__(self, records: Sequence[Record]) -> None:
        self.segments = np.zeros(len(records), dtype=np.int64)
        self.seconds = np.zeros(len(records))
        self.devices: set[str] = set()
        self.dtypes: set[str] = set()
        self.unscored: list[Mapping[str, int]] = []
        self.tables = PackedTables(iter(()))
        for number, record in enumerate(records):
            self.segments[number] = record.segments
            self.seconds[number] = record.seconds["attention"] + record.seconds["segment"]
            self.devices |= {record.device} - {""}
            self.dtypes |= {record.dtype} - {""}
            self.unscored.append(record.unscored or NONE_UNSCORED)
            if "classes" in record.stored_tables:
                self.tables.append(record.stored_tables["classes"])


def ids_of(records: Sequence[Record]) -> Sequence[str]:
    """Ids of the pictures of some records, in order."""
    return records.pictures if isinstance(records, RecordList) else [record.picture for record in records]


@dataclass(frozen=True)
class Command:
    """A command that wrote into a results folder, as ``config.yaml`` lists it.

    Attributes:
        arguments: what the user typed, without ``shard`` and ``results_dir``.
        rows: for each row its ``key``, ``name``, ``protocols``, ``note``, ``published``, ``official_count``, the number
            of its data set in ``datasets``, and the key and number of its ``pictures``.
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
            node = config.datasets_node()
            if node not in datasets:
                datasets.append(node)
            ids = config.dataset.ids
            rows.append(
                {
                    "key": config.key,
                    "name": config.name,
                    "protocols": list(config.protocols),
                    "note": config.note,
                    "published": config.published and dict(config.published),
                    "official_count": config.dataset.official_count,
                    "dataset": datasets.index(node),
                    "pictures": {"key": pictures_key(ids), "count": len(ids)},
                }
            )
        first = configs[0].composed
        scale = next((config.protocol.scale for config in configs if config.protocol.scale), None)
        return cls(list(arguments), rows, datasets, first.published, bool(first.audit), scale)


class Run:
    """A results folder.

    Attributes:
        folder: the folder.
        commands: the commands that wrote into it, newest last.
        rows: the rows: those of the newest command first, each once.
        older: rows that differ from one of these only in the code of a part.
        records: the records of all files.
    """

    def __init__(self, folder: Path, commands: Sequence[Command], records: Records, token: str = "") -> None:
        self.folder, self.commands, self.records, self.token = folder, commands, records, token
        self._writer: RecordWriter | None = None

    @cached_property
    def _all_rows(self) -> list[Row]:
        rows: dict[str, Row] = {}
        for command in reversed(self.commands):
            for entry in command.rows:
                if entry["key"] not in rows and entry["key"] in self.records.rows:
                    rows[entry["key"]] = self._row(command, entry, self.records.rows[entry["key"]])
        return list(rows.values())

    def _row(self, command: Command, entry: Mapping[str, Any], line: RowLine) -> Row:
        ids = self.records.pictures.get(entry["pictures"]["key"], ())
        return Row(
            line.key,
            entry["name"],
            line.settings,
            line.classes,
            entry["protocols"],
            self.records.of(line.key, ids),
            entry["pictures"]["count"],
            line.code,
            entry["note"],
            entry["published"],
            entry["official_count"],
            command.datasets[entry["dataset"]],
        )

    @cached_property
    def _split_rows(self) -> tuple[list[Row], list[Row]]:
        newest: dict[str, Row] = {}
        older = []
        for row in self._all_rows:
            if row.code and _without_code(row) in newest:
                older.append(row)
            else:
                newest[_without_code(row)] = row
        return list(newest.values()), older

    @property
    def rows(self) -> list[Row]:
        """See the class."""
        return self._split_rows[0]

    @property
    def older(self) -> list[Row]:
        """See the class."""
        return self._split_rows[1]

    @property
    def protocols(self) -> list[ProtocolName]:
        """The protocols of all rows, in order."""
        return list(dict.fromkeys(name for row in self.rows for name in row.protocols))

    def refresh(self) -> None:
        """Forgets what was computed from the records, after new ones have been written."""
        for name in ("_all_rows", "_split_rows"):
            self.__dict__.pop(name, None)

    def table(self) -> pd.DataFrame:
        """The columns of ``summary.csv``, one line for each row and protocol."""
        from eval.results.tables import summary

        return summary(self.rows)

    def counts(self, row: Row, protocol: ProtocolName) -> ImageCounts:
        """Counts of each evaluated picture of a row."""
        return row.counts(protocol)

    def label_path(self, key: str, id: str) -> Path:
        """Path of a label map. The file may not exist."""
        return self.folder / LABELS / key / f"{id}.png"

    def label_map(self, row: Row, id: str) -> NDArray[np.int64] | None:
        """The label map of a picture, ``(h, w)`` int64; None if it was not kept."""
        path = self.label_path(row.key, id)
        return read_label_map(path) if path.is_file() else None

    @classmethod
    @contextmanager
    def open(
        cls, folder: Path, configs: Sequence[RowConfig], arguments: Sequence[str], shard: tuple[int, int] | None = None
    ) -> Iterator[Run]:
        """Opens a results folder for the records of these rows, and lists the command in ``config.yaml``.

        Args:
            folder: created if missing.
            configs: prepared rows.
            arguments: see `Command.arguments`.
            shard: number and count of this process's share, counted from 1.

        Raises:
            RecordError: another process writes to the same file, or a file is damaged or of another version.
            ConfigError: the folder holds files, and no records.
            WriteError: a file could not be written.
        """
        check_folder(folder)
        with open_records(folder, shard) as writer:
            for config in configs:
                writer.declare(config.line, config.dataset.ids)
            token, commands = add_command(folder, Command.of(arguments, configs))
            run = cls(folder, commands, writer.records, token)
            run._writer = writer
            yield run

    def record(self, record: Record) -> None:
        """Appends a record. Raises WriteError if it cannot be written; earlier records are kept."""
        assert self._writer is not None, "opened for reading"
        self._writer.append(record)


def check_folder(folder: Path) -> None:
    """Raises ConfigError if a folder holds files but no records. Hidden files, ``wandb`` and jobs do not count."""
    if not folder.is_dir() or record_files(folder):
        return
    names = sorted(path.name for path in folder.iterdir())
    foreign = [name for name in names if name[0] != "." and name != "wandb" and not JOB_FOLDER.fullmatch(name)]
    if foreign:
        raise ConfigError(
            f"{folder}: holds files but no results of this project, such as {foreign[0]}; give another results_dir"
        )


def add_command(folder: Path, command: Command) -> tuple[str, list[Command]]:
    """Adds a command to ``config.yaml``, newest last; an equal one moves to the end.

    Returns:
        The token of the folder, and all its commands.
    """
    make_folder(folder)
    with locked_shortly(folder / CONFIG):
        token, commands = _read_config(folder) if (folder / CONFIG).is_file() else (uuid.uuid4().hex[:8], [])
        plain = [other for other in commands if _entry(other) != _entry(command)]
        dated = Command(**{**command.__dict__, "date": datetime.now(UTC).isoformat(timespec="seconds")})
        commands = [*plain, dated]
        _write_config(folder, token, commands)
    return token, commands


def _write_config(folder: Path, token: str, commands: Sequence[Command]) -> None:
    content = {"token": token, "commands": [{"date": each.date, **_entry(each)} for each in commands]}
    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    text = yaml.dump(content, Dumper=dumper, sort_keys=False, allow_unicode=True, width=120)
    write_text(folder / CONFIG, text)


def add_rescored(folder: Path, records: Sequence[Record], protocols: Mapping[str, Sequence[ProtocolName]]) -> None:
    """Appends rescored records, and lists the protocols of their rows in ``config.yaml``.

    Args:
        folder: results folder.
        records: new records of rows that the folder has.
        protocols: key of a row -> protocols to add to its tables.
    """
    with open_records(folder) as writer:
        ids = {key: tuple(pictures) for key, pictures in writer.records.newest.items()}
        for key in dict.fromkeys(record.row for record in records):
            writer.declare(writer.records.rows[key], ids[key])
        for record in records:
            writer.append(record)
    with locked_shortly(folder / CONFIG):
        token, commands = _read_config(folder)
        for command in commands:
            for entry in command.rows:
                added = protocols.get(entry["key"], ())
                cast(dict[str, Any], entry)["protocols"] = list(dict.fromkeys([*entry["protocols"], *added]))
        _write_config(folder, token, commands)


def read_run(folder: str | Path) -> Run:
    """Reads a results folder.

    Raises:
        ConfigError: the folder has no results.
        RecordError: a file is damaged, or of another version.
    """
    folder = Path(folder)
    if not record_files(folder):
        raise ConfigError(f"{folder}: holds no results; give the results_dir of a run")
    try:
        records = Records.read(folder)
    except OSError as error:
        raise ConfigError(f"{folder}: has no records that can be read ({error})") from error
    if not (folder / CONFIG).is_file():
        raise ConfigError(f"{folder / CONFIG}: is missing; type the command of the run again, which writes it")
    token, commands = _read_config(folder)
    return Run(folder, commands, records, token)


def read_runs(*folders: str | Path) -> list[Run]:
    """Reads results folders, see `read_run`. A folder of jobs (``hydra/launcher=submitit_*``) gives a run for each."""
    runs = []
    for folder in map(Path, folders):
        jobs = [] if record_files(folder) or not folder.is_dir() else _jobs(folder)
        runs += [read_run(job) for job in jobs or [folder]]
    return runs


def _jobs(folder: Path) -> list[Path]:
    jobs = [path for path in folder.iterdir() if path.is_dir() and JOB_FOLDER.fullmatch(path.name)]
    return sorted((path for path in jobs if record_files(path)), key=lambda path: int(path.name))


def _entry(command: Command) -> dict[str, Any]:
    """A command as YAML holds it, without its date."""
    plain = {name: value for name, value in command.__dict__.items() if name != "date"}
    entry: dict[str, Any] = normalise(plain)
    return entry


def _read_config(folder: Path) -> tuple[str, list[Command]]:
    path = folder / CONFIG
    try:
        # libyaml's loader, where it is installed, is ten times faster than `yaml.safe_load`.
        data = getattr(yaml, "CSafeLoader", yaml.SafeLoader)(path.read_text(encoding="utf-8")).get_single_data()
        commands = [Command(**each) for each in data["commands"]]
        return str(data["token"]), commands
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from error
    except (yaml.YAMLError, UnicodeDecodeError, LookupError, TypeError) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"{path}: damaged, or of another version of this project ({reason})") from error


def _without_code(row: Row) -> str:
    """The settings of a row without the code of its parts, as a text to compare."""
    settings = {
        group: {name: each for name, each in value.items() if name != "code"} if isinstance(value, Mapping) else value
        for group, value in row.settings.items()
        if group != "experiment"
    }
    return repr(sorted(settings.items())) + row.name * (not row.code)
