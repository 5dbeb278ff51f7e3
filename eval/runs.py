"""A run: a results folder with its rows and their records. Tables, plots, pages and trackers are made from runs.

Reading a run needs neither torch, nor the data set, nor the network. `Run.open` opens a folder for new records.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from eval.config import ConfigError
from eval.counts import ImageCounts
from eval.label_maps import read_label_map
from eval.matching import count_images
from eval.protocols import ProtocolName, truths_of
from eval.records import PackedTables, Record, RowLine, SparseTable
from eval.regions import agreement
from eval.settings import of_method
from eval.storage.commands import Command, add_command, add_protocols, check_folder, read_commands
from eval.storage.layout import CONFIG, JOB_FOLDER, LABELS
from eval.storage.record_files import OpenRecords, RecordList, Records, open_records, record_files

if TYPE_CHECKING:
    import pandas as pd

    from eval.rows import RowConfig

NONE_UNSCORED: Mapping[str, int] = {}


class Facts(NamedTuple):
    """Columns of evaluated pictures.

    Attributes:
        segments: ``(images,)`` int64, number of segments.
        seconds: ``(images,)`` float64, time for attention and segmentation.
        devices, dtypes: all that occur; "" left out.
        unscored: what records say of values that are not scored.
        tables: contingency tables with the classes; empty if records have none.
    """

    segments: NDArray[np.int64]
    seconds: NDArray[np.float64]
    devices: set[str]
    dtypes: set[str]
    unscored: list[Mapping[str, int]]
    tables: PackedTables


@dataclass(frozen=True, eq=False)
class Row:
    """A line of the tables with its records.

    Attributes:
        key, name, settings, classes, code: see `eval.records.RowLine`; several rows may have the same name. A setting
            that is missing or None does not apply.
        protocols: the protocols in the tables.
        records: the newest record of each picture, in the order of the data set (intervals depend on the order).
        pictures: number of pictures of the newest command that named the row.
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
        return _where(self.records, lambda truths: truths is not None and needed <= truths)

    @cached_property
    def failed(self) -> Sequence[Record]:
        """Records of the pictures that could not be evaluated."""
        return _where(self.records, lambda truths: truths is None)

    @cached_property
    def facts(self) -> Facts:
        """Columns of the evaluated pictures, read in one pass over their records."""
        count = len(self.evaluated)
        facts = Facts(np.zeros(count, dtype=np.int64), np.zeros(count), set(), set(), [], PackedTables())
        for number, record in enumerate(self.evaluated):
            facts.segments[number] = record.segments
            facts.seconds[number] = record.seconds["attention"] + record.seconds["segment"]
            facts.devices.update({record.device} - {""})
            facts.dtypes.update({record.dtype} - {""})
            facts.unscored.append(record.unscored or NONE_UNSCORED)
            if "classes" in record.stored_tables:
                facts.tables.append(record.stored_tables["classes"])
        return facts

    def tables(self) -> Sequence[SparseTable]:
        """Contingency table of each evaluated picture with the classes."""
        return self.facts.tables

    @cached_property
    def agreement(self) -> NDArray[np.float64]:
        """Class-agnostic scores of each evaluated picture, ``(images, 3)``, see `eval.regions.agreement`."""
        return agreement(self.tables())

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
            facts = self.background, self.reads_files, len(self.classes)
            self._counts[protocol] = count_images(self.tables(), protocol, *facts)
        return self._counts[protocol]


def _where(records: Sequence[Record], fits: Callable[[frozenset[str] | None], bool]) -> Sequence[Record]:
    """The records whose truths (None: failed) fit."""
    if isinstance(records, RecordList):
        return records.where(fits)
    return [record for record in records if fits(record.truths if record.ok else None)]


def ids_of(records: Sequence[Record]) -> Sequence[str]:
    """Ids of the pictures of some records, in order."""
    return records.pictures if isinstance(records, RecordList) else [record.picture for record in records]


