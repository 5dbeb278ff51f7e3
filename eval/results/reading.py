"""Reads the CSVs of a run, of all jobs of a sweep, or of several such folders into three tables.

Plots, notebooks and reports use only these tables. Imports no torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from eval.results.columns import CONFUSION, setting_names
from eval.results.sweep import read_jobs
from eval.storage.layout import AUDIT_CSV, CONFUSION_CSV, PER_CLASS_CSV, PER_IMAGE_CSV, SUMMARY_CSV

NEWEST = {SUMMARY_CSV: ["number"], PER_CLASS_CSV: ["number"], PER_IMAGE_CSV: ["number", "tp"]}
"""File -> columns that older versions did not write."""
TEXT = ("row", "protocol", "class", "image", "status", "reason", "method", "choice")


class ResultsError(ValueError):
    """Results cannot be read or compared. The message is one line that names them and says what to do."""

    def _render_traceback_(self) -> list[str]:
        """Shows one line instead of a traceback in notebooks. IPython calls this method."""
        return [f"error: {self}"]


@dataclass(frozen=True)
class Results:
    """Results of one or several runs.

    Every table begins with these columns:

    - ``job``: subfolder of a sweep, or "" for a single run; after the folder if several folders were given.
    - ``setting``: identifies a row of `summary` (together with the protocol). For a single run it is ``row``; for a
      sweep it lists the values that vary, such as ``tau=0.3, anchors=8``, after the method if there are several.
    - ``name``: name of the method.
    - ``row``: name of the row, with the settings that tell it from other rows of its name in the job.
    - the parameters (`eval.results.columns.setting_columns`), text in the notation of the command line; "" if one does
      not apply.

    Attributes:
        summary: columns of ``summary.csv``.
        per_class: columns of ``per_class.csv``.
        per_image: columns of ``per_image.csv``.
        audit: ``job`` and the columns of ``audit.csv``; empty if no run was an audit.
        folders: job -> its folder.
        unfinished: subfolders of a sweep without tables. The tables above do not include them.
    """

    summary: pd.DataFrame
    per_class: pd.DataFrame
    per_image: pd.DataFrame
    audit: pd.DataFrame
    folders: Mapping[str, Path]
    unfinished: tuple[Path, ...]


def read_results(*folders: str | Path) -> Results:
    """Reads results folders.

    Args:
        folders: each with the CSVs of a run, or with the numbered folders of a sweep's jobs.

    Raises:
        ResultsError: a folder contains neither, or its tables do not belong together.
    """
    jobs, unfinished = _find_jobs([Path(folder) for folder in folders])
    summaries, *others = zip(*(_read_job(job, path) for job, path in jobs.items()), strict=True)
    summary = pd.concat(summaries, ignore_index=True)
    parameters = setting_names(summary)
    summary[parameters] = summary[parameters].fillna("")  # the jobs of a sweep may have different segmenters
    if len(folders) == 1:
        summary = _without_repeats(summary)
    summary["setting"] = _settings(summary)
    summary = _with_common_protocols(summary, ", ".join(map(str, folders)))
    per_class, per_image = (_joined(pd.concat(frames, ignore_index=True), summary) for frames in others)
    audits = [_read(path / AUDIT_CSV, job) for job, path in jobs.items() if (path / AUDIT_CSV).is_file()]
    audit = pd.concat(audits, ignore_index=True) if audits else pd.DataFrame()
    return Results(_in_order(summary), per_class, per_image, audit, jobs, unfinished)


def _find_jobs(folders: Sequence[Path]) -> tuple[dict[str, Path], tuple[Path, ...]]:
    """The finished jobs of all folders, as in `Results.folders`, and the folders of unfinished jobs."""
    finished: dict[str, Path] = {}
    unfinished: list[Path] = []
    for folder in folders:
        found = dict(read_jobs(folder))
        done = {job: path for job, path in found.items() if (path / SUMMARY_CSV).is_file()}
        if not done:
            raise ResultsError(
                f"{folder}: no {SUMMARY_CSV} in this folder or in a numbered folder inside it; give the results_dir of "
                "a finished run or sweep"
            )
        unfinished += [path for job, path in found.items() if job not in done]
        finished |= done if len(folders) == 1 else {f"{folder}/{job}".rstrip("/"): path for job, path in done.items()}
    return finished, tuple(unfinished)


def _without_repeats(summary: pd.DataFrame) -> pd.DataFrame:
    """Drops rows that an earlier job of the sweep also has: a sweep over tau repeats the baselines."""
    compared = [name for name in summary if name not in ("job", "number", "seconds_per_image")]
    return summary[~summary.duplicated(compared)]


def _with_common_protocols(summary: pd.DataFrame, folders: str) -> pd.DataFrame:
    """The lines of the protocols that all settings have. ``folders``: names of the folders, for the message."""
    common = set.intersection(*summary.groupby("setting")["protocol"].agg(set))
    if not common:
        raise ResultsError(f"{folders}: the settings have no protocol in common; plot them separately")
    return summary[summary["protocol"].isin(common)]


def read_confusion(results: Results, setting: str) -> pd.DataFrame:
    """Reads the lines of ``confusion.csv`` of one setting.

    Args:
        results: results that contain the setting.
        setting: a setting in `Results.summary`.

    Returns:
        Columns `eval.results.columns.CONFUSION`; ``matched_id`` is NaN for segments without a class. Empty without the
        file.

    Raises:
        ResultsError: the file cannot be read.
    """
    row = results.summary[results.summary["setting"] == setting].iloc[0]
    path = results.folders[row["job"]] / CONFUSION_CSV
    if not path.is_file():
        return pd.DataFrame(columns=CONFUSION)
    try:
        texts = {"row": str, "class": str, "matched": str}
        table = pd.read_csv(path, dtype=texts, keep_default_na=False, na_values={"matched_id": [""]})
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from None
    return table[table["number"] == row["number"]]


def swept(summary: pd.DataFrame) -> list[str]:
    """Parameters that vary independently: they have several values while all earlier swept parameters are fixed.

    ``timestep`` and ``tau`` are examples. ``sides`` follow from ``size``, and ``clusters`` from the segmenter, so these
    do not count.
    """
    varying: list[str] = []
    for column in [name for name in setting_names(summary) if name != "experiment"]:  # the experiment is only a name
        applies = summary[summary[column] != ""]
        groups = [list(applies[name]) for name in varying]
        kinds = applies[column].groupby(groups).nunique() if groups else applies[[column]].nunique()
        if (kinds > 1).any():
            varying.append(column)
    return varying


def _read_job(job: str, folder: Path) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Reads the three tables of a run.

    A run may have a row twice, such as an audit that varies a setting to its default: the summary keeps the first.
    """
    summary, *others = (_read(folder / name, job) for name in (SUMMARY_CSV, PER_CLASS_CSV, PER_IMAGE_CSV))
    for name, frame in zip((PER_CLASS_CSV, PER_IMAGE_CSV), others, strict=True):
        if not _belongs(frame, summary):
            raise ResultsError(f"{folder}/{name}: does not belong to the {SUMMARY_CSV} beside it; run again")
    summary = summary.rename(columns={"row": "name"})
    repeated = summary.duplicated(summary.columns.drop("number"))
    summary["row"] = summary["number"].map(others[0].groupby("number")["row"].first())
    return summary[~repeated], others[0], others[1]


