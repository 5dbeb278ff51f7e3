"""Tables as Markdown: their cells, and the caveats below them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from eval.records import SparseTable
from eval.results.markdown import fixed, image_count, markdown
from eval.results.tables import summary
from eval.row import Row
from tests.helpers.worked_results import DIFFSEG, ROWS


def text_of(*rows: Row, protocols: Sequence[str] | None = None) -> str:
    rows = tuple(replace(row, protocols=protocols or row.protocols) for row in rows)
    return markdown(summary(rows), rows, [row.name for row in rows])


def test_numbers_have_a_sign_only_if_asked() -> None:
    assert [fixed(value) for value in (63.04, -0.04, math.nan)] == ["63.0", "0.0", "-"]
    assert [fixed(value, 2, "+") for value in (1.005, -2, 0)] == ["+1.00", "-2.00", "+0.00"]


@pytest.mark.parametrize(
    ("counts", "text"),
    [
        ((8, 0, None), "8"),
        ((8, 1200, 8), "8, 1,200 failed"),
        ((812, 0, 2175), "812 of 2,175"),
        ((2175, 0, 2175), "2,175"),
        ((3, 2, 5), "3 of 5, 2 failed"),
    ],
)
def test_the_number_of_images_shows_what_lacks(counts: tuple[int, int, int | None], text: str) -> None:
    assert image_count(*counts) == text


def test_published_numbers_stand_beside_the_official_score_only() -> None:
    text = text_of(replace(DIFFSEG, official_count=2), ROWS[1])
    official, present = text.split("Protocol `present`")
    assert "72.5 / -" in official
    assert "| 2, 1 failed |" in official
    assert "paper" not in present


def test_few_images_are_noted() -> None:
    record = DIFFSEG.records[0]
    for count, caveat in (
        (1, []),  # one image has no interval
        (9, ["Intervals over 9 images: coarse."]),
        (10, []),
    ):
        lines = text_of(replace(DIFFSEG, records=[record] * count)).splitlines()
        assert [line for line in lines if "coarse" in line] == caveat


def test_a_table_made_on_several_devices_says_so() -> None:
    first, failed, last = DIFFSEG.records
    for device, cell in (("cpu", "cpu"), ("NVIDIA H200", "NVIDIA H200, cpu")):
        row = replace(DIFFSEG, records=[replace(first, device=device), failed, last])
        assert set(summary([row])["device"]) == {cell}
        assert set(summary([row])["dtype"]) == {"float32"}
        assert ("Evaluated on several devices: NVIDIA H200, cpu." in text_of(row)) == (", " in cell)


def test_data_sets_and_frames_have_tables_of_their_own() -> None:
    whole = replace(DIFFSEG, settings={**DIFFSEG.settings, "scoring": {"frame": "whole"}})
    text = text_of(DIFFSEG, whole, protocols=["present"])
    assert [line for line in text.splitlines() if line.startswith("#")] == [
        "## cocostuff27, square frame",
        "## cocostuff27, whole frame",
    ]
    assert text.count("Protocol `present`") == 2
    assert "##" not in text_of(DIFFSEG)


def test_rows_with_other_pictures_are_noted() -> None:
    note = "The rows were evaluated on different images"
    assert note in text_of(DIFFSEG, replace(DIFFSEG, records=DIFFSEG.records[:2]))
    assert note not in text_of(DIFFSEG, DIFFSEG)


def test_a_protocol_without_classes_has_a_table_of_its_scores() -> None:
    tables = {"person 1": SparseTable.of(np.array([[3, 1], [0, 4]])).to_json()}
    record = replace(DIFFSEG.records[0], stored_tables=tables)
    text = text_of(replace(DIFFSEG, records=[record]), protocols=["regions"])
    heads, _, line = (text.splitlines()[number].split("|")[1:-1] for number in (2, 3, 4))
    cells = dict(zip(map(str.strip, heads), map(str.strip, line), strict=True))
    # Covering: half the pixels lie in a region that is covered by 3/4, half in one that is covered by 4/5.
    assert (cells["covering %"], cells["images"], cells["segments"]) == ("77.5", "1", "2.0")
    assert "ACC" not in text
