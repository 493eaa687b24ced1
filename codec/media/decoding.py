"""The pictures of one stream: whole ones, in order of presentation, with their times on the file's clock.

Invariants: no picture comes out that is damaged, or that may refer to a damaged one: each is held until all that were
decoded before it have come out whole. What comes out does not depend on the number of threads.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from fractions import Fraction
from typing import Any, NamedTuple, Self

import av

from ..errors import InputError, reason
from .clock import FileClock, can_jump
from .ffv1 import SliceSums
from .libav import packets_of
from .packet_times import PacketTimes, Timed
from .timeline import NAMED, clock

_REORDERED = 16  # pictures that a decoder holds back for their order at most
_INTRA = 1  # libav's number of pictures that refer to no other
_FAULTS = (av.FFmpegError, OSError, ValueError)


class _Tags(NamedTuple):
    """What a stream tells of its pictures, and not libav's frames, which are told what holds for a later packet: aspect
    ratio of samples, None or 0 where it does not tell that, and code points of colour as in `Colour`."""

    sar: Fraction | None
    colour: tuple[int, ...]

    @classmethod
    def now(cls, context: Any) -> Self:
        """Those of the packet that was decoded last."""
        points = (context.color_primaries, context.color_trc, context.colorspace, context.color_range)
        return cls(context.sample_aspect_ratio, tuple(map(int, points)))


class Picture(NamedTuple):
    """A decoded frame. `pts`: ticks of the stream, None where nothing tells it; `gap`: whether pictures just before it
    are damaged and left out; `tags`: see `_Tags`."""

    frame: av.VideoFrame
    pts: int | None
    gap: bool
    tags: _Tags


class Decoder:
    """Decodes the video stream `stream` of an open container; sentences call the film `name`, new ones go to `notes`.
    `mark` gives the packet that is decoded for each that is read.

    Packets are numbered, and libav's decoder is given their numbers as times: so it tells of each picture which packet
    it is of, whatever the file knows of times.

    Attributes: `end`, bytes in the file where the packets that were read end; `begin`, ticks of the file's clock where
    that of sentences begins.
    """

    def __init__(
        self,
        name: str,
        container: av.container.InputContainer,
        stream: Any,
        file_clock: FileClock | None,
        best_effort: bool,
        notes: list[str],
        mark: Callable[[av.Packet], av.Packet],
    ):
        self.end = self.begin = 0
        self._name, self._container, self._stream = name, container, stream
        self._best_effort, self._mark = best_effort, mark
        self._context = stream.codec_context
        self._times = PacketTimes(container, stream, file_clock)
        self._sums = SliceSums() if self._context.codec.name == "ffv1" else None
        self._due: dict[int, bool] = {}  # packets whose pictures have not come out: number -> whether it is a key
        self._newest = -1  # the last packet of which a picture has come out
        self._decoded = -1  # the last packet that was decoded
        self._tags: deque[tuple[int, _Tags]] = deque(maxlen=_REORDERED)  # and from which packet on they hold
        self._held: deque[tuple[int, Picture]] = deque()
        self._damage = _Damage()
        # the flag of damage in MPEG's containers is that of the bytes with which the next packet begins
        self._late_flags = int(can_jump(container))
        self._untrusted = -1  # the last packet that a flag may mean
        self._shown = False  # a picture of this recording, or since the last damage
        self._recordings = _Recordings(name, best_effort, notes)

    def pictures(self) -> Iterator[Picture]:
        """All of them. Raises InputError at the first damage; under `best_effort` goes on behind it, and raises only
        where nothing whole follows."""
        number, at = -1, None
        try:
            for timed in self._times.packets(packets_of(self._container, self._stream)):
                number, at = timed.number, at if timed.pts is None else timed.pts
                self._packet(timed)
                yield from self._released()
            self._take(self._context.decode(None))
            self._due.clear()
            self._newest = number + 1
        except _FAULTS as error:
            self._broken(number + 1, f"{self._name} cannot be decoded at {self._clock(at)}: {reason(error)}")
        yield from self._released()
        self._recordings.end()
        if self._damage.text:
            raise InputError(self._damage.text)

    def _packet(self, timed: Timed) -> None:
        """Decode the next packet, unless it lies between damage and the next key."""
        number, packet, pts, joins = timed
        self.end = packet.pos + packet.size if packet.pos is not None else self.end
        if joins:
            self._empty()
            self._recordings.begin(self._clock(pts))
            self._shown = False
        if self._recordings.leaves_out(packet):
            return
        if self._damage.text and packet.is_keyframe and not packet.is_corrupt and number > self._untrusted:
            self._resume(number)
        if self._damage.skips:
            return
        if packet.is_corrupt or (self._sums is not None and self._sums.fail(bytes(packet))):
            self._broken(number, f"{self._name} is damaged or cut off at {self._clock(pts)}")
            self._untrusted = number + self._late_flags
            return
        self._due[number] = packet.is_keyframe
        self._times.decoded(number)
        packet.pts = packet.dts = self._decoded = number
        packet = self._mark(packet)
        try:
            self._take(packet.decode())
        except av.FFmpegError as error:
            self._refused(number, pts, error)
        if self._damage.skips:
            self._empty()

    def _resume(self, number: int) -> None:
        """Begin anew at a key, unless the picture of the one before it is still to come out."""
        if self._damage.whole is not None and number < self._damage.whole + 2 * _REORDERED:
            return
        self._empty()
        if self._damage.text:
            self._damage.whole, self._shown = number, False

    def _refused(self, number: int, pts: int | None, error: av.FFmpegError) -> None:
        """libav's decoder makes nothing of a packet."""
        self._due.pop(number, None)
        self._times.lost()
        if self._shown or not isinstance(error, av.error.InvalidDataError):
            # what made it unreadable may begin within the packet before, of which some decoders say nothing
            self._broken(number - 1, f"{self._name} cannot be decoded at {self._clock(pts)}: {reason(error)}")
        elif self._damage.whole == number:
            self._spoilt(number, self._damage.text)
        elif not self._damage.text:
            self._recordings.early += 1

    def _take(self, frames: Sequence[av.VideoFrame]) -> None:
        """Hold the whole ones of the frames that libav's decoder gives."""
        tags = _Tags.now(self._context)
        if frames and not self._tags:  # before, they may be those of the container
            self._tags.append((-1, tags))
        elif self._tags and tags != self._tags[-1][1]:
            self._tags.append((self._decoded, tags))
        for frame in frames:
            number = frame.pts if frame.pts is not None else min(self._due, default=-1)
            is_key = self._due.pop(number, None)
            self._newest = max(self._newest, number)
            pts = None if is_key is None else self._times.of(number, frame.dts)
            if frame.is_corrupt and (self._shown or (is_key and frame.pict_type == _INTRA)):
                self._spoilt(number, f"{self._name}: the picture at {self._clock(pts)} is damaged")
            elif number == self._damage.whole and frame.pict_type > _INTRA:
                self._spoilt(number, self._damage.text)  # where a gradual refresh ends, decoders do not tell
            elif self._damage.passes(number, pts):
                self._pass(number, frame, pts)

    def _pass(self, number: int, frame: av.VideoFrame, pts: int | None) -> None:
        """Hold a picture that is whole, or leave it out where it refers to others before the recording."""
        if not frame.is_corrupt:
            self._shown = self._recordings.shown = True
            tags = next((tags for since, tags in reversed(self._tags) if since <= number), self._tags[0][1])
            self._held.append((number, Picture(frame, pts, self._damage.told(number), tags)))
        elif not self._damage.gap:
            self._recordings.early += 1

    def _spoilt(self, number: int, text: str) -> None:
        """A packet is damaged: nothing from it on is whole until a key comes out. Raises InputError but under
        `best_effort`."""
        if not self._best_effort:
            raise InputError(text)
        following = (n for n, is_key in self._due.items() if is_key and n > number)
        self._damage.found(number, self._times.shown(number), text, min(following, default=None))
        self._held = deque(item for item in self._held if self._damage.passes(item[0], item[1].pts))

    def _broken(self, number: int, text: str) -> None:
        """A packet cannot be decoded at all."""
        if self._best_effort:
            self._empty()
        self._spoilt(number, text)
        self._newest = max(self._newest, number)

    def _empty(self) -> None:
        """Take what libav's decoder still holds, and let it begin anew."""
        with suppress(*_FAULTS):
            self._take(self._context.decode(None))
        self._context.flush_buffers()
        self._due.clear()
        self._times.emptied()
        self._damage.whole = None  # no picture came of that key

    def _released(self) -> Iterator[Picture]:
        """Held pictures of which it is certain that they refer to none that is damaged."""
        while self._held:
            number, picture = self._held[0]
            waits = len(self._held) <= _REORDERED and self._waits(number, picture.pts)
            if waits:
                return
            self._held.popleft()
            yield picture

    def _waits(self, number: int, pts: int | None) -> bool:
        """Whether a picture that was decoded before this one is to come out after it, or none that was decoded after
        it has come. What should have come out before it never will: not each packet is shown."""
        if number >= self._newest:
            return True
        earlier = [n for n in self._due if n < number]
        for n in earlier:
            if self._times.shown_before(n, pts) or n < number - 2 * _REORDERED:
                del self._due[n]
        return any(n in self._due for n in earlier)

    def _clock(self, pts: int | None) -> str:
        return clock(None if pts is None else pts - self.begin, self._stream.time_base)


