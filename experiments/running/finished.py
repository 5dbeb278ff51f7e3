"""Works on finished results: ``--tables`` makes their tables again, ``--rescore`` compares their label maps again.

``--coco FOLDER`` writes their label maps in COCO's form.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from datasets.base import Dataset, DatasetError
from diffseg.files.writing import distinct_names
from diffseg.result import write_coco
from eval.config import ConfigError, ProtocolSettings, Scoring, build
from eval.label_maps import LabelMapError
from eval.progress import Progress
from eval.protocols import INSTANCES, ProtocolName, matched_once, truths_of
from eval.records import Record, merged_record
from eval.results.names import telling_names
from eval.row import Row
from eval.run import grouped
from eval.runs import Run, add_rescored, dataset_of, read_run
from eval.storage.files import make_folder, writing
from eval.truth import compare_kept, truth_of
from experiments.running.arguments import Arguments, key_of, parse
from experiments.running.compose import select_protocol
from experiments.running.reporting import check_scale, remarks, write_report

NOT_IN_NAMES = '/\\:*?"<>|'


def tables_of_finished(arguments: Arguments) -> str:
    """Runs ``--tables DIR`` or ``--rescore DIR``. Returns the tables as text.

    Raises:
        ConfigError: an argument does not fit, or a folder cannot be used.
    """
    folder = arguments.tables or arguments.rescore
    option = "--tables" if arguments.tables else "--rescore"
    assert folder is not None
    typed = [override for override in arguments.overrides if key_of(override).partition(".")[0] == "protocol"]
    older = [override for override in arguments.overrides if arguments.tables and key_of(override) == "older"]
    wrong = [override for override in arguments.overrides if override not in (*typed, *older)]
    if wrong := [*wrong, *arguments.hydra, *["-m"] * arguments.swept]:
        takes = (
            "a results folder, protocol=... and older=true" if arguments.tables else "a results folder and protocol=..."
        )
        raise ConfigError(f"{option}: takes {takes}; leave out {' '.join(wrong)}")
    with_older = parse(older[-1], swept=False)[0].value if older else False
    if not isinstance(with_older, bool):
        raise ConfigError(f"older: must be true or false, got {with_older}")
    protocol = select_protocol(replace(arguments, overrides=typed)) if typed else None
    if arguments.rescore:
        rescore(folder, protocol)
    run = read_run(folder)
    rows = run.rows
    if with_older:
        every = [*run.rows, *run.older]
        rows = [replace(row, name=f"{row.name} ({row.code[:6]})") if row.code else row for row in every]
    if arguments.tables and protocol and protocol.report:
        rows = [_under(row, protocol.report, folder) for row in rows]
    scale = protocol.scale if protocol else None
    check_scale(scale, [row.settings for row in rows])
    lines = [write_report(run, rows, scale), *remarks(run, run.rows)]
    if arguments.tables:
        lines += _changed_datasets(run)
    if arguments.coco:
        lines += write_coco_files(run, arguments.coco)
    return "\n".join(lines)


def _under(row: Row, protocols: Sequence[ProtocolName], folder: Path) -> Row:
    """The row under other protocols. Raises ConfigError if its records do not serve them."""
    once = matched_once(protocols)
    if once and not row.settings["segmenter"].get("common_labels"):
        raise ConfigError(
            f"--tables: {once[0]} matches label numbers once for all images, but those of {row.name} have another "
            "meaning in each image"
        )
    asked = replace(row, protocols=[*protocols])
    if row.evaluated and not asked.evaluated:
        raise ConfigError(
            f"--tables: the records of {row.name} were not compared with the truth of {', '.join(protocols)}; "
            f"--rescore {folder} with the same arguments compares the kept label maps with it"
        )
    return asked


def _changed_datasets(run: Run) -> list[str]:
    """A line for each data set that is no longer what the rows saw. A data set that is not here is left out."""
    datasets = {repr(row.dataset): row for row in run.rows}
    lines: dict[str, None] = {}
    for row in datasets.values():
        try:
            fingerprint = build(row.dataset, "dataset").fingerprint
        except (ConfigError, DatasetError, OSError, ValueError):
            continue
        if fingerprint != row.settings["dataset"]["fingerprint"]:
            name = row.dataset_name
            lines[f"{name}: its pictures or classes have changed; the tables show those that were evaluated"] = None
    return list(lines)


@dataclass(frozen=True)
class _Plan:
    """A row to rescore.

    Attributes:
        row, dataset: the row and its data set.
        protocols: protocols of its new tables.
        records: picture -> its record with a result, of whatever truth.
        scoring: the pixels of its label maps.
    """

    row: Row
    dataset: Dataset
    protocols: tuple[ProtocolName, ...]
    records: Mapping[str, Record]
    scoring: Scoring


def rescore(folder: Path, protocol: ProtocolSettings | None) -> None:
    """Compares the kept label maps of all rows with today's truth, and writes new records.

    Neither a network nor a segmenter runs. Nothing is written if a map is missing or does not fit.

    Args:
        folder: results folder.
        protocol: protocols of the tables; None: those of the commands.

    Raises:
        ConfigError: maps are missing, or have another size than the truth, or the truth has changed.
        DatasetError: the data are missing.
    """
    run = read_run(folder)
    plans = []
    for rows in grouped(run.rows, lambda row: row.dataset):
        dataset = dataset_of(rows)
        plans.append([_plan(run, row, protocol, dataset) for row in rows])
    count = sum(len(plan.records) for of_dataset in plans for plan in of_dataset)
    with Progress(f"{folder}, rescoring", count, unit="map") as bar:
        new = [record for of_dataset in plans for record in _rescored(run, of_dataset, bar)]
    add_rescored(folder, new, {plan.row.key: plan.protocols for of_dataset in plans for plan in of_dataset})


def _plan(run: Run, row: Row, protocol: ProtocolSettings | None, dataset: Dataset) -> _Plan:
    """Plans the rescoring of a row. Checks everything that can be known before a picture is read."""
    scoring = Scoring(**{"components": False, **row.settings["scoring"]})
    protocols = protocol.reported(dataset) if protocol else tuple(row.protocols)
    if protocol and (protocol.frame or protocol.size or INSTANCES in protocols):
        asked = protocol.scoring(dataset, scoring.size or 0)
        if (asked.frame, asked.size) != (scoring.frame, scoring.size):
            raise ConfigError(
                f"--rescore: the label maps of {row.name} show the frame {scoring.frame} at "
                f"{scoring.size or 'their own'} pixels; evaluate the row again for another frame or size"
            )
    records = {record.picture: record for record in row.records if record.ok}
    missing = [id for id in records if not run.label_path(row.key, id).is_file()]
    if missing:
        raise ConfigError(
            f"--rescore: {len(missing)} label maps of {row.name} are missing, such as {missing[0]}; type the "
            "command again with labels=all"
        )
    return _Plan(row, dataset, protocols, records, scoring)


def _rescored(run: Run, plans: Sequence[_Plan], bar: Progress) -> Iterator[Record]:
    """New records of the rows of one data set."""
    kinds: dict[Scoring, frozenset[str]] = {}
    for plan in plans:
        kinds[plan.scoring] = kinds.get(plan.scoring, frozenset()) | truths_of(plan.protocols)
    dataset = plans[0].dataset
    for id in dict.fromkeys(id for plan in plans for id in plan.records):
        picture = dataset.load(id)
        truths = {scoring: truth_of(picture, scoring, needed, dataset) for scoring, needed in kinds.items()}
        stamp = dataset.state(id)
        for plan in plans:
            if id not in plan.records:
                continue
            record = plan.records[id]
            if record.stamp != stamp and not record.stamp.startswith(f"{stamp} "):  # a map's own stamp follows
                raise ConfigError(f"--rescore: {id}: its files have changed since {plan.row.name} was evaluated")
            path = run.label_path(plan.row.key, id)
            try:
                tables, counts = compare_kept(path, record.segments, truths[plan.scoring], plan.scoring.components)
            except LabelMapError as error:
                advice = f"delete {path}, and type the command again with labels=all"
                raise ConfigError(f"--rescore: {error}; {advice}") from None
            yield merged_record(record, tables, counts)
            bar.advance("")


def write_coco_files(run: Run, folder: Path) -> list[str]:
    """Writes ``FOLDER/ROW.json`` for each row.

    Args:
        run: the run with its label maps.
        folder: created if missing.

    Returns:
        A line for each file.

    Raises:
        ConfigError: a row has no label maps.
        WriteError: a file cannot be written.
    """
    make_folder(folder)
    names = ["".join("-" if letter in NOT_IN_NAMES else letter for letter in name) for name in telling_names(run.rows)]
    lines = []
    for name, row in zip(distinct_names(names), run.rows, strict=True):
        maps = [(record.picture, run.label_map(row, record.picture)) for record in row.evaluated]
        known = [(id, labels.astype(np.int64), None) for id, labels in maps if labels is not None]
        if not known:
            raise ConfigError(f"--coco: {row.name} has no label maps; type its command again with labels=all")
        path = folder / f"{name}.json"
        with writing(path):
            write_coco(path, known)
        missing = f", {len(maps) - len(known)} without a label map" if len(known) < len(maps) else ""
        lines.append(f"{path}: {len(known)} pictures{missing}")
    return lines
