"""The .nvc file: an MP4 whose video track is the AV1 base and carries our payloads inside its temporal units.

`write_film` joins the base with the sound, subtitles, covers, chapters and tags of the source. `FilmReader` reads such
a film, also after it has been remuxed to MP4, Matroska or WebM: it relies on nothing but the temporal units and their
times. Both stream: neither holds more of a film than libav's interleaving buffer.
"""

from __future__ import annotations

import io
import os
import struct
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from itertools import chain
from math import floor, lcm
from types import TracebackType
from typing import Any, Self

import av

from . import obu
from .errors import DamageError, FormatError, OutputError
from .frames import PlaneFormat, VideoInfo
from .limits import DEFAULT, Limits
from .mp4 import check_index
from .source import check_file, colour_of, display_matrix, faults_as, film_stream, hdr_side_data, local_url, side_data
from .streams import SideStreams, film_tags, interleave, open_film

_LARGEST_TIMESCALE = (1 << 31) - 1
# what a film of ours may lie in, as libav names it: others, such as playlists, would have it open what they name
_READ = {"format_whitelist": "mp4,matroska", "protocol_whitelist": "file"}


@dataclass(frozen=True)
class TemporalUnit:
    """One coded picture of the base, shown at `pts` for `duration` (0 = unknown), both in the track's time base.

    `payloads` are ours. Writing puts them into `data`; reading takes them out again.
    """

    data: bytes
    pts: int
    duration: int
    keyframe: bool
    payloads: tuple[bytes, ...] = ()


def write_film(
    path: str | os.PathLike[str],
    units: Iterable[TemporalUnit],
    info: VideoInfo,
    base_size: tuple[int, int],
    source: str | os.PathLike[str] | None = None,
) -> list[str]:
    """Write an .nvc file to `path`, replacing what is there, and return sentences on what of `source` is not kept.

    Args:
        units: in order of presentation, the first a keyframe; read once, as the file grows.
        info: of the source; gives time base, rate, sample aspect ratio, colour, display matrix and HDR data.
        base_size: width and height of the base track.
        source: the film whose sound, subtitles, chapters and tags are copied; None where there is none.

    Raises OutputError where the file cannot be written, InputError where `source` cannot be read, FormatError where
    `units` are no film.
    """
    path = os.fspath(path)
    units = iter(units)
    first = next(units, None)
    if first is None:
        raise FormatError(f"there are no pictures to write to {path}")
    writing = partial(faults_as, OutputError, f"{path} cannot be written")
    options = _muxer_options(info, source)
    with ExitStack() as open_files:
        template = open_files.enter_context(_template(obu.strip(first.data), info, base_size))
        with writing():
            output = av.open(local_url(path), "w", format="mp4", options=options)
            open_files.callback(_abandon, output)
            video = _add_video(output, template, info)
        packets = _video_packets(chain([first], units), video, info)
        side = None
        if source is not None:
            with writing():
                side = SideStreams(source, output)
                open_files.callback(side.close)
                output.set_chapters(side.chapters())
            packets = interleave(packets, side.packets())
        # only what is done here is guarded: an error of whoever makes the units is not one of writing
        for packet in packets:
            with writing():
                output.mux(packet)
        with writing():
            output.close()
        return side.notes + side.lost_tags(path) if side else []


def _abandon(output: av.container.OutputContainer) -> None:
    """Close a file that is either complete or of no more use."""
    with suppress(av.FFmpegError, OSError, ValueError):
        output.close()


def _muxer_options(info: VideoInfo, source: str | os.PathLike[str] | None) -> dict[str, str]:
    """Time scales in which every track's times, and the offsets between tracks, are exact; the index at the front."""
    movie = info.time_base.denominator
    if source is not None:
        with open_film(source) as film:
            movie = lcm(movie, *(s.codec_context.sample_rate or 1 for s in film.streams.audio if s.codec_context))
    options = {
        "movflags": "+faststart",
        "video_track_timescale": str(info.time_base.denominator),
        # without what no player needs: runs of half a second instead of single packets, no encoder tag, no bit rates
        "chunk_duration": "500000",
        # packets arrive in order, so none need be held back for streams that are silent or over
        "max_interleave_delta": "1000000",
        "fflags": "+bitexact",
        "write_btrt": "0",
    }
    if movie <= _LARGEST_TIMESCALE:
        options["movie_timescale"] = str(movie)
    return options


