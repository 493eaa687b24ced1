"""Decoded films through one of libav's encoders: FFV1 in Matroska, which is exact, and copies to watch in MP4,
QuickTime and WebM, with the sound, subtitles, chapters and tags of the film that they come from.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from ..errors import OutputError
from ..frames import Frame, Plane, PlaneFormat, VideoInfo
from ..wire.hdr import svt_hdr, x26x_hdr
from ..wire.matroska import ROOM, describe_pictures, sar_notes
from .beside import Beside
from .chapters import moved
from .libav import local_url, open_film, ordinary_priority, planes_to_av
from .parts import Part
from .side_streams import Interleaver, SideStreams
from .sink import SWSCALE_FLAGS, Sink


@dataclass(frozen=True)
class Cut:
    """Which part of which film the side streams are taken from; times in seconds."""

    source: str | os.PathLike[str] | None
    start: Fraction | None
    duration: Fraction | None

    @property
    def partial(self) -> bool:
        """Whether it is less than the whole film."""
        return self.start is not None or self.duration is not None

    @property
    def end(self) -> Fraction | None:
        """When the part ends, None for the film's end."""
        return None if self.duration is None else (self.start or Fraction(0)) + self.duration


@dataclass(frozen=True)
class Recipe:
    """How a film is written: container, encoder with its options, planes, and what to say about it."""

    container: str
    encoder: str
    options: dict[str, str]
    format: PlaneFormat
    note: str = ""
    even: bool = False


def _ffv1(info: VideoInfo) -> Recipe:
    """FFV1 version 3, in slices that threads share and that carry checksums."""
    slices = "4" if min(info.width, info.height) >= 64 else "1"
    options = {"level": "3", "slicecrc": "1", "slices": slices, "coder": "1", "context": "1", "g": "1"}
    return Recipe("matroska", "ffv1", options, info.format)


def _watchable(container: str, info: VideoInfo) -> Recipe:
    """4:2:0 at a quality where no difference is seen, in a codec that the container's players know.

    libvpx is built for 8 bits, so WebM of 10 bits is AV1; x265 corrupts its memory on pictures of a few blocks, and
    neither knows pictures of a few pixels, so small ones are of 8 bits.
    """
    note = "this is a copy to watch, encoded anew; it is not exact"
    depth = info.format.depth if min(info.width, info.height) >= 64 else 8
    fmt = PlaneFormat("420", depth)
    if container == "webm":
        if depth > 8:
            options = {"preset": "6", "crf": "16"}
            return Recipe(container, "libsvtav1", options, fmt, note)
        options = {"crf": "16", "b": "0", "deadline": "good", "cpu-used": "4", "row-mt": "1", "tile-columns": "1"}
        return Recipe(container, "libvpx-vp9", options, fmt, note)
    if depth > 8:
        options = {"crf": "14", "preset": "medium", "x265-params": "log-level=error"}
        return Recipe(container, "libx265", options, fmt, note, even=True)
    return Recipe(container, "libx264", {"crf": "14", "preset": "medium"}, fmt, note, even=True)


def _options(recipe: Recipe, info: VideoInfo, chroma_place: str) -> dict[str, str]:
    """The encoder's options, with what it is to say of the pictures. Matroska says it by itself."""
    options = recipe.options | ({"chroma_sample_location": chroma_place} if chroma_place else {})
    words = {
        "libx264": ("x264-params", x26x_hdr, "mastering-display", "cll"),
        "libx265": ("x265-params", x26x_hdr, "master-display", "max-cll"),
        "libsvtav1": ("svtav1-params", svt_hdr, "mastering-display", "content-light"),
    }
    if recipe.encoder in words:
        option, told, *names = words[recipe.encoder]
        params = [f"{name}={text}" for name, text in zip(names, told(info.side_data), strict=True) if text]
        if params := [*filter(None, [options.get(option)]), *params]:
            options[option] = ":".join(params)
    return options


RECIPES = {
    ".mkv": _ffv1,
    ".mp4": lambda info: _watchable("mp4", info),
    ".mov": lambda info: _watchable("mov", info),
    ".webm": lambda info: _watchable("webm", info),
}


def _padded(plane: Plane, shape: tuple[int, int]) -> Plane:
    """A plane whose last row and column are repeated up to a shape."""
    if plane.shape == shape:
        return plane
    added: Any = [(0, wanted - found) for wanted, found in zip(shape, plane.shape, strict=True)]
    return np.pad(plane, added, mode="edge")


