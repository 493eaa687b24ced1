"""`codec play` in a browser, of which these tests are one; and the player as files."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing, suppress
from http.client import HTTPConnection
from importlib.resources import files
from pathlib import Path
from typing import Any, cast
from urllib.parse import parse_qs, urlsplit

import pytest

import codec.web.player
from codec.errors import FormatError, InputError, OutputError, TargetExists
from codec.events import Event, FilmPlayed, Note, PlayerExported, PlayerOpened
from codec.web.export import export
from codec.web.pages import page_files
from codec.web.player import play, shown
from codec.web.presence import Presence
from codec.web.resources import TYPES
from heads.restorer.store import FILM_HEADS, STILL_HEADS
from tests.makers import GOLDEN, Run, shell

FILM = GOLDEN / "head-v1.nvc"
HEADS = files("heads.restorer")
LONG = 30.0  # seconds that nothing here takes


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]) -> Run:
    return shell(monkeypatch, capfdbinary)


@pytest.fixture
def page(tmp_path: Path) -> Path:
    """A page in place of the package's."""
    folder = tmp_path / "page"
    (folder / "draw").mkdir(parents=True)
    (folder / "index.html").write_text("<!doctype html><title>player</title>")
    (folder / "draw" / "main.js").write_text("export {};")
    (folder / "notes.md").write_text("not for the web")
    return folder


