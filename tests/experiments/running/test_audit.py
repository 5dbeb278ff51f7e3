"""The audit of a protocol: on a real picture, and with rows that lack some pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from eval.counts import Counts
from eval.matching import match_contingency
from eval.metrics import accuracy, mean_iou
from eval.records import Record
from eval.row import Row
from experiments.running.audit import AUDIT_COLUMNS, audit, write_audit
from tests.helpers.made_records import CLASSES, records
from tests.helpers.runs import SMALL, evaluate


def test_changes_in_the_audit_are_differences_in_the_summary(dinov2: Path, tmp_path: Path) -> None:
    run = evaluate(tmp_path, "experiment=protocol_audit", "dataset.limit=1", *SMALL)
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
        moved = moved[moved.index.get_level_values("choice").fillna("").str.startswith("segments: ")]
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


def row_of(precision: str, made: Sequence[Record], lost: Sequence[Record] = ()) -> Row:
    failed = [Record(record.row, record.picture, "failed", "no proposals") for record in lost]
    kept = [replace(record, underflow=0.25) for record in made]
    settings = {"segmenter": {"precision": precision}}
    return Row(precision, "DiffSeg", settings, ["x"] * CLASSES, ("official", "present"), [*kept, *failed])


def score(chosen: Sequence[Record]) -> tuple[float, float]:
    counts = [match_contingency(record.tables["classes"].numbered()) for record in chosen]
    total = sum(counts, Counts.zeros(CLASSES))
    return 100 * accuracy(total), 100 * mean_iou(total)


def test_a_change_is_measured_on_the_pictures_that_both_rows_have(tmp_path: Path) -> None:
    """Otherwise, a row that lost its hard pictures would look better."""
    before, after = records(0, 6), records(1, 4)
    rows = [row_of("float32", before), row_of("float16", after, lost=before[4:])]
    line = audit(rows).iloc[5]
    assert (line["choice"], line["images"], line["failed"], line["underflow"]) == (
        *("segmenter.precision: float32 -> float16", 4, 2, 25.0),
    )
    (old_acc, old_miou), (acc, miou) = score(before[:4]), score(after)
    assert (line["acc"], line["miou"]) == pytest.approx((acc, miou))
    assert (line["acc_change"], line["miou_change"]) == pytest.approx((acc - old_acc, miou - old_miou))
    assert line["acc_change_low"] < line["acc_change"] < line["acc_change_high"]
    assert "4, 2 failed" in write_audit(tmp_path, rows)


def test_a_row_that_lost_every_picture_has_no_change(tmp_path: Path) -> None:
    before = records(0, 2)
    text = write_audit(tmp_path, [row_of("float32", before), row_of("float16", [], lost=before)])
    (line, _) = (line for line in text.splitlines() if "float16 |" in line)
    assert [cell.strip() for cell in line.split("|")[4:-1]] == ["-", "-", "-", "-", "-", "0, 2 failed"]
