"""The server of the player: who is answered, and with what."""

from __future__ import annotations

import os
import random
import socket
import threading
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path

import pytest

from codec.errors import InputError, OutputError
from codec.events import Event, Problem
from codec.web.peers import is_stranger
from codec.web.resources import BLOCK, Constant, FilmFile, asked, kind_of
from codec.web.server import CONNECTIONS, Server

DATA = random.Random(1).randbytes(1024)


@pytest.fixture
def told() -> list[Event]:
    return []


@pytest.fixture
def film(tmp_path: Path) -> Path:
    path = tmp_path / "a film.nvc"
    path.write_bytes(b"\0\0\0\x20ftypisom" + DATA)
    (tmp_path / "secret.txt").write_text("secret")
    return path


@pytest.fixture
def server(film: Path, told: list[Event]) -> Iterator[Server]:
    page = Constant("text/html; charset=utf-8", b"<p>page")
    resources = {"": page, "index.html": page, "film/a film.nvc": FilmFile(str(film))}
    with Server(resources, listen=told.append) as running:
        yield running


def ask(
    server: Server, path: str, method: str = "GET", host: str | None = None, token: str | None = None, **headers: str
) -> tuple[HTTPResponse, bytes]:
    """The answer to a request for `path`, as it is written, behind the token."""
    with closing(HTTPConnection("127.0.0.1", server.port, timeout=20)) as connection:
        where = f"/{server.token if token is None else token}/{path}"
        connection.putrequest(method, where, skip_host=True, skip_accept_encoding=True)
        connection.putheader("Host", f"127.0.0.1:{server.port}" if host is None else host)
        for name, value in headers.items():
            connection.putheader(name.replace("_", "-"), value)
        connection.endheaders()
        response = connection.getresponse()
        return response, response.read()


FILM = "film/a%20film.nvc"


def test_a_page_comes_with_headers_that_keep_others_away(server: Server) -> None:
    response, body = ask(server, "?src=film/x")
    assert (response.status, body) == (200, b"<p>page")
    for name, value in {
        "Content-Type": "text/html; charset=utf-8",
        "Cache-Control": "no-store",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Embedder-Policy": "require-corp",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
    }.items():
        assert response.headers[name] == value
    policy = response.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "Access-Control-Allow-Origin" not in response.headers


def test_tokens_differ_and_are_long(server: Server, film: Path) -> None:
    with Server({}) as other:
        assert other.token != server.token
        assert len(other.token) >= 43, "256 bits"
        assert f"/{other.token}/" in other.address


@pytest.mark.parametrize("token", ["", "x", "%C3%A9", "%00", "0" * 43, "..", "index.html"])
def test_nothing_is_given_without_the_token(server: Server, token: str) -> None:
    for path in ("", "index.html", FILM):
        response, body = ask(server, path, token=token)
        assert response.status == 403
        assert b"token" in body
    response, body = ask(server, "", token=server.token[:-1])
    assert response.status == 403


@pytest.mark.parametrize("host", ["", "evil.example", "127.0.0.1", "127.0.0.1:1", "localhost.evil.example", "0.0.0.0"])
def test_another_name_for_this_machine_is_refused(server: Server, host: str) -> None:
    host = f"{host}:{server.port}" if host.endswith(("example", "0.0")) else host
    response, body = ask(server, "", host=host)
    assert (response.status, b"<p>" in body) == (403, False)


def test_a_request_with_no_host_or_two_is_refused(server: Server) -> None:
    for hosts in ("", f"Host: 127.0.0.1:{server.port}\r\nHost: evil.example\r\n"):
        with socket.create_connection(("127.0.0.1", server.port), 20) as raw:
            raw.sendall(f"GET /{server.token}/ HTTP/1.1\r\n{hosts}\r\n".encode())
            assert raw.recv(100).split()[1] == b"403"


def test_localhost_is_this_machine_too(server: Server) -> None:
    assert ask(server, "", host=f"LOCALHOST:{server.port}")[0].status == 200


@pytest.mark.parametrize("path", [
    "secret.txt", "film/secret.txt", "../secret.txt", "film/../../secret.txt", "film/..%2Fsecret.txt",
    "%2e%2e/secret.txt", "film/%2e%2e%2f%2e%2e%2fetc%2fpasswd", "film/..%5c..%5csecret.txt", "/etc/passwd",
    "film/a%2520film.nvc", "film/a%20film.nvc%00.html", "film/", "index.html/", "./index.html", "film/%ff",
])  # fmt: skip
def test_only_what_stands_in_the_table_is_found(server: Server, path: str) -> None:
    response, body = ask(server, path)
    assert (response.status, b"secret" in body) == (404, False)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "CONNECT"])
def test_other_methods_are_not_allowed(server: Server, method: str) -> None:
    response, _ = ask(server, "", method)
    assert (response.status, response.headers["Allow"]) == (405, "GET, HEAD")


