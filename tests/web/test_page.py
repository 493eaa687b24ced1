"""The player's page: what its files say of each other, its colours, its counts."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

import numpy as np
import pytest

from tests.web.player import PLAYER, in_node, needs_node

LINES_MAX = 400
MODULES = sorted(path.relative_to(PLAYER).as_posix() for path in PLAYER.rglob("*.js"))
HTML = (PLAYER / "index.html").read_text(encoding="utf-8")


def text_of(name: str) -> str:
    return (PLAYER / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", MODULES)
def test_module_imports_what_others_export(name: str) -> None:
    for names, module in re.findall(r"^import (.*?) from '(.*?)';", text_of(name), re.MULTILINE | re.DOTALL):
        assert module.startswith("."), module
        path = posixpath.normpath(posixpath.join(posixpath.dirname(name), module))
        assert path in MODULES, module
        exported = text_of(path)
        wanted = re.findall(r"\w+", names.split("{")[-1]) if "{" in names else []
        for one in wanted:
            assert re.search(rf"^export (?:async )?(?:function\*?|const|class) {one}\b", exported, re.MULTILINE), one


@pytest.mark.parametrize("name", MODULES)
def test_module_is_short_and_says_what_it_does(name: str) -> None:
    text = text_of(name)
    assert text.startswith("/**") and len(text.splitlines()) <= LINES_MAX
    assert max(map(len, text.splitlines())) <= 120
    assert not re.search(r"\beval\(|\bnew Function\b|innerHTML|TODO", text)


def test_page_has_what_its_modules_look_for() -> None:
    ids = set(re.findall(r'\bid="(\w+)"', HTML))
    for name in MODULES:
        assert set(re.findall(r"\$\('(\w+)'\)", text_of(name))) <= ids, name


def test_page_obeys_the_policy_of_its_server() -> None:
    """No script, style or handler within the page: the server's Content-Security-Policy forbids them."""
    assert not re.search(r"<style|\sstyle=|\son\w+=|javascript:", HTML)
    assert re.findall(r"<script\b[^>]*>(.*?)</script>", HTML, re.DOTALL) == [""]
    assert not any("blob:" in text_of(name) for name in MODULES)


def test_page_names_what_is_pressed() -> None:
    for button in re.findall(r"<button\b(.*?)>(.*?)</button>", HTML, re.DOTALL):
        assert "aria-label" in button[0] or re.sub(r"<.*?>", "", button[1]).strip(), button
    for field in re.findall(r"<input\b(.*?)>", HTML, re.DOTALL):
        label = re.search(r'id="(\w+)"', field)
        assert "aria-label" in field or "hidden" in field or (label and f'for="{label[1]}"' in HTML), field


@needs_node
def test_colours_are_those_of_the_matrix(tmp_path: Path) -> None:
    ranges = [(False, 8, 16, 235), (True, 8, 0, 255), (False, 10, 64, 940), (True, 10, 0, 1023)]
    jobs = [
        {"do": "colours", "colour": {"matrix": m, "full": full}, "depth": depth,
         "samples": [[black, 2 ** (depth - 1), 2 ** (depth - 1)], [white, 2 ** (depth - 1), 2 ** (depth - 1)]]}
        for m in (1, 6, 8, 9) for full, depth, black, white in ranges
    ]  # fmt: skip
    for found in in_node("page.mjs", jobs, tmp_path):
        assert np.allclose(found, [[0, 0, 0], [1, 1, 1]], atol=1e-9)
    red = {"do": "colours", "colour": {"matrix": 1, "full": False}, "depth": 8, "samples": [[62.559, 102.336, 240]]}
    planes = {"do": "colours", "colour": {"matrix": 0, "full": True}, "depth": 8, "samples": [[51, 102, 255]]}
    found = in_node("page.mjs", [red, planes], tmp_path)
    assert np.allclose(found[0], [[1, 0, 0]], atol=1e-3)
    assert np.allclose(found[1], [[1, 0.2, 0.4]])


@needs_node
def test_pictures_are_turned_and_stretched(tmp_path: Path) -> None:
    film = {"width": 720, "height": 576}
    tracks = [
        {"rotation": 0, "mirrored": False, "pixelAspect": [16, 15]},
        {"rotation": 90, "mirrored": False, "pixelAspect": [1, 1]},
        {"rotation": 180, "mirrored": True, "pixelAspect": [1, 2]},
    ]
    found = in_node("page.mjs", [{"do": "placed", "film": film, "track": track} for track in tracks], tmp_path)
    assert [(one["width"], one["height"]) for one in found] == [(768, 576), (576, 720), (720, 1152)]

    def film_place(one: dict[str, list[float]], x: float, y: float) -> tuple[float, float]:
        xx, xy, yx, yy, left, top = one["toFilm"]
        return xx * x + xy * y + left, yx * x + yy * y + top

    assert film_place(found[0], 0.25, 0) == (0.25, 0)
    assert film_place(found[1], 1, 0) == (0, 0), "turned clockwise, what was above on the left is on the right"
    assert film_place(found[2], 0, 1) == (0, 0), "mirrored, then turned by half"


@needs_node
def test_what_is_decoded_twice_is_counted_once(tmp_path: Path) -> None:
    segments = [{"frames": 10, "group": 8}, {"frames": 3, "group": 8}]
    seen = [[0, 7, 0, True], [0, 9, 1, True], [1, 0, None, False], [1, 2, 0, False]]
    (found,) = in_node("page.mjs", [{"do": "counted", "segments": segments, "found": seen + seen[:2]}], tmp_path)
    assert (found["exact"], found["checked"]) == (10, 13)


@needs_node
def test_times_are_read_by_people(tmp_path: Path) -> None:
    (found,) = in_node("page.mjs", [{"do": "times", "seconds": [0, 61.9, 3723]}], tmp_path)
    assert found == [
        ["0:00", "0 seconds"],
        ["1:01", "1 minute 1 second"],
        ["1:02:03", "1 hour 2 minutes 3 seconds"],
    ]


@needs_node
def test_light_of_hdr_is_told(tmp_path: Path) -> None:
    colours = [{"primaries": 9, "transfer": 16, "light": {"max": 4000}}, {"primaries": 1, "transfer": 1}]
    found = in_node("page.mjs", [{"do": "light", "colour": colour} for colour in colours], tmp_path)
    assert "HDR (PQ)" in found[0]["note"] and found[0]["wide"] and found[0]["peak"] > 19
    assert found[1]["note"] is None and not found[1]["wide"]
