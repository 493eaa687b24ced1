"""Whether a page is there: it holds a connection open, an event stream, for as long as it is shown."""

from __future__ import annotations

import time
from collections.abc import Iterator
from threading import Lock

from .resources import Piece, Resource, State

BEAT = 0.5  # seconds between signs of life; what fails to be sent tells that a page has gone
GRACE = 5.0  # seconds without a page after which it is not just being loaded again


class Presence(Resource):
    """An event stream without events, and how many read it."""

    def __init__(self) -> None:
        self._counting = Lock()
        self._pages, self._seen = 0, False
        self._left = 0.0  # when the last page went

    def state(self) -> State:
        return State("text/event-stream", None)

    def parts(self, state: State, begin: int, end: int) -> Iterator[Piece]:
        with self._counting:
            self._pages, self._seen = self._pages + 1, True
        try:
            yield b"retry: 1000\n\n"
            while True:
                time.sleep(BEAT)
                yield b":\n\n"
        finally:
            with self._counting:
                self._pages -= 1
                self._left = time.monotonic()

    def wait(self, stay: bool = False, grace: float = GRACE) -> None:
        """Until a page was there and none has been for `grace` seconds; with `stay` until a signal ends it."""
        while stay or not self._gone(grace):
            time.sleep(BEAT)

    def _gone(self, grace: float) -> bool:
        with self._counting:
            return self._seen and not self._pages and time.monotonic() - self._left >= grace
