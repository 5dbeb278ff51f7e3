"""The numbers of ``eval/README.md``: ours are computed, and those of other libraries by our expression beside them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from eval.counts import Counts
from eval.matching import count_images
from eval.metrics import accuracy, iou, mean_iou
from eval.records import SparseTable
from tests.conftest import ROOT

README = (ROOT / "eval" / "README.md").read_text("utf-8")
CLASSES = "abcde"


def drawn() -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Truth and prediction of the two pictures, from the drawing on the page; void is -1."""
    block = README.split("```")[1].strip().splitlines()[1:]
    columns = np.array([line.split() for line in block])
    assert columns.shape == (4, 16)
    truths = [np.vectorize(lambda name: CLASSES.find(name))(columns[:, start : start + 4]) for start in (0, 4)]
    return truths, [columns[:, start : start + 4].astype(int) for start in (8, 12)]


TRUTHS, PREDICTIONS = drawn()
TABLES = [SparseTable.count(*pair, len(CLASSES)) for pair in zip(PREDICTIONS, TRUTHS, strict=True)]
FROM_5 = [replace(table, numbers=table.numbers + 5) for table in TABLES]
VOID_IS_A = [SparseTable.count(p, t.clip(0), len(CLASSES)) for p, t in zip(PREDICTIONS, TRUTHS, strict=True)]


def of_set(protocol: str, background: int | None = None, tables: list[SparseTable] = TABLES) -> Counts:
    return sum(count_images(tables, protocol, background), Counts.zeros(len(CLASSES)))


ALL, ALL_SUM = list(count_images(TABLES, "dataset_all")), of_set("dataset_all")


@pytest.mark.parametrize(
    ("row", "counts"),
    [
        ("each picture, all classes (", of_set("official")),
        (
            "the same, segments renumbered from 0",
            sum(count_images(TABLES, "official", renumbered=True), Counts.zeros(len(CLASSES))),
        ),
        ("the same, segments numbered from 5 on", of_set("official", None, FROM_5)),
        ("each picture, classes in the picture", of_set("present")),
        ("once for the set, classes that occur", of_set("dataset")),
        ("once for the set, all classes", ALL_SUM),
        ("a is a background that may take many segments", of_set("official", background=0)),
        ("the same, void counts as background", of_set("official", 0, VOID_IS_A)),
    ],
)
def test_scores_of_the_protocols(row: str, counts: Counts) -> None:
    seen = int((~np.isnan(iou(counts))).sum())
    assert cells(row)[1:4] == [f"{accuracy(counts):.2%}"[:-1], f"{mean_iou(counts):.2%}"[:-1], f"{seen} of 5"]


def in_truth(counts: Counts) -> float:
    """Mean IoU over the classes of the truth."""
    return float(iou(counts)[counts.tp + counts.fn > 0].mean())


@pytest.mark.parametrize(
    ("row", "score"),
    [
        ("mmsegmentation 1.2.2", mean_iou(ALL_SUM)),
        ('torchmetrics 1.9.0 `MulticlassJaccardIndex(average="macro")`', mean_iou(ALL_SUM)),
        ('torchmetrics `MulticlassJaccardIndex(average="none")`', np.nan_to_num(iou(ALL_SUM)).mean()),
        ("torchmetrics `segmentation.MeanIoU()`", np.nanmean([iou(each) for each in ALL])),
        ('scikit-learn 1.9.1 `jaccard_score(average="macro")`', mean_iou(ALL_SUM)),
        ('scikit-learn `jaccard_score(average="macro", labels', np.nan_to_num(iou(ALL_SUM)).mean()),
        ("monai 1.6.1", np.mean([in_truth(each) for each in ALL])),
        ("monai `MeanIoU(ignore", np.mean([np.nan_to_num(iou(each), nan=1).mean() for each in ALL])),
        ("segmentation_models_pytorch", np.nan_to_num(iou(ALL_SUM), nan=1).mean()),
        ("STEGO eb4d6b5", mean_iou(ALL_SUM)),
        ("DiffCut aa16df4", mean_iou(of_set("official"))),
    ],
)
def test_scores_of_the_libraries_can_be_had_here(row: str, score: float) -> None:
    assert cells(row)[1] == f"{score:.2%}"[:-1]


def cells(start: str) -> list[str]:
    """The cells of the only table row of the page that starts so."""
    (line,) = (line for line in README.splitlines() if line.startswith(f"| {start}"))
    return [cell.strip() for cell in line.strip("|").split("|")]