class Watched:
    """`play` in a thread, and what it tells."""

    def __init__(self, path: Path, **options: Any):
        self.events: list[Event] = []
        self._opened = threading.Event()
        self.fault: BaseException | None = None
        self.thread = threading.Thread(target=self._play, args=(path,), kwargs=options, daemon=True)
        self.thread.start()
        assert self._opened.wait(LONG)
        if self.fault:
            raise self.fault
        opened = self.events[0]
        assert isinstance(opened, PlayerOpened)
        self.address = urlsplit(opened.address)

    def _play(self, path: Path, **options: Any) -> None:
        def listen(event: Event) -> None:
            self.events.append(event)
            self._opened.set()

        try:
            play(path, listen=listen, **options)
        except BaseException as fault:
            self.fault = fault
            self._opened.set()

    def get(self, path: str = "") -> tuple[int, str, bytes]:
        """(status, type, body) of a file beside the page."""
        with closing(HTTPConnection(self.address.netloc, timeout=LONG)) as connection:
            connection.request("GET", self.address.path + path)
            response = connection.getresponse()
            return response.status, response.headers["Content-Type"], response.read()

    def alive(self) -> socket.socket:
        """A page: what holds the event stream open."""
        name = parse_qs(self.address.query)["alive"][0]
        port = self.address.port
        page = socket.create_connection(("127.0.0.1", port or 0), LONG)
        page.sendall(f"GET {self.address.path}{name} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
        assert b"text/event-stream" in page.recv(4096)
        return page

    def ended(self, seconds: float = LONG) -> bool:
        self.thread.join(seconds)
        return not self.thread.is_alive()


def test_the_page_its_modules_heads_and_the_film_are_there_and_nothing_else(page: Path) -> None:
    watched = Watched(FILM, browser=False, grace=0, folder=page)
    for path, kind in (("", "text/html"), ("index.html", "text/html"), ("draw/main.js", "text/javascript")):
        status, found, body = watched.get(path)
        assert (status, found) == (200, f"{kind}; charset=utf-8")
        assert body == (page / (path or "index.html")).read_bytes()
    source = parse_qs(watched.address.query)["src"][0]
    assert watched.get(source) == (200, "video/mp4", FILM.read_bytes())
    for kind, names in (("film", FILM_HEADS), ("still", STILL_HEADS)):
        for number, name in names.items():
            assert watched.get(f"heads/{kind}{number}.bin")[2] == (HEADS / name).read_bytes()
    for path in ("notes.md", "draw", "draw/", "film/", "film/shipped-v1.nvc", "pages.py"):
        assert watched.get(path)[0] == 404
    watched.alive().close()
    assert watched.ended()


def test_it_ends_with_the_last_page(page: Path) -> None:
    watched = Watched(FILM, browser=False, grace=0, folder=page)
    first, second = watched.alive(), watched.alive()
    first.close()
    assert not watched.ended(2), "another page is there"
    second.close()
    assert watched.ended()
    assert watched.events[-1] == FilmPlayed(str(FILM))


def test_who_only_asks_for_the_head_of_the_stream_is_no_page(page: Path) -> None:
    watched = Watched(FILM, browser=False, grace=0, folder=page)
    with closing(HTTPConnection(watched.address.netloc, timeout=LONG)) as connection:
        connection.request("HEAD", f"{watched.address.path}{parse_qs(watched.address.query)['alive'][0]}")
        assert connection.getresponse().headers["Content-Type"] == "text/event-stream"
    assert not watched.ended(1)
    watched.alive().close()
    assert watched.ended()


class Clock:
    """Time that passes when it is waited for, and what happens then."""

    def __init__(self, *happens: tuple[float, Callable[[], object]]):
        self.now, self._happens = 0.0, list(happens)

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        while self._happens and self._happens[0][0] <= self.now:
            self._happens.pop(0)[1]()


def test_a_page_that_is_loaded_again_keeps_it(monkeypatch: pytest.MonkeyPatch) -> None:
    presence = Presence()
    first, again = (cast(Any, presence.parts(presence.state(), 0, 0)) for _ in range(2))
    clock = Clock((90, first.__next__), (100, first.close), (103, again.__next__), (200, again.close))
    monkeypatch.setattr("codec.web.presence.time", clock)
    presence.wait(grace=5)
    assert clock.now == 205


def test_it_waits_for_the_first_page(page: Path) -> None:
    watched = Watched(FILM, browser=False, grace=0, folder=page)
    assert not watched.ended(1.5)
    watched.alive().close()
    assert watched.ended()


def test_the_browser_is_started_with_an_address_for_once(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr(codec.web.player, "shown", lambda address: opened.append(address) is None)
    watched = Watched(FILM, grace=0, folder=page)
    token = watched.address.path.strip("/")
    end = time.monotonic() + LONG
    while not opened and time.monotonic() < end:
        time.sleep(0.01)
    assert len(opened) == 1
    assert token not in opened[0], "everybody sees what programs are started with"
    with closing(HTTPConnection(watched.address.netloc, timeout=LONG)) as connection:
        connection.request("GET", urlsplit(opened[0]).path)
        where = connection.getresponse().headers["Location"]
    assert where == f"{watched.address.path}?{watched.address.query}"
    watched.alive().close()
    assert watched.ended()


@pytest.mark.skipif(os.name != "posix", reason="the stand-in is a script")
def test_a_browser_is_started_where_there_is_a_screen_and_cannot_spoil_what_we_write(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    assert not shown("http://127.0.0.1/")
    browser, told = tmp_path / "browser", tmp_path / "told"
    browser.write_text(f"#!/bin/sh\necho opening\necho trouble >&2\necho \"$1\" > '{told}'\n")
    browser.chmod(0o755)
    monkeypatch.setenv("BROWSER", str(browser))
    assert shown("http://127.0.0.1/x?a=b&c")
    assert told.read_text() == "http://127.0.0.1/x?a=b&c\n"
    assert capfd.readouterr() == ("", "")
    browser.write_text("#!/bin/sh\nexit 1\n")
    assert not shown("http://127.0.0.1/")


def test_where_no_browser_opens_its_address_is_told_and_forgotten(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr(codec.web.player, "shown", lambda address: bool(opened.append(address)))
    watched = Watched(FILM, grace=0, folder=page)
    note = Note("no browser was found on this machine: open the address in one")
    end = time.monotonic() + LONG
    while note not in watched.events and time.monotonic() < end:
        time.sleep(0.01)
    assert note in watched.events
    with closing(HTTPConnection(watched.address.netloc, timeout=LONG)) as connection:
        connection.request("GET", urlsplit(opened[0]).path)
        assert connection.getresponse().status == 403
    watched.alive().close()
    assert watched.ended()


def test_what_is_none_of_ours_is_refused_before_anything_listens(tmp_path: Path, page: Path) -> None:
    text = tmp_path / "x.nvc"
    text.write_text("no film")
    with pytest.raises(FormatError, match=r"is no \.nvc film"):
        play(text, browser=False, folder=page)
    with pytest.raises(InputError, match="there is no such file"):
        play(tmp_path / "none.nvc", browser=False, folder=page)


def test_stills_and_gaussians_are_shown_too(page: Path) -> None:
    for name, kind in (("lossy-v1.still.nvc", "image/avif"), ("still-v1.nvs", "application/octet-stream")):
        watched = Watched(GOLDEN / name, browser=False, grace=0, folder=page)
        assert watched.get(f"film/{name}") == (200, kind, (GOLDEN / name).read_bytes())
        watched.alive().close()
        assert watched.ended()


@pytest.mark.parametrize("name", ["a b%20c?#&.nvc", "Füße 影.nvc", "'\"<script>.nvc"])
def test_any_name_is_one_of_the_address(name: str, tmp_path: Path, page: Path) -> None:
    path = tmp_path / name
    shutil.copy(FILM, path)
    watched = Watched(path, browser=False, grace=0, folder=page)
    with closing(HTTPConnection(watched.address.netloc, timeout=LONG)) as connection:
        query = watched.address.query.split("&")[0].removeprefix("src=")
        connection.request("GET", watched.address.path + query)
        assert connection.getresponse().read() == FILM.read_bytes()
    watched.alive().close()
    assert watched.ended()


def test_ctrl_c_ends_it_as_a_signal_does(page: Path) -> None:
    program = (
        "from pathlib import Path; from codec.cli.entry import run; import codec.web.player as player\n"
        f"real = player.page_files; player.page_files = lambda folder: real(Path({str(page)!r}))\n"
        "run('codec', 'codec.cli.main')"
    )
    words = ["play", str(FILM), "--no-browser", "--json"]
    command = [sys.executable, "-c", program, *words]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    event = json.loads(process.stdout.readline())
    assert (event["event"], event["program"]) == ("player", "")
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=LONG)
    assert process.returncode == -signal.SIGINT
    assert err.strip() == "codec: interrupted"
    assert json.loads(out.splitlines()[-1])["event"] == "error"
    with suppress(OSError):
        socket.create_connection(("127.0.0.1", urlsplit(event["address"]).port or 0), 1).close()
        raise AssertionError("it still listens")


# --- the player as files ----------------------------------------------------------------------------------------------


def test_an_export_holds_the_page_and_its_heads(page: Path, tmp_path: Path) -> None:
    told: list[Event] = []
    target = tmp_path / "site"
    done = export(target, folder=page, listen=told.append)
    files = {path.relative_to(target).as_posix(): path.read_bytes() for path in target.rglob("*") if path.is_file()}
    assert files == page_files(page)
    assert {"index.html", "draw/main.js", "heads/film1.bin"} <= set(files)
    assert "notes.md" not in files
    assert told == [done]
    assert done == PlayerExported(str(target), len(files), sum(map(len, files.values())))


def test_an_export_replaces_nothing_of_others_unless_it_may(page: Path, tmp_path: Path) -> None:
    target = tmp_path / "site"
    export(target, folder=page)
    export(target, folder=page)  # the same again
    (target / "index.html").write_text("mine")
    (target / "own.txt").write_text("mine as well")
    (target / "heads/film1.bin").unlink()
    with pytest.raises(TargetExists, match=r"index\.html exists already and is another; --overwrite replaces it"):
        export(target, folder=page)
    assert (target / "index.html").read_text() == "mine"
    assert not (target / "heads/film1.bin").exists(), "nothing is written"
    export(target, folder=page, overwrite=True)
    assert (target / "index.html").read_bytes() == (page / "index.html").read_bytes()
    assert (target / "own.txt").read_text() == "mine as well"


def test_an_export_needs_a_folder(page: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for target in (tmp_path / "file", tmp_path / "none" / "site"):
        with pytest.raises(OutputError, match="cannot be made"):
            export(target, folder=page)


def test_what_lies_beside_the_page_in_the_package_is_of_types_that_it_has() -> None:
    folder = Path(codec.web.player.__file__).with_name("player")
    assert [path.name for path in folder.rglob("*") if path.is_file() and path.suffix not in TYPES] == []


@pytest.mark.parametrize(("words", "sentence"), [
    ((), "a FILM is missing; --export DIR needs none"),
    ((FILM, "--export", "x"), "--export takes a folder, and nothing else"),
    (("--export", "x", "--mpv"), "--export takes a folder, and nothing else"),
    ((FILM, "-y"), "--overwrite goes with --export"),
    ((FILM, "--mpv", "--stay"), "--mpv has no page"),
    ((FILM, "--best-effort"), "--best-effort, --device and --threads go with --mpv"),
    ((FILM, "--threads", "1"), "--best-effort, --device and --threads go with --mpv"),
    ((FILM, "--no-browser", "-q"), "--no-browser prints an address, which --quiet keeps back"),
    (("-",), "not standard input"), (("",), "a FILM is missing"), (("--export", ""), "--export takes a folder"),
    ((FILM, "--port", "65536"), "65536"),
])  # fmt: skip
def test_what_does_not_go_together_is_wrong_usage(run: Run, words: tuple[object, ...], sentence: str) -> None:
    result = run("play", *words)
    assert result.code == 2
    assert sentence in result.err
