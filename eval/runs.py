"""A run: a results folder with its rows and their records. Tables, plots, pages and trackers are made from runs.

Reading a run needs neither torch, nor the data set, nor the network. `Run.open` opens a folder for new records.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from datasets.base import Dataset, DatasetError
from eval.config import ConfigError, build
from eval.counts import ImageCounts
from eval.label_maps import read_label_map
from eval.protocols import ProtocolName
from eval.records import Record
from eval.row import Row
from eval.settings import of_method
from eval.storage.commands import OF_COMMAND, Command, add_command, add_protocols, check_folder, read_commands
from eval.storage.layout import CONFIG, JOB_FOLDER, LABELS
from eval.storage.record_files import OpenRecords, Records, open_records, record_files

if TYPE_CHECKING:
    import pandas as pd

    from eval.rows import RowConfig


class Run:
    """A results folder.

    Attributes:
        folder: the folder.
        commands: the commands that wrote into it, newest last.
        records: the records of all files.
        rows: the rows with the records that were there when the run was opened: those of the newest command first, each
            once.
        older: rows that differ from one of ``rows`` only in the code of a part.
        token: tells the folder from one that had its place before.
    """

    def __init__(self, folder: Path, commands: Sequence[Command], records: Records, token: str) -> None:
        self.folder, self.commands, self.records, self.token = folder, commands, records, token
        self.rows: list[Row] = []
        self.older: list[Row] = []
        known, methods = set[str](), set[str]()
        for command in reversed(commands):
            for entry in command.rows:
                if entry["key"] in known or entry["key"] not in records.rows:
                    continue
                known.add(entry["key"])
                row = self._row(command, entry)
                method = f"{sorted(of_method(row.settings).items())} {'' if row.code else row.name}"
                (self.older if row.code and method in methods else self.rows).append(row)
                methods.add(method)

    def _row(self, command: Command, entry: Mapping[str, Any]) -> Row:
        """The row as a command named it, with its records."""
        row, pictures = self.records.rows[entry["key"]], entry["pictures"]
        records = self.records.of(row.key, self.records.pictures.get(pictures["key"], ()))
        given = {name: entry[name] for name in OF_COMMAND}
        dataset = command.datasets[entry["dataset"]]
        return replace(row, **given, records=records, pictures=pictures["count"], dataset=dataset)

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


def dataset_of(rows: Sequence[Row]) -> Dataset:
    """The data set of rows that share its configuration.

    Raises:
        ConfigError: its configuration is wrong.
        DatasetError: its files are missing, or its pictures are not those that were evaluated.
    """
    dataset: Dataset = build(rows[0].dataset, "dataset")
    dataset.check()
    for row in rows:
        if row.settings["dataset"]["fingerprint"] != dataset.fingerprint:
            raise DatasetError(f"{dataset.name}: its pictures or classes have changed since {row.name} was evaluated")
    return dataset


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
