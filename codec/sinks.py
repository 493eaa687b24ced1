"""Where decoded pictures go: y4m, FFV1 in Matroska, a watchable copy, or numbered PNGs.

    with open_sink("out.mkv", info, source="film.nvc") as sink:
        for frame in frames:
            sink.write(frame)

Invariants: the target appears whole or not at all (it is written beside itself and renamed); y4m and FFV1 hold the
exact planes; every other sink says in `notes` that it is a copy. Every fault raises OutputError, but for a reader of
standard output that goes away: then `closed` is set and further pictures are ignored. What a process that was killed
left unfinished is removed when the same target is written again.
"""

from __future__ import annotations

import os
import re
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self, cast

import av
import numpy as np
from av.video.reformatter import ColorRange, Interpolation, VideoReformatter

from .base import ordinary_priority
from .errors import OutputError, UsageError
from .frames import Frame, Plane, PlaneFormat, VideoInfo, planes_to_av
from .matroska import set_sample_aspect_ratio
from .source import faults_as, local_url
from .streams import SideStreams, open_film, seconds

STDOUT = "-"
_SCALING = Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT


def open_sink(
    path: str | os.PathLike[str],
    info: VideoInfo,
    source: str | os.PathLike[str] | None = None,
    start: Fraction | None = None,
    duration: Fraction | None = None,
    overwrite: bool = False,
    threads: int = 0,
) -> Sink:
    """The sink that a path's ending asks for: `.y4m`, `.mkv`, `.mp4`, `.mov`, `.webm`, `name_%05d.png`, or "-" (y4m).

    Args:
        info: of the frames to come, at their full size.
        source: the film whose sound, subtitles, chapters and tags are copied, where the format holds such.
        start, duration: in seconds, where only a part is written: sound and subtitles are cut alike, and the first
            picture written becomes time zero.
        threads: of the encoder, 0 = one a core.

    Raises UsageError for an unknown ending, OutputError where the target exists or cannot be written.
    """
    path = os.fspath(path)
    ending = Path(path).suffix.lower()
    if path == STDOUT:
        return _StandardOutput(info, source)
    if ending == ".y4m":
        return _Y4m(path, info, source, overwrite)
    if ending == ".png":
        return _Pngs(path, info, source, overwrite)
    if ending in _RECIPES:
        recipe = _RECIPES[ending](info)
        return _Film(path, info, recipe, _Cut(source, start, duration), overwrite, threads)
    raise UsageError(f"{path}: decode writes {', '.join(('.y4m', '.png', *_RECIPES))} or - for standard output")


