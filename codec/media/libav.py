"""What libav gives and takes, in this project's words: faults as errors, files by their addresses, side data of frames,
frames as planes and planes as frames.

Samples are copied, never converted. No libav exception passes `faults_as`.
"""

from __future__ import annotations

import io
import os
import re
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from fractions import Fraction
from typing import Any

import av
import numpy as np
from av.sidedata.sidedata import Type

from ..errors import InputError, NvcError, OutputError, reason, unwritable
from ..frames import Colour, Plane, PlaneFormat
from ..wire.fields import PIXELS_MAX
from ..wire.matroska import chroma_place_of
from .files import STDIN, check_file, named, opened

os.environ.setdefault("SVT_LOG", "1")  # SVT-AV1 tells errors only; read when that library is first used

_CLOCK = re.compile(r"(\d{1,6}):(\d{2}):(\d{2}(?:\.\d{1,9})?)")
_AVIF = ("avis", "avif")  # brands
_IDENTITY = (1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)  # display matrix of what is shown as it is coded
_HDR = {"MASTERING_DISPLAY_METADATA": "mastering", "CONTENT_LIGHT_LEVEL": "content_light"}  # libav's name -> ours


def _know_all_kinds() -> None:
    """Let PyAV have a name for each kind of side data: it knows those of an older libav, and fails for a frame that
    brings a newer one, as EXIF is."""

    def unknown(kinds: Any, number: int) -> Any:
        kind = object.__new__(kinds)
        kind._name_, kind._value_ = f"UNKNOWN_{number}", number
        return kinds._value2member_map_.setdefault(number, kind)

    setattr(Type, "_missing_", classmethod(unknown))  # noqa: B010 - what an enumeration asks where it knows no member


_know_all_kinds()


@contextmanager
def faults_as(kind: type[NvcError], message: str) -> Iterator[None]:
    """Errors of libav and of the system inside become `kind`, with `message` before their own words; of those that are
    OutputErrors, the one that fits, see `unwritable`."""
    try:
        yield
    except (av.FFmpegError, OSError, ValueError) as fault:
        if kind is OutputError:
            raise unwritable(message, fault) from None
        raise kind(f"{message}: {reason(fault)}") from None


def open_film(
    path: str | os.PathLike[str], error: type[NvcError] = InputError, options: dict[str, str] | None = None
) -> av.container.InputContainer:
    """Open a file, or standard input ("-") where that is no pipe, through libav; failures are raised as `error`, naming
    the file. `options` are libav's."""
    path = os.fspath(path)
    file: Any = opened(path) if path == STDIN else local_url(path)
    buffer = 1 << 20 if path == STDIN else 1 << 15  # bytes that are read at a time
    if path != STDIN:
        check_file(path)
    options = {"max_pixels": str(PIXELS_MAX)} | (options or {})  # libav decodes a little of every track
    with faults_as(error, f"{named(path)} is no film that libav can read"):
        return av.open(file, "r", options=options, metadata_errors="replace", buffer_size=buffer)


def local_url(path: str | os.PathLike[str]) -> str:
    """The libav address of a file, so that a colon in its name is no protocol."""
    return f"file:{os.fspath(path)}"


def packet_of(data: bytes) -> av.Packet:
    """A packet to be decoded. It lies in libav's own memory: a decoder's threads would wait for Python to free its."""
    packet = av.Packet(len(data))
    packet.update(data)
    return packet


def packets_of(container: av.container.InputContainer, *streams: Any) -> Iterator[av.Packet]:
    """What `container.demux` gives of `streams`. MPEG's demuxers find further streams on their way, of which PyAV knows
    none: their packets are passed over, as ffmpeg does."""
    while True:
        try:
            yield from container.demux(*streams)
            return
        except IndexError:
            pass  # libav goes on where it stands


def film_stream(container: av.container.InputContainer) -> Any | None:
    """The container's main video stream; cover pictures do not count."""
    if sequence := sequence_tracks(container):
        return sequence[0]
    films = [s for s in container.streams.video if not s.disposition & av.stream.Disposition.attached_pic]
    best = container.streams.best("video")
    return best if best in films else next(iter(films), None)


def sequence_tracks(container: av.container.InputContainer) -> list[Any]:
    """The tracks of an AVIF sequence: its colours, then alpha where there is any. Its still, which libav takes for
    tracks of one picture, is none of them, and other films have none."""
    brands = container.metadata.get("major_brand", "") + container.metadata.get("compatible_brands", "")
    if not any(brand in brands for brand in _AVIF):
        return []
    return [stream for stream in container.streams.video if stream.frames > 1]


def duration_of(container: av.container.InputContainer, stream: Any) -> Fraction:
    """Seconds that the stream, or else its container, claims to last; 0 where neither says."""
    if stream.duration:
        return Fraction(stream.duration * stream.time_base)
    if found := _CLOCK.fullmatch(stream.metadata.get("DURATION", "")):  # Matroska's muxers tell it in a tag
        hours, minutes, seconds = found.groups()
        return Fraction(int(hours) * 3600 + int(minutes) * 60) + Fraction(seconds)
    return Fraction(container.duration, av.time_base) if container.duration else Fraction(0)


