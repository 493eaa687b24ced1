"""index.html: it holds what it was given, asks nobody for anything, and treats names as text."""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser

import cv2
import numpy as np
import pytest

from bench.show import page
from bench.show.curves import EMPTY, Line, Panel

EVIL = "</script><b>&\"' <!-- {{js}}"
ABOUT = {"command": "bench rd-curve a.mp4", "machine": "a machine", "date": "today", "versions": {"av": "1"}}


class Reader(HTMLParser):
    """The text of a page and of its scripts, its elements and their attributes."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.words, self.scripts, self._open = [], [], [], None
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self._open = dict(attrs)
        self.tags.append((tag, self._open))

    def handle_endtag(self, tag):
        self._open = None

    def handle_data(self, data):
        if self.tags and self.tags[-1][0] == "script" and self._open is not None:
            self.scripts.append((self._open.get("id"), data))
        else:
            self.words.append(data)

    def json(self, name):
        return json.loads("".join(data for found, data in self.scripts if found == name))


def record(setting, **fields):
    return {
        "method": "x", "clip": "a", "setting": setting, "settings": "preset 4", "frames": 10, "identical": 0,
        "worst": 8, "bytes": 1000 * setting, "kbps": 10.0 * setting, "bpp": 0.1, "psnr_yuv": 30.0 + setting,
        "ssim": 0.9, "encode_s": 1.5, "decode_s": 0.5, "crop": f"crops/{setting}.png",
        "crop_source": "crops/source.png",
    } | fields  # fmt: skip


def panel(clip="a", method="x", records=(1, 2, 3), *more):
    return Panel(clip, "64x64", "kbps", "psnr_yuv", (Line(method, tuple(map(record, records))), *more))


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "crops").mkdir()
    for k, name in enumerate(("source", 1, 2, 3)):
        cv2.imwrite(str(tmp_path / "crops" / f"{name}.png"), np.full((8, 8, 3), 10 * k, np.uint8))
    return tmp_path


def written(folder, panels, bd=(), notes=(), about=ABOUT):
    page.write(panels, bd, notes, about, folder)
    text = (folder / "index.html").read_text(encoding="utf-8")
    return text, Reader(text)


def test_records_come_back_as_they_were(folder):
    exact = Line("exact", (record(9, identical=10, worst=0, psnr_yuv=100.0),))
    published = Line("paper", ({"kbps": 5, "psnr_yuv": 31.5},), reference="a paper, table 2")
    given = [panel(), panel("b", "x", (1, 2), exact, published)]
    _, read = written(folder, given)
    found = read.json("data")["panels"]
    for want, got in zip(given, found, strict=True):
        assert [got[name] for name in ("clip", "about", "rate", "quality")] == [
            want.clip, want.about, want.rate, want.quality,
        ]  # fmt: skip
        lines = [(line["method"], line["reference"], tuple(line["records"])) for line in got["lines"]]
        assert lines == [(line.method, line.reference, line.records) for line in want.lines]
    assert [line["lossless"] for line in found[1]["lines"]] == [[False, False], [True], [False]]
    assert set(read.json("data")["looks"]) == {"x", "exact"}
    assert "Reference line paper: a paper, table 2." in read.words


def test_page_asks_nobody_for_anything(folder):
    text, read = written(folder, [panel()])
    assert not re.search(r"https?:|//[a-z]+\.|\bimport\b|url\(|\bfetch\b|XMLHttp|innerHTML|document\.write", text)
    linking = ("src", "srcset", "href", "action", "data")
    links = [value for _, attrs in read.tags for key, value in attrs.items() if key in linking]
    assert links == ["data:,"]
    policy = next(attrs["content"] for _, attrs in read.tags if "http-equiv" in attrs)
    assert "default-src 'none'" in policy and "img-src data:" in policy


def test_names_are_text_and_never_markup(folder):
    bd = [{"anchor": EVIL, "method": EVIL, "clip": EVIL, "over": 1, "measure": "ssim", **EMPTY}]
    given = panel(EVIL, EVIL)
    about = {"command": EVIL, "machine": EVIL, "date": EVIL, "anchor": EVIL, "versions": {EVIL: EVIL}}
    text, read = written(folder, [given], bd, [EVIL], about)
    plain, _ = written(folder, [panel()], bd, ["a note"])
    assert "<b>" not in text and text.count("</script") == plain.count("</script") == 3
    assert "b" not in [tag for tag, _ in read.tags]
    assert read.json("data")["panels"][0]["clip"] == EVIL
    assert "".join(read.words).count(EVIL) >= 7


def test_each_crop_is_there_once(folder):
    text, read = written(folder, [panel(), panel("b")])
    images = read.json("images")
    assert list(images) == ["crops/source.png", "crops/1.png", "crops/2.png", "crops/3.png"]
    for name, uri in images.items():
        assert base64.b64decode(uri.removeprefix("data:image/png;base64,")) == (folder / name).read_bytes()
        assert text.count(uri) == 1


def test_missing_crop_is_named(folder):
    (folder / "crops" / "2.png").unlink()
    (folder / "crops" / "3.png").write_bytes(b"no picture")
    _, read = written(folder, [panel()])
    assert read.json("images")["crops/2.png"] is None
    assert {"The picture crops/2.png is missing.", "The picture crops/3.png is missing."} <= set(read.words)


def test_pictures_that_would_make_the_page_too_large_are_named(folder, monkeypatch):
    monkeypatch.setattr(page, "LARGEST", sum((folder / "crops" / f"{n}.png").stat().st_size for n in ("source", 1)))
    _, read = written(folder, [panel()])
    assert list(read.json("images")) == ["crops/source.png", "crops/1.png"]
    assert any(words.startswith("2 of 4 pictures are not in this page") for words in read.words)


def test_notes_and_failures_can_be_read(folder):
    failed = Line("y", ({"method": "y", "clip": "a", "setting": 7, "frames": 10, "error": "the encoder ended with 1"},))
    _, read = written(folder, [panel("a", "x", (1, 2), failed)], notes=["a: y at 7 failed: the encoder ended with 1"])
    assert "a: y at 7 failed: the encoder ended with 1" in read.words
    assert read.json("data")["panels"][0]["lines"][1]["records"][0]["error"]


def test_bd_rates_stand_with_their_range(folder):
    row = {"anchor": "x", "method": "y", "clip": "a", "over": 1, "measure": "psnr_yuv", "bd_rate_percent": -12.34,
           "bd_db": 0.5, "low": 31.0, "high": 40.04}  # fmt: skip
    mean = {"clip": "mean of 2 clips", "over": 2}
    _, read = written(folder, [panel()], [row, row | {"measure": "ssim", "low": 12.0}, row | EMPTY | mean])
    words = read.words
    assert {"Against x", "−12.3 %", "+0.50 dB; 31.0–40.0 dB", "+0.50 dB; 12.0–40.0 dB", "–"} <= set(words)
    assert [word for word in words if word in ("PSNR-YUV", "SSIM")] == ["PSNR-YUV", "SSIM"]
    assert words.index("mean of 2 clips") < words.index("a", words.index("Against x")), "the mean comes first"


def test_what_the_page_is_made_of_is_shown(folder):
    _, read = written(folder, [panel()])
    assert {"bench rd-curve a.mp4", "a machine · today", "preset 4", "av", "1"} <= set(read.words)


def test_page_without_points_is_written(folder):
    _, read = written(folder, [Panel("a", "64x64", "kbps", "psnr_yuv", ())])
    assert read.json("data")["panels"][0]["lines"] == []
    assert written(folder, [])[1].json("images") == {}


@pytest.mark.parametrize(("address", "drawn", "pinned"), [
    ("", 3, 0),
    ("#clip=b&y=ssim_db&x=linear&pin=0.1&pin=1.0&difference=1&off=z", 4, 2),
    ("#clip=none&pin=9.9&x=none", 3, 0),
])  # fmt: skip
def test_browser_draws_what_the_address_says(folder, address, drawn, pinned):
    browser = shutil.which("chromium")
    if not browser:
        pytest.skip("no browser")
    exact = Line(EVIL, (record(9, identical=10, worst=0, psnr_yuv=100.0, crop="crops/lost.png"),))
    written(folder, [panel(), panel("b", "x", (1, 2, 3), exact)])
    command = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
               "--disable-background-networking", "--disable-component-update", "--disable-sync",
               f"--user-data-dir={folder / 'profile'}", "--virtual-time-budget=2000", "--dump-dom",
               (folder / "index.html").as_uri() + address]  # fmt: skip
    try:
        shown = subprocess.run(command, capture_output=True, check=True, text=True, timeout=60).stdout
    except (OSError, subprocess.SubprocessError):
        pytest.skip("the browser does not run here")
    points = re.findall(r'<g class="point( pinned)?', shown)
    assert (len(points), points.count(" pinned")) == (drawn, pinned)
    assert shown.count("<figure>") == (3 if pinned else 0)
    assert shown.count("<p>The picture crops/lost.png is missing.</p>") == bool(pinned)