class EncodedSink(Sink):
    """Pictures through one of libav's encoders, joined with the side streams of a film."""

    def __init__(self, path: str, info: VideoInfo, recipe: Recipe, cut: Cut, overwrite: bool, threads: int):
        super().__init__(path, info)
        self._recipe, self._cut = recipe, cut
        self._side: SideStreams | None = None
        self._interleaver: Interleaver | None = None
        self._origin = 0
        self._durations: dict[int, int] = {}  # of pictures in the encoder, by their pts
        self._last: av.Packet | None = None  # of the encoder's
        self._end = 0  # of the pictures so far
        self._reformatter = VideoReformatter()
        self.notes += [recipe.note] if recipe.note else []
        with self._guarded():
            self._part = Part(path, overwrite)
        try:
            with self._guarded():
                self._open(threads)
        except BaseException:
            self._discard()
            raise

    def _open(self, threads: int) -> None:
        recipe, info = self._recipe, self.info
        options = {"movflags": "+faststart"} if recipe.container in ("mp4", "mov") else {"write_crc32": "0"}
        self._output = av.open(local_url(self._part.path), "w", format=recipe.container, container_options=options)
        video = self._output.add_stream(recipe.encoder, rate=info.rate, options=_options(recipe, info, self._place))
        assert isinstance(video, av.VideoStream)
        video.time_base = info.time_base
        encoder = video.codec_context
        encoder.width, encoder.height = self._size()
        encoder.pix_fmt = recipe.format.av_name
        encoder.time_base = info.time_base
        encoder.sample_aspect_ratio = info.sar
        encoder.color_primaries, encoder.color_trc, encoder.colorspace, encoder.color_range = info.colour
        encoder.thread_count = threads
        if info.display_matrix:
            video.set_display_matrix(info.display_matrix)
        self._video = video
        if self._matroska:
            video.metadata["title"] = ROOM  # `describe_pictures` takes it away
        if self._size() != (info.width, info.height):
            self.notes.append("the last row or column is repeated, because this codec has even sizes only")
        if recipe.format != info.format:
            self.notes.append(f"{info.format.av_name} becomes {recipe.format.av_name}")
        if self._cut.source is not None:
            self._side = SideStreams(Beside(self._cut.source, opus=True), self._output)

    def _size(self) -> tuple[int, int]:
        odd = 1 if self._recipe.even else 0
        return self.info.width + (self.info.width & odd), self.info.height + (self.info.height & odd)

    @property
    def _matroska(self) -> bool:
        return self._recipe.container in ("matroska", "webm")

    @property
    def _place(self) -> str:
        """Where the chroma samples of what is written lie; empty where they are converted."""
        return self.info.chroma_place if self._recipe.format.chroma == self.info.format.chroma else ""

    def write(self, frame: Frame) -> None:
        self._note_messages(frame)
        with self._guarded():
            opening = self._interleaver is None
            interleaver = self._interleaver or self._begin(frame)
            picture = self._picture(frame.planes)
            picture.pts, picture.time_base = frame.pts - self._origin, self.info.time_base
            if frame.duration:
                picture.duration = self._durations[picture.pts] = frame.duration
            interleaver.mux(self._timed(self._video.encode(picture)))
            if opening:
                ordinary_priority()  # the first picture opened the encoder, and that may be SVT-AV1

    def _timed(self, packets: list[av.Packet]) -> Iterator[av.Packet]:
        """The packets but for the last one, with their pictures' durations, which not every encoder hands on."""
        for packet in packets:
            if packet.pts is not None:
                packet.duration = self._durations.pop(packet.pts, packet.duration or 0)
                self._end = max(self._end, packet.pts + packet.duration)
            if self._last is not None:
                yield self._last
            self._last = packet

    def _begin(self, first: Frame) -> Interleaver:
        """Settle where time zero lies; the side streams are moved alike."""
        start = first.pts * self.info.time_base if self._cut.partial else None
        self._origin = first.pts if self._cut.partial else 0
        packets: Iterator[av.Packet] = iter(())
        if self._side is not None:
            packets = self._side.packets(start, self._cut.end)
        self._interleaver = Interleaver(self._output, packets)
        if self._side is not None:
            chapters = self._side.chapters(start, self._cut.end)
            if self._matroska:
                begins = self._interleaver.begins((first.pts - self._origin) * self.info.time_base)
                chapters = moved(chapters, begins)
            self._output.set_chapters(chapters)
        return self._interleaver

    def _picture(self, planes: tuple[Plane, ...]) -> av.VideoFrame:
        """A frame in the encoder's format; exact where that is the film's own."""
        given, wanted = self.info.format, self._recipe.format
        width, height = self._size()
        if given.chroma == "400" != wanted.chroma:
            grey = [np.full(s, 1 << given.depth - 1, given.dtype) for s in wanted.shapes(width, height)[1:]]
            planes, given = (planes[0], *grey), wanted
        picture = planes_to_av([_padded(p, s) for p, s in zip(planes, given.shapes(width, height), strict=True)], given)
        if given != wanted:
            picture = self._reformatter.reformat(picture, format=wanted.av_name, interpolation=SWSCALE_FLAGS)
        return picture

    def _finish(self) -> None:
        if self._interleaver is None:
            raise OutputError(f"{self.path}: there are no pictures to write")
        self._interleaver.mux(self._timed(self._video.encode(None)))
        if self._last is not None:
            if self._recipe.container in ("mp4", "mov") and self._last.pts is not None:
                # what is decoded last is not what is shown last, but tells MP4 how long the film is
                self._last.duration = self._end - self._last.pts
            self._interleaver.mux([self._last])
        self._interleaver.finish()
        self._output.close()
        if self._matroska:
            sar = self.info.sar
            told = describe_pictures(self._part.path, sar, self._place, self.info.side_data)
            self.notes += sar_notes(self._recipe.container, sar, told)
        if self._side is not None:
            with open_film(self._part.path) as written:
                self.notes += self._side.notes + self._side.lost(written)
            self._side.close()
        self._part.finish()

    def _discard(self) -> None:
        # a file that is thrown away need not be well formed, nor have been opened
        with suppress(AttributeError, av.FFmpegError, OSError, ValueError):
            self._output.close()
        if self._side is not None:
            self._side.close()
        self._part.discard()
