"""Films that libav reads, of any container and codec: demuxed, decoded, their times repaired, their planes converted.

Memory is bounded by libav's decoder delay.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from contextlib import suppress
from fractions import Fraction
from itertools import chain
from typing import IO, Any, Self

import av

from ..errors import InputError, reason
from ..frames import Frame, VideoInfo
from ..wire.obu import SIGNATURE
from .conversion import Conversion
from .files import STDIN, check_file, is_pipe, opened
from .libav import (
    colour_of,
    display_matrix,
    duration_of,
    faults_as,
    film_stream,
    hdr_side_data,
    local_url,
    sequence_tracks,
    side_data,
)
from .source import Source
from .timeline import Timeline, clock

_LOST_SIDE_DATA = {
    "A53_CC": "closed captions inside the video",
    "DYNAMIC_HDR_PLUS": "HDR10+ dynamic metadata",
    "DYNAMIC_HDR_VIVID": "HDR Vivid dynamic metadata",
    "DOVI_METADATA": "Dolby Vision metadata",
    "DOVI_RPU_BUFFER": "Dolby Vision metadata",
    "ICC_PROFILE": "the ICC colour profile",
    "STEREO3D": "the stereo 3D description",
    "SPHERICAL": "the spherical video description",
    "S12M_TIMECODE": "the SMPTE 12M time code",
    "FILM_GRAIN_PARAMS": "film grain parameters (the pictures are stored as decoded)",
}


def open_source(path: str | os.PathLike[str], threads: int = 0, best_effort: bool = False) -> Source:
    """Open a film, a picture, or "-" for standard input (y4m, or whatever libav reads without seeking).

    `threads` is the decoder's, 0 = one a core. With `best_effort` a film ends where it is damaged or becomes another.
    Raises InputError where there is no readable first picture.
    """
    return Demuxed(os.fspath(path), threads, best_effort)


class Demuxed(Source):
    """A film as libav gives it."""

    def __init__(self, path: str, threads: int = 0, best_effort: bool = False):
        super().__init__(path, best_effort)
        self._threads = threads
        self._container: av.container.InputContainer | None = None
        self._file: IO[bytes] | _CountingReader
        self._decoded = self._decode()
        try:
            first = next(self._decoded, None)
            if first is None:
                raise InputError(f"{self.name} holds no picture that can be decoded")
            self._first: av.VideoFrame | None = first
            self.info = self._info_of(first)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self._decoded.close()
        if self._container is not None:
            self._container.close()
            self._container = None

    def _reopened(self, threads: int) -> Self:
        return type(self)(self.path, threads, self.best_effort)

    def _frames(self) -> Iterator[Frame]:
        if self._first is None:
            raise InputError(f"the pictures of {self.name} have been read already; open it again")
        timeline = Timeline(self.name, self.info, self._first.pts or 0, self.notes)
        frames, self._first = chain([self._first], self._decoded), None
        for frame in frames:
            # AVI and raw streams know only decoding times, which libav hands on with the picture
            pts = timeline.time_of(frame.pts if frame.pts is not None else frame.dts)
            self._check_alike(frame, pts)
            timeline.advance(pts, frame.duration or 0)
            with faults_as(InputError, f"the picture of {self.name} at {self._clock(pts)} cannot be converted"):
                planes = self._conversion.planes(frame)
            yield Frame(planes, pts, frame.duration or 0)
        timeline.end()

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
            return av.open(file, "r", metadata_errors="replace", buffer_size=1 << 20)

    def _length(self) -> int:
        """Bytes of the file, or those read so far where it has no length."""
        if self.path != STDIN:
            return os.path.getsize(self.path)
        return self._file.count if isinstance(self._file, _CountingReader) else self._file.seek(0, os.SEEK_END)

    def _decode(self) -> Generator[av.VideoFrame, None, None]:
        """Decoded frames in presentation order; damage is an InputError, never a concealed picture."""
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
        context.thread_type = "AUTO"
        # how far beyond damage several threads have come is chance, and so would be the film's end
        context.thread_count = 1 if self.best_effort else self._threads
        # Damaged pictures are to come out flagged, not to be skipped in silence. The option "explode" would find some
        # more, but refuses recordings that begin within a group of pictures.
        context.flags |= av.codec.context.Flags.output_corrupt
        at: int | None = None
        early, shown, end = 0, False, 0
        try:
            for packet in container.demux(stream):
                if is_pipe(self.path) and SIGNATURE in bytes(packet):
                    raise InputError(f"{self.name} is an .nvc film, which is read more than once; let it be a file")
                if packet.is_corrupt:
                    yield from self._held_back(context)
                    raise InputError(f"{self.name} is damaged or cut off at {self._clock(packet.pts)}")
                at = packet.pts if packet.pts is not None else at
                end = packet.pos + packet.size if packet.size and packet.pos is not None else end
                try:
                    decoded = packet.decode()
                except av.error.InvalidDataError:
                    if shown:
                        raise
                    early += 1
                    continue
                for frame in decoded:
                    if not frame.is_corrupt:
                        shown = True
                        yield frame
                    elif shown:
                        raise InputError(f"{self.name}: the picture at {self._clock(frame.pts)} is damaged")
                    else:
                        early += 1
        except (av.FFmpegError, OSError, ValueError) as error:
            yield from self._held_back(context)
            raise InputError(f"{self.name} cannot be decoded at {self._clock(at)}: {reason(error)}") from None
        # the reader of y4m takes part of a picture for the end of the film
        if end and container.format.name == "yuv4mpegpipe" and self._length() > end:
            self.notes.append(f"{self.name} ends within a picture, which is left out; it may be cut off")
        if early:
            self.notes.append(f"the first {early} pictures refer to others before the film's start and are left out")

    def _held_back(self, context: Any) -> Iterator[av.VideoFrame]:
        """Under `best_effort`, whole pictures from before the damage that the decoder still holds for their order."""
        if not self.best_effort:
            return
        with suppress(av.FFmpegError, OSError, ValueError):
            for frame in context.decode(None):
                if frame.is_corrupt:
                    return
                yield frame

    def _info_of(self, frame: av.VideoFrame) -> VideoInfo:
        """What the first frame and the container say; settles the conversion, `exact` and `notes` on the way."""
        assert self._container is not None
        stream, data = self._stream, side_data(frame)
        self._conversion = Conversion(frame, colour_of(frame, stream))
        self.exact = self._conversion.exact
        self.notes += self._conversion.notes
        if frame.interlaced_frame:
            self.notes.append("the material is interlaced; its pictures are stored as progressive ones")
        lost = (f"not kept: {text}" for name, text in _LOST_SIDE_DATA.items() if name in data)
        self.notes += dict.fromkeys(lost)
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
            display_matrix=display_matrix(data),
            side_data=hdr_side_data(data),
            frames=stream.frames or round(duration * rate),
            duration=duration,
        )


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