class Sink(ABC):
    """Takes frames; a context manager that keeps the target on success and removes its traces on failure.

    Attributes:
        notes: sentences about what the target does not hold; complete after the context has ended.
        closed: whether nobody reads any more, so that no more frames need be decoded.
    """

    def __init__(self, path: str, info: VideoInfo):
        self.path = path
        self.info = info
        self.notes: list[str] = []
        self.closed = False

    @abstractmethod
    def write(self, frame: Frame) -> None:
        """Add the next picture; `pts` is in `info.time_base`."""

    @abstractmethod
    def _finish(self) -> None:
        """Complete the target."""

    @abstractmethod
    def _discard(self) -> None:
        """Remove what was written; must not raise."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self._discard()
            return
        try:
            with self._guarded():
                self._finish()
        except BaseException:
            self._discard()
            raise

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        """Errors of the system and of libav become OutputError."""
        with faults_as(OutputError, f"{self.path} cannot be written"):
            yield

    def _note_silence(self, source: str | os.PathLike[str] | None) -> None:
        """Tell that the sound of `source` stays behind."""
        if source is not None:
            with open_film(source) as film:
                kinds = [kind for kind in ("audio", "subtitle") if any(s.type == kind for s in film.streams)]
            if kinds:
                self.notes.append(f"{self.path} holds pictures only; {' and '.join(kinds)} are left out")
        if self.info.display_matrix:
            self.notes.append(f"{self.path} does not hold the film's rotation; the pictures are as they were coded")


def check_target(path: str, overwrite: bool) -> None:
    """Raise OutputError unless a file may be written to `path`; remove what killed processes left of it unfinished."""
    _check_free(path, overwrite)
    folder, name = os.path.split(path)
    _remove_stale(folder, re.escape(name))


def _check_free(path: str, overwrite: bool) -> None:
    folder = os.path.dirname(path) or "."
    if not os.path.isdir(folder):
        raise OutputError(f"{path}: there is no folder {folder}")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OutputError(f"{path}: no permission to write to the folder")
    if os.path.isdir(path):
        raise OutputError(f"{path} is a directory")
    if os.path.exists(path) and not os.path.isfile(path):
        raise OutputError(f"{path} is a pipe or a device, which a file would replace; write to standard output (-)")
    if os.path.exists(path) and not overwrite:
        raise OutputError(f"{path} exists already; it is overwritten only on request")


def check_not_same(source: str, target: str) -> None:
    """Raise UsageError where a file would be written over what it is made from. "-" is no file."""
    here = "-" not in (source, target) and os.path.exists(target) and os.path.exists(source)
    if here and os.path.samefile(source, target):
        raise UsageError(f"{source} is both input and output")


def part_path(path: str) -> str:
    """The hidden name beside `path` under which it is written until it is whole."""
    folder, name = os.path.split(path)
    return os.path.join(folder, f".{name}.{os.getpid()}.part")


def _remove_stale(folder: str, name: str) -> None:
    """Remove what was written under `part_path` of targets whose name matches `name` by processes that have ended."""
    ours = re.compile(rf"\.{name}\.(\d{{1,9}})\.part")
    with suppress(OSError):
        for found in os.listdir(folder or "."):
            part = ours.fullmatch(found)
            if part and not _runs(int(part[1])):
                _remove(os.path.join(folder, found))


def _runs(pid: int) -> bool:
    """Whether there is such a process. Where the system does not tell, no: there an open file cannot be removed."""
    if pid == os.getpid():
        return True
    if os.name != "posix":  # on Windows os.kill would end the process
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def write_whole(path: str | os.PathLike[str], data: bytes) -> None:
    """Write a file that is there either whole or not at all. Raises OSError."""
    part = part_path(os.fspath(path))
    try:
        Path(part).write_bytes(data)
        put_in_place(part, path)
    except OSError:
        _remove(part)
        raise


def put_in_place(part: str, path: str | os.PathLike[str]) -> None:
    """Give a finished file its name, once it is on the disk: a full disk or a power cut must not cost an older one."""
    with open(part, "rb+") as file:
        os.fsync(file.fileno())
    os.replace(part, path)


def drain(file: IO[Any]) -> None:
    """Let what is still buffered for a reader that has gone go nowhere, or it raises when the interpreter ends."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, file.fileno())
    os.close(null)


def _remove(path: str) -> None:
    with suppress(OSError):
        os.unlink(path)


# y4m


def y4m_header(info: VideoInfo) -> bytes:
    """The stream header of YUV4MPEG2, with mjpegtools' and libav's names for depth and range."""
    fmt, rate, sar = info.format, info.rate, info.sar
    chroma = {"400": "mono", "420": "420mpeg2"}.get(fmt.chroma, fmt.chroma)
    if fmt.depth > 8:
        chroma = f"mono{fmt.depth}" if fmt.chroma == "400" else f"{fmt.chroma}p{fmt.depth}"
    fields = [
        f"YUV4MPEG2 W{info.width} H{info.height} F{rate.numerator}:{rate.denominator}",
        f"Ip A{sar.numerator}:{sar.denominator} C{chroma}",
    ]
    if fmt.depth > 8 and fmt.chroma != "400":
        fields.append(f"XYSCSS={fmt.chroma}P{fmt.depth}")
    if info.colour.range:
        fields.append(f"XCOLORRANGE={'FULL' if info.colour.range == 2 else 'LIMITED'}")
    return " ".join(fields).encode() + b"\n"


