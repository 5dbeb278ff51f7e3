"""One run from checked rows to result files: records, tables, panels, and what they were made with."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig, OmegaConf
from transformers.utils import logging as transformers_logging

from diffseg.backbones.device import pick_device
from eval.config import ConfigError, Row
from eval.provenance import provenance
from eval.records import RecordFile, differences
from eval.run import Method, prepare, run
from eval.tables import Variant, write_tables, write_text
from experiments.panels import write_panels
from experiments.published import published_score

logger = logging.getLogger(__name__)


def run_session(config: DictConfig, rows: Sequence[Row], folder: Path) -> int:
    """Evaluates the rows, writes the result files into ``folder`` and prints the table.

    Returns:
        Number of failures: pictures that could not be evaluated, once for each row.

    Raises:
        ConfigError, RecordError: see `eval.run.prepare` and `eval.records.RecordFile`.
    """
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    transformers_logging.disable_progress_bar()  # a bar for loading weights says nothing that ours does not
    methods = [prepare(row) for row in rows]
    try:
        device = str(pick_device(config.device))
    except ValueError as error:
        raise ConfigError(str(error)) from None
    folder.mkdir(parents=True, exist_ok=True)
    with RecordFile(folder / "records.jsonl") as records:
        keys = [records.declare(method.settings) for method in methods]
        variants = [_variant(method, key) for method, key in zip(methods, keys, strict=True)]
        _tell_of_absent(rows[0])
        _tell_of_others(records, methods, keys)
        _describe(config, methods, folder)
        run(methods, records, folder / "labels", device, config.panels)
        results = {key: records.records(key, method.row.dataset.ids) for key, method in zip(keys, methods, strict=True)}
    dataset = rows[0].dataset
    text = write_tables(folder, variants, results, dataset.classes, rows[0].scoring.report, dataset.official_count)
    panels = write_panels(folder, list(zip(methods, keys, strict=True)), config.panels)
    print(f"\n{text}\nTables: {folder}/summary.csv, per_class.csv, per_image.csv", end="")
    print(f"; pictures: {folder}/panels/ ({len(panels)})" if panels else "")
    failed = sum(record["status"] == "failed" for key in set(keys) for record in results[key])
    if failed:
        print(f"{failed} evaluations failed; their reasons stand in {folder}/per_image.csv", file=sys.stderr)
    return failed


def _variant(method: Method, key: str) -> Variant:
    """The row as the tables take it: the choices' names are shown, though they are no part of the key."""
    row = method.row
    shown = dict(method.settings) | {"experiment": row.config.name}
    for group in ("backbone", "segmenter"):
        shown[group] = {**shown[group], "name": row.choices[group]}
    return Variant(row.name, key, shown, published_score(row.config.published, row.name, row.backbone.size))


def _tell_of_absent(row: Row) -> None:
    """Says when the data are only a part of what the published numbers were measured on."""
    dataset = row.dataset
    if dataset.official_count is not None and len(dataset.listed) < dataset.official_count:
        logger.warning(
            "%s: %s of the %s pictures of the published evaluation are there; the table says how many it is of",
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
    facts = provenance([method.settings for method in methods])
    write_text(folder / "provenance.json", json.dumps(facts, indent=2) + "\n")
