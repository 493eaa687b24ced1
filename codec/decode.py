"""From an .nvc file back to pictures: the mirror of `codec.encode`.

    file ──demux──> temporal units ──┬──> payloads: segment header, head, residuals
                                     └──> AV1 ──> base pictures ──Restorer, LossCoder──> checked pictures

No picture leaves before the checksum of its group was compared. What does not decode exactly raises DamageError; with
`best_effort` the base picture, upscaled by the fixed filter, takes its place and a sentence goes to `problems`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from heads.integer import HeadError
from heads.model import HeadSpec
from heads.planes import channels_of
from heads.weights import decode_layers

from . import obu, payload
from .avif import is_still
from .base import decode_base, plain_prediction
from .container import FilmReader, TemporalUnit
from .errors import DamageError, FormatError, NvcError
from .frames import Frame, Plane, VideoInfo
from .limits import DEFAULT, Limits, check_film
from .payload import SegmentHeader
from .resample import base_size
from .residual import LossCoder, LossKind, LossSettings
from .restore import Head, Restorer, film_head, use_threads
from .segment import device_of

AHEAD = 512  # units that the base decoder may take before it shows the first one's picture; its threads need some
CHAIN = 64  # segments to go back for the head that a difference refers to


@dataclass(frozen=True)
class SegmentInfo:
    """A segment as its header describes it, and the bytes of its parts."""

    pts: int
    header: SegmentHeader
    base_bytes: int
    loss_bytes: int
    frames: int


@dataclass
class _Picture:
    pts: int
    duration: int
    base: list[Plane]  # kept under best effort only
    output: list[Plane]


class Film:
    """An .nvc file opened for decoding: iterate `frames()`. Nothing is held open between calls.

    `info` describes the full-size film. Raises FormatError where the file is not one of ours, is damaged at its
    beginning, or claims what is beyond `limits`.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        best_effort: bool = False,
        device: str = "auto",
        threads: int = 0,
        limits: Limits = DEFAULT,
    ):
        self.path = os.fspath(path)
        self.best_effort, self.threads, self.limits = best_effort, threads, limits
        self.device = device_of(device)
        use_threads(threads)
        self.problems: list[str] = []
        if is_still(self.path):
            raise FormatError(f"{self.path} is a still picture, not a film")
        self._reader = FilmReader(path, limits)
        self.first = self._first_header()
        shape = base_size(self.first.width, self.first.height, self.first.scale)
        track = self._reader.info
        if (track.width, track.height) != shape:
            raise FormatError(f"{self.path}: the base is {track.width}x{track.height}, not {shape[0]}x{shape[1]}")
        rate = self.first.rate  # information; libav's numbers have a bit less
        known = max(rate.numerator, rate.denominator) < 1 << 31
        self.info: VideoInfo = replace(
            track,
            width=self.first.width,
            height=self.first.height,
            format=self.first.format,
            rate=rate if known else track.rate,
        )

    def sizes(self) -> dict[str, int]:
        """Bytes of the file by part, as the container tells them."""
        return self._reader.sizes()

    # --- reading --------------------------------------------------------------------------------------------------

    def _first_header(self) -> SegmentHeader:
        """The first header that can be read; geometry is the same in all."""
        error: NvcError | None = None
        found = False
        for unit in self._reader.units():
            if not unit.payloads:
                if unit.keyframe and not found and not self.best_effort:
                    break
                continue
            found = True
            try:
                if payload.kind_of(unit.payloads[0]) == payload.SEGMENT:
                    header = payload.read_segment(unit.payloads[0])
                    check_film(header, self.limits, self.best_effort)
                    return header
            except FormatError as wrong:
                error = error or wrong
            if not self.best_effort:
                break
        if error is None:
            raise FormatError(f"{self.path} is no .nvc file: its video carries none of our data")
        raise FormatError(f"{self.path}: {error}")

    def segments(self) -> Iterator[SegmentInfo]:
        """What the headers say, without decoding a picture. Raises FormatError at a damaged header."""
        pending: SegmentInfo | None = None
        for unit in self._reader.units():
            try:
                residuals = [p for p in unit.payloads if payload.kind_of(p) == payload.RESIDUAL]
                header = self._header(unit) if unit.keyframe else None
            except FormatError as error:
                raise DamageError(f"{self._place(unit.pts)}: {error}", unit.pts) from None
            if header:
                if pending:
                    yield pending
                pending = SegmentInfo(unit.pts, header, 0, 0, 0)
            if pending is None:
                raise FormatError(f"{self.path} does not begin with a keyframe")
            pending = replace(
                pending,
                base_bytes=pending.base_bytes + len(unit.data),
                loss_bytes=pending.loss_bytes + sum(map(len, residuals)),
                frames=pending.frames + 1,
            )
        if pending:
            yield pending

    def frames(self, start: Fraction | None = None, duration: Fraction | None = None) -> Iterator[Frame]:
        """Pictures in order, from time `start` for `duration` (seconds on the film's clock); all by default.

        Planes are fresh arrays in `info.format`. Raises DamageError, or notes the damage under `best_effort`.
        """
        unit_time = self.info.time_base
        end = None if duration is None else (start or Fraction(0)) + duration
        known: Head | None = None
        chain = CHAIN  # after a seek; later the segment before has just been read, and looking again would be in vain
        for units in _by_segment(self._units(start), self.limits.film_memory):
            first = units.first
            header = self._segment_header(first)
            head = None if header is None else self._head(header, first, known, chain)
            known, chain = head, 0
            for picture in self._decode(units, header, head):
                at = picture.pts * unit_time
                if end is not None and at >= end:
                    return
                if start is None or at >= start:
                    yield Frame(tuple(picture.output), picture.pts, picture.duration)

    def _units(self, start: Fraction | None) -> Iterator[TemporalUnit]:
        """The file's units; under `best_effort`, what cannot be read is noted."""
        if not self.best_effort:
            yield from self._reader.units(start)
            return
        try:
            yield from self._reader.units(start, lambda error: self.problems.append(str(error)))
        except FormatError as error:
            self.problems.append(f"{error}; what follows is lost")

    # --- one segment ----------------------------------------------------------------------------------------------

    def _place(self, pts: int) -> str:
        return f"{self.path}: frame at {float(pts * self.info.time_base):.3f} s"

    def _fault(self, pts: int, what: str, rest: str = "is shown by its base alone") -> None:
        """Raise DamageError, or note the damage and what becomes of the rest of the segment, and go on."""
        text = f"{self._place(pts)}: {what}"
        if not self.best_effort:
            raise DamageError(text, pts)
        self.problems.append(f"{text}; from here on the segment {rest}")

    def _bases(self, units: _Units, shape: tuple[int, int]) -> Iterator[tuple[int, list[Plane]]]:
        """The segment's base pictures, of (height, width) `shape`, as far as they decode."""
        try:
            yield from decode_base(units.stream(), shape, self.threads)
        except DamageError as error:
            if str(error).startswith(self.path):  # from the file, and complete
                raise
            self._fault(units.last.pts, str(error), "is lost")

    def _header(self, unit: TemporalUnit) -> SegmentHeader:
        if not unit.payloads:
            raise FormatError("the segment header is missing")
        header = payload.read_segment(unit.payloads[0])
        fixed = (header.width, header.height, header.format, header.scale)
        if fixed != (self.first.width, self.first.height, self.first.format, self.first.scale):
            raise FormatError("the segment is of another size or format than the film")
        check_film(header, self.limits, self.best_effort)
        size = obu.sequence_size(unit.data)
        if size is not None and size != base_size(header.width, header.height, header.scale):
            raise FormatError("the base is not of the size that the segment says")
        return header

    def _segment_header(self, unit: TemporalUnit) -> SegmentHeader | None:
        try:
            return self._header(unit)
        except FormatError as error:
            self._fault(unit.pts, str(error))
            return None

    def _head(self, header: SegmentHeader, unit: TemporalUnit, known: Head | None, chain: int) -> Head | None:
        if header.head_kind == payload.NO_HEAD:
            return None
        try:
            return self._read_head(header, unit.pts, known, chain)
        except (HeadError, FormatError, ValueError) as error:
            self._fault(unit.pts, f"the head of the segment is unusable: {error}")
            return None

    def _read_head(self, header: SegmentHeader, pts: int, known: Head | None, chain: int) -> Head:
        shape = (channels_of(header.format.chroma), header.history, header.layers, header.head_width)
        if header.head_kind == payload.WHOLE_HEAD:
            spec = HeadSpec(*shape)
            return Head(spec, tuple(decode_layers(header.head, spec)), header.gate)
        if header.head_kind == payload.SHIPPED_HEAD:
            head = film_head(header.reference, *payload.read_shipped(header.head))
            if head.spec.shape != shape:
                raise FormatError("the program's head of that number has another shape")
            return head
        if known is None or known.identity != header.reference:
            known = self._earlier_head(pts, header.reference, chain)
        if known.spec.shape != shape:
            raise FormatError("the difference is to a head of another shape")
        layers = decode_layers(header.head, known.spec, known.layers)
        return Head(known.spec, tuple(layers), header.gate, known.told)

    def _earlier_head(self, pts: int, reference: int, chain: int) -> Head:
        """The head of the segment before the one at `pts`, read on its own: what a seek needs."""
        missing = FormatError("the head that it is a difference to is not in the file")
        if chain == 0:
            raise missing
        before = (pts - 1) * self.info.time_base
        unit = next(self._reader.units(before), None)
        if unit is None or unit.pts >= pts:
            raise missing
        header = self._header(unit)
        if header.head_kind == payload.NO_HEAD:
            raise missing
        head = self._read_head(header, unit.pts, None, chain - 1)
        if head.identity != reference:
            raise missing
        return head

    def _decode(self, units: _Units, header: SegmentHeader | None, head: Head | None) -> Iterator[_Picture]:
        first = self.first
        usable = header is not None and (header.head_kind == payload.NO_HEAD or head is not None)
        restorer = Restorer(first.format, first.width, first.height, first.scale, head, self.device)
        loss = LossSettings()
        if header:
            loss = LossSettings(LossKind(header.loss_kind), header.loss_step, header.max_error)
        coder = LossCoder(first.format, first.width, first.height, loss) if usable and loss.kind else None
        bw, bh = base_size(first.width, first.height, first.scale)
        group: list[_Picture] = []
        count = crc = 0
        for pts, base in self._bases(units, (bh, bw)):
            output = None
            if usable:
                use_head = header is not None and header.uses_head(count)
                output = self._picture(restorer, coder, base, use_head, units.residual(pts), pts)
                usable = output is not None
            if output is None:
                output = plain_prediction(restorer.upscaled(base), first.format.depth)
            group.append(_Picture(pts, units.duration(pts), base if self.best_effort else [], output))
            crc = payload.checksum(output, crc)
            count += 1
            if header is None or count % header.group == 0 or count == header.frames:
                if usable and header is not None:
                    usable = self._check(group, crc, header, count, restorer)
                yield from group
                group, crc = [], 0
        units.drain()
        if header is not None and count != header.frames:
            self._fault(units.last.pts, f"the segment has {count} of its {header.frames} pictures", "is incomplete")
        yield from group

    def _picture(
        self,
        restorer: Restorer,
        coder: LossCoder | None,
        base: list[Plane],
        use_head: bool,
        data: Sequence[bytes],
        pts: int,
    ) -> list[Plane] | None:
        """The finished picture, or None where its loss-stream is unusable (and so is all that follows)."""
        output = restorer.predict(base, use_head)
        try:
            if len(data) > (coder is not None):
                raise FormatError("there are more payloads than one picture can have")
            if coder is not None:
                output = list(coder.decode(payload.read_residual(data[0]) if data else b"", output))
        except FormatError as error:
            self._fault(pts, f"the loss-stream is damaged: {error}")
            return None
        restorer.push(output)
        return output

    def _check(
        self, group: list[_Picture], crc: int, header: SegmentHeader, count: int, restorer: Restorer
    ) -> bool:
        """Compare a group's checksum; under best_effort replace the group by its base and give up the segment."""
        index = (count - 1) // header.group
        if index < len(header.checksums) and header.checksums[index] == crc:
            return True
        self._fault(group[0].pts, f"{len(group)} pictures from here do not match their checksum")
        for picture in group:
            picture.output = plain_prediction(restorer.upscaled(picture.base), header.format.depth)
        return False