def _template(tu: bytes, info: VideoInfo, size: tuple[int, int]) -> av.container.InputContainer:
    """A film of one picture in memory, whose stream describes the AV1 track to the muxer.

    libav takes colour and HDR boxes from a stream that was read, not from one that was merely declared.
    """
    file = io.BytesIO()
    with faults_as(FormatError, "the base stream is no AV1 that can be stored"):
        with av.open(file, "w", format="mp4") as output:
            shape: Any = {"width": size[0], "height": size[1], "time_base": info.time_base}
            video = output.add_mux_stream("av1", rate=info.rate, **shape)
            packet = av.Packet(tu)
            packet.pts, packet.dts, packet.duration, packet.time_base = 0, 0, 1, info.time_base
            packet.is_keyframe, packet.stream = True, video
            output.mux(packet)
        return av.open(io.BytesIO(_with_boxes(file.getvalue(), _hdr_boxes(info.side_data))), "r")


def _hdr_boxes(data: dict[str, bytes]) -> bytes:
    """The `mdcv` and `clli` boxes (ISO/IEC 14496-12, section 12.1.5) of libav's HDR structures."""
    boxes = b""
    if len(mastering := data.get("mastering", b"")) >= 88:
        ratios = struct.unpack_from("=20i2i", mastering)
        value = [Fraction(n, d) if d else Fraction(0) for n, d in zip(ratios[0:20:2], ratios[1:20:2], strict=True)]
        red, green, blue, white, (low, high) = (value[k : k + 2] for k in range(0, 10, 2))
        points = [round(v * 50000) for v in (*green, *blue, *red, *white)]
        boxes += struct.pack(">I4s8H2I", 32, b"mdcv", *points, round(high * 10000), round(low * 10000))
    if len(light := data.get("content_light", b"")) >= 8:
        boxes += struct.pack(">I4s2H", 12, b"clli", *(min(v, 0xFFFF) for v in struct.unpack_from("=2I", light)))
    return boxes


def _with_boxes(mp4: bytes, boxes: bytes) -> bytes:
    """An MP4 that ends with its index, with `boxes` at the end of its only AV1 sample entry."""
    out = bytearray(mp4)
    at = 0
    # the box's name, and how many bytes of fields precede its children
    for name, fields in (("moov", 0), ("trak", 0), ("mdia", 0), ("minf", 0), ("stbl", 0), ("stsd", 8), ("av01", 78)):
        while out[at + 4 : at + 8] != name.encode():
            at += int.from_bytes(out[at : at + 4])
        size = int.from_bytes(out[at : at + 4])
        out[at : at + 4] = (size + len(boxes)).to_bytes(4)
        end = at + size
        at += 8 + fields
    out[end:end] = boxes
    return bytes(out)


def _add_video(output: av.container.OutputContainer, template: av.container.InputContainer, info: VideoInfo) -> Any:
    video: Any = output.add_stream_from_template(template.streams.video[0], opaque=True)
    video.time_base = info.time_base
    context = video.codec_context
    context.framerate = info.rate
    context.sample_aspect_ratio = info.sar
    context.color_primaries, context.color_trc, context.colorspace, context.color_range = info.colour
    if info.display_matrix:
        video.set_display_matrix(info.display_matrix)
    return video


def _video_packets(units: Iterable[TemporalUnit], stream: Any, info: VideoInfo) -> Iterator[av.Packet]:
    last: int | None = None
    for unit in units:
        if last is not None and unit.pts <= last:
            raise FormatError(f"the time stamps of the base stream do not increase: {unit.pts} after {last}")
        step = max(1, round(1 / (info.rate * info.time_base))) if last is None else unit.pts - last
        last = unit.pts
        packet = av.Packet(obu.inject(unit.data, unit.payloads))
        packet.pts = packet.dts = unit.pts
        # MP4 needs to know how long the last picture lasts
        packet.duration = unit.duration or step
        packet.time_base, packet.is_keyframe, packet.stream = info.time_base, unit.keyframe, stream
        yield packet


