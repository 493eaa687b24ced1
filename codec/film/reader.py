"""Temporal units out of a film: an .nvc file, also after it has been remuxed to MP4, Matroska or WebM.

It relies on nothing but the temporal units and their times, and holds no more of a film than libav's buffers."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from fractions import Fraction
from functools import cached_property
from itertools import chain, islice
from math import floor
from typing import Any

import av

from ..base.resample import BASE_MIN
from ..errors import DamageError, FormatError, InputError, NvcError
from ..frames import PlaneFormat, VideoInfo
from ..limits import DEFAULT, Limits
from ..media.files import is_pipe, named, opened, peeked
from ..media.libav import (
    chroma_place,
    colour_of,
    display_matrix,
    duration_of,
    faults_as,
    film_stream,
    hdr_side_data,
    open_film,
    packet_of,
    side_data,
    stream_header,
)
from ..media.side_streams import film_tags, tracks_of
from ..media.timeline import clock
from ..segment.payload import BASE
from ..wire.fields import PIXELS_MAX
from ..wire.mp4 import check_index
from ..wire.obu import SIGNATURE, TemporalUnit, extract, strip, without_messages
from ..wire.tracks import Track

# what a film of ours may lie in, as libav names it: others, such as playlists, would have it open what they name
_READ = {"format_whitelist": "mp4,matroska", "protocol_whitelist": "file"}

_EBML = b"\x1a\x45\xdf\xa3"  # how Matroska and WebM begin
_FIRST = {b"ftyp", b"styp", b"moov", b"moof", b"mdat", b"free", b"skip", b"wide"}  # boxes that begin an MP4


def _begins_like_film(head: bytes) -> bool:
    return head.startswith(_EBML) or head[4:8] in _FIRST


def is_nvc_film(path: str) -> bool:
    """Whether the first temporal unit of a file carries data of ours, damaged or not: one of MP4 or Matroska, the base
    of which would be another film. Nothing is decoded for it."""
    if is_pipe(path) or not _begins_like_film(peeked(path, 12)):
        return False
    try:
        with open_film(path, FormatError, _READ) as container:
            stream = film_stream(container)
            if stream is None or stream.codec_context is None or stream.codec_context.codec.canonical_name != "av1":
                return False
            return any(SIGNATURE in bytes(packet) for packet in islice(container.demux(stream), 1))
    except (NvcError, av.FFmpegError, OSError, ValueError):  # said by whoever reads it
        return False


def base_pixels(limits: Limits) -> int:
    """Luma samples of a film's base, before a header has told more: never more than the film has, but a base has a
    least size."""
    return max(min(limits.film_pixels, PIXELS_MAX, limits.film_memory // BASE), BASE_MIN**2)


class FilmReader:
    """An .nvc film, or any film with an AV1 track, also as remuxed. Each method opens the file for itself: nothing is
    left to close.

    Attributes:
        path: of the file; name: what sentences call it.
        track: VideoInfo of the base track as far as the file tells it; `width`, `height`, `format` are the base's own.
        info: the same with what only a decoded picture tells: colour, orientation, HDR data.
        metadata: tags of the file.

    Raises InputError where there is no such file, FormatError where it is no film with an AV1 track, is damaged, or has
    a base beyond `limits`.
    """

    def __init__(self, path: str | os.PathLike[str], limits: Limits = DEFAULT):
        self.path = os.fspath(path)
        self.name = named(self.path)
        self._pixels = base_pixels(limits)
        if is_pipe(self.path):
            raise InputError(f"{self.name} is a pipe, and an .nvc film is read more than once; let it be a file")
        with opened(self.path) as file, faults_as(FormatError, f"{self.name} cannot be read"):
            try:
                check_index(file)
            except FormatError as error:
                raise FormatError(f"{self.name}: {error}") from None
        try:
            with self._open() as (container, stream):
                self.metadata = film_tags(container.metadata)
                self.track = self._track_of(container, stream)
        except FormatError:
            if not _begins_like_film(peeked(self.path, 12)):
                raise FormatError(f"{self.name} is no .nvc film: it is neither MP4 nor Matroska") from None
            raise

    def units(
        self, start: Fraction | None = None, report: Callable[[DamageError], None] | None = None
    ) -> Iterator[TemporalUnit]:
        """The temporal units in order, from the last keyframe at or before `start` (seconds), or from the first one.

        `data` is the base alone, `payloads` ours. Raises DamageError where a unit is damaged, or reports it and
        yields the unit as it is; FormatError where the file is.
        """
        with self._open() as (container, stream):
            packets = self._packets(container, stream)
            first = None
            if start is not None and start > 0:  # libav does not seek to what lies below
                with suppress(av.FFmpegError):  # it goes nowhere in some files, and so begins at the beginning
                    container.seek(floor(start / stream.time_base), stream=stream, backward=True)
                first = next(packets, None)
                if first is None or not first.is_keyframe or first.pts * stream.time_base > start:
                    # no index to go by, or one that misses: begin at the beginning, which is always right
                    yield from self.units(None, report)
                    return
            for packet in packets if first is None else chain([first], packets):
                tu = bytes(packet)
                try:
                    data, payloads = strip(tu), tuple(extract(tu))
                except FormatError as error:
                    at = clock(packet.pts, stream.time_base)
                    fault = DamageError(f"{self.name}: frame at {at}: the picture is damaged: {error}", packet.pts)
                    if report is None:
                        raise fault from None
                    report(fault)
                    data, payloads = tu, ()
                yield TemporalUnit(data, packet.pts, packet.duration or 0, packet.is_keyframe, payloads)

    def times(self) -> list[int]:
        """When pictures are shown, in the track's time base, in order. Where the container's index tells, the file is
        not read. Raises FormatError."""
        with self._open() as (container, stream):
            packets = self._packets(container, stream)
            indexed = [entry.timestamp for entry in stream.index_entries]
            first = next(packets, None)
            if first is None:
                return []
            if indexed and len(indexed) == stream.frames and indexed[0] == first.pts:
                return indexed
            return [first.pts, *(packet.pts for packet in packets)]

    def tracks(self) -> list[Track]:
        """What lies beside the film in its file; all of it is read. Raises FormatError where it cannot be."""
        with self._open() as (container, _):
            return tracks_of(container)

    def sizes(self) -> dict[str, int]:
        """Bytes of the file by what they hold.

        "base", "payload" (with its OBU headers), "audio", "subtitle", "other" and "container" together are "file".
        """
        sizes = dict.fromkeys(("base", "payload", "audio", "subtitle", "other"), 0)
        with self._open() as (container, stream):
            for packet in container.demux():
                if packet.stream.index == stream.index and packet.size:
                    try:
                        base = len(strip(bytes(packet)))
                    except FormatError as error:
                        raise FormatError(f"{self.name}: {error}") from None
                    sizes["base"] += base
                    sizes["payload"] += packet.size - base
                else:
                    kind = packet.stream.type
                    sizes[kind if kind in sizes else "other"] += packet.size
        total = os.path.getsize(self.path)
        return sizes | {"container": total - sum(sizes.values()), "file": total}

    @contextmanager
    def _open(self) -> Iterator[tuple[av.container.InputContainer, Any]]:
        """The opened file and its AV1 stream; libav's errors inside become FormatError."""
        with open_film(self.path, FormatError, {"max_pixels": str(self._pixels), **_READ}) as container:
            stream: Any = film_stream(container)
            codec = stream.codec_context.codec.canonical_name if stream and stream.codec_context else "absent"
            if codec != "av1":
                raise FormatError(f"{self.name} is no .nvc film: its video track is {codec}, not AV1")
            with faults_as(FormatError, f"{self.name} cannot be read"):
                yield container, stream

    @cached_property
    def info(self) -> VideoInfo:
        """See above. A picture is decoded for it once it is asked for: who wants to see pictures need not wait."""
        with self._open() as (container, stream):
            frame = self._first_frame(container, stream)
            if frame is None:
                return self.track
            # libav shows orientation and HDR data nowhere but on decoded frames
            data = side_data(frame)
            return replace(
                self.track,
                colour=colour_of(frame, stream),
                display_matrix=display_matrix(data),
                side_data=hdr_side_data(data),
            )

    def _track_of(self, container: av.container.InputContainer, stream: Any) -> VideoInfo:
        context = stream.codec_context
        fmt = PlaneFormat.from_av_name(context.pix_fmt or "")
        size = f"{stream.width}x{stream.height}"
        if stream.width * stream.height > self._pixels:
            raise FormatError(f"{self.name}: its base of {size} is beyond --max-pixels or --max-memory")
        if fmt is None or stream.width * stream.height <= 0:
            raise FormatError(f"{self.name}: its base of {size} {context.pix_fmt} cannot be decoded")
        duration = duration_of(container, stream)
        rate = stream.average_rate or Fraction(25)
        return VideoInfo(
            width=stream.width,
            height=stream.height,
            format=fmt,
            time_base=stream.time_base,
            rate=rate,
            sar=stream.sample_aspect_ratio or Fraction(1),
            chroma_place=chroma_place(stream, stream_header(stream), fmt),
            frames=stream.frames or round(duration * rate),
            duration=duration,
        )

    def _first_frame(self, container: av.container.InputContainer, stream: Any) -> av.VideoFrame | None:
        """The first base picture, None where it is damaged: then whoever decodes the film says so."""
        stream.codec_context.options = {"max_pixels": str(self._pixels)}
        stream.codec_context.thread_count = 1  # several would decode pictures behind it before they show it
        try:
            for packet in container.demux(stream):
                data = without_messages(bytes(packet)) if packet.size else b""
                if frames := stream.codec_context.decode(packet_of(data) if data else None):
                    return frames[0]
        except (av.FFmpegError, ValueError, FormatError):
            pass
        return None

    def _packets(self, container: av.container.InputContainer, stream: Any) -> Iterator[Any]:
        for packet in container.demux(stream):
            if not packet.size:
                continue
            if packet.is_corrupt or packet.pts is None:
                raise FormatError(f"{self.name} is cut off or damaged after {packet.pos} bytes")
            yield packet