class _Units:
    """The temporal units of one segment: streamed to the base decoder, payloads and durations kept by pts until the
    picture comes out. Raises DamageError where too many pictures, or `held` bytes of payloads, are waited for."""

    def __init__(self, first: TemporalUnit, rest: Iterator[TemporalUnit], held: int):
        self.first = self.last = first
        self._room = held
        self._rest = rest
        self._payloads: dict[int, tuple[bytes, ...]] = {}
        self._durations: dict[int, int] = {}
        self._source = self._all()

    def _all(self) -> Iterator[TemporalUnit]:
        yield self.first
        yield from self._rest

    def stream(self) -> Iterator[tuple[bytes, int]]:
        for unit in self._source:
            self.last = unit
            found = unit.payloads[1:] if unit is self.first else unit.payloads
            self._payloads[unit.pts] = found
            self._durations[unit.pts] = unit.duration
            self._room -= sum(map(len, found))
            if self._room < 0 or len(self._durations) > AHEAD:
                raise DamageError(f"the base shows no picture for {len(self._durations)} units", unit.pts)
            yield unit.data, unit.pts

    def residual(self, pts: int) -> tuple[bytes, ...]:
        """Payloads of the picture at `pts`, the segment header left out."""
        found = self._payloads.pop(pts, ())
        self._room += sum(map(len, found))
        return found

    def duration(self, pts: int) -> int:
        return self._durations.pop(pts, 0)

    def drain(self) -> None:
        """Read past what is left."""
        for unit in self._source:
            self.last = unit


def _by_segment(units: Iterator[TemporalUnit], held: int) -> Iterator[_Units]:
    """Group units by keyframe; each group must be used up before the next is asked for. `held`: see `_Units`."""
    following = next(units, None)
    while following is not None:
        first, following = following, None

        def rest() -> Iterator[TemporalUnit]:
            nonlocal following
            for unit in units:
                if unit.keyframe:
                    following = unit
                    return
                yield unit

        group = _Units(first, rest(), held)
        yield group
        group.drain()
