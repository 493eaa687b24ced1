"""One segment from temporal units to checked pictures: the mirror of `codec.segment.encoder`.

    units ──┬──> payloads: header, head, residuals
            └──> AV1 ──> base pictures ──Restorer, LossCoder──> pictures ──checksums──> checked pictures

No picture leaves before the checksum of its group was compared. After a seek, groups that nobody asked for are not
restored, as far as those after them do not depend on them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from heads.layers import HeadError

from ..base.av1 import decode_base
from ..base.resample import base_size, plain_prediction
from ..errors import DamageError, FormatError
from ..frames import Plane, checksum
from ..limits import Limits
from ..loss.coder import LossCoder, LossSettings
from ..loss.modes import FILM_MODES
from ..wire.obu import TemporalUnit
from .head import CHAIN, Head, read_head
from .payload import NO_HEAD, SegmentHeader, read_residual
from .restore import Restorer
from .units import SegmentUnits, header_of


@dataclass(frozen=True)
class FilmContext:
    """What the decoders of a film's segments share. `first`: the film's first header, which gives size and format;
    `earlier`: finds the first unit of the segment before the one at a pts; `fault(pts, what, rest)`: raises
    DamageError, or under `best_effort` notes the damage and what becomes of the rest of the segment, and returns."""

    first: SegmentHeader
    limits: Limits
    best_effort: bool
    device: str
    threads: int
    earlier: Callable[[int], TemporalUnit | None]
    fault: Callable[[int, str, str], None]


@dataclass
class DecodedPicture:
    """A picture in the film's format. `base`: what it was made from, kept under best effort only."""

    pts: int
    duration: int
    messages: tuple[bytes, ...]
    base: list[Plane]
    output: list[Plane]


@dataclass(frozen=True)
class _Waiting:
    """A picture of which only the base is decoded. `number`: in its segment, from 0."""

    number: int
    pts: int
    base: list[Plane]


def _within(pictures: Iterable[DecodedPicture], since: int | None, until: int | None) -> Iterator[DecodedPicture]:
    """Those of a time."""
    for picture in pictures:
        if (since is None or picture.pts >= since) and (until is None or picture.pts < until):
            yield picture


