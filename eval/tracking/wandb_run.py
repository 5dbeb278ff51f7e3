"""Tracks one row of the tables in a wandb run; `eval.tracking.wandb_tracker` opens it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from eval.matching import Counts, match_contingency
from eval.metrics import accuracy, mean_iou
from eval.protocols import ProtocolName, within_image
from eval.results.columns import SCORES
from eval.results.row_results import RowResults
from eval.results.tables import PERCENT
from eval.scores import SparseTable
from eval.storage.layout import CONFIG, OVERVIEW, PANELS, PROVENANCE, RECORDS
from eval.storage.records import Record

if TYPE_CHECKING:
    import wandb

ByProtocol = dict[ProtocolName, Counts]

MOST_PANELS = 8  # number of panels uploaded besides the overview
RESULTS = ("*.csv", RECORDS, CONFIG, PROVENANCE)


class RowTracking:
    """Logs the records of a row in a wandb run. Ignores a record that is already logged.

    Args:
        run: the open wandb run.
        number: position of the row in the tables.
        row: the row to log.
        classes: class names.
        report: protocols to show.
    """

    def __init__(
        self,
        run: wandb.Run,
        number: int,
        row: RowResults,
        classes: Sequence[str],
        report: Sequence[ProtocolName],
    ) -> None:
        self.run, self.number, self.report = run, number, report
        self.background = row.background
        # The match of the whole data set is known only when the run has ended.
        per_image = [protocol for protocol in report if within_image(protocol)]
        self.none = dict.fromkeys(per_image, Counts.zeros(len(classes)))
        self.total = self.none
        self.images: dict[str, Record] = {}  # newest record of each image
        self.step = 0  # number of records so far
        run.define_metric("image/*", summary="none")  # otherwise wandb would show the last image as the result

    def record(self, record: Record) -> None:
        """Logs the scores of an image, and those of all images so far."""
        if self.images.get(record["image"]) == record:
            return
        logged = self._values(record)
        # A resumed wandb run already has the earlier steps. Records come in the same order, one per step.
        if self.step >= self.run.starting_step:
            self.run.log(logged, step=self.step)
        self.step += 1

    def finish(self, folder: Path, artifact: str, summary: pd.DataFrame, per_class: pd.DataFrame) -> None:
        """Adds the final scores, the table of the classes, the panels and the result files.

        Args:
            folder: results folder.
            artifact: name of the result files. All rows use the same name, so wandb stores the files once.
            summary, per_class: tables of all rows.
        """
        import wandb

        self.run.summary.update(_final(summary[summary["number"] == self.number]))
        classes = per_class[per_class["number"] == self.number].drop(columns=["number", "row"])
        overview = folder / PANELS / f"{OVERVIEW}.png"
        panels = sorted(set(overview.parent.rglob("*.png")) - {overview})[:MOST_PANELS]
        media: dict[str, Any] = {"per_class": wandb.Table(dataframe=classes)}
        if panels:
            media["overview"] = wandb.Image(str(overview))
            for number, path in enumerate(panels, start=1):  # one key each: images of one key must be of equal size
                name = path.relative_to(overview.parent).with_suffix("").as_posix()
                media[f"panels/{number}"] = wandb.Image(str(path), caption=name)
        self.run.log(media)  # in the step of the last record: a resumed run finds the next step free
        files = wandb.Artifact(artifact, "results")
        for path in sorted(path for pattern in RESULTS for path in folder.glob(pattern)):
            files.add_file(str(path), policy="immutable")  # avoids a copy for each row
        self.run.log_artifact(files)

    def _values(self, record: Record) -> dict[str, Any]:
        """The values to log for one image: its scores, and those of all images so far, in percent."""
        before = self.images.get(record["image"])
        self.images[record["image"]] = record
        values: dict[str, Any] = {"image/id": record["image"]}
        if record["status"] == "ok":
            counts = self._counts(record)
            self.total = _sum(self.total, counts)
            values |= {"image/segments": record["segments"], "image/seconds": sum(record["seconds"].values())}
            values |= _scores("image", counts)
        if before and before["status"] == "ok":  # the new record replaces one whose counts are in the total
            self.total = self.none
            for each in self.images.values():
                if each["status"] == "ok":
                    self.total = _sum(self.total, self._counts(each))
        failed = sum(each["status"] == "failed" for each in self.images.values())
        return values | _scores("running", self.total) | {"images": len(self.images) - failed, "failed": failed}

    def _counts(self, record: Record) -> ByProtocol:
        table = SparseTable.from_json(record["table"]).dense()
        return {protocol: match_contingency(table, protocol, self.background) for protocol in self.none}


def _sum(first: ByProtocol, second: ByProtocol) -> ByProtocol:
    return {protocol: first[protocol] + second[protocol] for protocol in first}


def _scores(prefix: str, counts: ByProtocol) -> dict[str, float]:
    return {
        f"{prefix}/{protocol}/{metric}": PERCENT * score(each)
        for protocol, each in counts.items()
        for metric, score in (("acc", accuracy), ("miou", mean_iou))
    }


def _final(summary: pd.DataFrame) -> dict[str, float]:
    """``final/...`` -> number, from the lines of a row in ``summary.csv``, without empty cells."""
    lines = summary.to_dict("records")
    final = {f"final/{name}": lines[0][name] for name in ("images", "failed", "segments", "seconds_per_image")}
    for line in lines:
        final |= {f"final/{line['protocol']}/{name}": line[name] for name in SCORES if name != "segments"}
    return {name: value for name, value in final.items() if pd.notna(value)}
