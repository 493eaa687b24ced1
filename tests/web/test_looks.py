"""How the page shows films that are turned or begin late, what it says where a browser lacks things, and fingers."""

from __future__ import annotations

import struct
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
import pytest

from tests.makers import GOLDEN
from tests.web.browser import NO_WEBCODECS, first_picture, new_page, seconds, show, until

FILM = GOLDEN / "shipped-v1.nvc"
NO_AV1 = "HTMLMediaElement.prototype.canPlayType = () => ''"
LATE = Fraction(3, 2)  # seconds
TWICE = """(() => {{
    const tap = {{ pointerType: 'touch', clientX: {}, clientY: {}, bubbles: true }};
    for (let k = 0; k < 2; k++) document.getElementById('picture').dispatchEvent(new PointerEvent('pointerup', tap));
}})()"""  # two taps at once: those of a slow machine may be too far apart


def turned(source: Path, target: Path) -> Path:
    """A copy of an MP4 whose first track is to be turned by 90 degrees."""
    data = bytearray(source.read_bytes())
    upright = struct.pack(">9i", 65536, 0, 0, 0, 65536, 0, 0, 0, 1 << 30)
    at = data.index(upright, data.index(b"tkhd"))
    data[at : at + 36] = struct.pack(">9i", 0, 65536, 0, -65536, 0, 0, 0, 0, 1 << 30)
    target.write_bytes(data)
    return target


def late(source: Path, target: Path) -> Path:
    """A copy whose pictures begin late."""
    with av.open(str(source)) as old, av.open(str(target), "w") as new:
        video = old.streams.video[0]
        copy: Any = new.add_stream_from_template(cast(Any, video), opaque=True)
        for packet in old.demux(video):
            if packet.size:
                packet.pts += int(LATE / packet.time_base)
                packet.dts += int(LATE / packet.time_base)
                packet.stream = copy
                new.mux(packet)
    return target


def side(page: Any, part: float) -> tuple[float, float]:
    """A place in the middle of the picture's height."""
    box = page.locator("#box").bounding_box()
    return box["x"] + part * box["width"], box["y"] + box["height"] / 2


def test_a_film_is_turned_and_its_small_pictures_too(page: Any, tmp_path: Path) -> None:
    show(page, turned(FILM, tmp_path / "turned.mp4"))
    first_picture(page)
    size = "[document.querySelector('{0}').width, document.querySelector('{0}').height]"
    assert page.evaluate(size.format("#picture")) == [66, 98]
    page.hover("#seek")
    until(page, "document.querySelector('#peek canvas').width < document.querySelector('#peek canvas').height")
    assert page.evaluate(size.format("#peek canvas"))[1] == 90


@pytest.mark.parametrize("ending", ["mp4", "mkv"])
def test_a_film_that_begins_late_has_a_beginning(page: Any, tmp_path: Path, ending: str) -> None:
    show(page, late(FILM, tmp_path / f"late.{ending}"))
    first_picture(page)
    assert seconds(page) == 0
    page.keyboard.press(".")
    until(page, f"document.getElementById('seek').value > {float(LATE)}")


def test_the_lens_shows_base_and_film(page: Any) -> None:
    show(page, FILM)
    first_picture(page)
    page.keyboard.press("z")
    page.mouse.move(*side(page, 0.3))
    until(page, "!document.getElementById('lens').hidden && document.getElementById('lensPicture').width === 220")
    lens, place = page.locator("#lens").bounding_box(), side(page, 0.3)
    assert (lens["x"] + 110, lens["y"] + 110) == pytest.approx(place, abs=2)
    page.keyboard.press("z")
    assert page.locator("#lens").is_hidden()


def test_without_webcodecs_the_browser_shows_the_base(browser: Any) -> None:
    with new_page(browser, NO_WEBCODECS) as page:
        show(page, FILM)
        until(page, "document.getElementById('picture').videoWidth === 98")
        until(page, "!document.getElementById('note').hidden")
        assert "no WebCodecs" in page.locator("#note").text_content()


def test_without_av1_there_is_a_sentence(browser: Any) -> None:
    with new_page(browser, NO_WEBCODECS, NO_AV1) as page:
        show(page, FILM)
        until(page, "document.getElementById('loading').classList.contains('wrong')")
        assert "does not decode AV1" in page.locator("#loading").text_content()


def test_fingers(browser: Any) -> None:
    with new_page(browser, has_touch=True, is_mobile=True, viewport={"width": 412, "height": 700}) as page:
        show(page, FILM)
        first_picture(page)
        for part, ends in ((0.9, "> 0.25"), (0.1, "< 0.25")):
            page.evaluate(TWICE.format(*side(page, part)))
            until(page, f"document.getElementById('seek').value {ends}")
        page.touchscreen.tap(*side(page, 0.5))
        until(page, "document.getElementById('play').getAttribute('aria-label') === 'Pause'")
