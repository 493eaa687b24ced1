"""The player's page in a real browser without a screen: golden films are exact there, and what people press works."""

from __future__ import annotations

from typing import Any

import pytest

from tests.makers import GOLDEN
from tests.web.browser import first_picture, seconds, show, statistics, until

PICTURES = 8  # of every golden film
EXACT = ("head-v1", "enlarged-v1", "shipped-v1", "tracks-v1")
BASE = {
    "history-v1": "earlier pictures",
    "lossless-v1": "is lossless",
    "learned-v1": "near-lossless",
    "whole-v1": "is lossless",
    "light-v1": "is lossless",
}


@pytest.mark.parametrize("name", EXACT)
def test_golden_film_is_exact(page: Any, name: str) -> None:
    show(page, GOLDEN / f"{name}.nvc")
    first_picture(page)
    page.keyboard.press("i")
    page.keyboard.press("w")  # for every picture, on any machine
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
