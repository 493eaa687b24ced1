"""A segment that is begun before its turn: its base is coded while the segment before it is finished.

A base follows from its pictures and its quantiser alone, so what comes of it is the same as if it were coded in its
turn. What it tells meanwhile is held back: the segment is under way when its turn has come.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from ..events import Event, Listener
from ..segment.encoder import SegmentEncoder
from .task import Task

GRACE = 2.0  # seconds that whoever gives a base up waits for its thread; SVT-AV1 is heard of once a picture


class GivenUp(Exception):
    """Nobody waits for the base any more."""


class Begun:
    """The segment of a `task`, under way on a thread of its own once the base of the one `before` is done: two at once
    would take half a gigabyte more of a film of 1280x720."""

    def __init__(self, task: Task, before: Begun | None):
        self._lock = threading.Lock()
        self._listen: Listener | None = None
        self._last: Event | None = None
        self._given_up = False
        self.done = threading.Event()  # whether its base is
        self.encoder = SegmentEncoder(task.frames, task.info, task.settings, task.scale, self._told)
        work = self.encoder.begin(task.control.crf), before.done if before else None
        self._thread = threading.Thread(target=self._code, args=work, name="base", daemon=True)
        self._thread.start()

    def _code(self, code: Callable[[], None], before: threading.Event | None) -> None:
        if before:
            before.wait()
        code()
        self.done.set()

    def _told(self, event: Event) -> None:
        with self._lock:
            if self._given_up:
                raise GivenUp
            self._last = event
            if self._listen is not None:
                self._listen(event)

    def attend(self, listen: Listener) -> SegmentEncoder:
        """Its turn has come: what encodes it, which tells `listen` from now on, of what was last told at once."""
        with self._lock:
            self._listen = listen
            if self._last is not None:
                listen(self._last)
        return self.encoder

    def give_up(self) -> None:
        """Let its thread end as soon as it can."""
        with self._lock:
            self._given_up = True
        self._thread.join(GRACE)
