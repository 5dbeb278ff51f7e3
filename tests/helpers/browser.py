"""Headless Chromium for tests of pages, with its console messages and its network requests."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from selenium.webdriver import Chrome, ChromeOptions, ChromeService

# The browser opens only our pages, so it needs no sandbox, which containers often forbid. It makes no other requests.
FLAGS = (
    *("headless", "no-sandbox", "disable-gpu", "disable-dev-shm-usage", "disable-quic", "no-first-run"),
    *("disable-background-networking", "disable-component-update", "disable-sync", "disable-default-apps"),
    "force-device-scale-factor=1",
)


@contextmanager
def chromium(profile: Path) -> Iterator[Chrome]:
    """Starts Chromium with a new profile. Skips the test if Chromium or its driver is not installed."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    if not browser or not driver:
        pytest.skip("no Chromium with its driver here: apt-get install chromium chromium-driver")
    options = ChromeOptions()
    options.binary_location = browser
    for flag in (*FLAGS, f"user-data-dir={profile}"):
        options.add_argument(f"--{flag}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    # With the path of the driver, Selenium does not search the network for one.
    opened = Chrome(options, ChromeService(driver))
    try:
        opened.get("about:blank")
        requests(opened)  # drops those of the page for new tabs
        yield opened
    finally:
        opened.quit()


def resize(browser: Chrome, width: int, height: int) -> None:
    """Sets the size of the page in pixels. The page can be narrower than a window."""
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)


def console(browser: Chrome) -> list[str]:
    """The messages in the console since the last call: errors, refusals, warnings."""
    return [entry["message"] for entry in browser.get_log("browser")]


def requests(browser: Chrome) -> list[str]:
    """The addresses that the page has requested since the last call."""
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    return [event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"]