class SegmentDecoder:
    """Decodes the pictures of one segment. `known`: the head of the segment before, `chain`: how far to go back for it;
    nowhere, where that segment has just been read, as looking again would be in vain.

    Attributes: `header` and `head`, None where there is none or it is damaged; `over`: pictures were left out because
    they are behind those that were asked for.
    """

    def __init__(self, film: FilmContext, units: SegmentUnits, known: Head | None, chain: int = CHAIN):
        self._film, self._units, self.over = film, units, False
        self.header = self._header()
        self.head = self._head(known, chain)
        fmt, size = film.first.format, (film.first.width, film.first.height)
        self._restorer = Restorer(fmt, *size, film.first.scale, self.head, film.device)
        self._usable = self.header is not None and (self.header.head_kind == NO_HEAD or self.head is not None)
        self._coder: LossCoder | None = None
        if self.header and self._usable and self.header.loss_kind:
            loss = LossSettings(FILM_MODES[self.header.loss_kind], self.header.loss_step, self.header.max_error)
            self._coder = LossCoder(fmt, *size, loss)

    def _fault(self, pts: int, what: str, rest: str = "is shown by its base alone") -> None:
        self._film.fault(pts, what, rest)

    # --- base ---------------------------------------------------------------------------------------------------

    def _base(self) -> Iterator[tuple[int, list[Plane]]]:
        """(pts, planes) of the base's pictures, as far as they decode."""
        first = self._film.first
        width, height = base_size(first.width, first.height, first.scale)
        try:
            yield from decode_base(self._units.stream(), (height, width), self._film.threads)
        except DamageError as error:
            if error is self._units.fault:  # of the file, and told in full
                raise
            self._fault(self._units.last.pts, str(error), "is lost")

    # --- head ---------------------------------------------------------------------------------------------------

    def _head(self, known: Head | None, chain: int) -> Head | None:
        if self.header is None or self.header.head_kind == NO_HEAD:
            return None
        pts = self._units.first.pts
        try:
            return read_head(self.header, pts, known, self._earlier, chain)
        except (HeadError, FormatError, ValueError) as error:
            self._fault(pts, f"the head of the segment is unusable: {error}")
            return None

    def _earlier(self, pts: int) -> tuple[int, SegmentHeader] | None:
        unit = self._film.earlier(pts)
        return (unit.pts, self._header_of(unit)) if unit else None

    # --- pictures -----------------------------------------------------------------------------------------------

    def pictures(self, since: int | None = None, until: int | None = None) -> Iterator[DecodedPicture]:
        """The segment's pictures in order, from the one at pts `since` to the last before `until`. Damage goes to
        `FilmContext.fault`; what that lets pass is shown as far as it can be, by the base alone.

        Where pictures do not depend on each other, groups before `since` are neither restored nor checked. What lies
        behind the group that `until` falls into is not decoded; then `over` is set.
        """
        header = self.header
        waiting: deque[_Waiting] = deque()  # of the present group, restored only if one of it is asked for
        group: list[DecodedPicture] = []
        count = crc = 0
        for pts, base in self._base():
            if until is not None and pts >= until and not group:
                self.over = True
                return
            waiting.append(_Waiting(count, pts, base))
            count += 1
            ends = header is None or count % header.group == 0 or count == header.frames
            if since is not None and pts < since and not group and self._apart():
                if ends:
                    self._forget(waiting)
                continue
            while waiting:
                group.append(self._restored(waiting.popleft()))
                crc = checksum(group[-1].output, crc)
            if ends:
                if header and self._usable:
                    self._check(header, count, crc, group)
                yield from _within(group, since, until)
                group, crc = [], 0
        self._units.drain()
        if header and count != header.frames:
            what = f"the segment has {count} of its {header.frames} pictures"
            self._fault(self._units.last.pts, what, "is incomplete")
        yield from _within(group, since, until)

    def _apart(self) -> bool:
        """Whether pictures can be left out without harm to those after them."""
        return self.header is None or not self._usable or self.header.apart

    def _forget(self, waiting: deque[_Waiting]) -> None:
        """Leave pictures out."""
        for picture in waiting:
            self._units.residual(picture.pts)
            self._units.beside(picture.pts)
        waiting.clear()

    def _restored(self, picture: _Waiting) -> DecodedPicture:
        output = self._picture(picture.number, picture.pts, picture.base)
        kept = picture.base if self._film.best_effort else []
        return DecodedPicture(picture.pts, *self._units.beside(picture.pts), kept, output)

    def _picture(self, k: int, pts: int, base: list[Plane]) -> list[Plane]:
        """The finished picture `k` of the segment."""
        data = self._units.residual(pts)
        if self.header is None or not self._usable:
            return self._plain(base)
        output = self._restorer.predict(base, self.header.uses_head(k))
        try:
            if len(data) > (self._coder is not None):
                raise FormatError("there are more payloads than one picture can have")
            if self._coder:
                output = list(self._coder.decode(read_residual(data[0]) if data else b"", output))
        except FormatError as error:  # and what follows depends on it
            self._fault(pts, f"the loss-stream is damaged: {error}")
            self._usable = False
            return self._plain(base)
        self._restorer.push(output)
        return output

    def _plain(self, base: list[Plane]) -> list[Plane]:
        return plain_prediction(self._restorer.upscaled(base), self._film.first.format.depth)

    # --- header -------------------------------------------------------------------------------------------------

    def _header(self) -> SegmentHeader | None:
        unit = self._units.first
        try:
            return self._header_of(unit)
        except FormatError as error:
            self._fault(unit.pts, str(error))
            return None

    def _header_of(self, unit: TemporalUnit) -> SegmentHeader:
        return header_of(unit, self._film.first, self._film.limits, self._film.best_effort)

    def _check(self, header: SegmentHeader, count: int, crc: int, group: list[DecodedPicture]) -> None:
        """Compare the checksum of the `group` that ends with picture `count`; where it differs show the group by its
        base and give up the segment."""
        index = (count - 1) // header.group
        if index < len(header.checksums) and header.checksums[index] == crc:
            return
        self._fault(group[0].pts, f"{len(group)} pictures from here do not match their checksum")
        self._usable = False
        for picture in group:
            picture.output = self._plain(picture.base)
