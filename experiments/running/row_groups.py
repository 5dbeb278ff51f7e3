"""Finds the groups that the rows of an experiment choose, before Hydra composes the configuration.

Hydra first composes a configuration without rows. It refuses a key that only the parts of rows have, such as
``segmenter.eps`` in ``experiment=demo``. With ``++`` before the key, it passes the key on to the rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import yaml
from hydra.core.override_parser.types import Override, OverrideType


def pass_on_to_rows(overrides: Sequence[Override], folders: Sequence[Path]) -> list[str]:
    """The overrides as arguments, with ``++`` before the keys of groups that rows choose.

    Args:
        overrides: overrides on the command line.
        folders: folders of the groups; the first that has the experiment counts.
    """
    chosen = {"aggregation", "segmenter"}  # their YAML leaves out the keys whose value is the default of the class
    chosen |= {group for rows in _rows(overrides, folders) for group in _groups(rows)}
    return [
        f"++{each.input_line}"
        if each.type == OverrideType.CHANGE and "." in each.key_or_group and each.key_or_group.split(".")[0] in chosen
        else str(each.input_line)
        for each in overrides
    ]


def _rows(overrides: Iterable[Override], folders: Sequence[Path]) -> Iterable[Any]:
    """The values of ``rows`` that the overrides set, or that the YAML files of the chosen experiments set."""
    for each in overrides:
        if each.key_or_group == "rows" and not each.is_delete():
            yield each.value()
        elif each.key_or_group == "experiment" and not each.is_delete():
            for name in each.sweep_iterator() if each.is_sweep_override() else [each.value()]:
                yield _rows_of_file(str(name), folders)


def _rows_of_file(experiment: str, folders: Sequence[Path]) -> Any:
    for path in (folder / "experiment" / f"{experiment}.yaml" for folder in folders):
        if path.is_file():
            try:
                content = yaml.safe_load(path.read_text(encoding="utf-8"))
            except (OSError, UnicodeDecodeError, yaml.YAMLError):
                return None  # Hydra reads the file, too, and reports the error
            return content.get("rows") if isinstance(content, dict) else None
    return None


def _groups(rows: Any) -> set[str]:
    """The groups that rows choose; empty if the rows are malformed, which `experiments.running.rows` reports."""
    overrides = [row.get("overrides") for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
    keys = [str(each).partition("=")[0] for of_row in overrides if isinstance(of_row, list) for each in of_row]
    return {key for key in keys if "." not in key}
