"""One run from checked rows to result files: records, tables, panels, and what they were made with."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from transformers.utils import logging as transformers_logging

from diffseg.backbones.device import pick_device
from eval.config import ConfigError, Row, build
from eval.files import write_text, writing
from eval.methods import Method, prepare
from eval.provenance import provenance
from eval.records import Record, RecordFile, differences
from eval.run import record_order, run
from eval.shards import Shard, join_shards
from eval.tables import Variant, write_tables
from eval.tracking import Tracker
from experiments.audit import write_audit
from experiments.panels import write_panels
from experiments.paper_table import write_paper_table
from experiments.published import published_score

logger = logging.getLogger(__name__)
RECORDS = "records.jsonl"


def run_rows(config: DictConfig, rows: Sequence[Row], folder: Path) -> int:
    """Evaluates the rows, writes the result files into ``folder`` and prints the table.

    Under torchrun each process evaluates its share of the pictures, and the first does the rest.

    Returns:
        Number of failures: pictures that could not be evaluated, once for each row.

    Raises:
        ConfigError, RecordError: see `eval.methods.prepare` and `eval.records.RecordFile`.
        WriteError: a result file could not be written; what was recorded before stays.
    """
    shard = join_shards()
    logging.basicConfig(format="%(message)s", level=logging.WARNING if shard.leads else logging.ERROR)
    transformers_logging.disable_progress_bar()  # a bar for loading weights says nothing that ours does not
    methods = [prepare(row) for row in rows]
    try:
        device = str(pick_device(shard.device(config.device)))
    except ValueError as error:
        raise ConfigError(str(error)) from None
    evaluate = partial(run, methods, labels=folder / "labels", device=device, panels=config.panels, shard=shard)
    if shard.leads:
        return shard.agree(_lead(config, methods, folder, shard, evaluate))
    shard.wait()  # until the first has opened the folder
    with RecordFile(folder / RECORDS, shard.index) as records:
        evaluate(records)
    shard.wait()
    return shard.agree(0)


def _lead(
    config: DictConfig, methods: Sequence[Method], folder: Path, shard: Shard, evaluate: Callable[[RecordFile], None]
) -> int:
    """What the first process does: its share, and all that is done once. Returns the number of failures."""
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with RecordFile(folder / RECORDS) as records:
        keys = [records.declare(method.settings) for method in methods]
        variants = [_variant(method, key) for method, key in zip(methods, keys, strict=True)]
        _tell_of_another_list(methods[0].row)
        _tell_of_others(records, methods, keys)
        _describe(config, methods, folder)
        kept = sum(len(records.records(key, method.row.dataset.ids)) for key, method in zip(keys, methods, strict=True))
        if kept:
            print(f"{records.path}: goes on from {kept} records", file=sys.stderr)
        shard.wait()
        evaluate(records)
        shard.wait()  # until the others have written theirs
        records.gather(record_order(methods))
        results = {key: records.records(key, method.row.dataset.ids) for key, method in zip(keys, methods, strict=True)}
        return _report(config, methods, variants, results, folder)


def _report(
    config: DictConfig,
    methods: Sequence[Method],
    variants: Sequence[Variant],
    results: Mapping[str, Sequence[Record]],
    folder: Path,
) -> int:
    """Writes tables and panels, prints the summary. Returns the number of failures."""
    row = methods[0].row
    dataset = row.dataset
    text = write_tables(folder, variants, results, dataset.classes, row.scoring.report, dataset.official_count)
    if config.published:
        text += "\n" + write_paper_table(folder, config.published, variants, results, dataset.official_count)
    if config.audit:
        text += "\n" + write_audit(folder, variants, results)
    panels = write_panels(folder, [(m, v.key) for m, v in zip(methods, variants, strict=True)], config.panels)
    tracker: Tracker = build(config.tracker, "tracker")
    tracker.mirror(folder)
    pictures = f"; pictures: {folder}/panels/overview.png and {len(panels) - 1} more" if panels else ""
    # At once: torchrun ends this process as soon as another has ended with failures.
    print(f"\n{text}\nTables: {folder}/summary.csv, per_class.csv, per_image.csv{pictures}", flush=True)
    failed = sum(record["status"] == "failed" for records in results.values() for record in records)
    if failed:
        print(f"{failed} evaluations failed; their reasons stand in {folder}/per_image.csv", file=sys.stderr)
    return failed


def _variant(method: Method, key: str) -> Variant:
    """The row as the tables take it: the choices' names are shown, though they are no part of the key."""
    row = method.row
    shown = dict(method.settings) | {"experiment": row.config.name}
    for group in ("backbone", "segmenter"):
        shown[group] = {**shown[group], "name": row.choices[group]}
    return Variant(row.name, key, shown, published_score(row.config.published, row.name, row.backbone.size), row.note)


def _tell_of_another_list(row: Row) -> None:
    """Says when the pictures are others than those on which the published numbers were measured."""
    dataset = row.dataset
    if dataset.official_count not in (None, len(dataset.listed)):
        logger.warning(
            "%s: %s pictures are listed, the published evaluation has %s; the table says how many were evaluated",
            dataset.name,
            f"{len(dataset.listed):,}",
            f"{dataset.official_count:,}",
        )


def _tell_of_others(records: RecordFile, methods: Sequence[Method], keys: Sequence[str]) -> None:
    """Says what sets records of earlier settings in this folder apart; they stay, and enter no table of this run."""
    for other in records.other_settings(keys):
        nearest = min((differences(other, method.settings) for method in methods), key=len)
        logger.warning("%s keeps records of other settings, not used here: %s", records.path, "; ".join(nearest))


def _describe(config: DictConfig, methods: Sequence[Method], folder: Path) -> None:
    """Writes ``config.yaml`` and ``provenance.json``; where the results lie changes neither."""
    given = OmegaConf.to_container(config, resolve=True)
    assert isinstance(given, dict)
    del given["results_dir"]
    given["rows"] = [{"name": method.row.name, **method.settings} for method in methods]
    plain = json.loads(json.dumps(given))  # tuples become lists
    write_text(folder / "config.yaml", OmegaConf.to_yaml(OmegaConf.create(plain)))
    _add_provenance(folder / "provenance.json", provenance([method.settings for method in methods]))


def _add_provenance(path: Path, facts: Mapping[str, Any]) -> None:
    """Keeps what earlier processes worked with that recorded into this folder: a list, each set of facts once."""
    earlier = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []
    if any(each["code"] != facts["code"] for each in earlier):
        logger.warning(
            "%s: the code has changed since pictures were recorded here, and their records are kept; to evaluate all "
            "with the code as it is, give another results_dir",
            path.parent,
        )
    together = earlier if facts in earlier else [*earlier, facts]
    write_text(path, json.dumps(together, indent=2) + "\n")
