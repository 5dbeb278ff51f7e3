"""The report of a results folder in a browser: it sorts, filters and compares, and requests nothing from a server."""

from __future__ import annotations

import base64
import io
import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from PIL import Image
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.select import Select

from datasets.base import VOID
from datasets.photos import Photos
from diffseg.backbones.image import centre_crop
from diffseg.palette import palette
from experiments.report.__main__ import main
from tests.helpers.browser import chromium, console, requests, resize
from tests.helpers.coco_folder import image_of, write_pair
from tests.helpers.runs import SMALL, Run, evaluate


def page_of(run: Run) -> Path:
    main([str(run.folder)])
    return run.folder / "report.html"


def data_of(page: Path) -> dict[str, Any]:
    found = re.search(r'<script id="data" type="application/json">(.*?)</script>', page.read_text("utf-8"))
    assert found
    return json.loads(found[1])


def pixels(uri: str) -> NDArray[np.uint8]:
    with Image.open(io.BytesIO(base64.b64decode(uri.removeprefix("data:image/webp;base64,")))) as image:
        return np.asarray(image.convert("RGBA"))


def choose(browser: Chrome, name: str, option: str) -> None:
    Select(browser.find_element(By.CSS_SELECTOR, name)).select_by_visible_text(option)


def titles(browser: Chrome) -> list[str]:
    """Ids of the pictures in the gallery, from the top."""
    return browser.execute_script("return [...document.querySelectorAll('#tiles h3')].map(h => h.firstChild.data)")


def column(browser: Chrome, table: str, number: int) -> list[str]:
    cells = "[...document.querySelectorAll(arguments[0] + ' tbody tr')].map(row => row.cells[arguments[1]].innerText)"
    return browser.execute_script(f"return {cells}", table, number)


