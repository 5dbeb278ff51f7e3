"""The results from which a run's tables are made: of a run that has just ended, or read from its folder.

Reading a folder needs neither backbone nor torch, so tables and protocols can be changed without another pass.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from omegaconf import DictConfig

from datasets.base import Dataset, DatasetError
from eval.config import ConfigError, ProtocolSettings, build
from eval.protocols import ProtocolName
from eval.results.row_results import RowResults
from eval.results.run_config import read_config
from eval.storage.layout import RECORDS, records_folder
from eval.storage.records import RecordFile


@dataclass(frozen=True)
class RunResults:
    """The rows of a run with their records, and the options of its tables.

    Attributes:
        rows: the rows, in the order of the tables.
        classes: class names; the position is the label.
        protocols: scores to report.
        official_count: number of pictures in the published evaluation; None if the data set has none.
        published: CSV of published numbers, see `eval.config.RunConfig`.
        audit: see `eval.config.RunConfig`.
    """

    rows: Sequence[RowResults]
    classes: Sequence[str]
    protocols: Sequence[ProtocolName]
    official_count: int | None = None
    published: str | None = None
    audit: bool = False

    @classmethod
    def of(
        cls,
        rows: Iterable[RowResults],
        records: RecordFile,
        ids: Sequence[str],
        dataset: Dataset,
        protocol: ProtocolSettings,
        config: DictConfig,
    ) -> RunResults:
        """Joins rows with their records.

        Args:
            rows: the rows, without records.
            records: records of the run, or of its sweep.
            ids: ids of the pictures, in order.
            dataset, protocol: data set and protocol of all rows.
            config: configuration of the run.
        """
        return cls(
            [replace(row, records=records.records(row.key, ids)) for row in rows],
            dataset.classes,
            protocol.report,
            dataset.official_count,
            config.published,
            config.audit,
        )


def read_run_results(folder: Path) -> RunResults:
    """Reads the results of a run or job from its ``config.yaml`` and the records.

    Args:
        folder: folder of the tables. The records of a job are in the folder of its sweep.

    Raises:
        ConfigError: the folder is not a results folder, see `eval.results.run_config.read_config`.
        RecordError: the records are damaged, or from an older version.
    """
    config, rows = read_config(folder)
    try:
        records = RecordFile.read(records_folder(folder) / RECORDS)
    except OSError as error:
        raise ConfigError(f"{folder}: has no records that can be read ({error})") from error
    dataset: Dataset = build(config.dataset, "dataset")
    protocol: ProtocolSettings = build(config.protocol, "protocol")
    ids = _ids(dataset, {id for row in rows for id in records.images(row.key)})
    return RunResults.of(rows, records, ids, dataset, protocol, config)


def _ids(dataset: Dataset, recorded: set[str]) -> Sequence[str]:
    """Ids of a run's pictures in order: those of its data set, or the recorded ones if the data set is not here."""
    try:
        dataset.check()
        return dataset.ids
    except DatasetError:
        return sorted(recorded)[: getattr(dataset, "limit", None)]