class _Damage:
    """What is damaged. `text`: the sentence on it, empty where nothing is; `first`: the first packet that is not whole,
    whose picture was to be shown at `shown`, where that is known;
    `whole`: the key from whose picture on all is whole again, None as long as that is not known; `gap`: whether no
    picture has passed since."""

    def __init__(self) -> None:
        self.text, self.first = "", 0
        self.shown: int | None = None
        self.whole: int | None = None
        self.gap = False

    @property
    def skips(self) -> bool:
        """Whether packets are skipped until the next key."""
        return bool(self.text) and self.whole is None

    def found(self, number: int, shown: int | None, text: str, whole: int | None) -> None:
        """Note damage; before it is over more may be found."""
        if not self.text or number < self.first:
            self.first, self.shown = number, shown
        self.text, self.whole = self.text or text, whole

    def passes(self, number: int, pts: int | None) -> bool:
        """Whether the picture of a packet, which now comes out at `pts`, is whole and not behind the gap's beginning;
        what comes out before a key's picture may refer to others before the key."""
        if self.text and number == self.whole:
            self.text, self.whole, self.gap = "", None, True
        before = number < self.first and (pts is None or self.shown is None or pts < self.shown)
        return not self.text or before

    def told(self, number: int) -> bool:
        """Whether the picture of a packet, which passes, is the first behind a gap."""
        gap, self.gap = self.gap and not self.text, self.gap and bool(self.text)
        return gap


