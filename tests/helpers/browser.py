"""Headless Chromium for the tests of pages, and what it has to say about them: its console, and whom it called."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from selenium.webdriver import Chrome, ChromeOptions, ChromeService

# A browser that looks at one file needs no sandbox (containers often forbid it), and calls nobody on its own.
FLAGS = (
    *("headless", "no-sandbox", "disable-gpu", "disable-dev-shm-usage", "disable-quic", "no-first-run"),
    *("disable-background-networking", "disable-component-update", "disable-sync", "disable-default-apps"),
    "force-device-scale-factor=1",
)


@contextmanager
def chromium(profile: Path) -> Iterator[Chrome]:
    """Chromium with a fresh profile; skips the test where it or its driver is not installed."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    if not browser or not driver:
        pytest.skip("no Chromium with its driver here: apt-get install chromium chromium-driver")
    options = ChromeOptions()
    options.binary_location = browser
    for flag in (*FLAGS, f"user-data-dir={profile}"):
        options.add_argument(f"--{flag}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    # The driver is named, so that Selenium does not look for one on the network.
    opened = Chrome(options, ChromeService(driver))
    try:
        opened.get("about:blank")
        requests(opened)  # those of the page for new tabs
        yield opened
    finally:
        opened.quit()


def resize(browser: Chrome, width: int, height: int) -> None:
    """Sets the size of the page in pixels, also to one narrower than a window can be."""
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)


def prefer(browser: Chrome, scheme: str) -> None:
    """Makes the browser ask for a ``light`` or ``dark`` page."""
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})


def console(browser: Chrome) -> list[str]:
    """What the page has written to the console since the last call: errors, refusals, warnings."""
    return [entry["message"] for entry in browser.get_log("browser")]


def requests(browser: Chrome) -> list[str]:
    """Addresses that the page has asked for since the last call."""
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    return [each["params"]["request"]["url"] for each in events if each["method"] == "Network.requestWillBeSent"]
