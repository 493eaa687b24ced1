"""One segment as far as it can be read ahead of restoring: header, head, and base pictures with what belongs to them.

units ──┬──> payloads: header, head, residuals ──┐
        └──> AV1 ──> base pictures ──────────────┴──> BasePicture, ..., SegmentEnd
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from heads.layers import HeadError

from ..base.av1 import decode_base
from ..base.resample import base_size
from ..errors import DamageError, FormatError
from ..frames import Plane
from ..limits import Limits
from ..loss.coder import LossCoder, LossSettings
from ..loss.modes import FILM_MODES
from ..wire.obu import TemporalUnit
from .head import CHAIN, Head, read_head
from .payload import NO_HEAD, SegmentHeader, abreast
from .restore import Restorer
from .steering import Steered, SteeringReader, blocks_of, split_steering
from .units import SegmentUnits, header_of

AROUND_DEVICE = 4  # pictures side by side on a GPU: more threads would but wait for it, and for the interpreter

Fault = Callable[[int, str, str], None]


@dataclass(frozen=True)
class FilmContext:
    """What the decoders of a film's segments share. `first`: the film's first header, which gives size and format;
    `threads`: that work on its pictures; `earlier`: finds the first unit of the segment before the one at a pts;
    `kernels`: gets the names of those that compute the restoring heads, as segments are read.

    `reading`, `restoring`: `fault(pts, what, rest)` of what is found as segments are read, and as their pictures are
    restored: raises DamageError, or under `best_effort` notes the damage and what becomes of the rest of the segment,
    and returns."""

    first: SegmentHeader
    limits: Limits
    best_effort: bool
    device: str
    threads: int
    earlier: Callable[[int], TemporalUnit | None]
    reading: Fault
    restoring: Fault
    kernels: set[str]


@dataclass(frozen=True)
class BasePicture:
    """A picture of which only the base is decoded. `number`: in its segment, from 0; `ends`: whether a group of
    pictures under one checksum ends with it; `payloads`: its loss-stream; `messages`: what else came with it;
    `steered`: how the head is, if it predicts the picture, or a sentence on the damage there."""

    segment: OpenSegment
    number: int
    ends: bool
    pts: int
    duration: int
    messages: tuple[bytes, ...]
    payloads: tuple[bytes, ...]
    base: list[Plane]
    steered: Steered | str | None = None

    @property
    def size(self) -> int:
        """Bytes in memory."""
        return sum(p.nbytes for p in self.base) + sum(map(len, (*self.payloads, *self.messages)))


@dataclass(frozen=True)
class SegmentEnd:
    """No more pictures of a segment come."""

    segment: OpenSegment


class OpenSegment:
    """Reads one segment. `known`: the head of the segment before, `chain`: how far to go back for it; nowhere, where
    that segment has just been read, as looking again would be in vain.

    Attributes: `film`; `header` and `head`, None where there is none or it is damaged; `restorer`, `coder` of the
    loss-stream, None where there is none; `usable`: whether pictures are restored, or all that is left is their base;
    `abreast`: how many pictures are restored side by side.
    """

    def __init__(self, film: FilmContext, units: SegmentUnits, known: Head | None, chain: int = CHAIN):
        self.film, self._units = film, units
        self.header = self._header()
        self.head = self._head(known, chain)
        first = film.first
        fmt, size = first.format, (first.width, first.height)
        self.restorer = Restorer(fmt, *size, first.scale, self.head, film.device)
        if self.restorer.kernel:
            film.kernels.add(self.restorer.kernel)
        self.usable = self.header is not None and (self.header.head_kind == NO_HEAD or self.head is not None)
        self._steering: SteeringReader | str | None = None  # or what is wrong with it
        if self.header and self.header.steered and self.head:
            coded, _ = split_steering(self.header.head)
            self._steering = SteeringReader(coded, blocks_of(first.width, first.height), self.head.spec.base_q)
        self.coder: LossCoder | None = None
        if self.header and self.usable and self.header.loss_kind:
            loss = LossSettings(FILM_MODES[self.header.loss_kind], self.header.loss_step, self.header.max_error)
            self.coder = LossCoder(fmt, *size, loss)
        computed_there = film.device != "cpu" and self.restorer.kernel
        threads = min(film.threads, AROUND_DEVICE) if computed_there else film.threads
        self.abreast = abreast(self.header or first, film.limits, threads, film.best_effort)

    @property
    def apart(self) -> bool:
        """Whether pictures can be left out without harm to those after them."""
        return self.header is None or not self.usable or self.header.apart

    def steps(self) -> Iterator[BasePicture | SegmentEnd]:
        """The base pictures in order, as far as they decode, and the end."""
        header, count = self.header, 0
        for pts, base in self._base():
            count += 1
            ends = header is None or count % header.group == 0 or count == header.frames
            duration, messages = self._units.beside(pts)
            residual, steered = self._units.residual(pts), self._steered(count - 1)
            yield BasePicture(self, count - 1, ends, pts, duration, messages, residual, base, steered)
            del base
        self._units.drain()
        if header and count != header.frames:
            what = f"the segment has {count} of its {header.frames} pictures"
            self.film.reading(self._units.last.pts, what, "is incomplete")
        yield SegmentEnd(self)

    def _base(self) -> Iterator[tuple[int, list[Plane]]]:
        """(pts, planes) of the base's pictures, as far as they decode."""
        first = self.film.first
        width, height = base_size(first.width, first.height, first.scale)
        threads = max(1, self.film.threads // 2)  # the others have enough to do with what these decode
        try:
            yield from decode_base(self._units.stream(), (height, width), threads, shared=True)
        except DamageError as error:
            if error is self._units.fault:  # of the file, and told in full
                raise
            self.film.reading(self._units.last.pts, str(error), "is lost")

    def _steered(self, number: int) -> Steered | str | None:
        """How the head is steered for the picture of that number, which are asked for in order."""
        if self.header is None or self._steering is None or not self.header.frames > number:
            return None
        if isinstance(self._steering, str):
            return self._steering
        try:
            found = self._steering.next() if self.header.uses_head(number) else None
            if number + 1 == self.header.frames:
                self._steering.finish()
        except FormatError as error:
            self._steering = f"the steering of the head is damaged: {error}"
            return self._steering
        return found

    def _head(self, known: Head | None, chain: int) -> Head | None:
        if self.header is None or self.header.head_kind == NO_HEAD:
            return None
        pts = self._units.first.pts
        try:
            return read_head(self.header, pts, known, self._earlier, chain)
        except (HeadError, FormatError, ValueError) as error:
            self.film.reading(pts, f"the head of the segment is unusable: {error}", "is shown by its base alone")
            return None

    def _earlier(self, pts: int) -> tuple[int, SegmentHeader] | None:
        unit = self.film.earlier(pts)
        return (unit.pts, self._header_of(unit)) if unit else None

    def _header(self) -> SegmentHeader | None:
        unit = self._units.first
        try:
            return self._header_of(unit)
        except FormatError as error:
            self.film.reading(unit.pts, str(error), "is shown by its base alone")
            return None

    def _header_of(self, unit: TemporalUnit) -> SegmentHeader:
        return header_of(unit, self.film.first, self.film.limits, self.film.best_effort)
