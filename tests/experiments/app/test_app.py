"""The page of make app, served by another process and used in headless Chromium."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.request import urlopen
from zipfile import ZipFile

import numpy as np
import pytest
from PIL import Image
from selenium.webdriver import ActionChains, Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

import diffseg
from datasets.photos import Photos
from diffseg import parts
from diffseg.backbones.image import resize_image
from diffseg.backbones.vit import ViT
from diffseg.cli import main as cli
from diffseg.files.photographs import read_photo
from diffseg.pictures import by_area
from tests.conftest import ROOT
from tests.helpers.browser import chromium, console, requests, resize

SIZE, SIDES = 224, (16, 8, 4)  # a quarter of the time at the usual size
PATIENCE = 120  # seconds; the machine may do other work
SEGMENTS, ATTENTION = ".st-key-segments", ".st-key-attention"
TAU: float = parts.read("backbone", "dinov2_small")["tuned"]["diffseg"]["tau"]["default"]
STEP = 0.001
TO_FINE = round((TAU - 0.2) / STEP)
"""Steps of the slider from the default to 0.2, which gives more segments."""


def free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def address(dinov2: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a server with the real backbone."""
    pytest.importorskip("streamlit", reason="streamlit is not installed: pip install streamlit")
    port, log = free_port(), tmp_path_factory.mktemp("server") / "log"
    command = [sys.executable, "-m", "experiments.app", "--port", str(port), "--size", str(SIZE), "--device", "cpu"]
    with log.open("w") as file:
        server = subprocess.Popen(command, cwd=ROOT, stdout=file, stderr=file)
    try:
        until = time.monotonic() + PATIENCE
        while True:
            try:
                urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=1).close()
                break
            except OSError:
                assert server.poll() is None, log.read_text()
                assert time.monotonic() < until, log.read_text()
                time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(PATIENCE)
    assert "Traceback" not in log.read_text(), log.read_text()


@pytest.fixture
def browser(address: str, tmp_path: Path) -> Iterator[Chrome]:
    """A browser that has opened the page and shows its first picture."""
    with chromium(tmp_path / "profile") as opened:
        resize(opened, 1440, 1000)
        opened.get(address)
        wait(opened, lambda: notes(opened) and "segment" in notes(opened)[0])
        yield opened


def wait(browser: Chrome, condition: Callable[[], Any]) -> Any:
    return WebDriverWait(browser, PATIENCE, 0.05).until(lambda _: condition())


def settle(browser: Chrome) -> None:
    """Waits until the script behind the page has ended."""
    state = "return document.querySelector('.stApp').dataset.testScriptState"
    wait(browser, lambda: browser.execute_script(state) == "notRunning")


def find(browser: Chrome, selector: str) -> WebElement:
    """Waits for an element and returns it."""
    return wait(browser, lambda: browser.find_elements(By.CSS_SELECTOR, selector))[0]


def texts(browser: Chrome, selector: str) -> list[str]:
    return browser.execute_script(
        "return [...document.querySelectorAll(arguments[0])].map(each => each.textContent)", selector
    )


def notes(browser: Chrome) -> list[str]:
    return texts(browser, f"{SEGMENTS} figcaption span")


def segments(browser: Chrome, panel: int = 0) -> int:
    match = re.match(r"(\d+) segments?\b", notes(browser)[panel])
    assert match, notes(browser)
    return int(match[1])


def sources(browser: Chrome, selector: str) -> list[str]:
    return browser.execute_script(
        "return [...document.querySelectorAll(arguments[0])].map(each => each.hidden ? '' : each.src)", selector
    )


def move(browser: Chrome, key: str, presses: int) -> None:
    """Moves a slider by ``presses`` steps, to the left if negative."""
    thumb = find(browser, f".st-key-{key} [role=slider], .st-key-{key} input[type=range]")
    # The page hides the element itself, and some drivers type into no hidden element.
    browser.execute_script("arguments[0].focus()", thumb)
    keys = [Keys.ARROW_RIGHT if presses > 0 else Keys.ARROW_LEFT] * abs(presses)
    ActionChains(browser).send_keys(*keys).perform()


def choose(browser: Chrome, key: str, option: str) -> None:
    """Chooses an option of a drop-down."""
    settle(browser)
    find(browser, f".st-key-{key} input").send_keys(option, Keys.ENTER)


def heats(browser: Chrome) -> list[str]:
    return sources(browser, f"{ATTENTION} .heat")


def pick(browser: Chrome, photo: str) -> None:
    before = sources(browser, f"{SEGMENTS} .photo")
    choose(browser, "photograph", photo)
    wait(browser, lambda: f"{photo}, " in caption(browser))
    wait(browser, lambda: sources(browser, f"{SEGMENTS} .photo") not in (before, []))  # the old picture stays a while


