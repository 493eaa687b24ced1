"""Heads in a real browser by WebGPU, WebGL2 and JavaScript: equal to the reference, exact films, slow and lost GPUs."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from bench.checks.player import SOFTWARE
from tests.web.browser import CHROMIUM, first_picture, new_page, show, statistics, until
from tests.web.films import COUNT, steered_film

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "tests" / "golden"
EXACT = ("head-v1", "enlarged-v1", "shipped-v1", "tracks-v1")
FLAGS = ["--no-sandbox", *SOFTWARE["webgl2"]]  # WebGL2 without a GPU, no WebGPU
ALL = "document.getElementById('statistics').textContent.includes('{0} of {0} pictures')"
# pictures take a second each to be read, one after the other, until `delay` is changed
SLOW = """globalThis.delay = 1000;
const map = GPUBuffer.prototype.mapAsync;
let last = null;
GPUBuffer.prototype.mapAsync = async function (...how) {
  const before = last;
  last = (async () => {
    await before;
    await new Promise((go) => setTimeout(go, delay));
  })();
  await last;
  return map.apply(this, how);
};"""
# all that was said on the picture is kept: some of it is there for a moment
TOLD = """globalThis.told = [];
addEventListener('DOMContentLoaded', () => {
  const words = document.getElementById('words');
  const keep = () => told.push(words.textContent);
  new MutationObserver(keep).observe(words, { childList: true, characterData: true, subtree: true });
});"""
# what WebGL2 was opened on is kept, to be lost
KEPT = """const get = OffscreenCanvas.prototype.getContext;
OffscreenCanvas.prototype.getContext = function (kind, ...rest) {
  const found = get.call(this, kind, ...rest);
  if (kind === 'webgl2') globalThis.opened = found;
  return found;
};"""


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(scope="module")
def served() -> Iterator[str]:
    """The address of the repository's folder."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(ROOT))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="module")
def gl_browser(browser: Any) -> Iterator[Any]:
    running = browser.browser_type.launch(executable_path=CHROMIUM, args=FLAGS)
    yield running
    running.close()


def _compared(page: Any, address: str) -> str:
    page.goto(address)
    for _ in range(8):  # times the patience of one wait
        try:
            until(page, "document.body.dataset.done === 'yes'")
            break
        except AssertionError:
            continue
    assert page.title() == "equal", page.locator("#said").text_content()
    return str(page.locator("#said").text_content())


def _shows_exactly(page: Any, name: str) -> None:
    """Open a golden film, and wait until its first picture has been restored."""
    show(page, GOLDEN / f"{name}.nvc")
    first_picture(page)
    until(page, "document.getElementById('words').hidden")


@pytest.fixture(scope="module")
def steered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return steered_film(tmp_path_factory.mktemp("films") / "steered.nvc")


def _plays_exactly(page: Any, film: Path, by: str, pictures: int = 8) -> None:
    show(page, film)
    first_picture(page)
    for key in "iw ":
        page.keyboard.press(key)
    until(page, ALL.format(pictures))
    assert f"head, by {by}" in statistics(page)
    until(page, "document.getElementById('words').hidden")


def test_shaders_of_webgl_equal_the_reference(gl_browser: Any, served: str) -> None:
    with new_page(gl_browser) as page:
        assert "webgl2" in _compared(page, f"{served}/tests/web/gpu.html?by=webgl2")


@pytest.mark.parametrize("name", EXACT)
def test_golden_film_is_exact_by_webgl(gl_browser: Any, name: str) -> None:
    with new_page(gl_browser) as page:
        _plays_exactly(page, GOLDEN / f"{name}.nvc", "WebGL2")
        assert "Heads run by WebGL2" in page.locator("#note").text_content()


def test_lost_context_is_told(gl_browser: Any) -> None:
    with new_page(gl_browser, KEPT, TOLD) as page:
        _shows_exactly(page, "shipped-v1")
        page.evaluate("opened.getExtension('WEBGL_lose_context').loseContext()")
        page.keyboard.press("Home")
        until(page, "told.some((text) => text.includes('The GPU gave up'))")


def test_lost_context_is_told_where_nothing_is_under_way(gl_browser: Any) -> None:
    with new_page(gl_browser, KEPT, TOLD) as page:
        _plays_exactly(page, GOLDEN / "shipped-v1.nvc", "WebGL2")
        page.evaluate("opened.getExtension('WEBGL_lose_context').loseContext()")
        page.keyboard.press("Home")  # the segment is opened once more, its head prepared
        until(page, "told.some((text) => text.includes('The GPU gave up'))")


def test_shaders_of_webgpu_equal_the_reference(page: Any, served: str) -> None:
    assert "floats" in _compared(page, f"{served}/tests/web/gpu.html")


def test_film_is_exact_in_javascript(page_without_webgpu: Any) -> None:
    _plays_exactly(page_without_webgpu, GOLDEN / "shipped-v1.nvc", "JavaScript")
    assert "Heads run in JavaScript" in page_without_webgpu.locator("#note").text_content()


def test_steered_film_is_exact_by_webgpu(page: Any, steered: Path) -> None:
    _plays_exactly(page, steered, "WebGPU", COUNT)
    assert "pretrained, steered" in statistics(page)["head"]


def test_steered_film_is_exact_by_webgl(gl_browser: Any, steered: Path) -> None:
    with new_page(gl_browser) as page:
        _plays_exactly(page, steered, "WebGL2", COUNT)


def test_steered_film_is_exact_in_javascript(page_without_webgpu: Any, steered: Path) -> None:
    _plays_exactly(page_without_webgpu, steered, "JavaScript", COUNT)


def test_slow_heads_let_the_base_play_and_say_so(browser: Any) -> None:
    with new_page(browser, SLOW, TOLD) as page:
        _shows_exactly(page, "shipped-v1")
        page.keyboard.press(" ")
        until(page, "told.some((text) => text.includes('pictures a second'))")
        page.evaluate("delay = 100")
        until(page, "!document.getElementById('player').classList.contains('playing')")
        until(page, "document.getElementById('words').hidden")  # the last picture is restored
        for key in ("i", "w", "Home"):
            page.keyboard.press(key)
        until(page, "document.getElementById('seek').value < 0.01")
        page.keyboard.press(" ")
        until(page, ALL.format(8))
