"""The audit of a protocol: on a real picture, and with rows that lack some pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from eval.results.row_results import RowResults

from eval.matching import Counts, match_contingency
from eval.metrics import accuracy, mean_iou
from eval.scores import SparseTable
from experiments.running.audit import AUDIT_COLUMNS, audit, write_audit
from tests.helpers.made_records import records, results_of
from tests.helpers.runs import SMALL, evaluate


def test_changes_in_the_audit_are_differences_in_the_summary(
    dinov2: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = evaluate(tmp_path, "experiment=protocol_audit", "dataset.limit=1", *SMALL, capture=capsys)
    assert run.status == 0, run.err
    table, summary = run.table("audit"), run.table()
    # Two scores for the first row and for each choice, and three numberings. Size and grid of the first row are not
    # choices.
    choices = {"DiffSeg": 8, "K-Means-C": 1, "K-Means-S": 1, "DBSCAN": 2}
    assert table.groupby("method").size().to_dict() == {name: 5 + 2 * count for name, count in choices.items()}
    assert tuple(table.columns) == AUDIT_COLUMNS
    assert all(choice in run.out for choice in table["choice"].dropna())
    rows = summary.drop_duplicates([name for name in summary if name != "seconds_per_image"]).groupby("row")
    for name, method in rows:
        first = method[method["protocol"] == "official"].iloc[0]
        present = method[method["protocol"] == "present"].iloc[0]
        moved = table[table["method"] == name].set_index(["choice", "protocol"])
        score = moved.loc[("protocol: official -> present", "present")]
        assert score["miou_change"] == pytest.approx(present["miou"] - first["miou"], abs=2e-4)
        assert score["acc_change"] == 0
        moved = moved[moved.index.get_level_values("choice").str.startswith("segments: ").fillna(False)]
        assert (moved["acc_change"] == 0).all()
        assert moved["miou"].is_monotonic_increasing
        np.testing.assert_allclose(moved["miou_change"], moved["miou"] - first["miou"], atol=2e-4)
    nearest = summary[(summary["upsample"] == "nearest") & (summary["row"] == "DBSCAN")].set_index("protocol")
    first = summary[(summary["upsample"] == "soft") & (summary["row"] == "DBSCAN")].groupby("protocol").first()
    moved = table[table["choice"] == "segmenter.upsample: soft -> nearest"].query("method == 'DBSCAN'")
    for _, row in moved.iterrows():
        for metric in ("acc", "miou"):
            after, before = (scores.loc[row["protocol"], metric] for scores in (nearest, first))
            assert row[metric] == after
            assert row[f"{metric}_change"] == pytest.approx(after - before, abs=2e-4)
            assert row[[f"{metric}_change_low", f"{metric}_change_high"]].isna().all()  # one picture has no interval


FIRST, OTHER = (
    RowResults("DiffSeg", precision, {"segmenter": {"precision": precision}}) for precision in ("float32", "float16")
)


def with_underflow(made: list[dict[str, Any]], underflow: float) -> list[dict[str, Any]]:
    return [{**record, "underflow": underflow} for record in made]


def score(chosen: list[dict[str, Any]]) -> tuple[float, float]:
    total = sum(
        (match_contingency(SparseTable.from_json(record["table"]).dense()) for record in chosen), Counts.zeros(27)
    )
    return 100 * accuracy(total), 100 * mean_iou(total)


def test_a_change_is_measured_on_the_pictures_that_both_rows_have(tmp_path: Path) -> None:
    """Otherwise, a row that lost its hard pictures would look better."""
    before, after = with_underflow(records(0, 6), 0.25), with_underflow(records(1, 4), 0.25)
    lost = [{"image": before[number]["image"], "status": "failed", "reason": "no proposals"} for number in (4, 5)]
    results = {FIRST.key: before, OTHER.key: [*after, *lost]}
    row = audit(results_of([FIRST, OTHER], results)).iloc[5]
    assert (row["choice"], row["images"], row["failed"], row["underflow"]) == (
        *("segmenter.precision: float32 -> float16", 4, 2, 25.0),
    )
    (old_acc, old_miou), (acc, miou) = score(before[:4]), score(after)
    assert (row["acc"], row["miou"]) == pytest.approx((acc, miou))
    assert (row["acc_change"], row["miou_change"]) == pytest.approx((acc - old_acc, miou - old_miou))
    assert row["acc_change_low"] < row["acc_change"] < row["acc_change_high"]
    assert "4, 2 failed" in write_audit(tmp_path, results_of([FIRST, OTHER], results))


def test_a_row_that_lost_every_picture_has_no_change(tmp_path: Path) -> None:
    before = with_underflow(records(0, 2), 0.0)
    lost = [{"image": record["image"], "status": "failed", "reason": "no proposals"} for record in before]
    text = write_audit(tmp_path, results_of([FIRST, OTHER], {FIRST.key: before, OTHER.key: lost}))
    (line, _) = (line for line in text.splitlines() if "float16 |" in line)
    assert [cell.strip() for cell in line.split("|")[4:-1]] == ["-", "-", "-", "-", "-", "0, 2 failed"]
