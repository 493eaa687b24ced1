"""A server for this machine alone: what it hands out stands in a table, behind a random token.

It listens on loopback, on 127.0.0.1 and, where that is free, on ::1. Any web page of the world can have a browser send
requests to it, so it answers none whose Host is not its own address (a name that an attacker lets point here), none
without the token, and tells browsers to keep others away from what they get. Paths are keys of a table: none of them
is ever looked for on the disk.
"""

from __future__ import annotations

import hmac
import os
import secrets
import socket
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from threading import Lock, Thread
from types import TracebackType
from typing import Any, Self
from urllib.parse import unquote

from ..errors import FormatError, InputError, OutputError, reason
from ..events import Listener, Problem, once_each, silent
from .peers import is_stranger
from .resources import Resource, State, asked

CONNECTIONS = 64  # at a time; browsers make six
_PATIENCE = 30.0  # seconds for a request to come
_POLL = 0.1  # seconds between looks whether to end
_LAST = 2.0  # seconds for answers under way to end
_PLAIN = 80  # the port that browsers do not name
_POLICY = "; ".join((
    "default-src 'none'", "script-src 'self'", "worker-src 'self'", "style-src 'self'", "img-src 'self' blob: data:",
    "media-src 'self' blob:", "connect-src 'self'", "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'",
))  # fmt: skip
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": _POLICY,
    "Cross-Origin-Embedder-Policy": "require-corp",  # with the next, what shared memory and exact timers need
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class Server:
    """Hands out `resources`, by their paths behind the token, while its context lasts.

    Attributes:
        port: that it listens on.
        address: of the path "", which begins every other; ends in a slash.
        token: in the address.
    """

    def __init__(self, resources: Mapping[str, Resource], port: int = 0, listen: Listener = silent):
        """`port`: 0 takes one that is free. `listen` is told, once each, what goes wrong with a resource. Raises
        OutputError where nobody can be listened to."""
        self.resources, self._listen = resources, once_each(listen)
        self.token = secrets.token_urlsafe(32)
        self._once: dict[str, str | None] = {}  # key -> path, None once that was asked for or forgotten
        try:
            first = _Listener(self, "127.0.0.1", port)
        except OSError as error:
            where = f"port {port} of 127.0.0.1" if port else "127.0.0.1"
            raise OutputError(f"{where} cannot be listened on: {reason(error)}") from None
        self._listeners = [first]
        self.port = first.server_address[1]
        with suppress(OSError):  # no IPv6, or the port is taken there
            self._listeners.append(_Listener(self, "::1", self.port))
        self.hosts = {f"localhost:{self.port}", f"127.0.0.1:{self.port}"}
        self.hosts |= {f"[::1]:{self.port}"} if len(self._listeners) > 1 else set()
        self.hosts |= {host.rpartition(":")[0] for host in self.hosts if self.port == _PLAIN}
        self.address = f"http://127.0.0.1:{self.port}/{self.token}/"

    def __enter__(self) -> Self:
        self._threads = [Thread(target=one.serve_forever, args=(_POLL,), daemon=True) for one in self._listeners]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for one in self._listeners:
            one.shutdown()
            one.server_close()
        end = time.monotonic() + _LAST
        for one in self._listeners:
            one.hang_up(end)

    def once(self, path: str) -> str:
        """An address that leads to `path` a single time, and no other user where the system tells who asks: what starts
        a browser hands it over where every user of the machine may see it."""
        key = secrets.token_urlsafe(32)
        self._once[key] = path
        return f"http://127.0.0.1:{self.port}/{key}"

    def taken(self, key: str) -> str | None:
        """The path of an address for a single time, which is forgotten now; None where there is none. Who comes for one
        that is forgotten may be whom it was meant for: that is told."""
        if key not in self._once:
            return None
        path = self._once[key]
        self.forget(key)
        if path is None:
            self.tell("the address for the browser was asked for twice; where no page has opened, open the printed one")
        return path

    def forget(self, key: str) -> None:
        """Let an address for a single time lead nowhere."""
        self._once[key] = None

    def tell(self, text: str) -> None:
        """Tell of a problem, once."""
        self._listen(Problem(text))


class _Listener(ThreadingHTTPServer):
    """One address, and the connections to it, each with a thread."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = CONNECTIONS
    allow_reuse_address = os.name == "posix"  # elsewhere it would let others listen as well

    def __init__(self, server: Server, host: str, port: int):
        self.owner = server
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._open: dict[socket.socket, Thread] = {}
        self._opening = Lock()
        super().__init__((host, port), _Handler)

    def server_bind(self) -> None:
        TCPServer.server_bind(self)  # HTTPServer's asks for the name of the address, which may take long

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._opening:
            full = len(self._open) >= CONNECTIONS
            if not full:
                thread = Thread(target=self.process_request_thread, args=(request, client_address), daemon=True)
                self._open[request] = thread
        if full:
            self.shutdown_request(request)
        else:
            thread.start()

    def shutdown_request(self, request: Any) -> None:
        with self._opening:
            self._open.pop(request, None)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Who asks may go away at any time; all else is a fault of ours."""
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            self.owner.tell(f"an answer was not given: {type(error).__name__}: {error}")

    def hang_up(self, end: float) -> None:
        """End all connections. Answers under way have until `end`, by the monotonic clock."""
        with self._opening:
            left = dict(self._open)
        for connection in left:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in left.values():
            thread.join(max(end - time.monotonic(), 0))


