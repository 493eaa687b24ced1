"""A film's temporal units by segment: grouped at keyframes, streamed to the base decoder, and the header of each group.

Nothing here decodes a picture.
"""

from __future__ import annotations

from collections.abc import Iterator

from ..base.resample import base_size
from ..errors import DamageError, FormatError
from ..limits import Limits
from ..wire import obu
from ..wire.fields import PROPERTIES, TRACKS, claims
from ..wire.obu import TemporalUnit
from ..wire.t35 import messages_in
from .payload import SegmentHeader, check_film, read_segment

AHEAD = 512  # units that the base decoder may take before it shows the first one's picture; its threads need some


class SegmentUnits:
    """The temporal units of one segment: streamed to the base decoder, payloads, durations and messages kept by pts
    until the picture comes out. Raises DamageError where too many pictures, or `held` bytes of payloads and messages,
    are waited for."""

    def __init__(self, first: TemporalUnit, rest: Iterator[TemporalUnit], held: int):
        self.first = self.last = first
        self.fault: DamageError | None = None  # that reading `rest` ended with
        self._room = held
        self._rest = rest
        self._payloads: dict[int, tuple[bytes, ...]] = {}
        self._beside: dict[int, tuple[int, tuple[bytes, ...]]] = {}
        self._source = self._all()

    def _all(self) -> Iterator[TemporalUnit]:
        yield self.first
        try:
            yield from self._rest
        except DamageError as error:
            self.fault = error
            raise

    def stream(self) -> Iterator[tuple[bytes, int]]:
        """(data, pts) of each unit; messages are not for the decoder of the base."""
        for unit in self._source:
            self.last = unit
            found = unit.payloads[1 + len(of_film(unit)) :] if unit is self.first else unit.payloads
            self._payloads[unit.pts] = found
            messages = messages_in(unit.data)
            self._beside[unit.pts] = unit.duration, messages
            self._room -= sum(map(len, (*found, *messages)))
            if self._room < 0 or len(self._beside) > AHEAD:
                raise DamageError(f"the base shows no picture for {len(self._beside)} units", unit.pts)
            yield _plain(unit.data), unit.pts

    def residual(self, pts: int) -> tuple[bytes, ...]:
        """Payloads of the picture at `pts`; the segment header and what tells of the film as a whole are left out."""
        found = self._payloads.pop(pts, ())
        self._room += sum(map(len, found))
        return found

    def beside(self, pts: int) -> tuple[int, tuple[bytes, ...]]:
        """Duration and messages of the picture at `pts`."""
        duration, messages = self._beside.pop(pts, (0, ()))
        self._room += sum(map(len, messages))
        return duration, messages

    def drain(self) -> None:
        """Read past what is left."""
        for unit in self._source:
            self.last = unit


def _plain(data: bytes) -> bytes:
    """A unit as the base's decoder gets it."""
    try:
        return obu.without_messages(data)
    except FormatError:  # its decoder tells what is damaged
        return data


def by_segment(units: Iterator[TemporalUnit], held: int) -> Iterator[SegmentUnits]:
    """Group units by keyframe; each group must be used up before the next is asked for. `held`: see SegmentUnits."""
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

        group = SegmentUnits(first, rest(), held)
        yield group
        group.drain()


def of_film(unit: TemporalUnit) -> dict[int, bytes]:
    """The payloads behind a segment's header that tell of the film as a whole, by their kinds: of its other tracks, and
    what AV1 cannot tell of its pictures. They may be damaged."""
    found: dict[int, bytes] = {}
    for kind in (TRACKS, PROPERTIES):
        at = 1 + len(found)
        if at < len(unit.payloads) and claims(unit.payloads[at], kind):
            found[kind] = unit.payloads[at]
    return found


def header_of(unit: TemporalUnit, film: SegmentHeader, limits: Limits, best_effort: bool = False) -> SegmentHeader:
    """The header of the segment that begins with `unit`; it has the size and the format of `film`, the first one of its
    film. Raises FormatError, also for what is beyond `limits`."""
    if not unit.payloads:
        raise FormatError("the segment header is missing")
    header = read_segment(unit.payloads[0])
    fixed = (header.width, header.height, header.format, header.scale)
    if fixed != (film.width, film.height, film.format, film.scale):
        raise FormatError("the segment is of another size or format than the film")
    check_film(header, limits, best_effort)
    size = obu.sequence_size(unit.data)
    if size is not None and size != base_size(header.width, header.height, header.scale):
        raise FormatError("the base is not of the size that the segment says")
    return header
