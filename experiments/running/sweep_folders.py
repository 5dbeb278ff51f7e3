"""The numbered folders of a sweep: each holds what its job alone would have written, whatever lay there before.

A point's number moves when its sweep grows. Its records and label maps follow it. Those of points that the sweep has no
longer wait in the folder `EARLIER` for a sweep that has them again.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Collection, Iterable, Sequence
from contextlib import ExitStack
from itertools import product
from pathlib import Path
from typing import Any

from eval.files import write_text, writing
from eval.records import RecordFile
from eval.row_progress import Job, label_path
from eval.rows import Row

RECORDS, LABELS, PROVENANCE, EARLIER = "records.jsonl", "labels", "provenance.json", "earlier"
Occupant = tuple[Job, Sequence[Row]]
"""What is to fill a folder, with its rows as the tables take them."""


def settle(occupants: Sequence[Occupant], sweep: Path) -> list[set[Path]]:
    """Fills the folders of a launch with the records and label maps of their own points, and empties them of others.

    Interrupted, it has lost nothing: what moves is on the disk in its new place before it leaves the old one.

    Args:
        occupants: the jobs of the launch, whose folders are open.
        sweep: the folder that holds theirs.

    Returns:
        For each the folders, resolved, from which records came that it has now, its own among them.

    Raises:
        RecordError, WriteError: see `RecordFile`.
    """
    origins: list[set[Path]] = [set() for _ in occupants]
    own = {job.records.path.parent.resolve(): job.records for job, _ in occupants}
    for folder in sorted(path.parent for path in sweep.resolve().glob(f"*/{RECORDS}")):
        if not folder.name.isdecimal() and folder.name != EARLIER:
            continue
        with ExitStack() as stack:
            source = own.get(folder) or stack.enter_context(RecordFile(folder / RECORDS))
            for (job, rows), came in zip(occupants, origins, strict=True):
                if any([_take_over(job, row, source, folder / LABELS) for row in rows]):
                    came.add(folder)
    earlier = sweep / EARLIER
    records = {(each.key, image) for job, rows in occupants for each in rows for image in _ids(job)}
    kept = {path for job, rows in occupants for path in _kept(job.labels, job, rows) if path.is_file()}
    held = {(path.parent.name, path.name) for path in kept}
    for job, rows in occupants:
        _put_records_away(job, rows, records, earlier / RECORDS)
        for path in set(job.labels.glob("*/*.png")) - kept:
            _put_away(path, earlier / LABELS, held)
    return origins


def recorded_with(folders: Iterable[Path]) -> list[dict[str, Any]]:
    """What those worked with that recorded into these folders, each set of facts once."""
    paths = [folder / PROVENANCE for folder in sorted(folders)]
    found = [each for path in paths if path.is_file() for each in json.loads(path.read_text(encoding="utf-8"))]
    return [each for number, each in enumerate(found) if each not in found[:number]]


def _take_over(job: Job, row: Row, source: RecordFile, labels: Path) -> bool:
    """Records and label maps of a row that the job wants and has not. Returns whether the source has some."""
    images = source.images(row.key) & set(_ids(job))
    if images and source is not job.records:
        job.records.adopt(source, row.key, images)
        _copy(zip(_kept(labels, job, [row]), _kept(job.labels, job, [row]), strict=True))
    return bool(images)


def _copy(pairs: Iterable[tuple[Path, Path]]) -> None:
    """Copies the files that are there and whose copies are not."""
    for source, target in pairs:
        if source.is_file() and not target.exists():
            with writing(target):
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, partial := target.with_name(f".{target.name}.tmp"))
                partial.replace(target)


def _put_records_away(job: Job, rows: Sequence[Row], held: Collection[tuple[str, str]], earlier: Path) -> None:
    """Moves records that are not the job's own; those ``held`` by a job, by key and image, need no other place."""
    own, ids = {each.key for each in rows}, set(_ids(job))
    here = {(key, image) for key in job.records.rows for image in job.records.images(key)}
    if left := here - set(held):
        facts = recorded_with([earlier.parent, job.records.path.parent])
        with RecordFile(earlier) as file:
            write_text(earlier.parent / PROVENANCE, json.dumps(facts, indent=2) + "\n")
            for key, settings in job.records.rows.items():
                if images := {image for other, image in left if other == key}:
                    file.declare(settings)
                    file.adopt(job.records, key, images)
    if not own >= job.records.rows.keys() or any(image not in ids for _, image in here):
        job.records.keep(own, ids)


def _put_away(path: Path, labels: Path, held: Collection[tuple[str, str]]) -> None:
    """Moves a label map, or deletes it where a job holds the same."""
    target = labels / path.parent.name / path.name
    with writing(target):
        if (path.parent.name, path.name) in held:
            path.unlink()
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            path.replace(target)
        if not any(path.parent.iterdir()):
            path.parent.rmdir()


def _ids(job: Job) -> Sequence[str]:
    """The pictures of a job: its rows share a data set."""
    return job.rows[0].config.dataset.ids


def _kept(labels: Path, job: Job, rows: Sequence[Row]) -> list[Path]:
    """Where label maps of these rows are kept in a folder, there or not."""
    return [label_path(labels, each.name, each.key, id) for each, id in product(rows, _ids(job)[: job.panels])]
