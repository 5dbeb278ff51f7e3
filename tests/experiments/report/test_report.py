"""The report of results folders: its numbers, and in a browser it sorts, filters, compares and requests nothing."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.select import Select

from eval.metrics import iou, mean_iou, recall
from eval.regions import conditional_entropies
from eval.runs import read_run
from experiments.plotting.shown import shown_rows
from experiments.report.__main__ import main
from experiments.report.content import class_tables, summary_table
from experiments.report.page import Section, Table, render
from tests.helpers.browser import chromium, console, requests, resize
from tests.helpers.folder_rows import CLASSES, folder_overrides, write_picture
from tests.helpers.made_runs import grid, made_run
from tests.helpers.runs import evaluate

SWEEP = grid(segmenter__tau=(0.2, 0.3), segmenter__anchors=(8, 16))


def page_of(*folders: Path) -> Path:
    main([str(folder) for folder in folders])
    return folders[0] / "report.html"


def data_of(page: Path) -> dict[str, Any]:
    match = re.search(r'<script id="data" type="application/json">(.*?)</script>', page.read_text("utf-8"))
    assert match
    return json.loads(match[1])


def test_the_summary_has_the_numbers_of_the_rows_and_the_settings_that_vary(tmp_path: Path) -> None:
    rows = shown_rows([made_run(tmp_path, *SWEEP, failed=("a",))])
    cells = {heading: texts for (_, heading), texts in summary_table(rows, "Rows").cells.items()}
    assert list(cells)[:6] == ["Row", "tau", "anchors", "ACC", "mIoU official", "mIoU present"]
    for place, row in enumerate(rows):
        own = {heading: texts[place] for heading, texts in cells.items()}
        value, low, high = row.estimate("present", "miou")
        assert own["mIoU present"] == f"{value:.1f} [{low:.1f}, {high:.1f}]"
        assert (own["tau"], own["anchors"]) == (row.text("tau"), row.text("anchors"))
        assert own["Pictures"] == "3, 1 failed"
        assert own["VoI (bits)"].startswith(f"{row.score('official', 'voi'):.2f} [")


def test_classes_have_accuracy_beside_iou_for_every_row(tmp_path: Path) -> None:
    rows = shown_rows([made_run(tmp_path, *grid(segmenter__tau=[0.1 * number for number in range(1, 14)]))])
    tables = class_tables(rows)
    assert [table.protocol for table in tables] == ["official", "official", "present", "present"]
    assert [name for table in tables[2:] for name, _ in table.groups if name] == [row.name for row in rows]
    cells, total = tables[2].cells, rows[0].row.counts("present").total
    assert (cells["", "Class"][0], cells["", "Pictures"][0]) == ("sky", "4")
    assert cells[rows[0].name, "acc."][0] == f"{100 * recall(total)[0]:.1f}"
    assert cells[rows[0].name, "IoU"][0] == f"{100 * iou(total)[0]:.1f}"


def test_columns_are_sorted_by_the_numbers_with_which_their_cells_begin() -> None:
    columns = {
        "row": ["1 & 2", "B"],
        "score": ["63.0 [60.1, 65.9]", "-"],
        "count": ["2,175", "8 of 2,175"],
        "sides": ["[8,4]", ""],
    }
    table = Table("T", {("", name): texts for name, texts in columns.items()})
    assert table.numbers == [False, True, True, False]
    page = render("title", [Section("Rows", tables=[table])])
    assert re.findall(r'data-value="(.*?)"', page) == ["63.0", "2175", "", "8"]
    assert "1 &amp; 2" in page


def test_the_gallery_knows_every_picture_and_the_halves_of_voi(tmp_path: Path) -> None:
    run = made_run(tmp_path, *SWEEP[:2], failed=("d",))
    data = data_of(page_of(tmp_path))
    assert data["rows"] == [row.name for row in shown_rows([run])]
    assert [picture["id"] for picture in data["pictures"]] == ["a", "b", "c", "d"]
    record, counts = run.rows[1].evaluated[2], run.rows[1].counts("present")[2]
    score = data["pictures"][2]["scores"][1]
    assert [score["split"], score["mixed"]] == pytest.approx(conditional_entropies(record.tables["classes"].dense()))
    assert score["protocols"]["present"][1] == pytest.approx(100 * mean_iou(counts))
    assert data["pictures"][3]["scores"] == ["failed: torn"] * 2


def test_several_folders_and_data_sets_are_one_page(tmp_path: Path) -> None:
    made_run(tmp_path / "one", SWEEP[0])
    made_run(tmp_path / "two", SWEEP[0], dataset={"name": "<camvid>"})
    text = page_of(tmp_path / "one", tmp_path / "two").read_text("utf-8")
    assert "<h3>&lt;camvid&gt;, square frame</h3>" in text
    assert "Intervals over 4 images: coarse." in text
    assert "<camvid>" not in text


IDS = ("<img src=x onerror=alert(1)>", "b'&amp;", "c")


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[tuple[Chrome, Path]]:
    """A browser that shows the report of two rows on three pictures with hard names."""
    for id in IDS:
        write_picture(tmp_path / "data", id, classes=2 + (id == "c"))
    rows = "rows=[{name: One, overrides: ['segmenter.clusters=1']}, {name: Two, overrides: ['segmenter.clusters=2']}]"
    run = evaluate(tmp_path / "run", *folder_overrides(tmp_path / "data"), "segmenter=kmeans_rgbxy", rows)
    assert run.status == 0, run.err
    page = page_of(run.folder)
    with chromium(tmp_path / "profile") as opened:
        resize(opened, 1400, 1000)
        opened.get(page.as_uri())
        yield opened, run.folder
        assert console(opened) == []
        assert {address.split(":")[0] for address in requests(opened)} <= {"file", "data"}


def titles(browser: Chrome) -> list[str]:
    """Ids of the pictures in the gallery, from the top."""
    return browser.execute_script("return [...document.querySelectorAll('#tiles h3')].map(h => h.textContent)")


def choose(browser: Chrome, name: str, option: str) -> None:
    Select(browser.find_element(By.CSS_SELECTOR, name)).select_by_visible_text(option)


@pytest.mark.long
def test_the_gallery_sorts_filters_and_compares(browser: tuple[Chrome, Path]) -> None:
    shown, folder = browser
    row = read_run(folder).rows[1]
    scores = {
        record.picture: mean_iou(counts) for record, counts in zip(row.evaluated, row.counts("present"), strict=True)
    }
    assert titles(shown)[0] == min(scores, key=scores.__getitem__), "the hardest of the last row comes first"
    choose(shown, "#sort", "name")
    assert titles(shown) == [record.picture for record in row.records]
    choose(shown, "#class", CLASSES[2])
    assert titles(shown) == ["c"]
    choose(shown, "#class", "any class")
    choose(shown, "#columns select:first-child", "(remove)")
    names = [name.text for name in shown.find_elements(By.CSS_SELECTOR, "#tiles article:first-child b")]
    assert names == ["Input", "Ground truth", "Two"]
    for width in (1400, 420):
        resize(shown, width, 1000)
        assert shown.execute_script("return document.documentElement.scrollWidth") <= width
    resize(shown, 1400, 1000)
    legend, tiles = (shown.find_element(By.CSS_SELECTOR, f"#tiles .{name}") for name in ("legend", "row"))
    assert legend.location["x"] > tiles.location["x"] + tiles.size["width"] - 1, "beside the panel"


@pytest.mark.long
def test_tables_sort_and_tiles_enlarge(browser: tuple[Chrome, Path]) -> None:
    shown, _ = browser
    headings = shown.find_elements(By.CSS_SELECTOR, "#summary thead button")
    place = [heading.text for heading in headings].index("ACC")
    rows = "[...document.querySelectorAll('#summary tbody tr')]"
    for reverse in (True, False):
        headings[place].click()
        cells = shown.execute_script(f"return {rows}.map(row => row.cells[{place}].dataset.value)")
        values = [float(value) for value in cells]
        assert values == sorted(values, reverse=reverse)
    tile = shown.find_element(By.CSS_SELECTOR, "#tiles article:first-child figure:last-child button")
    shown.execute_script("arguments[0].scrollIntoView({block: 'center'})", tile)
    tile.click()
    dialog = shown.find_element(By.ID, "large")
    assert dialog.text.startswith(titles(shown)[0])
    assert dialog.find_element(By.CLASS_NAME, "stack").size["width"] > 2 * tile.size["width"]
    dialog.send_keys(Keys.ARROW_RIGHT, Keys.ARROW_DOWN)
    assert dialog.text.startswith(titles(shown)[1])
    assert "Input" in dialog.text
    dialog.send_keys(Keys.ESCAPE)
    assert not dialog.is_displayed()
