"""What an .nvc file holds, as its headers and its container tell, without decoding a picture."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property

from ..base.resample import base_size
from ..errors import DamageError, FormatError, NvcError
from ..frames import VideoInfo
from ..limits import DEFAULT, Limits
from ..media.foreign import kind_of_other
from ..segment.payload import SegmentHeader, check_film, read_segment
from ..segment.units import header_of, of_film
from ..wire.avif import is_still
from ..wire.fields import PROPERTIES, RESIDUAL, SEGMENT, TRACKS, kind_of
from ..wire.properties import read_properties
from ..wire.tracks import Track, read_tracks
from .reader import FilmReader


@dataclass(frozen=True)
class SegmentInfo:
    """A segment as its header describes it, and the bytes of its parts."""

    pts: int
    header: SegmentHeader
    base_bytes: int
    loss_bytes: int
    frames: int


class Contents:
    """An .nvc file. Nothing is held open between calls.

    Attributes: `first`, the first header that can be read, whose geometry is that of all; `info`, VideoInfo of the
    full-size film; `time_base` of every pts, in seconds. Raises FormatError where the file is not one of ours, is
    damaged at its beginning (under `best_effort`: all through), or claims what is beyond `limits`.
    """

    def __init__(self, path: str | os.PathLike[str], limits: Limits = DEFAULT, best_effort: bool = False):
        self.path, self.limits, self.best_effort = os.fspath(path), limits, best_effort
        if is_still(self.path):
            raise FormatError(f"{self.path} is a still picture, not a film")
        try:
            self._reader = FilmReader(path, limits)
        except FormatError:
            if kind := kind_of_other(self.path):
                raise FormatError(f"{self.path} {kind}") from None
            raise
        self.first = self._first_header()
        shape = base_size(self.first.width, self.first.height, self.first.scale)
        track = self._reader.track
        if (track.width, track.height) != shape:
            raise FormatError(
                f"{self._reader.name}: the base is {track.width}x{track.height}, not {shape[0]}x{shape[1]}"
            )
        self.time_base = track.time_base
        self._chroma = self._chroma_place(track)

    @cached_property
    def info(self) -> VideoInfo:
        """See above; a picture of the base is decoded for it (`FilmReader.info`)."""
        rate = self.first.rate  # information; libav's numbers have a bit less
        known = max(rate.numerator, rate.denominator) < 1 << 31
        return replace(
            self._reader.info,
            width=self.first.width,
            height=self.first.height,
            format=self.first.format,
            rate=rate if known else self._reader.track.rate,
            chroma_place=self._chroma,
        )

    def _first_header(self) -> SegmentHeader:
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
                    header = read_segment(unit.payloads[0])
                    check_film(header, self.limits, self.best_effort)
                    return header
            except FormatError as wrong:
                error = error or wrong
            if not self.best_effort:
                break
        if error is None:
            text = f"{self._reader.name} is no .nvc file: its video carries none of our data"
            raise FormatError(f"{text}; codec encode makes one of it")
        raise FormatError(f"{self._reader.name}: {error}")

    @property
    def begin(self) -> Fraction:
        """Seconds on the file's clock at which the first picture is shown."""
        first = next(self._reader.units(report=lambda error: None), None)
        return Fraction(0) if first is None else first.pts * self.time_base

    def place(self, pts: int) -> str:
        """Where the picture at `pts` is, in words."""
        return f"{self._reader.name}: frame at {float(pts * self.time_base):.3f} s"

    def segments(self) -> Iterator[SegmentInfo]:
        """What the headers say. Raises DamageError at a damaged one, FormatError where there is none; what tells of
        the film as a whole is passed over, see `tracks`."""
        pending: SegmentInfo | None = None
        for unit in self._reader.units():
            try:
                others = unit.payloads[1 + len(of_film(unit)) :] if unit.keyframe else unit.payloads
                residuals = [p for p in others if kind_of(p) == RESIDUAL]
                header = header_of(unit, self.first, self.limits, self.best_effort) if unit.keyframe else None
            except FormatError as error:
                raise DamageError(f"{self.place(unit.pts)}: {error}", unit.pts) from None
            if header:
                if pending:
                    yield pending
                pending = SegmentInfo(unit.pts, header, 0, 0, 0)
            if pending is None:
                raise FormatError(f"{self._reader.name} does not begin with a keyframe")
            pending = replace(
                pending,
                base_bytes=pending.base_bytes + len(unit.data),
                loss_bytes=pending.loss_bytes + sum(map(len, residuals)),
                frames=pending.frames + 1,
            )
        if pending:
            yield pending

    def tracks(self) -> tuple[Track, ...] | None:
        """What lay beside the pictures when the film was written, None where it does not tell. Raises DamageError where
        what tells it is damaged."""
        first = next(self._reader.units(), None)
        if first is None or TRACKS not in (told := of_film(first)):
            return None
        try:
            return read_tracks(told[TRACKS])
        except FormatError as error:
            raise DamageError(
                f"{self._reader.name}: what tells of its other tracks is damaged: {error}", first.pts
            ) from None

    def _chroma_place(self, track: VideoInfo) -> str:
        """Where chroma samples lie: as the base's `track` says, or a payload where AV1 has no word for it."""
        if self.first.format.chroma not in ("420", "422"):
            return ""
        told = of_film(next(self._reader.units(report=lambda error: None)))  # whoever reads it again says so
        if track.chroma_place or PROPERTIES not in told:
            return track.chroma_place
        try:
            return read_properties(told[PROPERTIES]).chroma_place
        except FormatError as error:
            if self.best_effort:
                return ""
            raise FormatError(f"{self.path}: what tells of its pictures is damaged: {error}") from None

    def times(self) -> list[int]:
        """When each picture is shown, in `info.time_base`; none is decoded. Raises FormatError."""
        return self._reader.times()

    def tracks_found(self) -> list[Track]:
        """What lies beside the pictures; all of it is read. Raises FormatError."""
        return self._reader.tracks()

    def sizes(self) -> dict[str, int]:
        """Bytes of the file by part, as the container tells them."""
        return self._reader.sizes()
