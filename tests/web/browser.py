"""The player's page in a real browser without a screen: what tests of it share.

Needs playwright and a Chromium, that of NVC_CHROMIUM or one that is on the path; tests skip without. The fixtures are
known to all tests of this folder (conftest.py).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Queue
from typing import Any

import pytest

from bench.checks.player import SOFTWARE, chromium_of
from codec.events import Event, PlayerOpened
from codec.web.player import play

CHROMIUM = chromium_of(None)
FLAGS = [
    "--no-sandbox", *SOFTWARE["webgpu"], "--autoplay-policy=no-user-gesture-required",
    "--host-resolver-rules=MAP elsewhere.test 127.0.0.1",
]  # fmt: skip
PATIENCE = 120_000  # milliseconds, for a machine that has much to do
NO_WEBGPU = "Object.defineProperty(Navigator.prototype, 'gpu', { value: undefined })"
NO_WEBCODECS = "delete globalThis.VideoDecoder"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    sync_api = pytest.importorskip("playwright.sync_api", reason="there is no playwright to drive a browser with")
    if CHROMIUM is None:
        pytest.skip("there is no Chromium; NVC_CHROMIUM may name one")
    with sync_api.sync_playwright() as driver:
        running = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield running
        running.close()


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    with new_page(browser) as opened:
        yield opened


@pytest.fixture
def page_without_webgpu(browser: Any) -> Iterator[Any]:
    with new_page(browser, NO_WEBGPU) as opened:
        yield opened


@contextmanager
def new_page(browser: Any, *scripts: str, **options: Any) -> Iterator[Any]:
    """A page in which `scripts` run before its own; `options` are those of playwright's contexts. No error may reach
    its console."""
    with browser.new_context(**{"viewport": {"width": 1000, "height": 700}} | options) as context:
        for script in scripts:
            context.add_init_script(script)
        opened = context.new_page()
        opened.set_default_timeout(PATIENCE)
        faults: list[str] = []
        opened.on("pageerror", lambda error: faults.append(str(error)))
        yield opened
        assert faults == []


def served(path: Path) -> str:
    """The address of the page with a file, as `codec play` hands it out; the server ends with the page."""
    told: Queue[Event] = Queue()
    threading.Thread(
        target=play, args=(path,), kwargs={"browser": False, "grace": 0.5, "listen": told.put}, daemon=True
    ).start()
    opened = told.get(timeout=20)
    assert isinstance(opened, PlayerOpened)
    return opened.address


def show(page: Any, path: Path) -> None:
    """Open a file in the page, as `codec play` does."""
    page.goto(served(path))


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
    """What the statistics overlay says."""
    texts = page.locator("#statistics > *").all_text_contents()
    return dict(zip(texts[::2], texts[1::2], strict=True))


def seconds(page: Any) -> float:
    """Where the film is by the bar."""
    return float(page.locator("#seek").input_value())