class _Recordings:
    """The recordings that a film consists of, mostly one. `early`: pictures that are left out at the beginning of the
    present one, as they refer to others before it; `shown`: whether one of it was not; sentences go to `notes`."""

    def __init__(self, name: str, best_effort: bool, notes: list[str]):
        self.early, self.shown = 0, False
        self._name, self._best_effort, self._notes = name, best_effort, notes
        self._begins: list[str] = []  # those that are joined to the first
        self._has_keys = self._waits = False

    def begin(self, at: str) -> None:
        """Another recording begins at a time, in words. Raises InputError as `end` does."""
        self._end_one()
        self._begins.append(at)
        self._waits = self._has_keys

    def leaves_out(self, packet: av.Packet) -> bool:
        """Whether a packet is left out, as a joined recording is decoded from its first key on, where it has such."""
        self._has_keys |= packet.is_keyframe
        self._waits &= not packet.is_keyframe
        self.early += self._waits
        return self._waits

    def end(self) -> None:
        """At the end of the film. Raises InputError where no picture of a joined recording can be decoded, but under
        `best_effort`."""
        self._end_one()
        if self._begins:
            others = f" and {len(self._begins) - NAMED} other times" if len(self._begins) > NAMED else ""
            self._notes.append(
                f"another recording begins at {', '.join(self._begins[:NAMED])}{others}; "
                "the film goes on there, whatever the time stamps say"
            )

    def _end_one(self) -> None:
        which = f" of the recording that begins at {self._begins[-1]}" if self._begins else ""
        if which and self.early and not self.shown:
            text = f"{self._name}: the pictures{which} cannot be decoded"
            if not self._best_effort:
                raise InputError(text)
            self._notes.append(text)
        elif self.early:
            before = "it" if which else "the film's start"
            self._notes.append(
                f"the first {self.early} pictures{which} refer to others before {before} and are left out"
            )
        self.early, self.shown = 0, False
