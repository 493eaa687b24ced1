"""`codec decode` and `codec verify` as functions: a film's pictures into a sink, or nowhere."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from ..errors import DamageError, InputError
from ..events import Decoding, Kernels, Listener, Note, Problem, TrackChecked, silent
from ..frames import Frame
from ..limits import DEFAULT, Limits
from ..media.files import check_not_same
from ..media.room import short_of_room
from ..media.sinks import open_sink
from ..wire.tracks import Track
from .film import Film
from .tracks import DIFFERS, TrackState, compared


@dataclass(frozen=True)
class Decoded:
    """What was decoded. `notes`: what the target does not hold; `problems`: damage passed over by best effort."""

    frames: int
    seconds: float
    notes: list[str]
    problems: list[str]


@dataclass(frozen=True)
class Checked(Decoded):
    """What was checked. `tracks`: what became of those beside the pictures; `notes`: on those that could not be."""

    tracks: list[TrackState]


def decode(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    start: Fraction | None = None,
    duration: Fraction | None = None,
    best_effort: bool = False,
    overwrite: bool = False,
    device: str = "auto",
    threads: int = 0,
    limits: Limits = DEFAULT,
    listen: Listener = silent,
) -> Decoded:
    """Decode the .nvc file `source` to `target`: .y4m, .mkv, .mp4, .mov, .webm, name_%05d.png, or "-"
    (y4m).

    `start` and `duration` are in seconds on the film's clock. Raises DamageError where a picture cannot be restored
    exactly, unless `best_effort`, InputError where there is no picture in that time. On any error nothing is left at
    `target`.
    """
    source, target = os.fspath(source), os.fspath(target)
    check_not_same(source, target)
    film = Film(source, best_effort=best_effort, device=device, threads=threads, limits=limits)
    count, began = 0, time.monotonic()
    sink = open_sink(target, film.info, source, start, duration, overwrite, threads)
    frames = film.info.frames if duration is None else round(duration * film.info.rate)
    if short := short_of_room(target, frames * sink.picture_bytes, "the pictures"):
        listen(Note(short))
    with sink:
        for frame in _watched(film, start, duration, listen):
            if sink.closed:
                break
            sink.write(frame)
            count += 1
        if not count and not sink.closed:
            part = f"from {float(start or 0):g} s on" + ("" if duration is None else f" for {float(duration):g} s")
            raise InputError(f"{source} has no pictures {part}")
    return Decoded(count, time.monotonic() - began, sink.notes, film.problems)


def verify(
    source: str | os.PathLike[str],
    *,
    best_effort: bool = False,
    device: str = "auto",
    threads: int = 0,
    limits: Limits = DEFAULT,
    listen: Listener = silent,
) -> Checked:
    """Decode every picture of `source` and compare every checksum, and then those of its other tracks.

    Raises DamageError at the first that differs; under `best_effort` that is a problem. A track that is missing,
    converted or not covered is none: copying may do that.
    """
    film = Film(source, best_effort=best_effort, device=device, threads=threads, limits=limits)
    began = time.monotonic()
    count = sum(1 for _ in _watched(film, None, None, listen))
    tracks = _checked_tracks(film, listen)
    notes = [track.text for track in tracks if track.text and track.state != DIFFERS]
    return Checked(count, time.monotonic() - began, notes, film.problems, tracks)


def _checked_tracks(film: Film, listen: Listener) -> list[TrackState]:
    """What became of the tracks beside the pictures. Raises DamageError for one that is damaged, or notes a problem."""

    def fault(text: str) -> None:
        if not film.best_effort:
            raise DamageError(text)
        film.problems.append(text)
        listen(Problem(text))

    written: tuple[Track, ...] = ()
    try:
        written = film.tracks() or ()
    except DamageError as error:
        fault(str(error))
    tracks = compared(written, film.tracks_found())
    for track in tracks:
        listen(TrackChecked(track.kind, track.codec, track.state))
        if track.state == DIFFERS:
            fault(f"{film.path}: {track.text}")
    return tracks


def _watched(film: Film, start: Fraction | None, duration: Fraction | None, listen: Listener) -> Iterator[Frame]:
    """The film's frames; an event every few, one for each problem, and at the end one of the kernels."""
    began, told = time.monotonic(), 0
    total = film.info.frames
    if duration is not None:
        total = round(duration * film.info.rate)
    for count, frame in enumerate(film.frames(start, duration), 1):
        yield frame
        for text in film.problems[told:]:
            listen(Problem(text))
        told = len(film.problems)
        if count % 8 == 0 or count == total:
            elapsed = time.monotonic() - began
            speed = count / elapsed if elapsed else 0.0
            left = (total - count) / speed if speed and total > count else None
            listen(Decoding(count, total, round(speed, 2), left and round(left, 1), round(elapsed, 2)))
    for text in film.problems[told:]:
        listen(Problem(text))
    if film.kernels:
        listen(Kernels(sorted(film.kernels)))
