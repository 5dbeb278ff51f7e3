"""Reads and writes the ``config.yaml`` of a run or job: its configuration, and its rows with all their settings."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from diffseg.texts import on_one_line
from eval.config import ConfigError
from eval.results.row_results import RowResults
from eval.storage.files import write_text
from eval.storage.layout import CONFIG
from eval.storage.written import WrittenFiles

RESOLVED = "resolved"
"""Key of the rows in ``config.yaml``."""


def write_config(folder: Path, config: DictConfig, overrides: Sequence[str], rows: Sequence[RowResults]) -> None:
    """Writes ``config.yaml``, without ``results_dir``. If the configuration has changed, deletes the old tables.

    Args:
        folder: folder of the tables.
        config: the composed configuration.
        overrides: overrides on the command line, without the results folder.
        rows: the rows, in the order of the tables.

    Raises:
        WriteError: a file could not be written or deleted.
    """
    given = OmegaConf.to_container(config, resolve=True)
    assert isinstance(given, dict)
    del given["results_dir"]
    given["overrides"] = list(overrides)
    given[RESOLVED] = [
        {
            "name": row.name,
            "key": row.key,
            "published": row.published and dict(row.published),
            "note": row.note,
            "settings": dict(row.settings),
        }
        for row in rows
    ]
    plain = json.loads(json.dumps(given))  # tuples become lists
    text, path = OmegaConf.to_yaml(OmegaConf.create(plain)), folder / CONFIG
    if path.is_file() and path.read_text(encoding="utf-8") != text:
        WrittenFiles(folder).delete()
    write_text(path, text)


def read_config(folder: Path) -> tuple[DictConfig, list[RowResults]]:
    """Reads the configuration and the rows of a run, without their records.

    Raises:
        ConfigError: the file is missing, damaged, or from another version of this project.
    """
    path = folder / CONFIG
    try:
        config = OmegaConf.load(path)
        plain = cast(Any, OmegaConf.to_container(config, resolve=True))
        return cast(DictConfig, config), [RowResults(**each) for each in plain[RESOLVED]]
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from error
    except (YAMLError, OmegaConfBaseException, UnicodeDecodeError, LookupError, TypeError) as error:
        reason = on_one_line(error)
        raise ConfigError(f"{path}: damaged, or written by another version of this project ({reason})") from error