class _Y4mSink(Sink):
    """Exact planes with one frame rate."""

    def __init__(self, path: str, info: VideoInfo, source: str | os.PathLike[str] | None):
        super().__init__(path, info)
        self._note_silence(source)
        if info.colour[:3] != (2, 2, 2) or info.side_data:
            self.notes.append("y4m does not hold the film's colour code points")
        self._file: IO[bytes]
        self._first: int | None = None
        self._count = 0
        self._varies = False

    def write(self, frame: Frame) -> None:
        with self._guarded():
            if self._first is None:
                self._first = frame.pts
                self._file.write(y4m_header(self.info))
            self._file.write(b"FRAME\n")
            for plane in frame.planes:
                self._file.write(np.ascontiguousarray(plane, plane.dtype.newbyteorder("<")).data)
        late = (frame.pts - self._first) * self.info.time_base - self._count / self.info.rate
        if not self._varies and abs(late) * self.info.rate > 1:
            self._varies = True
            self.notes.append(
                f"y4m has one frame rate ({float(self.info.rate):g}); the film's times vary from picture "
                f"{self._count} on and are lost"
            )
        self._count += 1


class _Y4m(_Y4mSink):
    def __init__(self, path: str, info: VideoInfo, source: str | os.PathLike[str] | None, overwrite: bool):
        super().__init__(path, info, source)
        check_target(path, overwrite)
        self._part = part_path(path)
        with self._guarded():
            self._file = open(self._part, "wb")  # noqa: SIM115

    def _finish(self) -> None:
        self._file.close()
        put_in_place(self._part, self.path)

    def _discard(self) -> None:
        with suppress(OSError):
            self._file.close()
        _remove(self._part)


class _StandardOutput(_Y4mSink):
    def __init__(self, info: VideoInfo, source: str | os.PathLike[str] | None):
        super().__init__(STDOUT, info, source)
        self.path = "standard output"
        self._file = sys.stdout.buffer

    def write(self, frame: Frame) -> None:
        if not self.closed:
            super().write(frame)

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        with super()._guarded():
            try:
                yield
            except BrokenPipeError:
                self._hang_up()

    def _hang_up(self) -> None:
        """The reader has gone: that ends the work, and is no error."""
        self.closed = True
        drain(self._file)

    def _finish(self) -> None:
        if not self.closed:
            self._file.flush()

    def _discard(self) -> None:
        pass


# films


@dataclass(frozen=True)
class _Cut:
    """Which part of which film the side streams are taken from; times in seconds."""

    source: str | os.PathLike[str] | None
    start: Fraction | None
    duration: Fraction | None

    @property
    def partial(self) -> bool:
        return self.start is not None or self.duration is not None

    @property
    def end(self) -> Fraction | None:
        return None if self.duration is None else (self.start or Fraction(0)) + self.duration


@dataclass(frozen=True)
class _Recipe:
    """How a film is written: container, encoder with its options, planes, and what to say about it."""

    container: str
    encoder: str
    options: dict[str, str]
    format: PlaneFormat
    sound_codec: str | None = None
    note: str = ""
    even: bool = False


def _exact(info: VideoInfo) -> _Recipe:
    """FFV1 version 3, in slices that threads share and that carry checksums."""
    slices = "4" if min(info.width, info.height) >= 64 else "1"
    options = {"level": "3", "slicecrc": "1", "slices": slices, "coder": "1", "context": "1", "g": "1"}
    return _Recipe("matroska", "ffv1", options, info.format)


def _copy(container: str, info: VideoInfo) -> _Recipe:
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
            return _Recipe(container, "libsvtav1", options, fmt, "libopus", note)
        options = {"crf": "16", "b": "0", "deadline": "good", "cpu-used": "4", "row-mt": "1", "tile-columns": "1"}
        return _Recipe(container, "libvpx-vp9", options, fmt, "libopus", note)
    if depth > 8:
        options = {"crf": "14", "preset": "medium", "x265-params": "log-level=error"}
        return _Recipe(container, "libx265", options, fmt, None, note, even=True)
    return _Recipe(container, "libx264", {"crf": "14", "preset": "medium"}, fmt, None, note, even=True)


_RECIPES = {
    ".mkv": _exact,
    ".mp4": lambda info: _copy("mp4", info),
    ".mov": lambda info: _copy("mov", info),
    ".webm": lambda info: _copy("webm", info),
}


