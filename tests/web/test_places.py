"""Where films come from, and who may have them: `codec play`, the exported page on any web server, drop and dialog."""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from codec.web.export import export
from tests.makers import GOLDEN
from tests.web.browser import first_picture, served, until

FILM = GOLDEN / "shipped-v1.nvc"
EXACT = "8 of 8 pictures"


class Quiet(SimpleHTTPRequestHandler):
    """What `python -m http.server` answers with: whole files, never parts of them."""

    def log_message(self, *words: Any) -> None:
        """Nobody reads it."""


class WithRanges(Quiet):
    """And what most other servers can: one range."""

    def do_GET(self) -> None:
        path, wanted = Path(self.translate_path(self.path)), self.headers.get("Range")
        if not wanted or not path.is_file():
            super().do_GET()
            return
        data = path.read_bytes()
        first, last = wanted.removeprefix("bytes=").split("-")
        part = data[int(first) : int(last) + 1]
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {first}-{int(first) + len(part) - 1}/{len(data)}")
        self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        self.wfile.write(part)


@contextmanager
def web(folder: Path, handler: type[SimpleHTTPRequestHandler]) -> Iterator[str]:
    """A web server of somebody else; its address."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The exported page with a film beside it."""
    folder = tmp_path_factory.mktemp("site")
    export(folder)
    (folder / "a film.nvc").write_bytes(FILM.read_bytes())
    return folder


def exact(page: Any) -> None:
    """Wait until all pictures have been found exact."""
    first_picture(page)
    page.keyboard.press("i")
    page.keyboard.press("w")  # for every picture, on any machine
    page.keyboard.press(" ")
    until(page, f"document.getElementById('statistics').textContent.includes('{EXACT}')")


@pytest.mark.parametrize("handler", [Quiet, WithRanges])
def test_an_exported_page_plays_what_its_address_names(
    page: Any, site: Path, handler: type[SimpleHTTPRequestHandler]
) -> None:
    with web(site, handler) as address:
        page.goto(f"{address}?src=a%20film.nvc")
        exact(page)
        assert "a film.nvc" in page.title()
        page.goto(f"{address}?src=nowhere.nvc")
        until(page, "document.getElementById('loading').classList.contains('wrong')")
        assert "404" in page.locator("#loading").text_content()


def test_what_is_chosen_or_dropped_is_played(page: Any, site: Path) -> None:
    with web(site, Quiet) as address:
        page.goto(address)
        until(page, "document.querySelectorAll('#keys dt').length > 0")
        page.set_input_files("#file", FILM)
        exact(page)
        data = base64.b64encode((GOLDEN / "tracks-v1.nvc").read_bytes()).decode()
        page.evaluate(f"""(() => {{
            const bytes = Uint8Array.from(atob('{data}'), (letter) => letter.charCodeAt(0));
            const dataTransfer = new DataTransfer();
            dataTransfer.items.add(new File([bytes], 'dropped.nvc'));
            const told = {{ dataTransfer, bubbles: true, cancelable: true }};
            document.getElementById('stage').dispatchEvent(new DragEvent('drop', told));
        }})()""")
        until(page, "document.title.includes('dropped') || document.querySelectorAll('#subtitles option').length > 1")
        exact(page)


def test_the_server_of_play_keeps_others_away(page: Any) -> None:
    address = urlsplit(served(FILM))
    token = address.path
    page.goto(address.geturl())
    first_picture(page)
    film = f"{token}film/{FILM.name}"
    asked = "fetch('{}', {{ headers: {{ Range: '{}' }} }}).then(async (a) => [a.status, (await a.text()).length])"
    size = FILM.stat().st_size
    for path, part, wanted in [
        (film, "bytes=0-9", 206),
        (film, f"bytes={size}-", 416),
        ("/film/shipped-v1.nvc", "bytes=0-9", 403),
        (f"/x{token}", "bytes=0-9", 403),
        (f"{token}film/..%2f..%2fpyproject.toml", "bytes=0-9", 404),
        (f"{token}film/%2e%2e/film/{FILM.name}", "bytes=0-9", 206),  # the browser itself makes it the film's address
        (f"{token}%2fetc%2fpasswd", "bytes=0-9", 404),
    ]:
        status, length = page.evaluate(asked.format(path, part))
        assert (status, path) == (wanted, path)
        assert status != 206 or length == 10
    other = page.context.new_page()
    answer = other.goto(f"http://elsewhere.test:{address.port}{token}")  # a name that somebody lets point here
    assert answer is not None and answer.status == 403
    answer = other.goto(f"http://127.0.0.1:{address.port}/")
    assert answer is not None and answer.status == 403