class FilmReader:
    """An .nvc film, or any film with an AV1 track, also as remuxed. A context manager.

    Attributes:
        path: of the file.
        info: VideoInfo of the base track: `width`, `height` and `format` are the base's own.
        metadata: tags of the file.

    Raises InputError where there is no such file, FormatError where it is no film with an AV1 track, is damaged, or has
    a base beyond `limits`.
    """

    def __init__(self, path: str | os.PathLike[str], limits: Limits = DEFAULT):
        self.path = os.fspath(path)
        self._pixels = limits.base_pixels
        check_file(self.path)
        with faults_as(FormatError, f"{self.path} cannot be read"):
            try:
                check_index(self.path)
            except FormatError as error:
                raise FormatError(f"{self.path}: {error}") from None
        with self._open() as (container, stream):
            self.metadata = film_tags(container.metadata)
            self.info = self._describe(container, stream)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Each method opens the file for itself, so that nothing is left to close."""

    @contextmanager
    def _open(self) -> Iterator[tuple[av.container.InputContainer, Any]]:
        """The opened file and its AV1 stream; libav's errors inside become FormatError."""
        with open_film(self.path, FormatError, {"max_pixels": str(self._pixels), **_READ}) as container:
            stream: Any = film_stream(container)
            codec = stream.codec_context.codec.canonical_name if stream and stream.codec_context else "absent"
            if codec != "av1":
                raise FormatError(f"{self.path} is no .nvc film: its video track is {codec}, not AV1")
            with faults_as(FormatError, f"{self.path} cannot be read"):
                yield container, stream

    def _describe(self, container: av.container.InputContainer, stream: Any) -> VideoInfo:
        context = stream.codec_context
        fmt = PlaneFormat.from_av_name(context.pix_fmt or "")
        size = f"{stream.width}x{stream.height}"
        if stream.width * stream.height > self._pixels:
            raise FormatError(f"{self.path}: its base of {size} is beyond --max-pixels or --max-memory")
        if fmt is None or stream.width * stream.height <= 0:
            raise FormatError(f"{self.path}: its base of {size} {context.pix_fmt} cannot be decoded")
        duration = Fraction(0)
        if stream.duration:
            duration = stream.duration * stream.time_base
        elif container.duration:
            duration = Fraction(container.duration, av.time_base)
        rate = stream.average_rate or Fraction(25)
        info = VideoInfo(
            width=stream.width,
            height=stream.height,
            format=fmt,
            time_base=stream.time_base,
            rate=rate,
            sar=stream.sample_aspect_ratio or Fraction(1),
            frames=stream.frames or round(duration * rate),
            duration=duration,
        )
        # libav shows orientation and HDR data nowhere but on decoded frames
        frame = self._first_frame(container, stream)
        if frame is None:
            return info
        data = side_data(frame)
        return replace(
            info,
            colour=colour_of(frame, stream),
            display_matrix=display_matrix(data),
            side_data=hdr_side_data(data),
        )

    def _first_frame(self, container: av.container.InputContainer, stream: Any) -> av.VideoFrame | None:
        """The first base picture, None where it is damaged: then whoever decodes the film says so."""
        stream.codec_context.options = {"max_pixels": str(self._pixels)}
        try:
            return next(container.decode(stream), None)
        except (av.FFmpegError, ValueError):
            return None

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
            if start is not None:
                container.seek(floor(start / stream.time_base), stream=stream, backward=True)
                first = next(packets, None)
                if first is None or not first.is_keyframe or first.pts * stream.time_base > start:
                    # no index to go by, or one that misses: begin at the beginning, which is always right
                    container.seek(stream.start_time or 0, stream=stream, backward=True)
                    packets, first = self._packets(container, stream), None
            for packet in packets if first is None else chain([first], packets):
                tu = bytes(packet)
                try:
                    data, payloads = obu.strip(tu), tuple(obu.extract(tu))
                except FormatError as error:
                    at = f"{float(packet.pts * stream.time_base):.3f} s"
                    fault = DamageError(f"{self.path}: frame at {at}: the picture is damaged: {error}", packet.pts)
                    if report is None:
                        raise fault from None
                    report(fault)
                    data, payloads = tu, ()
                yield TemporalUnit(data, packet.pts, packet.duration or 0, packet.is_keyframe, payloads)

    def _packets(self, container: av.container.InputContainer, stream: Any) -> Iterator[Any]:
        for packet in container.demux(stream):
            if not packet.size:
                continue
            if packet.is_corrupt or packet.pts is None:
                raise FormatError(f"{self.path} is cut off or damaged after {packet.pos} bytes")
            yield packet

    def sizes(self) -> dict[str, int]:
        """Bytes of the file by what they hold.

        "base", "payload" (with its OBU headers), "audio", "subtitle", "other" and "container" together are "file".
        """
        sizes = dict.fromkeys(("base", "payload", "audio", "subtitle", "other"), 0)
        with self._open() as (container, stream):
            for packet in container.demux():
                if packet.stream.index == stream.index and packet.size:
                    try:
                        base = len(obu.strip(bytes(packet)))
                    except FormatError as error:
                        raise FormatError(f"{self.path}: {error}") from None
                    sizes["base"] += base
                    sizes["payload"] += packet.size - base
                else:
                    kind = packet.stream.type
                    sizes[kind if kind in sizes else "other"] += packet.size
        total = os.path.getsize(self.path)
        return sizes | {"container": total - sum(sizes.values()), "file": total}