def test_head_tells_what_get_sends(server: Server, film: Path) -> None:
    response, body = ask(server, FILM, "HEAD")
    assert (response.status, body) == (200, b"")
    assert int(response.headers["Content-Length"]) == film.stat().st_size
    assert response.headers["Content-Type"] == "video/mp4"
    assert response.headers["Accept-Ranges"] == "bytes"


@pytest.mark.parametrize(("header", "begin", "end"), [
    ("bytes=0-", 0, None), ("bytes=0-0", 0, 1), ("bytes=5-9", 5, 10), ("bytes=1000-99999", 1000, None),
    ("Bytes=5-9", 5, 10), (f"bytes=5-{2**64}", 5, None),
    ("bytes=-7", -7, None), ("bytes=-99999", 0, None),
])  # fmt: skip
def test_a_range_is_sent_alone(server: Server, film: Path, header: str, begin: int, end: int | None) -> None:
    data = film.read_bytes()
    response, body = ask(server, FILM, Range=header)
    assert (response.status, body) == (206, data[begin:end])
    first = data.index(body) if len(body) > 1 else 0
    assert response.headers["Content-Range"] == f"bytes {first}-{first + len(body) - 1}/{len(data)}"


@pytest.mark.parametrize("header", ["bytes=5-3", "bytes=-", "bytes=0-1,4-5", "lines=0-1", "bytes=a-b", "bytes=١-٢"])
def test_what_is_no_single_range_gets_everything(server: Server, film: Path, header: str) -> None:
    response, body = ask(server, FILM, Range=header.encode().decode("latin-1"))
    assert (response.status, body) == (200, film.read_bytes())


@pytest.mark.parametrize("header", ["bytes=1036-", "bytes=99999-100000", "bytes=-0"])
def test_a_range_beyond_the_end_is_refused(server: Server, film: Path, header: str) -> None:
    response, _ = ask(server, FILM, Range=header)
    assert response.status == 416
    assert response.headers["Content-Range"] == f"bytes */{film.stat().st_size}"


def test_a_film_that_has_changed_is_known_by_its_tag(server: Server, film: Path) -> None:
    tag = ask(server, FILM, "HEAD")[0].headers["ETag"]
    assert ask(server, FILM, Range="bytes=0-3", If_Range=tag)[0].status == 206
    assert ask(server, FILM, Range="bytes=0-3", If_Match=f'"x", {tag}')[0].status == 206
    film.write_bytes(film.read_bytes() + b"more")
    response, body = ask(server, FILM, Range="bytes=0-3", If_Range=tag)
    assert (response.status, body) == (200, film.read_bytes())
    response, body = ask(server, FILM, Range="bytes=0-3", If_Match=tag)
    assert response.status == 412
    assert b"load the page again" in body


def test_a_film_that_has_vanished_is_a_sentence_told_once(server: Server, film: Path, told: list[Event]) -> None:
    film.unlink()
    for _ in range(2):
        response, body = ask(server, FILM)
        assert (response.status, body) == (404, f"{film} is no longer there.\n".encode())
    assert told == [Problem(f"{film} is no longer there")]


def test_a_film_that_has_changed_meanwhile_is_not_sent(film: Path) -> None:
    resource = FilmFile(str(film))
    state = resource.state()
    os.truncate(film, 10)
    told: list[Event] = []

    class Shrunk(FilmFile):
        def state(self) -> object:  # type: ignore[override]
            return state

    with Server({"f": Shrunk(str(film))}, listen=told.append) as server:
        with socket.create_connection(("127.0.0.1", server.port), 20) as raw:
            raw.sendall(f"GET /{server.token}/f HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n\r\n".encode())
            received = b""
            while data := raw.recv(4096):
                received += data
    assert received.endswith(b"\r\n\r\n")
    assert told == [Problem(f"{film} has become another file while it was read")]


def test_a_film_that_shrinks_while_it_is_sent_ends_with_a_sentence(film: Path) -> None:
    film.write_bytes(bytes(4 * BLOCK))
    resource = FilmFile(str(film))
    parts = resource.parts(resource.state(), 0, 4 * BLOCK)
    assert len(next(parts)) == BLOCK
    os.truncate(film, BLOCK)
    with pytest.raises(InputError, match="has become shorter while it was read"):
        list(parts)


def test_one_connection_serves_many_requests(server: Server, film: Path) -> None:
    with closing(HTTPConnection("127.0.0.1", server.port, timeout=20)) as connection:
        for n in range(5):
            connection.request("GET", f"/{server.token}/{FILM}", headers={"Range": f"bytes={n}-{n + 9}"})
            assert connection.getresponse().read() == film.read_bytes()[n : n + 10]