@pytest.mark.long
def test_the_gallery_sorts_filters_compares_and_enlarges(
    dinov2: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = evaluate(tmp_path / "run", "experiment=demo", "dataset.limit=4", "panels=3", *SMALL, capture=capsys)
    assert run.status == 0, run.err
    page = page_of(run)
    assert "Intervals over 4 images: coarse." in page.read_text("utf-8")
    ids, photos = run.table("per_image")["image"].unique().tolist(), Photos(limit=3)
    scores = run.table("per_image").set_index(["row", "protocol", "image"]).sort_index()
    with chromium(tmp_path / "profile") as browser:
        resize(browser, 1400, 1000)
        browser.get(page.as_uri())

        # Sort by the score of one method, for both protocols and directions. The fourth picture has no label maps.
        for protocol, metric, order in (("official", "mIoU", "ascending"), ("present", "ACC", "descending")):
            browser.find_element(By.CSS_SELECTOR, f"#protocol [value={protocol}]").click()
            for name, option in (("sort", metric), ("of", "K-Means-C"), ("order", order)):
                choose(browser, f"#{name}", option)
            own = scores.loc[("K-Means-C", protocol)].loc[list(photos.ids), metric.lower()]
            assert titles(browser) == list(own.sort_values(ascending=order == "ascending").index)
            shown = browser.find_element(By.CSS_SELECTOR, "#tiles article figure:nth-child(3)").text
            expected = scores.loc[("K-Means-C", protocol, titles(browser)[0])]
            assert f"ACC {expected.acc:.1f} · mIoU {expected.miou:.1f}\n{expected.segments} segments" in shown
        choose(browser, "#of", "largest difference")
        for metric in ("ACC", "mIoU"):
            choose(browser, "#sort", metric)
            table = scores.loc[(slice(None), "present", list(photos.ids)), metric.lower()].unstack("image")
            assert titles(browser) == list((table.max() - table.min()).sort_values(ascending=False).index)
        choose(browser, "#sort", "name")
        choose(browser, "#order", "ascending")
        assert titles(browser) == list(photos.ids)

        # Filter by each class: the pictures whose square has it are left.
        squares = {id: centre_crop(photos.load(id).label) for id in photos.ids}
        classes = {photos.classes[label] for square in squares.values() for label in np.unique(square[square != VOID])}
        options = [each.text for each in Select(browser.find_element(By.ID, "class")).options]
        assert options == ["any class", *sorted(classes)]
        for name in sorted(classes):
            choose(browser, "#class", name)
            label = photos.classes.index(name)
            assert titles(browser) == [id for id, square in squares.items() if (square == label).any()]
            assert name in browser.find_element(By.ID, "legend").text
        choose(browser, "#class", "any class")

        # Two methods side by side, all tiles equally large.
        for _ in range(2):
            choose(browser, "#columns select:first-child", "(remove)")
        names = [each.text for each in browser.find_elements(By.CSS_SELECTOR, "#tiles article:first-child b")]
        assert names == ["Input", "Ground truth", "DBSCAN", "DiffSeg"]
        for width in (1400, 420):
            resize(browser, width, 1000)
            sizes = [each.size for each in browser.find_elements(By.CSS_SELECTOR, "#tiles .stack")]
            assert len(sizes) == 12
            assert len({(size["width"], size["height"]) for size in sizes}) == 1
            assert sizes[0]["width"] == sizes[0]["height"] > 150
            page_width = browser.execute_script("return document.documentElement.scrollWidth")
            assert page_width <= width  # nothing sticks out
        resize(browser, 1400, 1000)

        # The table of scores has all pictures. A click sorts it, a second click reverses the order.
        choose(browser, "#columns select:first-child", "K-Means-S")
        assert column(browser, "#scores", 0) == ids
        own = scores.loc[("K-Means-S", "present")].loc[ids, "acc"]
        for ascending in (False, True):
            browser.execute_script("document.querySelectorAll('#scores thead button')[1].click()")
            assert column(browser, "#scores", 1) == [f"{value:.1f}" for value in own.sort_values(ascending=ascending)]

        # Enlarge a tile, and go to others with the keyboard.
        tile = browser.find_element(By.CSS_SELECTOR, "#tiles article:first-child figure:last-child button")
        browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", tile)
        tile.click()
        dialog = browser.find_element(By.ID, "large")
        assert dialog.text.startswith(ids[0])
        assert "DiffSeg" in dialog.text
        assert dialog.find_element(By.CLASS_NAME, "stack").size["width"] > 2 * tile.size["width"]
        dialog.send_keys(Keys.ARROW_RIGHT, Keys.ARROW_DOWN)
        assert dialog.text.startswith(ids[1])
        assert "Input" in dialog.text
        browser.save_screenshot(str(tmp_path / "report.png"))
        dialog.send_keys(Keys.ESCAPE)
        assert not dialog.is_displayed()

        assert console(browser) == []
        assert {address.split(":")[0] for address in requests(browser)} == {"file", "data"}
    with Image.open(tmp_path / "report.png") as screenshot:
        assert screenshot.size == (1400, 1000)


@pytest.mark.long
def test_numbers_and_colours_are_those_of_the_results(
    dinov2: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = evaluate(tmp_path / "run", "experiment=demo", "dataset.limit=2", "panels=1", *SMALL, capture=capsys)
    page = page_of(run)
    text = page.read_text("utf-8")
    for _, row in run.table().iterrows():
        for metric in ("acc", "miou"):
            value, low, high = (f"{row[name]:.1f}" for name in (metric, f"{metric}_low", f"{metric}_high"))
            assert f"{value} <small>[{low}, {high}]</small>" in text
    for _, row in run.table("per_class").dropna(subset="iou").iterrows():
        assert f'style="--heat:{row["iou"]:.1f}%">{row["iou"]:.1f}</td>' in text
    facts = json.loads((run.folder / "provenance.json").read_text())[0]
    assert facts["code"][:16] in text
    assert f"torch {facts['versions']['torch']}" in text
    assert text.count("data:image/svg+xml") > 2

    # The ground truth has the colours of its classes, a segment the colour of the class it is matched with.
    first, second = data_of(page)["pictures"]
    assert "photo" not in second
    truth = centre_crop(Photos().load(first["id"]).label)
    painted = {tuple(colour) for colour in pixels(first["truth"]).reshape(-1, 4).tolist()}
    colours = {(*map(int, palette(27)[label]), 255) for label in np.unique(truth[truth != VOID])}
    assert colours == painted - {(255, 255, 255, 255), (0, 0, 0, 0)}
    assert len(first["labels"]) == len(run.table()["row"].unique())
    for index, uri in first["labels"].items():
        shape = pixels(uri)
        assert shape.shape == pixels(first["photo"]).shape
        segments = {tuple(colour) for colour in shape.reshape(-1, 4).tolist()} - {(255, 255, 255, 255)}
        assert len(segments) == first["scores"][int(index)]["segments"]
        assert segments & colours


@pytest.mark.long
def test_html_in_names_of_files_stays_text(dinov2: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ids = ("<img src=x onerror=alert(1)>", "b'\"&amp;", "c")
    root = tmp_path / "<!--<" / "script><script>alert(2)<" / "script>"
    for seed, id in enumerate(ids):
        write_pair(root, id, seed)
    image_of(root, "c").write_bytes(b"no picture")
    overrides = (
        "dataset=cocostuff27",
        f"dataset.root='{root}'",
        "allow_failures=true",
        "name='<i>'",
        "panels=2",
        *SMALL,
    )
    run = evaluate(tmp_path / "run", *overrides, capture=capsys)
    assert run.status == 0, run.err
    page = page_of(run)
    assert len(re.findall("<script", page.read_text("utf-8"))) == 2
    with chromium(tmp_path / "profile") as browser:
        browser.get(page.as_uri())
        assert console(browser) == []  # an alert would make this call fail
        assert sorted(titles(browser)) == sorted(ids[:2])
        assert column(browser, "#scores", 0) == sorted(ids)
        assert "1 picture could not be evaluated" in browser.find_element(By.TAG_NAME, "header").text
        assert f"{root}/val2017/c.jpg: not a picture" in browser.find_element(By.TAG_NAME, "header").text
        assert browser.find_element(By.TAG_NAME, "h1").text == "<i> on cocostuff27"


def test_without_its_data_set_a_page_has_all_but_the_gallery(
    dinov2: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_pair(tmp_path / "data", "a")
    run = evaluate(
        tmp_path / "run", "dataset=cocostuff27", f"dataset.root={tmp_path / 'data'}", "panels=1", *SMALL, capture=capsys
    )
    assert run.status == 0, run.err
    assert "photo" in data_of(page_of(run))["pictures"][0]
    # Other pictures under the same names are no ground truth for these label maps.
    write_pair(tmp_path / "data", "b")
    assert "photo" not in data_of(page_of(run))["pictures"][0]
    assert "no longer those that were evaluated" in capsys.readouterr().err
    shutil.rmtree(tmp_path / "data")
    page = page_of(run)
    text = page.read_text("utf-8")
    assert f"Not shown: {tmp_path / 'data'}" in text
    assert [picture["id"] for picture in data_of(page)["pictures"]] == ["a"]
    assert f'data-value="{run.table()["acc"][0]:.4f}"' in text
    assert "[-, -]" not in text  # one picture has no interval


@pytest.mark.long
def test_a_sweep_is_one_page(dinov2: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    overrides = ("segmenter.tau=0.1,0.4", "dataset.limit=1", "panels=1", *SMALL)
    run = evaluate(tmp_path / "sweep", *overrides, capture=capsys, multirun=True)
    assert run.status == 0, run.err
    data = data_of(page_of(run))
    assert data["settings"] == ["tau=0.1", "tau=0.4"]
    assert data["columns"] == [0, 1]
    (picture,) = data["pictures"]
    assert set(picture["labels"]) == {"0", "1"}
    jobs = [pd.read_csv(run.folder / job / "per_image.csv") for job in ("0", "1")]
    assert [score["segments"] for score in picture["scores"]] == [job["segments"][0] for job in jobs]
    assert jobs[0]["segments"][0] != jobs[1]["segments"][0]


@pytest.mark.long
def test_rows_that_jobs_share_are_in_the_gallery_once(
    dinov2: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = (
        "rows=[{name: A, overrides: ['segmenter=diffseg', 'segmenter.tau=0.3,0.5']},"
        " {name: B, overrides: ['segmenter=kmeans_c']}, {name: C, overrides: ['segmenter=diffseg']}]"
    )
    overrides = ("segmenter.anchors=4,2", "dataset.limit=1", "panels=1", *SMALL[:2], rows)
    run = evaluate(tmp_path / "sweep", *overrides, capture=capsys, multirun=True)
    assert run.status == 0, run.err
    page = page_of(run)
    assert "not in the gallery" not in capsys.readouterr().err
    data = data_of(page)
    assert [name.split(",")[0] for name in data["settings"]] == ["A", "A", "B", "C", "A", "A", "C"]
    (picture,) = data["pictures"]
    assert sorted(map(int, picture["labels"])) == list(range(7))
    for number, uri in picture["labels"].items():
        painted = {tuple(colour) for colour in pixels(uri).reshape(-1, 4).tolist()} - {(255, 255, 255, 255)}
        assert len(painted) == picture["scores"][int(number)]["segments"]


def test_a_folder_without_results_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main([str(tmp_path)])
    assert stopped.value.code == 2
    assert re.fullmatch(r"error: .*: no summary\.csv.*\n", capsys.readouterr().err)