class _Film(Sink):
    """Pictures through one of libav's encoders, joined with the side streams of a film."""

    def __init__(self, path: str, info: VideoInfo, recipe: _Recipe, cut: _Cut, overwrite: bool, threads: int):
        super().__init__(path, info)
        check_target(path, overwrite)
        self._recipe, self._cut = recipe, cut
        self._part = part_path(path)
        self._side: SideStreams | None = None
        self._packets: Iterator[av.Packet] = iter(())
        self._pending: av.Packet | None = None
        self._origin: int | None = None
        self._reformatter = VideoReformatter()
        self.notes += [recipe.note] if recipe.note else []
        try:
            with self._guarded():
                self._open(threads)
        except BaseException:
            self._discard()
            raise

    def _open(self, threads: int) -> None:
        recipe, info = self._recipe, self.info
        options = {"movflags": "+faststart"} if recipe.container in ("mp4", "mov") else {"write_crc32": "0"}
        self._output = av.open(local_url(self._part), "w", format=recipe.container, container_options=options)
        self._video = cast(Any, self._output.add_stream(recipe.encoder, rate=info.rate, options=recipe.options))
        self._video.time_base = info.time_base
        encoder = self._video.codec_context
        encoder.width, encoder.height = self._size()
        encoder.pix_fmt = recipe.format.av_name
        encoder.time_base = info.time_base
        encoder.sample_aspect_ratio = info.sar
        encoder.color_primaries, encoder.color_trc, encoder.colorspace, encoder.color_range = info.colour
        encoder.thread_count = threads
        if info.display_matrix:
            self._video.set_display_matrix(info.display_matrix)
        if info.side_data:
            self.notes.append(f"{self.path} does not hold the film's HDR mastering data")
        if self._size() != (info.width, info.height):
            self.notes.append("the last row or column is repeated, because this codec has even sizes only")
        if recipe.format != info.format:
            self.notes.append(f"{info.format.av_name} becomes {recipe.format.av_name}")
        if self._cut.source is not None:
            self._side = SideStreams(self._cut.source, self._output, recipe.sound_codec)
            self.notes += self._side.notes

    def _size(self) -> tuple[int, int]:
        odd = 1 if self._recipe.even else 0
        return self.info.width + (self.info.width & odd), self.info.height + (self.info.height & odd)

    def write(self, frame: Frame) -> None:
        with self._guarded():
            opening = self._origin is None
            if opening:
                self._begin(frame)
            assert self._origin is not None
            picture = self._picture(frame.planes)
            picture.pts, picture.time_base = frame.pts - self._origin, self.info.time_base
            if frame.duration:
                picture.duration = frame.duration
            self._mux(self._video.encode(picture))
            if opening:
                ordinary_priority()  # the first picture opened the encoder, and that may be SVT-AV1

    def _begin(self, first: Frame) -> None:
        """Settle where time zero lies; the side streams are moved alike."""
        partial = self._cut.partial
        self._origin = first.pts if partial else 0
        if self._side is None:
            return
        start = first.pts * self.info.time_base if partial else None
        self._output.set_chapters(self._side.chapters(start or Fraction(0), self._cut.end))
        self._packets = self._side.packets(start, self._cut.end)
        self._pending = next(self._packets, None)

    def _picture(self, planes: tuple[Plane, ...]) -> av.VideoFrame:
        """A frame in the encoder's format; exact where that is the film's own."""
        given, wanted = self.info.format, self._recipe.format
        width, height = self._size()
        if given.chroma == "400" != wanted.chroma:
            grey = [np.full(s, 1 << given.depth - 1, given.dtype) for s in wanted.shapes(width, height)[1:]]
            planes, given = (planes[0], *grey), wanted
        padded: list[Any] = [
            np.pad(plane, [(0, rows - plane.shape[0]), (0, columns - plane.shape[1])], mode="edge")
            for plane, (rows, columns) in zip(planes, given.shapes(width, height), strict=True)
        ]
        picture = planes_to_av(padded, given)
        if given != wanted:
            picture = self._reformatter.reformat(picture, format=wanted.av_name, interpolation=_SCALING)
        return picture

    def _mux(self, packets: list[av.Packet]) -> None:
        for packet in packets:
            self._mux_side(seconds(packet))
            self._output.mux(packet)

    def _mux_side(self, until: Fraction | None = None) -> None:
        while self._pending is not None and (until is None or seconds(self._pending) <= until):
            self._output.mux(self._pending)
            self._pending = next(self._packets, None)

    def _finish(self) -> None:
        if self._origin is None:
            raise OutputError(f"{self.path}: there are no pictures to write")
        self._mux(self._video.encode(None))
        self._mux_side()
        self._output.close()
        if self._recipe.container in ("matroska", "webm") and self.info.sar != 1:
            set_sample_aspect_ratio(self._part, self.info.sar)
        if self._side is not None:
            self.notes += self._side.lost_tags(self._part)
            self._side.close()
        put_in_place(self._part, self.path)

    def _discard(self) -> None:
        # a file that is thrown away need not be well formed, nor have been opened
        with suppress(AttributeError, av.FFmpegError, OSError, ValueError):
            self._output.close()
        if self._side is not None:
            self._side.close()
        _remove(self._part)