class Run:
    """A results folder.

    Attributes:
        folder: the folder.
        commands: the commands that wrote into it, newest last.
        records: the records of all files.
        token: tells the folder from one that had its place before.
    """

    def __init__(self, folder: Path, commands: Sequence[Command], records: Records, token: str) -> None:
        self.folder, self.commands, self.records, self.token = folder, commands, records, token

    @cached_property
    def _rows(self) -> tuple[list[Row], list[Row]]:
        """`rows` and `older`."""
        known, newest, older = set[str](), dict[str, Row](), list[Row]()
        for command in reversed(self.commands):
            for entry in command.rows:
                key = entry["key"]
                if key in known or key not in self.records.rows:
                    continue
                known.add(key)
                row = self._row(self.records.rows[key], command, entry)
                method = f"{sorted(of_method(row.settings).items())} {'' if row.code else row.name}"
                if row.code and method in newest:
                    older.append(row)
                else:
                    newest[method] = row
        return list(newest.values()), older

    def _row(self, line: RowLine, command: Command, entry: Mapping[str, Any]) -> Row:
        pictures, dataset = entry["pictures"], command.datasets[entry["dataset"]]
        records = self.records.of(line.key, self.records.pictures.get(pictures["key"], ()))
        given = {name: entry[name] for name in ("name", "protocols", "note", "published", "official_count")}
        return Row(**{**vars(line), **given}, records=records, pictures=pictures["count"], dataset=dataset)

    @property
    def rows(self) -> list[Row]:
        """The rows: those of the newest command first, each once."""
        return self._rows[0]

    @property
    def older(self) -> list[Row]:
        """Rows that differ from one of `rows` only in the code of a part."""
        return self._rows[1]

    def rows_of(self, configs: Sequence[RowConfig]) -> list[Row]:
        """Those of `rows` that a command evaluates."""
        keys = {config.key for config in configs}
        return [row for row in self.rows if row.key in keys]

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
        with open_records(folder, shard) as records:
            for config in configs:
                records.declare(config.line, config.dataset.ids)
            token, commands = add_command(folder, Command.of(arguments, configs))
            yield cls(folder, commands, records, token)

    def record(self, record: Record) -> None:
        """Appends a record. Raises WriteError if it cannot be written; earlier records are kept."""
        assert isinstance(self.records, OpenRecords), "opened for reading"
        self.records.append(record)


def add_rescored(folder: Path, records: Sequence[Record], protocols: Mapping[str, Sequence[ProtocolName]]) -> None:
    """Appends rescored records, and lists the protocols of their rows in ``config.yaml``.

    Args:
        folder: results folder.
        records: new records of rows that the folder has.
        protocols: key of a row -> protocols to add to its tables.
    """
    with open_records(folder) as opened:
        for key in dict.fromkeys(record.row for record in records):
            opened.declare(opened.rows[key], list(opened.newest[key]))
        for record in records:
            opened.append(record)
    add_protocols(folder, protocols)


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
        records = Records(folder)
    except OSError as error:
        raise ConfigError(f"{folder}: has no records that can be read ({error})") from error
    if not (folder / CONFIG).is_file():
        raise ConfigError(f"{folder / CONFIG}: is missing; type the command of the run again, which writes it")
    token, commands = read_commands(folder)
    return Run(folder, commands, records, token)


def read_runs(*folders: str | Path) -> list[Run]:
    """Reads results folders, see `read_run`. A folder of jobs (``hydra/launcher=submitit_*``) gives a run for each."""
    runs = []
    for folder in map(Path, folders):
        jobs = []
        if folder.is_dir() and not record_files(folder):
            jobs = [job for job in folder.iterdir() if JOB_FOLDER.fullmatch(job.name) and record_files(job)]
        runs += [read_run(job) for job in sorted(jobs, key=lambda job: int(job.name)) or [folder]]
    return runs
