"""The player's page in a real browser without a screen: golden films are exact there, and what people press works.

Needs playwright and a Chromium: that of NVC_CHROMIUM, or one that is on the path.
"""

from __future__ import annotations

import os
import re
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from queue import Queue
from typing import Any

import pytest

from codec.events import Event, PlayerOpened
from codec.web.player import play

sync_api = pytest.importorskip("playwright.sync_api", reason="there is no playwright to drive a browser with")
_ON_PATH = map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))
CHROMIUM = os.environ.get("NVC_CHROMIUM") or next(filter(None, _ON_PATH), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium; NVC_CHROMIUM may name one")

GOLDEN = Path(__file__).parent.parent / "golden"
PICTURES = 8  # of every golden film
FLAGS = [
    "--no-sandbox", "--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader", "--enable-features=Vulkan",
    "--use-vulkan=swiftshader", "--use-angle=vulkan", "--autoplay-policy=no-user-gesture-required",
]  # fmt: skip
EXACT = ("head-v1", "enlarged-v1", "shipped-v1", "tracks-v1")
BASE = {
    "history-v1": "earlier pictures",
    "lossless-v1": "near-lossless",
    "learned-v1": "near-lossless",
    "whole-v1": "near-lossless",
    "light-v1": "near-lossless",
}
PATIENCE = 30_000  # milliseconds, for a machine that has much to do


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as driver:
        running = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield running
        running.close()


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    with browser.new_context(viewport={"width": 1000, "height": 700}) as context:
        opened = context.new_page()
        opened.set_default_timeout(PATIENCE)
        faults: list[str] = []
        opened.on("pageerror", lambda error: faults.append(str(error)))
        yield opened
        assert faults == []


def show(page: Any, path: Path) -> None:
    """Open a file in the page, as `codec play` does; the server ends with the page."""
    told: Queue[Event] = Queue()
    threading.Thread(
        target=play, args=(path,), kwargs={"browser": False, "grace": 0.5, "listen": told.put}, daemon=True
    ).start()
    opened = told.get(timeout=20)
    assert isinstance(opened, PlayerOpened)
    page.goto(opened.address)


def until(page: Any, holds: str) -> None:
    """Wait for an expression to hold; the page's policy lets it not be left there to be evaluated."""
    end = time.monotonic() + PATIENCE / 1000
    while not page.evaluate(holds):
        assert time.monotonic() < end, holds
        page.wait_for_timeout(50)


def first_picture(page: Any) -> None:
    """Wait until one is shown."""
    until(page, "document.querySelector('#player.film') && document.getElementById('welcome').hidden")
    until(page, "Boolean(document.getElementById('picture').dataset.shown)")


def statistics(page: Any) -> dict[str, str]:
    texts = page.locator("#statistics > *").all_text_contents()
    return dict(zip(texts[::2], texts[1::2], strict=True))


def seconds(page: Any) -> float:
    return float(page.locator("#seek").input_value())


@pytest.mark.parametrize("name", EXACT)
def test_golden_film_is_exact(page: Any, name: str) -> None:
    show(page, GOLDEN / f"{name}.nvc")
    first_picture(page)
    page.keyboard.press("i")
    page.keyboard.press(" ")
    wanted = f"{PICTURES} of {PICTURES} pictures"
    until(page, f"document.getElementById('statistics').textContent.includes('{wanted}')")
    assert statistics(page)["exact"] == wanted
    assert page.locator("#words").is_hidden()


@pytest.mark.parametrize("name", BASE)
def test_what_cannot_be_restored_is_said_on_the_picture(page: Any, name: str) -> None:
    show(page, GOLDEN / f"{name}.nvc")
    first_picture(page)
    until(page, "!document.getElementById('words').hidden")
    assert "This is the base" in page.locator("#words").text_content()
    assert BASE[name] in page.locator("#words").text_content()


def test_keys_and_single_pictures(page: Any) -> None:
    show(page, GOLDEN / "shipped-v1.nvc")
    first_picture(page)
    times = [seconds(page)]
    for key in "..,":
        page.keyboard.press(key)
        until(page, f"Math.abs(document.getElementById('seek').value - {times[-1]}) > 0.01")
        times.append(seconds(page))
    assert times == pytest.approx([0, 1 / 24, 2 / 24, 1 / 24], abs=2e-3)
    page.keyboard.press("End")
    until(page, "document.getElementById('seek').value > 0.28")
    page.keyboard.press("Home")
    until(page, "document.getElementById('seek').value == 0")
    page.keyboard.press(">")
    assert page.locator("#speed").input_value() == "1.25"
    page.keyboard.press("?")
    assert page.locator("#keys").is_visible()


def test_divider_moves(page: Any) -> None:
    show(page, GOLDEN / "shipped-v1.nvc")
    first_picture(page)
    page.keyboard.press("d")
    divider = page.locator("#divider")
    assert divider.get_attribute("aria-valuenow") == "50"
    box = page.locator("#box").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 40)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 4, box["y"] + 40, steps=3)
    page.mouse.up()
    assert divider.get_attribute("aria-valuenow") == "25"
    page.keyboard.press("ArrowRight")
    assert divider.get_attribute("aria-valuenow") == "27"


def test_subtitles_are_shown(page: Any) -> None:
    show(page, GOLDEN / "tracks-v1.nvc")
    first_picture(page)
    page.keyboard.press("c")
    page.keyboard.press(" ")
    until(page, "document.getElementById('caption').textContent.length > 0")


def test_a_narrow_window_needs_no_scrolling(page: Any) -> None:
    page.set_viewport_size({"width": 360, "height": 640})
    show(page, GOLDEN / "tracks-v1.nvc")
    first_picture(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    for button in page.locator("#buttons button:visible").all():
        box = button.bounding_box()
        assert box["x"] >= 0 and box["x"] + box["width"] <= 360


def test_what_is_no_film_is_refused_in_words(page: Any) -> None:
    show(page, GOLDEN / "still-v1.nvs")
    until(page, "document.getElementById('loading').classList.contains('wrong')")
    assert re.search("cannot be shown", page.locator("#loading").text_content())