# pictures


class _Pngs(Sink):
    """Numbered PNGs from 1 on: RGB, or grey where the film is; 16 bits where it has more than 8."""

    def __init__(self, path: str, info: VideoInfo, source: str | os.PathLike[str] | None, overwrite: bool):
        super().__init__(path, info)
        if len(re.findall(r"%(0\d+)?d", path)) != 1 or path.replace("%%", "").count("%") != 1:
            raise UsageError(f"{path}: a film becomes many pictures; give a name such as name_%05d.png")
        self._overwrite = overwrite
        self._written = 0
        _check_free(path % 1, overwrite)
        folder, name = os.path.split(path)
        _remove_stale(folder, re.sub(r"%(0\d+)?d", r"\\d+", re.escape(name).replace("%%", "%")))
        self._note_silence(source)
        self.notes.append("PNG holds RGB or full-range grey; the samples are converted and times are lost")
        fmt, colour = info.format, info.colour
        deep = fmt.depth > 8
        self._grey = fmt.chroma == "400"
        self._name = ("gray16be" if deep else "gray") if self._grey else ("rgb48be" if deep else "rgb24")
        # what players assume of films that do not say: BT.709 from HD on, BT.601 below, limited range
        self._matrix = colour.matrix if colour.matrix != 2 else 1 if info.width >= 1280 or info.height > 576 else 6
        self._limited = colour.range == 1 or (colour.range == 0 and not self._grey)
        self._reformatter = VideoReformatter()
        self._encoder = cast(Any, av.CodecContext.create("png", "w"))
        self._encoder.width, self._encoder.height, self._encoder.pix_fmt = info.width, info.height, self._name
        self._encoder.time_base = Fraction(1, 25)

    def write(self, frame: Frame) -> None:
        path = self.path % (self._written + 1)
        _check_free(path, self._overwrite)
        picture = self._grey_picture(frame.planes[0]) if self._grey else self._rgb_picture(frame.planes)
        picture.pts = self._written
        self._written += 1
        with self._guarded():
            Path(part_path(path)).write_bytes(b"".join(bytes(p) for p in self._encoder.encode(picture)))

    def _grey_picture(self, plane: Plane) -> av.VideoFrame:
        depth = self.info.format.depth
        peak = 255 if depth == 8 else 65535
        low, high = (16 << depth - 8, 235 << depth - 8) if self._limited else (0, (1 << depth) - 1)
        grey = np.clip((plane.astype(np.float64) - low) / (high - low), 0, 1) * peak
        samples: Any = np.rint(grey).astype(np.uint8 if depth == 8 else np.uint16)
        return av.VideoFrame.from_ndarray(samples, format=self._name)

    def _rgb_picture(self, planes: tuple[Plane, ...]) -> av.VideoFrame:
        picture = planes_to_av(planes, self.info.format)
        picture.colorspace = self._matrix
        picture.color_range = ColorRange.MPEG if self._limited else ColorRange.JPEG
        return self._reformatter.reformat(
            picture, format=self._name, interpolation=_SCALING, dst_color_range=ColorRange.JPEG
        )

    def _finish(self) -> None:
        if not self._written:
            raise OutputError(f"{self.path}: there are no pictures to write")
        # only now, so that older pictures of the same names stay where the work fails
        for path in self._paths():
            put_in_place(part_path(path), path)

    def _discard(self) -> None:
        for path in self._paths():
            _remove(part_path(path))

    def _paths(self) -> list[str]:
        return [self.path % number for number in range(1, self._written + 1)]