class _Handler(BaseHTTPRequestHandler):
    """Answers the requests of one connection."""

    protocol_version = "HTTP/1.1"
    timeout = _PATIENCE
    server: _Listener

    def do_GET(self) -> None:
        """Answer, or refuse with a sentence."""
        server = self.server.owner
        if self.headers.get("Content-Length", "0") != "0" or "Transfer-Encoding" in self.headers:
            self.close_connection = True  # what follows is no request
        if len(self.headers.get_all("Host", [])) != 1 or self.headers["Host"].lower() not in server.hosts:
            self._refuse(HTTPStatus.FORBIDDEN, "This server answers to its own address only.")
            return
        if self.command not in ("GET", "HEAD"):
            self._refuse(HTTPStatus.METHOD_NOT_ALLOWED, "There is only GET and HEAD.", {"Allow": "GET, HEAD"})
            return
        key, slash, rest = self.path.partition("?")[0].removeprefix("/").partition("/")
        if not slash and self.command == "GET" and (path := self._led(key)) is not None:
            self._begin(HTTPStatus.SEE_OTHER, {"Location": f"/{server.token}/{path}", "Content-Length": "0"})
            return
        if not hmac.compare_digest(key.encode(errors="replace"), server.token.encode()):
            self._refuse(HTTPStatus.FORBIDDEN, "The address lacks the token that was printed with it.")
            return
        resource = server.resources.get(unquote(rest))
        if resource is None:
            self._refuse(HTTPStatus.NOT_FOUND, "There is nothing at this address.")
            return
        try:
            state = resource.state()
        except InputError as error:
            server.tell(str(error))
            self._refuse(HTTPStatus.NOT_FOUND, f"{error}.")
            return
        self._answer(resource, state)

    def _led(self, key: str) -> str | None:
        """Where an address for a single time leads whoever asks."""
        server = self.server.owner
        return None if is_stranger(self.client_address[1], server.port) else server.taken(key)

    do_HEAD = do_POST = do_PUT = do_DELETE = do_PATCH = do_OPTIONS = do_TRACE = do_CONNECT = do_GET

    def _answer(self, resource: Resource, state: State) -> None:
        headers = {"Content-Type": state.kind}
        if state.size is None:
            self.close_connection = True
            self._begin(HTTPStatus.OK, headers)
            if self.command == "GET":
                self._send(resource, state, 0, 0)
            return
        headers |= {"Accept-Ranges": "bytes"} | ({"ETag": state.tag} if state.tag else {})
        if (wanted := self.headers.get("If-Match")) and wanted != "*" and state.tag not in _tags(wanted):
            self._refuse(HTTPStatus.PRECONDITION_FAILED, "The file has changed since; load the page again.")
            return
        begin, end = 0, state.size
        status = HTTPStatus.OK
        same = self.headers.get("If-Range", state.tag) == state.tag
        if self.command == "GET" and same and (part := asked(self.headers.get("Range", ""), state.size)):
            if part == (0, 0):
                self._refuse(
                    HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE,
                    f"There are {state.size} bytes.",
                    {"Content-Range": f"bytes */{state.size}"},
                )
                return
            (begin, end), status = part, HTTPStatus.PARTIAL_CONTENT
            headers["Content-Range"] = f"bytes {begin}-{end - 1}/{state.size}"
        self._begin(status, headers | {"Content-Length": str(end - begin)})
        if self.command == "GET":
            self._send(resource, state, begin, end)

    def _send(self, resource: Resource, state: State, begin: int, end: int) -> None:
        """Send what there is of [begin, end); whoever was promised more finds the connection closed."""
        ends, self.close_connection = self.close_connection, True
        parts: Any = resource.parts(state, begin, end)
        self.connection.settimeout(None)  # a player that pauses takes nothing for hours
        sent = 0
        with closing(parts):
            try:
                for data in parts:
                    self.wfile.write(data)
                    sent += len(data)
            except (FormatError, InputError) as error:
                self.server.owner.tell(str(error))
                return
        self.connection.settimeout(_PATIENCE)
        self.close_connection = ends or sent < end - begin

    def _refuse(self, status: HTTPStatus, text: str, headers: Mapping[str, str] | None = None) -> None:
        """End with a sentence, and with the connection: what may follow of the request is not read."""
        data = f"{text}\n".encode()
        fields = {"Content-Type": "text/plain; charset=utf-8", "Content-Length": str(len(data))}
        self.close_connection = True
        self._begin(status, fields | dict(headers or {}))
        if self.command != "HEAD":
            self.wfile.write(data)

    def _begin(self, status: HTTPStatus, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in (*_HEADERS.items(), *headers.items()):
            self.send_header(name, value)
        if self.close_connection:  # who asks again on a connection that is closed behind an answer may go astray
            self.send_header("Connection", "close")
        self.end_headers()

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """For requests that cannot be read."""
        if not hasattr(self, "command"):
            self.command = ""
        self._refuse(HTTPStatus(code), message or HTTPStatus(code).phrase)

    def version_string(self) -> str:
        return "NVC"

    def log_message(self, *words: Any) -> None:
        """Nobody reads what a browser asks for."""


def _tags(header: str) -> Iterator[str]:
    """The entity tags of If-Match."""
    return (tag.strip() for tag in header.split(","))