def side_data(frame: av.VideoFrame) -> dict[str, bytes]:
    """Side data of a decoded frame by libav's name."""
    items: Any = frame.side_data  # PyAV declares a dictionary of them, but iterates over the items
    return {item.type.name: bytes(item) for item in items}


def display_matrix(data: dict[str, bytes]) -> tuple[int, ...]:
    """`VideoInfo.display_matrix` of a frame's side data."""
    matrix = struct.unpack("=9i", data["DISPLAYMATRIX"]) if "DISPLAYMATRIX" in data else _IDENTITY
    return () if matrix == _IDENTITY else matrix


def hdr_side_data(data: dict[str, bytes]) -> dict[str, bytes]:
    """`VideoInfo.side_data` of a frame's side data."""
    return {ours: data[theirs] for theirs, ours in _HDR.items() if theirs in data}


def colour_of(frame: av.VideoFrame, stream: Any) -> Colour:
    """Code points of a decoded frame, or of its container where the bitstream does not say."""
    context = stream.codec_context
    full = frame.format.name.startswith("yuvj")
    return Colour(
        *(
            ours if ours != unspecified else theirs
            for ours, theirs, unspecified in (
                (int(frame.color_primaries), int(context.color_primaries), 2),
                (int(frame.color_trc), int(context.color_trc), 2),
                (int(frame.colorspace), int(context.colorspace), 2),
                (2 if full else int(frame.color_range), int(context.color_range), 0),
            )
        )
    )


def stream_header(stream: Any, packet: av.Packet | None = None) -> bytes:
    """What a Matroska file says of a stream, which is more than PyAV shows of it, with that packet in it; empty where
    Matroska has no place for its codec."""
    file = io.BytesIO()
    with suppress(av.FFmpegError, OSError, ValueError):
        # raw pictures lie in Matroska as in AVI, and only where that is asked for
        with av.open(file, "w", format="matroska", options={"allow_raw_vfw": "1"}) as output:
            track: Any = output.add_stream_from_template(stream, opaque=True)
            output.start_encoding()
            if packet is not None:
                packet.stream = track
                output.mux(packet)
    return file.getvalue()


def chroma_place(stream: Any, header: bytes, fmt: PlaneFormat) -> str:
    """`VideoInfo.chroma_place` of a stream whose `stream_header` is given, and whose pictures are of a format."""
    if fmt.chroma not in ("420", "422"):
        return ""
    dv = stream.codec_context.codec.canonical_name == "dvvideo"  # nothing but AVI and QuickTime has a place for it
    return "topleft" if dv and fmt.chroma == "420" else chroma_place_of(header)


def planes_in(frame: av.VideoFrame, fmt: PlaneFormat) -> tuple[Plane, ...]:
    """The samples of a libav frame whose format is `fmt`, where they lie: not to be written to, and its memory is kept
    as long as any of them."""
    planes = []
    for plane, (h, w) in zip(frame.planes, fmt.shapes(frame.width, frame.height), strict=False):
        rows = np.frombuffer(memoryview(plane), fmt.dtype).reshape(-1, plane.line_size // fmt.dtype.itemsize)
        rows.flags.writeable = False
        planes.append(rows[:h, :w])
    return tuple(planes)


def planes_from_av(frame: av.VideoFrame, fmt: PlaneFormat) -> tuple[Plane, ...]:
    """Copy the samples of a libav frame whose format is `fmt` out of libav's padded rows."""
    return tuple(plane.copy() for plane in planes_in(frame, fmt))


def planes_to_av(planes: Sequence[Plane], fmt: PlaneFormat) -> av.VideoFrame:
    """A libav frame that holds a copy of `planes`. Raises InputError where the shapes do not fit the format."""
    h, w = planes[0].shape
    if [p.shape for p in planes] != fmt.shapes(w, h):
        raise InputError(f"planes of shapes {[p.shape for p in planes]} are no {fmt.av_name} picture")
    frame = av.VideoFrame(w, h, fmt.av_name)
    for plane, samples in zip(frame.planes, planes, strict=False):
        rows = np.frombuffer(memoryview(plane), fmt.dtype).reshape(-1, plane.line_size // fmt.dtype.itemsize)
        rows[: samples.shape[0], : samples.shape[1]] = samples
    return frame


def ordinary_priority() -> None:
    """Take back the real-time priority that SVT-AV1 gives itself, and the thread that opens it, where it may (as root):
    threads started later inherit it, and two such encodes on one machine starve each other and all else."""
    if not hasattr(os, "sched_setscheduler"):
        return
    try:
        tasks = [int(task) for task in os.listdir("/proc/self/task")]
    except OSError:  # a system that hides them: the caller's own thread still counts most
        tasks = [0]
    for task in tasks:
        try:
            if os.sched_getscheduler(task) in (os.SCHED_FIFO, os.SCHED_RR):
                os.sched_setscheduler(task, os.SCHED_OTHER, os.sched_param(0))
        except OSError:
            pass  # a thread that ended meanwhile
