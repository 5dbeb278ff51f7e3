"""Results folders of any rows with random label maps, written and read as those of a real run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from eval.protocols import PROTOCOLS
from eval.records import Record, SparseTable
from eval.row import Row
from eval.runs import Run, read_run
from eval.settings import row_key
from eval.storage.commands import Command, add_command
from eval.storage.record_files import open_records, pictures_key

CLASSES = ("sky", "person", "boat")
PICTURES = ("a", "b", "c", "d")
SIDE = 16
SCORED = {"size": SIDE, "frame": "square"}


def made_run(
    folder: Path,
    *rows: Mapping[str, Any],
    pictures: Sequence[str] = PICTURES,
    failed: Sequence[str] = (),
    dataset: Mapping[str, Any] | None = None,
    protocols: Sequence[str] = PROTOCOLS,
    seed: int = 0,
    labels: bool = False,
    experiment: str = "made",
    **command: Any,
) -> Run:
    """Writes a run and reads it.

    Args:
        folder: the results folder.
        rows: settings by their dotted names, such as ``{"name": "DiffSeg", "segmenter.tau": 0.3}``.
        pictures, failed: ids of all pictures, and of those that fail in every row.
        dataset: settings of the data set, besides name and fingerprint.
        protocols: protocols of every row.
        seed: seed of the label maps.
        labels: keep the label maps.
        experiment: name of the experiment.
        command: further attributes of `eval.storage.commands.Command`.
    """
    data = {"name": "photos", "label_source": "", "fingerprint": "f", "background": None, **(dataset or {})}
    entries = []
    with open_records(folder) as writer:
        for number, given in enumerate(rows):
            line = _line(given, data, experiment)
            writer.declare(line, pictures)
            for place, id in enumerate(pictures):
                random = np.random.default_rng([seed, number, place])
                record, map_ = _record(line.key, id, random, place)
                writer.append(Record(line.key, id, "failed", "torn") if id in failed else record)
                if labels and id not in failed:
                    path = folder / "labels" / line.key / f"{id}.png"
                    path.parent.mkdir(parents=True, exist_ok=True)
                    Image.fromarray(map_.astype(np.uint8)).save(path)
            facts = {"note": None, "published": given.get("published"), "official_count": given.get("official_count")}
            shared = {"dataset": 0, "pictures": {"key": pictures_key(pictures), "count": len(pictures)}}
            entries.append({"key": line.key, "name": line.name, "protocols": list(protocols), **facts, **shared})
    add_command(folder, Command(["made"], entries, [{"name": data["name"]}], **command))
    return read_run(folder)


def _line(given: Mapping[str, Any], dataset: Mapping[str, Any], experiment: str) -> Row:
    settings: dict[str, Any] = {
        "experiment": experiment,
        "dataset": dict(dataset),
        "backbone": {"name": "dinov2_small", "size": 448},
        "aggregation": {"scheme": "official", "weights": "proportional"},
        "segmenter": {"name": "diffseg"},
        "scoring": dict(SCORED),
    }
    for name, value in given.items():
        group, _, key = name.partition(".")
        if key:
            settings[group][key] = value
    code = str(given.get("segmenter.code", ""))
    return Row(row_key(settings), str(given.get("name", "DiffSeg")), settings, CLASSES, code=code)


def truth_of(place: int) -> np.ndarray:
    """Class of each pixel of the picture at a place: the first has all but ``boat``, the others ``sky`` alone."""
    truth = np.zeros((SIDE, SIDE), np.int64)
    if place < 2:
        truth[:, SIDE // 2 :] = 1
    return truth


def _record(key: str, id: str, random: np.random.Generator, place: int) -> tuple[Record, np.ndarray]:
    truth = truth_of(place)
    segments = np.where(
        random.random(truth.shape) < random.uniform(0.3, 0.9), truth, random.integers(0, 4, truth.shape)
    )
    table = SparseTable.count(segments, truth, len(CLASSES))
    seconds = {"attention": 1.0, "segment": 0.5}
    record = Record(
        key,
        id,
        stored_tables={"classes": table.to_json()},
        segments=table.segments,
        device="cpu",
        dtype="float32",
        seconds=seconds,
    )
    return record, segments


def grid(**values: Sequence[Any]) -> list[dict[str, Any]]:
    """All combinations; ``segmenter__tau`` stands for ``segmenter.tau``."""
    names = [name.replace("__", ".") for name in values]
    return [dict(zip(names, combination, strict=True)) for combination in product(*values.values())]
