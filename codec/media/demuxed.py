"""Films that libav reads, of any container and codec: demuxed, decoded, their times repaired, their planes converted.

Memory is bounded by libav's decoder delay.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from dataclasses import replace
from fractions import Fraction
from itertools import chain
from math import ceil, floor
from typing import IO, Any, Self

import av

from ..errors import InputError
from ..frames import Frame, VideoInfo
from ..wire.obu import SIGNATURE
from .animations import kind_of_animation
from .changes import Changes
from .clock import FileClock, can_jump, can_seek, clock_of
from .conversion import Conversion
from .decoding import Decoder, Picture
from .extras import Extras
from .files import STDIN, check_file, is_pipe, opened
from .libav import (
    chroma_place,
    colour_of,
    display_matrix,
    duration_of,
    faults_as,
    film_stream,
    hdr_side_data,
    local_url,
    packets_of,
    sequence_tracks,
    side_data,
    stream_header,
)
from .source import Source
from .timeline import Timeline, clock


def open_source(path: str | os.PathLike[str], threads: int = 0, best_effort: bool = False) -> Source:
    """Open a film, a picture, or "-" for standard input (y4m, or whatever libav reads without seeking).

    `threads` is the decoder's, 0 = one a core. With `best_effort` a film ends where it is damaged or becomes another.
    Raises InputError where there is no readable first picture.
    """
    return Demuxed(os.fspath(path), threads, best_effort)


class Demuxed(Source):
    """A film as libav gives it."""

    def __init__(self, path: str, threads: int = 0, best_effort: bool = False, known: FileClock | None = None):
        """`known`: its clock, of a film that was open before."""
        super().__init__(path, best_effort)
        self._threads = threads
        self._container: av.container.InputContainer | None = None
        self._file: IO[bytes] | _CountingReader
        self._known = known
        self._decoded = self._decode()
        try:
            first = next(self._decoded, None)
            if first is None:
                raise InputError(f"{self.name} holds no picture that can be decoded")
            self._first: Picture | None = first
            self._begin = self._begun(first)
            self.info = self._joined(self._info_of(first.frame))
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self._decoded.close()
        if self._container is not None:
            self._container.close()
            self._container = None

    def since(self, start: Fraction) -> Iterator[Frame]:
        """From the key picture before; from the film's beginning where the file has no places, or none to be sure of.
        What belongs to single pictures beside their samples is not told."""
        found = self._sought(start) if can_seek(self._container) and not self.clock.joins else iter(())
        first = next(found, None)
        yield from super().since(start) if first is None else chain([first], found)

    def _sought(self, start: Fraction) -> Iterator[Frame]:
        with self._open() as container, faults_as(InputError, f"{self.name} cannot be decoded from {float(start):g} s"):
            stream: Any = film_stream(container)
            for frame, pts in _pictures_since(container, stream, ceil(start / stream.time_base) + self._begin):
                self._check_alike(frame, pts - self._begin)
                yield Frame(self._conversion.planes(frame), pts - self._begin, frame.duration or 0)

    def _reopened(self, threads: int) -> Self:
        return type(self)(self.path, threads, self.best_effort, self.clock)

    def _frames(self) -> Iterator[Frame]:
        if self._first is None:
            raise InputError(f"the pictures of {self.name} have been read already; open it again")
        begin = self._begin
        start = (self._first.pts or begin) - begin
        timeline = Timeline(self.name, self.info, start, self.notes, self.clock.origin)
        changes = Changes(self._first, self.notes)
        pictures, self._first = chain([self._first], self._decoded), None
        for picture in pictures:
            frame, at = picture.frame, picture.pts
            pts = timeline.time_of(None if at is None else at - begin)
            self._check_alike(frame, pts)
            changes.look(picture, self._clock(pts))
            if picture.gap:
                timeline.gap(pts)
            timeline.advance(pts, frame.duration or 0)
            with faults_as(InputError, f"the picture of {self.name} at {self._clock(pts)} cannot be converted"):
                planes = self._conversion.planes(frame)
            yield Frame(planes, pts, frame.duration or 0, self._extras.of(frame))
        timeline.end()
        self.notes += self._extras.damaged()

    def _check_alike(self, frame: av.VideoFrame, pts: int) -> None:
        """Raise InputError where a picture is of another size or pixel format than the film's first."""
        info, given = self.info, self._conversion.given
        if (frame.width, frame.height) != (info.width, info.height):
            raise InputError(
                f"{self.name} changes size from {info.width}x{info.height} to {frame.width}x{frame.height} at "
                f"{self._clock(pts)}; one film has one size, so cut it there"
            )
        if frame.format.name != given:
            raise InputError(
                f"{self.name} changes its pixel format from {given} to {frame.format.name} at "
                f"{self._clock(pts)}; cut it there"
            )

    def _clock(self, pts: int | None) -> str:
        return clock(pts, self._stream.time_base)

    def _open(self) -> av.container.InputContainer:
        file: Any
        if self.path == STDIN:
            source = opened(self.path)
            file = self._file = source if source.seekable() else _CountingReader(source)
        else:
            check_file(self.path)
            file = local_url(self.path)
        with faults_as(InputError, f"{self.name} is no film or picture that libav can read"):
            # libav goes by a name that ends as pictures do, and then reads one
            kind = "mjpeg" if kind_of_animation(self.path) == "jpeg" else None
            return av.open(file, "r", kind, metadata_errors="replace", buffer_size=1 << 20)

    def _length(self) -> int:
        """Bytes of the file, or those read so far where it has no length."""
        if self.path != STDIN:
            return os.path.getsize(self.path)
        return self._file.count if isinstance(self._file, _CountingReader) else self._file.seek(0, os.SEEK_END)

    def _decode(self) -> Generator[Picture, None, None]:
        """Decoded pictures in order of presentation; damage is an InputError, never a concealed picture."""
        self._container = container = self._open()
        stream = film_stream(container)
        if stream is None:
            raise InputError(f"{self.name} has no video stream")
        self._stream: Any = stream
        if stream.codec_context is None:
            raise InputError(f"{self.name}: there is no decoder for its video codec")
        for other in container.streams:
            if other.index != stream.index:
                other.discard = av.stream.Discard.all
        context = stream.codec_context
        self._header = stream_header(stream)
        self._extras = Extras(stream, self._header)
        # several pictures decoded at a time are damaged without a word now and then
        context.thread_type = "SLICE"
        # how far beyond damage several threads have come is chance, and so would be what is left out
        context.thread_count = 1 if self.best_effort else self._threads
        # Damaged pictures are to come out flagged, not to be skipped in silence. The option "explode" finds some more,
        # but refuses recordings that begin within a group of pictures.
        context.flags |= av.codec.context.Flags.output_corrupt
        if context.codec.intra_only:
            context.options = {"err_detect": "explode"}
        if self._known is not None:
            self.clock = self._known
        elif not is_pipe(self.path) and can_jump(container):
            self.clock = clock_of(self.path)
        file_clock = None if is_pipe(self.path) else self.clock
        decoder = self._decoder = Decoder(
            self.name, container, stream, file_clock, self.best_effort, self.notes, self._mark
        )
        yield from decoder.pictures()
        # the reader of y4m takes part of a picture for the end of the film
        if decoder.end and container.format.name == "yuv4mpegpipe" and self._length() > decoder.end:
            self.notes.append(f"{self.name} ends within a picture, which is left out; it may be cut off")

    def _mark(self, packet: av.Packet) -> av.Packet:
        """A packet that is decoded, with what its picture brings. Raises InputError for an .nvc film on a pipe."""
        if is_pipe(self.path) and SIGNATURE in bytes(packet):
            raise InputError(f"{self.name} is an .nvc film, which is read more than once; let it be a file")
        return self._extras.marked(packet)

    def _joined(self, info: VideoInfo) -> VideoInfo:
        """`info` for joined recordings, of which the container does not know how long they are."""
        if not self.clock.joins:
            return info
        return replace(info, duration=self.clock.length, frames=round(self.clock.length * info.rate))

    def _begun(self, first: Picture) -> int:
        """Let the film begin with the first of its pictures and sound that is shown, so that the film's clock has whole
        ticks of the pictures; gives those. What precedes sound for its decoder alone is not shown."""
        tick = self._stream.time_base
        sounds: Any = self._container.streams.audio if self._container else ()
        starts = [s.start_time * s.time_base for s in sounds if s.start_time is not None]
        begin = floor(min([(first.pts or 0) * tick, *starts]) / tick)
        self.clock = replace(self.clock, origin=begin * tick)
        self._decoder.begin = begin
        return begin

    def _info_of(self, frame: av.VideoFrame) -> VideoInfo:
        """What the first frame and the container say; settles the conversion, `exact` and `notes` on the way."""
        assert self._container is not None
        stream, data = self._stream, side_data(frame)
        self._conversion = Conversion(frame, colour_of(frame, stream))
        lost = self._extras.losses()
        self.exact = self._conversion.exact and not lost
        self.notes += self._conversion.notes + lost
        if frame.interlaced_frame:
            self.notes.append("the material is interlaced; its pictures are stored as progressive ones")
        self.notes += self._extras.notes(frame)
        if is_pipe(self.path) and (beside := _beside(self._container)):
            self.notes.append(f"not kept: {beside}, as a pipe can be read only once; name the film's file instead")
        sequence = sequence_tracks(self._container)
        if len(sequence) > 1:
            self.exact = False
            self.notes.append("the alpha track is dropped")
        for other in () if sequence else self._container.streams.video:
            if other.index != stream.index and not other.disposition & av.stream.Disposition.attached_pic:
                self.notes.append(f"the further video stream #{other.index} is dropped")
        rate = stream.average_rate or stream.guessed_rate or Fraction(25)
        duration = duration_of(self._container, stream)
        return VideoInfo(
            width=frame.width,
            height=frame.height,
            format=self._conversion.format,
            time_base=stream.time_base,
            rate=rate,
            sar=stream.sample_aspect_ratio or Fraction(1),
            colour=self._conversion.colour,
            chroma_place=chroma_place(stream, self._header, self._conversion.format),
            display_matrix=display_matrix(data),
            side_data=hdr_side_data(data),
            frames=stream.frames or round(duration * rate),
            duration=duration,
        )


def _pictures_since(
    container: av.container.InputContainer, stream: Any, since: int
) -> Iterator[tuple[av.VideoFrame, int]]:
    """Whole pictures and their times in ticks, from `since` on; none where none comes out before that, or with it."""
    container.seek(since, stream=stream)
    last: int | None = None
    for packet in packets_of(container, stream):
        for frame in packet.decode():
            if frame.pts is None or frame.is_corrupt or (last is not None and frame.pts <= last):
                continue
            if last is None and frame.pts > since:
                return
            last = frame.pts
            if last >= since:
                yield frame, last


def _beside(container: av.container.InputContainer) -> str:
    """What lies beside the pictures, in words."""
    names = {"audio": "sound", "subtitle": "subtitles"}
    return " and ".join(dict.fromkeys(names[s.type] for s in container.streams if s.type in names))


class _CountingReader:
    """A file that can be read once; `count`: the bytes that were read of it."""

    def __init__(self, file: IO[bytes]):
        self._file, self.count = file, 0

    def read(self, size: int) -> bytes:
        data = self._file.read(size)
        self.count += len(data)
        return data