def test_an_answer_says_where_its_connection_ends(server: Server) -> None:
    """libav asks again on a connection that it is not told the end of, and then goes on at a wrong place."""
    assert ask(server, FILM, Connection="close", Range="bytes=0-3")[0].headers["Connection"] == "close"
    assert ask(server, FILM, Range="bytes=0-3")[0].headers["Connection"] is None
    assert ask(server, "nowhere")[0].headers["Connection"] == "close"


def test_many_at_a_time_are_answered_and_too_many_are_hung_up_on(server: Server) -> None:
    idle = [socket.create_connection(("127.0.0.1", server.port), 20) for _ in range(CONNECTIONS - 8)]
    results: list[int] = []
    askers = [threading.Thread(target=lambda: results.append(ask(server, FILM)[0].status)) for _ in range(8)]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join(20)
    assert results == [200] * 8
    more = [socket.create_connection(("127.0.0.1", server.port), 20) for _ in range(CONNECTIONS)]
    assert any(one.recv(1) == b"" for one in more[-1:]), "beyond the limit"
    for one in (*idle, *more):
        one.close()


def once(server: Server, key: str) -> tuple[int, str | None]:
    """(status, where to) of an address for a single time."""
    with closing(HTTPConnection("127.0.0.1", server.port, timeout=20)) as connection:
        connection.request("GET", f"/{key}")
        response = connection.getresponse()
        return response.status, response.headers["Location"]


def test_an_address_for_once_leads_no_other_user_on(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    path = server.once("?src=x").rpartition("/")[2]
    monkeypatch.setattr("codec.web.server.is_stranger", lambda port, ours: ours == server.port)
    assert once(server, path) == (403, None)
    monkeypatch.setattr("codec.web.server.is_stranger", lambda port, ours: False)
    assert once(server, path)[0] == 303


@pytest.mark.skipif(not os.path.exists("/proc/net/tcp"), reason="this system does not tell whose connections are")
def test_linux_tells_whose_a_connection_is(monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        ours = listening.getsockname()[1]
        with closing(socket.create_connection(("127.0.0.1", ours))) as there:
            port = there.getsockname()[1]
            assert not is_stranger(port, ours)
            monkeypatch.setattr(os, "getuid", lambda: -2)
            assert is_stranger(port, ours)
            assert not is_stranger(port, ours + 1)


def test_an_address_for_once_leads_on_once_and_tells_who_comes_second(server: Server, told: list[Event]) -> None:
    key = server.once("?src=x").rpartition("/")[2]
    assert [once(server, key) for _ in range(3)] == [(303, f"/{server.token}/?src=x"), (403, None), (403, None)]
    assert [type(event) for event in told] == [Problem]
    assert "asked for twice" in str(told)


def test_what_follows_a_request_is_not_taken_for_the_next_one(server: Server) -> None:
    with closing(socket.create_connection(("127.0.0.1", server.port), 20)) as connection:
        body = f"GET /{server.token}/ HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n\r\n".encode()
        head = body[:-2] + f"Content-Length: {len(body)}\r\n\r\n".encode()
        connection.sendall(head + body)
        answer = b"".join(iter(lambda: connection.recv(4096), b""))
    assert answer.count(b"HTTP/1.1 200") == 1
    assert b"Connection: close" in answer


def test_the_end_closes_connections_and_leaves_no_thread(film: Path) -> None:
    before = threading.active_count()
    with Server({"": Constant("text/html", b"x")}) as server:
        raw = socket.create_connection(("127.0.0.1", server.port), 20)
        raw.sendall(f"GET /{server.token}/ HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n\r\n".encode())
        assert raw.recv(1)
    while raw.recv(4096):
        pass
    raw.close()
    assert threading.active_count() == before
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.1", server.port), 1)


def test_a_port_that_is_taken_is_a_sentence(server: Server) -> None:
    with pytest.raises(OutputError, match=rf"^port {server.port} of 127.0.0.1 cannot be listened on: "):
        Server({}, server.port)


def test_loopback_alone_is_listened_on(server: Server) -> None:
    with pytest.raises(OSError):  # an address of loopback, but not ours
        socket.create_connection(("127.0.0.2", server.port), 1)


def test_ranges_and_types_are_read_as_they_are_specified() -> None:
    assert asked("bytes=0-4", 10) == (0, 5)
    assert asked("bytes=-4", 10) == (6, 10)
    assert asked("bytes=10-", 10) == asked("bytes=-1", 0) == (0, 0)
    assert asked("bytes=" + "9" * 30 + "-", 10) == (0, 0)
    assert asked("bytes=" + "9" * 50 + "-", 10) is None
    assert kind_of(b"\x1a\x45\xdf\xa3\x9f\x42\x82\x84webm") == "video/webm"
    assert kind_of(b"\x1a\x45\xdf\xa3\x9f\x42\x82\x88matroska") == "video/x-matroska"
    assert kind_of(b"NVS\x01") == "application/octet-stream"
