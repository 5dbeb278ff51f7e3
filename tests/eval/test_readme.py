"""The numbers of ``eval/README.md``: ours are computed, and those of other libraries by our expression beside them."""

from __future__ import annotations

import numpy as np
import pytest

from eval.matching import Counts, contingency, counts_of_match, match_contingency
from eval.metrics import accuracy, iou, mean_iou
from eval.set_protocols import match_dataset, match_dataset_all, official_over_numberings
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
TABLES = [contingency(*pair, len(CLASSES)) for pair in zip(PREDICTIONS, TRUTHS, strict=True)]
NONE = Counts.zeros(len(CLASSES))


def of_images(protocol: str, background: int | None = None) -> Counts:
    return sum((match_contingency(table, protocol, background) for table in TABLES), NONE)


ALL = [counts_of_match(table, *match_dataset_all(TABLES)) for table in TABLES]
ALL_SUM = sum(ALL, NONE)
VOID_AS_BACKGROUND = [contingency(p, t.clip(0), len(CLASSES)) for p, t in zip(PREDICTIONS, TRUTHS, strict=True)]


@pytest.mark.parametrize(
    ("row", "counts"),
    [
        ("each picture, all classes (", of_images("official")),
        ("each picture, classes in the picture", of_images("present")),
        (
            "once for the set, classes that occur",
            sum((counts_of_match(table, *match_dataset(TABLES)) for table in TABLES), NONE),
        ),
        ("once for the set, all classes", ALL_SUM),
        ("a is a background that may take many segments", of_images("official", background=0)),
        (
            "the same, void counts as background",
            sum((match_contingency(table, "official", 0) for table in VOID_AS_BACKGROUND), NONE),
        ),
    ],
)
def test_scores_of_the_protocols(row: str, counts: Counts) -> None:
    seen = int((~np.isnan(iou(counts))).sum())
    assert cells(row)[1:4] == [f"{accuracy(counts):.2%}"[:-1], f"{mean_iou(counts):.2%}"[:-1], f"{seen} of 5"]


def test_scores_over_numberings() -> None:
    spread = official_over_numberings([table[:, :4] for table in TABLES])
    assert cells("the same, 100 random")[2] == f"{spread.low:.2%}"[:-1] + " to " + f"{spread.high:.2%}"[:-1]


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
        ("DiffCut aa16df4", mean_iou(of_images("official"))),
    ],
)
def test_scores_of_the_libraries_can_be_had_here(row: str, score: float) -> None:
    assert cells(row)[1] == f"{score:.2%}"[:-1]


def cells(start: str) -> list[str]:
    """The cells of the only table row of the page that starts so."""
    (line,) = (line for line in README.splitlines() if line.startswith(f"| {start}"))
    return [cell.strip() for cell in line.strip("|").split("|")]
