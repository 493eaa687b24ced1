"""The one home of the way from a file's clock to the film's own, which begins at 0.

    film's seconds = file's seconds + shift of the recording that a packet belongs to - origin

Files of MPEG are joined by writing one behind the other; then the file's clock jumps where the next recording begins.
There the film goes on: the next recording's pictures follow the last one's, its sound and subtitles keep their distance
to its pictures. The rule is ffmpeg's: in formats that may jump, a step back, or one ahead by more than 10 s, is a jump.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, NamedTuple

import av

from .libav import film_stream, open_film, packets_of

_JOINABLE = ("mpegts", "mpeg")  # formats of which two files, one behind the other, are one again
_SOUGHT = ("mov", "matroska", *_JOINABLE)  # formats of which libav finds a place by its time
_AHEAD = Fraction(10)  # seconds of a step that is a jump, as in ffmpeg
_BACK = Fraction(1, 10)
_LONGER = 3  # seconds that a recording's sound may last longer than its pictures


class Join(NamedTuple):
    """Where another recording begins. `number`: of the first packet of its pictures; `before`, `at`: bytes in the file
    where the last packet of pictures before it begins, and that one; `shift`: seconds, see above."""

    number: int
    before: int
    at: int
    shift: Fraction


@dataclass(frozen=True)
class FileClock:
    """The clock of one file. `origin`: seconds of the file's clock where the film begins; `joins` in order; `length`:
    seconds that the pictures last, 0 where that is not known, as it is but where there are joins."""

    origin: Fraction = Fraction(0)
    joins: tuple[Join, ...] = ()
    length: Fraction = Fraction(0)

    def follow(self) -> Follower:
        """For one stream of sound or subtitles, or one reading of it from the file's beginning."""
        return Follower(self)


class Follower:
    """Tells by how much the packets of one stream are to be moved, which come in the file's order."""

    def __init__(self, clock: FileClock):
        self._clock, self._joined = clock, 0
        self._shift, self._position = Fraction(0), 0
        self._expected: Fraction | None = None  # the next packet's time, moved

    def shift(self, packet: av.Packet) -> Fraction:
        """Seconds to be added to the packet's times, that they are those of the film."""
        if packet.pos is not None:  # what shares a packet of the container with the one before has none
            self._position = packet.pos
        time = packet.dts if packet.dts is not None else packet.pts
        if time is not None and packet.time_base:
            seconds = time * packet.time_base
            while self._goes_on(seconds):
                self._shift = self._clock.joins[self._joined].shift
                self._joined += 1
            self._expected = seconds + self._shift + (packet.duration or 0) * packet.time_base
        return self._shift - self._clock.origin

    def _goes_on(self, seconds: Fraction) -> bool:
        """Whether a packet of this time belongs to the next recording. Its place tells that, but between the pictures
        on both sides of the join; there, and where pictures alone jump, it is the time that fits."""
        if self._joined == len(self._clock.joins):
            return False
        join = self._clock.joins[self._joined]
        if self._position < join.before:
            return False
        if self._expected is None:
            return self._position >= join.at
        here, there = (abs(seconds + shift - self._expected) for shift in (self._shift, join.shift))
        return there < here if self._position < join.at else not (here <= _BACK and here < there)


class Jumps:
    """Finds the jumps of the pictures' clock, given their packets in order. `shift`: seconds, that of the recording;
    `length`: seconds of all pictures so far."""

    def __init__(self) -> None:
        self.shift = Fraction(0)
        self.length = Fraction(0)
        self._first: Fraction | None = None
        self._last: Fraction | None = None
        self._next = Fraction(0)  # the next packet's decoding time
        self._end: Fraction | None = None  # of the last picture, moved
        self._other: Fraction | None = None  # first time of other packets after the last of pictures and well behind it

    def other(self, time: Fraction) -> None:
        """Take the time of a packet of sound: where sound goes on, pictures may come late."""
        if self._last is not None and self._other is None and self._next + _LONGER < time:
            self._other = time

    def step(self, packet: av.Packet, frame: Fraction) -> bool:
        """Take a packet of pictures; `frame`: seconds of one that has no duration. Whether the clock jumps there."""
        base = packet.time_base
        given = packet.dts if packet.dts is not None else packet.pts
        if given is None:
            return False
        time, length = given * base, (packet.duration * base if packet.duration else frame)
        shown = time if packet.pts is None else packet.pts * base
        jumps = self._last is not None and self._is_jump(time)
        if jumps and self._end is not None:
            tick = (self._end - shown) / base
            self.shift, self._end = round(tick) * base, None
        self._first = shown if self._first is None else self._first
        end = shown + self.shift + length
        self.length = max(self.length, end - self._first)
        self._end = end if self._end is None else max(self._end, end)
        self._last, self._next, self._other = time, time + length, None
        return jumps

    def _is_jump(self, time: Fraction) -> bool:
        assert self._last is not None
        if time < self._last - _BACK:
            return True
        return time > self._next + _AHEAD and (self._other is None or self._other > self._next + _AHEAD / 2)


def can_jump(container: av.container.InputContainer) -> bool:
    """Whether the clock of a file of that format may jump."""
    return container.format.name in _JOINABLE


def can_seek(container: av.container.InputContainer | None) -> bool:
    """Whether a file has places that are found by their times, exactly."""
    return container is not None and container.format.name.split(",")[0] in _SOUGHT


def clock_of(path: str) -> FileClock:
    """The clock of the film at `path`, its origin apart: a pass over its packets, none is decoded. Damage ends it;
    whoever reads the film tells of that."""
    jumps = Jumps()
    joins: list[Join] = []
    with suppress(av.FFmpegError, OSError, ValueError), open_film(path) as container:
        film: Any = film_stream(container)
        if film is None or not can_jump(container):
            return FileClock()
        number, before, at = -1, 0, 0
        frame = frame_of(film)
        for packet in packets_of(container, film, *container.streams.audio):
            if packet.stream_index != film.index:
                if packet.dts is not None:
                    jumps.other(packet.dts * packet.time_base)
            elif packet.size:
                number, before, at = number + 1, at, at if packet.pos is None else packet.pos
                if jumps.step(packet, frame):
                    joins.append(Join(number, before, at, jumps.shift))
    return FileClock(joins=tuple(joins), length=jumps.length if joins else Fraction(0))


def frame_of(stream: Any) -> Fraction:
    """Seconds from a picture to the next, as far as the container says."""
    rate = stream.average_rate or stream.guessed_rate
    return 1 / Fraction(rate) if rate else Fraction(1, 25)
