"""Tables as Markdown: their cells, and the caveats below them."""

from __future__ import annotations

import math

import pytest

from eval.results.markdown import caption, fixed, image_count, markdown, pipe_table, with_interval
from eval.results.tables import summary
from tests.helpers.made_records import results_of
from tests.helpers.worked_results import DIFFSEG, RECORDS, ROWS


def test_numbers_have_a_sign_only_if_asked() -> None:
    assert [fixed(value) for value in (63.04, -0.04, math.nan)] == ["63.0", "0.0", "-"]
    assert [fixed(value, 2, "+") for value in (1.005, -2, 0)] == ["+1.00", "-2.00", "+0.00"]


def test_a_number_has_its_interval_if_there_is_one() -> None:
    assert with_interval(63, 60.14, 65.9) == "63.0 [60.1, 65.9]"
    assert with_interval(-1, -2, 0.5, "+", 2) == "-1.00 [-2.00, +0.50]"
    assert with_interval(63, math.nan, math.nan) == "63.0"
    assert with_interval(math.nan, math.nan, math.nan) == "-"


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


def test_columns_line_up() -> None:
    assert pipe_table({"method": ["a", "longer name"], "ACC": ["7", "63.0"]}) == (
        "| method      |  ACC |\n"
        "| ----------- | ---: |\n"
        "| a           |    7 |\n"
        "| longer name | 63.0 |\n"
    )  # fmt: skip


def test_a_protocol_outside_this_project_has_a_caption() -> None:
    assert caption("my_module.mine") == "Protocol `my_module.mine`: outside this project"
    assert caption("official").startswith("Protocol `official`, as in the paper")


def test_published_numbers_stand_beside_the_official_score_only() -> None:
    text = markdown(summary(results_of(ROWS, RECORDS)), ["a", "b"], official_count=2)
    official, present = text.split("Protocol `present`")
    assert "72.5 / -" in official
    assert "| 2, 1 failed |" in official
    assert "paper" not in present


def test_few_images_are_noted() -> None:
    record = RECORDS[ROWS[0].key][0]
    for count, caveat in (
        (1, []),  # one image has no interval
        (9, ["Intervals over 9 images: coarse."]),
        (10, []),
    ):
        lines = markdown(summary(results_of(ROWS[:1], {ROWS[0].key: [record] * count})), ["a"]).splitlines()
        assert [line for line in lines if "coarse" in line] == caveat


def test_a_table_made_on_several_devices_says_so() -> None:
    first, failed, last = RECORDS["d"]
    for device, cell in (("cpu", "cpu"), ("NVIDIA H200", "NVIDIA H200, cpu")):
        overview = summary(results_of([DIFFSEG], {"d": [{**first, "device": device}, failed, last]}))
        assert set(overview["device"]) == {cell}
        assert set(overview["dtype"]) == {"float32"}
        assert ("Evaluated on several devices: NVIDIA H200, cpu." in markdown(overview, ["a"])) == (", " in cell)
