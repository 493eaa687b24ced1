"""Events as a person or a program sees them: a line that renews itself, plain lines, or JSON."""

from __future__ import annotations

import json
import sys
import time
from types import TracebackType
from typing import Self

from ..events import Event
from ..media.files import drain

EVERY = 5.0  # seconds between progress lines where standard error is no terminal


class Console:
    """A listener for `encode`, `decode` and `verify`. A context manager: leaves the terminal on a fresh line."""

    def __init__(self, as_json: bool = False, quiet: bool = False):
        self._json, self._quiet = as_json, quiet
        self._terminal = sys.stderr.isatty()
        self._open = False  # whether a progress line stands unfinished
        self._base_q = 0.0
        self._deaf = False  # whether nobody reads standard output any more

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._finish_line()

    def __call__(self, event: Event, plain: bool = True) -> None:
        """Show an event; `plain` = False shows it to programs alone."""
        if self._json and not self._deaf:
            self._tell(json.dumps({"event": event.kind, **event.data}))
        if self._quiet:
            return
        if event.kind == "progress":
            if not self._json:
                self._progress(event)
        elif event.kind in ("note", "problem"):
            self._line(f"{event.kind}: {event.data['text']}")
        elif plain and not self._json and event.kind == "segment":
            self._line(_segment(event))
        elif plain and not self._json and event.kind == "picture":
            self._line(_picture(event))

    def _tell(self, line: str) -> None:
        """A line to standard output. A reader that goes away costs nobody the work."""
        try:
            print(line, flush=True)
        except BrokenPipeError:
            self._deaf = True
            drain(sys.stdout)

    def say(self, text: str) -> None:
        """The last word of a command, on standard error."""
        if not (self._json or self._quiet):
            self._line(text)

    def _progress(self, event: Event) -> None:
        now = time.monotonic()
        if now - self._base_q < (0.1 if self._terminal else EVERY):
            return
        self._base_q = now
        d = event.data
        if "text" in d:
            self._renew(f"{d['stage']:8} {d['text']}")
            return
        if "share" in d:
            self._renew(f"{d['stage']:8} {float(str(d['share'])):.0%}")
            return
        total = f"/{d['total']}" if d.get("total") else ""
        text = f"{d['stage']:8} {d['frames']:g}{total} frames, {d['fps']:g} fps"
        if d.get("eta") is not None:
            text += f", {_clock(float(str(d['eta'])))} left"
        if d.get("bytes"):
            text += f", {int(str(d['bytes'])) / 1e6:.2f} MB"
        self._renew(text)

    def _renew(self, text: str) -> None:
        if self._terminal:
            sys.stderr.write(f"\r\033[K{text}")
            sys.stderr.flush()
            self._open = True
        else:
            self._line(text)

    def _line(self, text: str) -> None:
        self._finish_line(erase=True)
        print(text, file=sys.stderr, flush=True)

    def _finish_line(self, erase: bool = False) -> None:
        if self._open:
            sys.stderr.write("\r\033[K" if erase else "\n")
            self._open = False


def _clock(seconds: float) -> str:
    whole = round(seconds)
    hours = f"{whole // 3600}:" if whole >= 3600 else ""
    return f"{hours}{whole // 60 % 60:02d}:{whole % 60:02d}"


def _segment(event: Event) -> str:
    d = event.data
    parts = [f"base {int(str(d['base_bytes'])):,} B at crf {d['crf']:g}"]
    if d["head"] != "none":
        parts.append(f"head {d['head']} {int(str(d['head_bytes'])):,} B ({float(str(d['head_gain'])):+.2f} dB)")
    if d["loss_bytes"]:
        parts.append(f"loss-stream {int(str(d['loss_bytes'])):,} B")
    return f"segment {d['segment']}: {d['frames']} frames, {float(str(d['psnr'])):.2f} dB; " + ", ".join(parts)


def _picture(event: Event) -> str:
    d = event.data
    text = f"[{d['number']}/{d['total']}] {d['name']}: {d['width']}x{d['height']}, {int(str(d['bytes'])):,} bytes"
    if d["lossless"]:
        return f"{text}, {float(str(d['bpp'])):.3f} bpp, lossless, {float(str(d['seconds'])):.1f} s"
    if d["psnr"] is not None:
        text += f", {float(str(d['bpp'])):.3f} bpp, {float(str(d['psnr'])):.2f} dB"
    return f"{text}, {float(str(d['seconds'])):.1f} s"
