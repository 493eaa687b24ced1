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

from heads.exact import HeadError
from heads.restorer.coded import decode_layers
from heads.restorer.spec import HeadSpec

from ..base.av1 import decode_base
from ..base.resample import base_size, plain_prediction
from ..errors import DamageError, FormatError, NvcError
from ..frames import Frame, Plane, VideoInfo, channels_of, checksum
from ..limits import DEFAULT, Limits
from ..loss.coder import LossCoder, LossSettings
from ..loss.modes import FILM_MODES
from ..machine import device_of, use_threads
from ..segment import payload
from ..segment.decoder import Decoded, SegmentUnits, by_segment
from ..segment.head import CHAIN, Head, film_head, read_pretrained
from ..segment.payload import SegmentHeader, check_film
from ..segment.restore import Restorer
from ..wire import obu
from ..wire.avif import is_still
from ..wire.fields import RESIDUAL, SEGMENT, kind_of
from ..wire.obu import TemporalUnit
from .reader import FilmReader


@dataclass(frozen=True)
class SegmentInfo:
    """A segment as its header describes it, and the bytes of its parts."""

    pts: int
    header: SegmentHeader
    base_bytes: int
    loss_bytes: int
    frames: int


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
                if kind_of(unit.payloads[0]) == SEGMENT:
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
                residuals = [p for p in unit.payloads if kind_of(p) == RESIDUAL]
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
        for units in by_segment(self._units(start), self.limits.film_memory):
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

    def _bases(self, units: SegmentUnits, shape: tuple[int, int]) -> Iterator[tuple[int, list[Plane]]]:
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
        if header.head_kind == payload.PRETRAINED_HEAD:
            head = film_head(header.reference, *read_pretrained(header.head))
            if head.spec.shape != shape:
                raise FormatError("the program's head of that number has another shape")
            return head
        if known is None or known.identity != header.reference:
            known = self._earlier_head(pts, header.reference, chain)
        if known.spec.shape != shape:
            raise FormatError("the difference is to a head of another shape")
        layers = decode_layers(header.head, known.spec, known.layers)
        return Head(known.spec, tuple(layers), header.gate, known.base_q)

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

    def _decode(self, units: SegmentUnits, header: SegmentHeader | None, head: Head | None) -> Iterator[Decoded]:
        first = self.first
        usable = header is not None and (header.head_kind == payload.NO_HEAD or head is not None)
        restorer = Restorer(first.format, first.width, first.height, first.scale, head, self.device)
        loss = LossSettings()
        if header:
            loss = LossSettings(FILM_MODES[header.loss_kind], header.loss_step, header.max_error)
        coder = LossCoder(first.format, first.width, first.height, loss) if usable and loss.mode else None
        bw, bh = base_size(first.width, first.height, first.scale)
        group: list[Decoded] = []
        count = crc = 0
        for pts, base in self._bases(units, (bh, bw)):
            output = None
            if usable:
                use_head = header is not None and header.uses_head(count)
                output = self._picture(restorer, coder, base, use_head, units.residual(pts), pts)
                usable = output is not None
            if output is None:
                output = plain_prediction(restorer.upscaled(base), first.format.depth)
            group.append(Decoded(pts, units.duration(pts), base if self.best_effort else [], output))
            crc = checksum(output, crc)
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

    def _check(self, group: list[Decoded], crc: int, header: SegmentHeader, count: int, restorer: Restorer) -> bool:
        """Compare a group's checksum; under best_effort replace the group by its base and give up the segment."""
        index = (count - 1) // header.group
        if index < len(header.checksums) and header.checksums[index] == crc:
            return True
        self._fault(group[0].pts, f"{len(group)} pictures from here do not match their checksum")
        for picture in group:
            picture.output = plain_prediction(restorer.upscaled(picture.base), header.format.depth)
        return False