def _belongs(frame: pd.DataFrame, summary: pd.DataFrame) -> bool:
    """True if a table has rows and protocols of a summary, and equally many lines for each protocol of a row."""
    lines = frame.groupby(["number", "protocol"]).size().unstack()
    known = set(lines.columns) == set(summary["protocol"]) and lines.index.isin(summary["number"]).all()
    return bool(known and (lines.nunique(axis=1, dropna=False) == 1).all())


def _joined(frame: pd.DataFrame, summary: pd.DataFrame) -> pd.DataFrame:
    """Adds the settings of the summary to the lines of a table; drops lines whose row is not in the summary."""
    place = ["job", "number", "protocol"]
    rows = summary[[*place, "setting", "name", *setting_names(summary)]]
    return _in_order(frame.merge(rows, on=place, how="inner", validate="many_to_one"))


def _in_order(frame: pd.DataFrame) -> pd.DataFrame:
    first = ["job", "setting", "name", "row", *setting_names(frame)]
    return frame[[*first, *(name for name in frame if name not in first)]]


def _read(path: Path, job: str) -> pd.DataFrame:
    try:
        columns = pd.read_csv(path, nrows=0)
        texts = [*TEXT, *(setting_names(columns) if path.name == SUMMARY_CSV else ())]
        frame = pd.read_csv(path, dtype=dict.fromkeys(texts, str), keep_default_na=False, na_values=[""])
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from None
    if frame.empty:
        raise ResultsError(f"{path}: has no rows; delete the folder and run again")
    if missing := [name for name in NEWEST.get(path.name, ()) if name not in frame]:
        raise ResultsError(
            f"{path}: has no column {missing[0]}, which older versions did not write; run the same command again: it "
            "rewrites the tables from the records"
        )
    texts = [name for name in texts if name in frame]
    frame[texts] = frame[texts].fillna("")
    frame.insert(0, "job", job)
    return frame


def _unreadable(path: Path, error: Exception) -> ResultsError:
    return ResultsError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error})")


def _settings(summary: pd.DataFrame) -> pd.Series:
    """The column ``setting`` of the summary, see `Results`."""
    several = summary["name"].nunique() > 1
    setting = summary["row"].copy()
    for name, namesakes in summary.groupby("name", sort=False):
        if namesakes["job"].nunique() == 1:
            continue  # the names of a run's rows already differ
        varying = swept(namesakes)
        for index, row in namesakes.iterrows():
            parts = [f"{column}={row[column]}" for column in varying if row[column]]
            # Settings without a column, such as protocol.size.
            shown_parts = row["row"].removeprefix(name).split(", ")[1:]
            parts += [part for part in shown_parts if part.split("=")[0] not in summary]
            setting[index] = ", ".join([name, *parts] if several or not parts else parts)
    # Equal settings remain if the data differ, or if one run is in two folders.
    number = summary.assign(setting=setting).groupby(["setting", "protocol"]).cumcount()
    return setting.where(number == 0, setting + " #" + (number + 1).astype(str))
