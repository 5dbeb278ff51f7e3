"""The results of a run, from which its tables are made. They come from a run that has just ended, or from its folder.

Reading a folder needs neither backbone nor torch, so tables and protocols can be changed without another pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from datasets.base import Dataset, DatasetError
from eval.config import ConfigError, Scoring, build
from eval.protocols import ProtocolName
from eval.results.reading import home_of
from eval.results.row_results import RowResults
from eval.rows import Row
from eval.storage.records import RecordFile

RECORDS, LABELS, CONFIG = "records.jsonl", "labels", "config.yaml"
RESOLVED = "resolved"
"""Key of ``config.yaml`` for the rows with all their settings, as returned by `resolved_row`."""


@dataclass(frozen=True)
class RunResults:
    """The rows of a run with their records, and the options of its tables.

    Attributes:
        rows: in the order of the tables.
        classes: names; the position is the label.
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


def resolved_row(row: Row) -> dict[str, Any]:
    """A row in the form of ``config.yaml``."""
    return {
        "name": row.name,
        "key": row.key,
        "published": row.published and dict(row.published),
        "note": row.note,
        "settings": dict(row.settings),
    }


def read_config(folder: Path) -> tuple[DictConfig, list[Row]]:
    """Reads the configuration and the rows of a run from its ``config.yaml``.

    Raises:
        ConfigError: the file is missing, damaged, or from another version of this project.
    """
    path = folder / CONFIG
    try:
        config = OmegaConf.load(path)
        plain = cast(Any, OmegaConf.to_container(config, resolve=True))
        return cast(DictConfig, config), [Row(**each) for each in plain[RESOLVED]]
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from error
    except (YAMLError, OmegaConfBaseException, UnicodeDecodeError, LookupError, TypeError) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"{path}: damaged, or written by another version of this project ({reason})") from error


def read_run_results(folder: Path) -> RunResults:
    """Reads the results of a run or job from its ``config.yaml`` and the records.

    Args:
        folder: of the tables. The records of a job are in the folder of its sweep.

    Raises:
        ConfigError: the folder is not a results folder, see `read_config`.
        RecordError: the records are damaged, or from an older version.
    """
    config, rows = read_config(folder)
    try:
        records = RecordFile.read(home_of(folder) / RECORDS)
    except OSError as error:
        raise ConfigError(f"{folder}: has no records that can be read ({error})") from error
    dataset: Dataset = build(config.dataset, "dataset")
    scoring: Scoring = build(config.protocol, "protocol")
    ids = _ids(dataset, {image for row in rows for image in records.images(row.key)})
    return RunResults(
        [RowResults(row, records.records(row.key, ids)) for row in rows],
        dataset.classes,
        scoring.report,
        dataset.official_count,
        config.published,
        config.audit,
    )


def _ids(dataset: Dataset, recorded: set[str]) -> Sequence[str]:
    """Ids of a run's pictures in order: those of its data set, or the recorded ones if the data set is not here."""
    try:
        dataset.check()
        return dataset.ids
    except DatasetError:
        return sorted(recorded)[: getattr(dataset, "limit", None)]
