"""Events as a person or a program sees them: a line that renews itself, plain lines, or JSON."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Self

from ..errors import OutputError
from ..events import (
    Decoding,
    Encoding,
    Event,
    Note,
    PictureDone,
    PictureOfFolder,
    Problem,
    SegmentDone,
    Share,
    Training,
    Trying,
    UnderWay,
)
from .streams import give_up, put, say
from .tables import clock_text

EVERY = 5.0  # seconds between progress lines where standard error is no terminal


class Console:
    """A listener for all work. A context manager: leaves the terminal on a fresh line, and raises OutputError where
    standard output failed while the work, which that must not end, went on."""

    def __init__(self, as_json: bool = False, quiet: bool = False):
        self._json, self._quiet = as_json, quiet
        self._terminal = sys.stderr is not None and sys.stderr.isatty()
        self._open = False  # whether a progress line stands unfinished
        self._shown = 0.0  # when progress was last shown
        self._deaf = False  # whether standard output takes no more
        self._fault: OutputError | None = None  # why, if its reader has not just gone

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._finish_line()
        if self._fault and error is None:
            raise self._fault

    def __call__(self, event: Event) -> None:
        """Show an event. Programs see all of them; people notes and problems, and more where no program listens."""
        if self._json and not self._deaf:
            import json

            self._tell(json.dumps({"event": event.kind, **event.data}))
        if self._quiet:
            return
        match event:
            case Note() | Problem():
                self._line(f"{event.kind}: {event.text}")
            case UnderWay() if not self._json:
                self._progress(event)
            case SegmentDone() if not self._json:
                self._line(_segment(event))
            case PictureOfFolder() if not self._json:
                self._line(f"[{event.number}/{event.total}] {event.name}: {_picture(event.done)}")

    def _tell(self, line: str) -> None:
        """A line to standard output. That it fails costs nobody the work."""
        try:
            put(line)
        except BrokenPipeError:
            self._deaf = True
            give_up(sys.stdout)
        except OutputError as error:
            self._deaf, self._fault = True, error

    def say(self, text: str) -> None:
        """The last word of a command, on standard error."""
        if not (self._json or self._quiet):
            self._line(text)

    def _progress(self, event: UnderWay) -> None:
        now = time.monotonic()
        if now - self._shown >= (0.1 if self._terminal else EVERY):
            self._shown = now
            self._renew(f"{event.stage:8} {_how_far(event)}")

    def _renew(self, text: str) -> None:
        if self._terminal:
            say(f"\r\033[K{text}", end="")
            self._open = True
        else:
            self._line(text)

    def _line(self, text: str) -> None:
        self._finish_line(erase=True)
        say(text)

    def _finish_line(self, erase: bool = False) -> None:
        if self._open:
            say("\r\033[K" if erase else "\n", end="")
            self._open = False


def _how_far(event: UnderWay) -> str:
    match event:
        case Trying() | Training():
            return event.text
        case Share():
            return f"{event.share:.0%}"
        case Encoding() | Decoding():
            total = f"/{event.total}" if event.total else ""
            text = f"{event.frames:g}{total} frames, {event.fps:g} fps"
            if event.eta is not None:
                text += f", {clock_text(event.eta)} left"
            if isinstance(event, Encoding) and event.bytes:
                text += f", {event.bytes / 1e6:.2f} MB"
            return text
    return ""


def _segment(event: SegmentDone) -> str:
    stats = event.stats
    parts = [f"base {stats.base_bytes:,} B at crf {stats.crf:g}"]
    if stats.head != "none":
        parts.append(f"head {stats.head} {stats.head_bytes:,} B ({stats.head_gain:+.2f} dB)")
    if stats.loss_bytes:
        parts.append(f"loss-stream {stats.loss_bytes:,} B")
    return f"segment {event.segment}: {stats.frames} frames, {stats.psnr:.2f} dB; {', '.join(parts)}"


def _picture(done: PictureDone) -> str:
    text = f"{done.width}x{done.height}, {done.bytes:,} bytes"
    if done.lossless:
        text += f", {done.bpp:.3f} bpp, lossless"
    elif done.psnr is not None:
        text += f", {done.bpp:.3f} bpp, {done.psnr:.2f} dB"
    return f"{text}, {done.seconds:.1f} s"
