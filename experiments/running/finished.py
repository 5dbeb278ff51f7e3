"""Works on finished results: ``--tables`` makes their tables again, ``--rescore`` compares their label maps again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

from datasets.base import Dataset, DatasetError
from eval.config import ConfigError, ProtocolSettings, Scoring, build
from eval.label_maps import LabelMapError
from eval.progress import Progress
from eval.protocols import INSTANCES, ProtocolName, truths_of
from eval.records import Record, merged_record
from eval.runs import Row, Run, add_rescored, read_run
from eval.truth import compare_kept, truth_of
from experiments.running.arguments import Arguments, key_of
from experiments.running.compose import select_protocol
from experiments.running.reporting import remarks, retabulate, write_report

TABLE_KEYS = ("protocol", "older")
"""Keys that ``--tables`` and ``--rescore`` take."""


def tables_of_finished(arguments: Arguments) -> str:
    """Runs ``--tables DIR`` or ``--rescore DIR``. Returns the tables as text.

    Raises:
        ConfigError: an argument does not fit, or a folder cannot be used.
    """
    folder = arguments.tables or arguments.rescore
    option = "--tables" if arguments.tables else "--rescore"
    assert folder is not None
    wrong = [each for each in arguments.overrides if key_of(each).partition(".")[0] not in TABLE_KEYS]
    if wrong or arguments.hydra or arguments.swept:
        given = [*wrong, *arguments.hydra, *["-m"] * arguments.swept]
        raise ConfigError(f"{option}: takes a results folder, protocol=... and older=true; leave out {' '.join(given)}")
    protocol = _protocol(arguments)
    if arguments.rescore:
        text = rescore(folder, protocol)
    else:
        older = any(each == "older=true" for each in arguments.overrides)
        text = retabulate(folder, protocol.report if protocol else None, older, protocol.scale if protocol else None)
        text = "\n".join([text, *_changed_datasets(read_run(folder))])
    if arguments.coco:
        from experiments.running.coco import write_coco_files

        text += "\n" + write_coco_files(read_run(folder), arguments.coco)
    return text


def _protocol(arguments: Arguments) -> ProtocolSettings | None:
    """The protocol that the user typed; None: those of the commands."""
    typed = [each for each in arguments.overrides if key_of(each).partition(".")[0] == "protocol"]
    return select_protocol(replace(arguments, overrides=typed)) if typed else None


def _changed_datasets(run: Run) -> list[str]:
    """A line for each data set that is no longer what the rows saw. A data set that is not here is left out."""
    lines = {}
    for row in run.rows:
        try:
            dataset = cast(Dataset, build(row.dataset, "dataset"))
            changed = dataset.fingerprint != row.settings["dataset"]["fingerprint"]
        except (ConfigError, DatasetError, OSError, ValueError):
            continue
        if changed:
            lines[row.dataset_name] = (
                f"{row.dataset_name}: its pictures or classes have changed; the tables show those that were evaluated"
            )
    return list(lines.values())


@dataclass(frozen=True)
class _Plan:
    """A row to rescore: its pixels, and the protocols of its new tables."""

    row: Row
    dataset: Dataset
    protocols: tuple[ProtocolName, ...]

    @property
    def records(self) -> list[Record]:
        """Records of its pictures with a result, of whatever truth."""
        return [record for record in self.row.records if record.ok]

    @property
    def scoring(self) -> Scoring:
        """The pixels of its label maps."""
        return Scoring(**{"components": False, **self.row.settings["scoring"]})

    @property
    def kinds(self) -> frozenset[str]:
        """The truths that its protocols need."""
        return truths_of(self.protocols)


def rescore(folder: Path, protocol: ProtocolSettings | None) -> str:
    """Compares the kept label maps of all rows with today's truth, and writes new records and all tables.

    Neither a network nor a segmenter runs. Nothing is written if a map is missing or does not fit.

    Args:
        folder: results folder.
        protocol: protocols of the tables; None: those of the commands.

    Returns:
        The tables as text.

    Raises:
        ConfigError: maps are missing, or have another size than the truth, or the truth has changed.
        DatasetError: the data are missing.
    """
    run = read_run(folder)
    plans = _plans(run, protocol)
    new: list[Record] = []
    with Progress(f"{folder}, rescoring", sum(len(plan.records) for plan in plans), unit="map") as bar:
        for dataset in {id(plan.dataset): plan.dataset for plan in plans}.values():
            new += _rescored(run, [plan for plan in plans if plan.dataset is dataset], bar)
    add_rescored(folder, new, {plan.row.key: plan.protocols for plan in plans})
    run = read_run(folder)
    scale = protocol.scale if protocol else None
    return "\n".join([write_report(run, scale=scale), *remarks(run, run.rows)])


def _plans(run: Run, protocol: ProtocolSettings | None) -> list[_Plan]:
    """The rows to rescore. Checks everything that can be known before a picture is read."""
    datasets: dict[str, Dataset] = {}
    plans = []
    for row in run.rows:
        node = repr(row.dataset)
        if node not in datasets:
            datasets[node] = cast(Dataset, build(row.dataset, "dataset"))
            datasets[node].check()
        dataset = datasets[node]
        if dataset.fingerprint != row.settings["dataset"]["fingerprint"]:
            raise ConfigError(
                f"--rescore: {dataset.name}: its pictures or classes have changed since {row.name} was evaluated"
            )
        names = protocol.reported(dataset) if protocol else tuple(row.protocols)
        plan = _Plan(row, dataset, names)
        if protocol:
            wanted = protocol.scoring(dataset, plan.scoring.size or 0)
            asked = protocol.frame or protocol.size or INSTANCES in names
            if asked and (wanted.frame, wanted.size) != (plan.scoring.frame, plan.scoring.size):
                raise ConfigError(
                    f"--rescore: the label maps of {row.name} show the frame {plan.scoring.frame} at "
                    f"{plan.scoring.size or 'their own'} pixels; evaluate the row again for another frame or size"
                )
        missing = [record.picture for record in plan.records if not run.label_path(row.key, record.picture).is_file()]
        if missing:
            raise ConfigError(
                f"--rescore: {len(missing)} label maps of {row.name} are missing, such as {missing[0]}; type the "
                "command again with labels=all"
            )
        plans.append(plan)
    return plans


def _rescored(run: Run, plans: Sequence[_Plan], bar: Progress) -> list[Record]:
    """New records of the rows of one data set."""
    new = []
    records = {plan.row.key: {record.picture: record for record in plan.records} for plan in plans}
    kinds: dict[Scoring, frozenset[str]] = {}
    for plan in plans:
        kinds[plan.scoring] = kinds.get(plan.scoring, frozenset()) | plan.kinds
    dataset = plans[0].dataset
    for id in dict.fromkeys(id for known in records.values() for id in known):
        picture = dataset.load(id)
        truths = {scoring: truth_of(picture, scoring, needed, dataset) for scoring, needed in kinds.items()}
        stamp = dataset.state(id)
        for plan in plans:
            record = records[plan.row.key].get(id)
            if record is None:
                continue
            if record.stamp != stamp and not record.stamp.startswith(f"{stamp} "):  # a map's own stamp follows
                raise ConfigError(f"--rescore: {id}: its files have changed since {plan.row.name} was evaluated")
            path = run.label_path(plan.row.key, id)
            try:
                tables, counts = compare_kept(path, record.segments, truths[plan.scoring], plan.scoring.components)
            except LabelMapError as error:
                advice = f"delete {path}, and type the command again with labels=all"
                raise ConfigError(f"--rescore: {error}; {advice}") from None
            new.append(merged_record(record, tables, counts))
            bar.advance("")
    return new