def caption(browser: Chrome) -> str:
    return " ".join(texts(browser, ".stMain [data-testid=stCaptionContainer]"))


def expected(tau: float, anchors: int = 16, iterations: int = 3, photo: str = "astronaut") -> np.ndarray:
    """Segments a square photograph with the library."""
    image = Photos().load(photo).image
    maps = ViT(size=SIZE).load("cpu").attend(resize_image(image, SIZE)[None])[0]
    assert maps.sides == SIDES
    aggregated = diffseg.aggregate(maps.maps)
    labels = diffseg.segment(aggregated, tau, anchors, iterations, grid="even", size=len(image))
    return by_area(labels.numpy())


def download(browser: Chrome, folder: Path, slot: str) -> Path:
    """Downloads the files of a slot; returns the folder in which they are unpacked."""
    folder.mkdir()
    settings = {"behavior": "allow", "downloadPath": str(folder)}
    browser.execute_cdp_cmd("Browser.setDownloadBehavior", settings)
    settle(browser)
    find(browser, f".st-key-{slot}-download button").click()
    (file,) = wait(browser, lambda: list(folder.glob("*.zip")))
    with ZipFile(file) as archive:
        archive.extractall(folder)
    return folder


@pytest.mark.long
def test_the_result_follows_the_settings_and_a_click_shows_attention(browser: Chrome, tmp_path: Path) -> None:
    start = expected(TAU)
    assert segments(browser) == start.max() + 1

    # tau: down to 0.2, where there are more segments.
    fine = expected(0.2)
    assert fine.max() > start.max()
    move(browser, "left-diffseg-tau", -TO_FINE)
    wait(browser, lambda: segments(browser) == fine.max() + 1)
    with Image.open(download(browser, tmp_path / "labels", "left") / "astronaut.labels.png") as image:
        np.testing.assert_array_equal(np.array(image), fine)

    # M and N.
    other = expected(0.2, anchors=13, iterations=2)
    assert other.max() != fine.max()
    move(browser, "left-diffseg-anchors", -3)
    move(browser, "left-diffseg-iterations", -1)
    wait(browser, lambda: segments(browser) == other.max() + 1)

    # R: the finest side alone.
    before = sources(browser, f"{SEGMENTS} .colours")
    choose(browser, "weights", "finest")
    wait(browser, lambda: sources(browser, f"{SEGMENTS} .colours") != before)
    wait(browser, lambda: heats(browser)[0] == heats(browser)[-1])
    assert all(source.startswith("data:image/png") for source in heats(browser))

    # A click on the segments.
    assert texts(browser, f"{ATTENTION} b") == [*(f"{side} x {side}" for side in SIDES), "aggregated"]
    before = heats(browser)
    stack = find(browser, f"{SEGMENTS} .stack")
    width, height = stack.size["width"], stack.size["height"]
    ActionChains(browser).move_to_element_with_offset(stack, -width // 4, height // 4).click().perform()
    wait(browser, lambda: "25% from the left, 75% from the top" in " ".join(texts(browser, "h3")))
    wait(browser, lambda: not set(heats(browser)) & set(before))
    script = "return [...document.querySelectorAll('.marker')].map(each => parseFloat(each.style.left))"
    markers = browser.execute_script(script)
    assert len(markers) == 2 + len(SIDES) + 1
    assert all(abs(left - 25) < 1 for left in markers)

    assert console(browser) == []
    assert {each.split("/")[2] for each in requests(browser) if each.startswith(("http", "ws"))} <= {
        browser.current_url.split("/")[2]
    }


@pytest.mark.long
def test_two_segmenters_are_shown_side_by_side(browser: Chrome, tmp_path: Path) -> None:
    assert texts(browser, f"{SEGMENTS} b") == ["diffseg", "photograph"]
    for name in ("kmeans_c", "ncut"):
        field = find(browser, ".st-key-right input")
        field.send_keys(name, Keys.ENTER)
        wait(browser, lambda name=name: texts(browser, f"{SEGMENTS} b") == ["diffseg", name])
        wait(browser, lambda: len(notes(browser)) == 2 and "segment" in notes(browser)[1])
        if name == "kmeans_c":
            assert segments(browser, 1) == 6
            move(browser, "right-kmeans_c-clusters", -3)
            wait(browser, lambda: segments(browser, 1) == 3)
            with Image.open(download(browser, tmp_path / "right", "right") / "astronaut.labels.png") as image:
                assert np.unique(np.array(image)).tolist() == [0, 1, 2]
    assert all(sources(browser, f"{SEGMENTS} .colours"))
    overlay = read_photo(download(browser, tmp_path / "overlay", "left") / "astronaut.overlay.png")
    assert overlay.shape == Photos().load("astronaut").image.shape
    browser.save_screenshot(str(tmp_path / "app.png"))
    assert console(browser) == []


@pytest.mark.long
def test_a_dropped_photograph_gets_the_segments_of_the_command_line(browser: Chrome, tmp_path: Path) -> None:
    image = Image.fromarray(Photos().load("chelsea").image).resize((1000, 640))
    image.save(tmp_path / "my cat.png")
    find(browser, "input[type=file]").send_keys(str(tmp_path / "my cat.png"))
    wait(browser, lambda: "my cat, 1000 x 640 pixels" in caption(browser))
    wait(browser, lambda: notes(browser) and "segment" in notes(browser)[0])
    file = download(browser, tmp_path / "downloads", "left") / "my cat.labels.png"
    arguments = [str(tmp_path / "my cat.png"), "-o", str(tmp_path / "out"), "--size", str(SIZE), "--device", "cpu"]
    assert cli.main(arguments) == 0
    assert file.read_bytes() == (tmp_path / "out" / "my cat.labels.png").read_bytes()


@pytest.mark.long
def test_remarks_about_a_photograph_stand_beside_it(browser: Chrome, tmp_path: Path) -> None:
    Image.fromarray(Photos().load("chelsea").image // 16).save(tmp_path / "dark.png")
    find(browser, "input[type=file]").send_keys(str(tmp_path / "dark.png"))
    alerts = ".stSidebar [data-testid=stAlert]"
    (line,) = wait(browser, lambda: texts(browser, alerts))
    assert line.strip().startswith("dark.png: is almost black; scale its values")
    pick(browser, "coffee")
    wait(browser, lambda: not texts(browser, alerts))


@pytest.mark.long
def test_a_file_that_is_no_picture_is_one_line_and_the_page_goes_on(browser: Chrome, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no picture")
    find(browser, "input[type=file]").send_keys(str(tmp_path / "notes.txt"))
    alerts = ".stMain [data-testid=stAlert]"
    (line,) = wait(browser, lambda: texts(browser, alerts))
    assert line.strip() == "notes.txt: not a picture in a format that Pillow reads; convert it to PNG"
    pick(browser, "coffee")
    wait(browser, lambda: not texts(browser, alerts))
    assert segments(browser) > 0


@pytest.mark.long
def test_tabs_do_not_mix_their_pictures(browser: Chrome, address: str) -> None:
    first = browser.current_window_handle
    browser.switch_to.new_window("tab")
    resize(browser, 1440, 1000)
    browser.get(address)
    wait(browser, lambda: notes(browser) and "segment" in notes(browser)[0])
    pick(browser, "coffee")
    second, count = browser.current_window_handle, segments(browser)
    coffee = sources(browser, f"{SEGMENTS} .photo")

    browser.switch_to.window(first)
    assert "astronaut, " in caption(browser)
    fine = expected(0.2).max() + 1
    move(browser, "left-diffseg-tau", -TO_FINE)
    wait(browser, lambda: segments(browser) == fine)
    assert "astronaut, " in caption(browser)
    assert sources(browser, f"{SEGMENTS} .photo") != coffee

    browser.switch_to.window(second)
    assert segments(browser) == count
    move(browser, "left-diffseg-tau", 1)
    wait(browser, lambda: f"{TAU + STEP:.3f}" in " ".join(texts(browser, ".st-key-left-diffseg-tau")))
    assert sources(browser, f"{SEGMENTS} .photo") == coffee


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--path", "/nowhere"], "path: /nowhere is not a folder"),
        (["--size", "100"], "size: must be a positive multiple of the patch, 14, got 100"),
        (["--port", "99999"], "--port: cannot listen on 127.0.0.1:99999"),
        (["--device", "gpu"], "device: must be auto, cpu, cuda"),
        (["--port", "many"], "argument --port: invalid int value"),
    ],
)
def test_an_argument_that_prevents_the_start_is_one_line(
    arguments: list[str], message: str, dinov2: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("streamlit", reason="streamlit is not installed: pip install streamlit")
    from experiments.app.__main__ import main

    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("app: ")
    assert message in line


def test_a_port_that_is_taken_is_one_line(dinov2: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("streamlit", reason="streamlit is not installed: pip install streamlit")
    from experiments.app.__main__ import main

    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(SystemExit) as stopped:
            main(["--port", str(taken.getsockname()[1])])
    assert stopped.value.code == 2
    said = capsys.readouterr().err
    assert re.fullmatch(r"app: --port: cannot listen on 127\.0\.0\.1:\d+ \(.*\); give another\n", said)
