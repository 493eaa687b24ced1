"""When the pictures of a stream are shown, from what the file tells of its packets.

libav makes up what a file does not tell, in some formats wrongly: AVI knows only the order in which packets are stored,
ASF only when they are decoded. There the times are taken from decoding times, which are made anew from libav's rule for
its "best effort" where pictures' own times do not increase.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import Any, NamedTuple

import av

from .clock import FileClock, Jumps, can_jump, frame_of

_STORED = ("avi",)  # formats that tell when a packet is stored, and nothing of when its picture is shown
_DECODED = ("asf",)  # formats that tell when a packet is decoded
_AHEAD = 2  # packets that are read before one is used
_KEPT = 1024  # packets whose times are remembered; more than decoders take before they give a picture


class Timed(NamedTuple):
    """A packet. `pts`: ticks, when its picture is shown, as far as the file tells; `joins`: whether another recording
    begins with it."""

    number: int
    packet: av.Packet
    pts: int | None
    joins: bool


class _Times(NamedTuple):
    pts: int | None
    dts: int | None


class PacketTimes:
    """Times of packets and pictures of a stream, in its ticks, on the file's clock without its jumps.

    `file_clock` tells where that jumps; where it is None, as the file can be read only once, pictures alone tell it.
    """

    def __init__(self, container: av.container.InputContainer, stream: Any, file_clock: FileClock | None):
        self._format = container.format.name
        self._tick: Fraction = stream.time_base
        self._joins = {} if file_clock is None else {join.number: join.shift for join in file_clock.joins}
        self._jumps = Jumps() if file_clock is None and can_jump(container) else None
        self._frame = frame_of(stream)
        self._shift = 0
        self._read: dict[int, _Times] = {}
        self._stored: deque[int | None] = deque()  # decoding times of packets whose pictures have not come out
        self._guess = _BestEffort()

    def packets(self, given: Iterable[av.Packet]) -> Iterator[Timed]:
        """The packets of the file, numbered, without the empty one at its end; libav's faults are raised when what was
        read before is used up. Where recordings are joined, the last ones before seem damaged; they are not."""
        fault: Exception | None = None
        ahead: deque[Timed] = deque()
        try:
            for number, packet in enumerate(packet for packet in given if packet.size):
                timed = Timed(number, packet, *self._read_next(number, packet))
                if timed.joins:
                    for before in ahead:
                        before.packet.is_corrupt = False
                ahead.append(timed)
                if len(ahead) > _AHEAD:
                    yield ahead.popleft()
        except (av.FFmpegError, OSError, ValueError) as error:
            fault = error
        yield from ahead
        if fault is not None:
            raise fault

    def _read_next(self, number: int, packet: av.Packet) -> tuple[int | None, bool]:
        """The time when the picture of the next packet is shown, as far as the file tells, and whether another
        recording begins with it."""
        joins = number in self._joins
        if joins:
            self._shift = round(self._joins[number] / self._tick)
        elif self._jumps is not None and (joins := self._jumps.step(packet, self._frame)):
            self._shift = round(self._jumps.shift / self._tick)
        pts, dts = (None if time is None else time + self._shift for time in (packet.pts, packet.dts))
        self._read[number] = _Times(pts, dts)
        self._read.pop(number - _KEPT, None)
        return pts if self._format not in _STORED else dts, joins

    def decoded(self, number: int) -> None:
        """The packet is decoded."""
        self._stored.append(self._read[number].dts)

    def lost(self) -> None:
        """No picture comes of the packet that was decoded last."""
        self._stored.pop()

    def emptied(self) -> None:
        """No picture comes of packets before the next."""
        self._stored.clear()

    def of(self, number: int, last: int | None) -> int | None:
        """The time of the picture of a packet, which came out when the packet `last` was decoded; None where nothing
        tells it."""
        stored = self._stored.popleft() if self._stored else None
        dts = self._read[last].dts if last in self._read else None
        if self._format in _STORED:
            return stored
        pts = self._read[number].pts if number in self._read else None
        return dts if self._format in _DECODED else self._guess.time(pts, dts)

    def shown(self, number: int) -> int | None:
        """When the picture of a packet is to be shown, where the file tells it."""
        told = self._format not in _STORED + _DECODED and number in self._read
        return self._read[number].pts if told else None

    def shown_before(self, number: int, pts: int | None) -> bool:
        """Whether it is certain that the picture of a packet comes before one that is shown at `pts`."""
        own = self.shown(number)
        return own is not None and pts is not None and own <= pts


class _BestEffort:
    """libav's rule: pictures' own times, unless these step back more often than decoding times do."""

    def __init__(self) -> None:
        self._pts = self._dts = -(1 << 63)
        self._faulty_pts = self._faulty_dts = 0

    def time(self, pts: int | None, dts: int | None) -> int | None:
        """The time of the next picture, given its own and the decoding time of the packet that made it come out."""
        if dts is not None:
            self._faulty_dts += dts <= self._dts
            self._dts = dts
        elif pts is not None:
            self._dts = pts
        if pts is not None:
            self._faulty_pts += pts <= self._pts
            self._pts = pts
        elif dts is not None:
            self._pts = dts
        trusted = self._faulty_pts <= self._faulty_dts or dts is None
        return pts if pts is not None and trusted else dts
