"""The .nvc file: an MP4 or a Matroska film whose video track is the AV1 base and carries our payloads inside its
temporal units.

`write_film` joins the base with the sound, subtitles, covers, chapters and tags of the source. It streams: it holds no
more of a film than libav's interleaving buffer. `check_side` does the same before there is a base, with one grey
picture in its place: what a muxer refuses, and what it makes of the other tracks, is known before the work begins.
"""

from __future__ import annotations

import io
import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from tempfile import TemporaryFile
from typing import IO, Any

import av

from ..base.av1 import TOLD_PLACES
from ..errors import FormatError, InputError, OutputError, Refused, SourceChanged, unwritable
from ..events import Listener, Share, silent
from ..frames import VideoInfo
from ..media.folders import resolved
from ..media.libav import faults_as, local_url, open_film, reason
from ..media.side_streams import Interleaver, SideStreams, tracks_of
from ..wire import obu
from ..wire.hdr import hdr_boxes
from ..wire.matroska import ROOM, describe_pictures
from ..wire.mp4 import with_boxes
from ..wire.obu import TemporalUnit
from ..wire.properties import Properties, write_properties
from ..wire.tracks import Track, write_tracks
from .containers import MP4, Container, muxer_options

# a grey picture of 16x16 by SVT-AV1, 10 bits: sequence header and frame
_GREY = bytes.fromhex("0a0a000000019ff895f28080320c1000da811c68a210000075c0")
_AT_ONCE = 0.5  # seconds
_BUFFER = 1 << 20  # bytes of a file of Python's that libav asks for at a time


# --------------------------------------------------------------------------------------------------------- other tracks


@dataclass(frozen=True)
class SideTracks:
    """What a film's other tracks will be. `bytes`: of a file that holds them alone; `sums`: see `SideStreams`; `notes`:
    sentences on what is lost, converted or repaired."""

    tracks: tuple[Track, ...]
    bytes: int
    sums: dict[int, int]
    notes: list[str]


def check_side(
    source: str, info: VideoInfo, container: Container, target: str, listen: Listener = silent
) -> SideTracks:
    """Write what accompanies the pictures of `source` to a nameless file in the folder of `target`, and read it again.
    How far that is goes to `listen`.

    Raises InputError where a stream cannot be read, or where the muxer refuses it, and names it then; OutputError where
    the folder has no room.
    """
    try:
        with _scratch(target) as scratch:
            return _tried(source, info, container, scratch, _teller(listen))
    except (av.FFmpegError, OSError, ValueError) as fault:
        _check_disk(fault, target)
        raise InputError(f"{source}: {_refused(source, info, container, target)}: {reason(fault)}") from None


def _scratch(target: str) -> IO[bytes]:
    """A nameless file in the folder that `target` will lie in."""
    return TemporaryFile(dir=os.path.dirname(resolved(target)) or ".")


def _check_disk(fault: Exception, target: str) -> None:
    """Raise OutputError where a fault tells nothing of what was written."""
    error = unwritable(f"{target} cannot be written", fault)
    if not isinstance(error, Refused):
        raise error from None


def _tried(
    source: str,
    info: VideoInfo,
    container: Container,
    scratch: IO[bytes],
    tell: Callable[[float], None],
    only: int | None = None,
) -> SideTracks:
    """What comes of writing the streams of `source`, or `only` that one, to `scratch`. Raises what libav raises."""
    grey = TemporalUnit(_GREY, 0, 0, True)
    with _joined(scratch, _GREY, info, (16, 16), source, container, only) as (output, video, side):
        assert side is not None
        if container.whole_sound and side.silenced:
            raise InputError(
                f"{source}: {' and '.join(side.silenced)} cannot be held by {container.format}; "
                "let the target end in .mkv or .nvc"
            )
        output.mux(list(_video_packets([grey], video, info, container)))
        for packet in side.packets():
            at = None if packet.pts is None else packet.pts * packet.time_base  # to mux it gives it another time base
            output.mux(packet)
            if info.duration and at is not None:
                tell(min(float(at / info.duration) / 2, 0.5))
        output.close()
        size = scratch.seek(0, os.SEEK_END)
        scratch.seek(0)
        with av.open(scratch, "r", buffer_size=_BUFFER) as written:
            notes = side.notes + side.lost(written)
            tracks = tuple(tracks_of(written, lambda packet: tell(0.5 + (packet.pos or 0) / size / 2)))
        return SideTracks(tracks, size if tracks else 0, dict(side.sums), notes)


def _refused(source: str, info: VideoInfo, container: Container, target: str) -> str:
    """Which stream of `source` the muxer refuses, in words. Raises OutputError where the disk is at fault."""
    with open_film(source) as film:
        codecs = {s.index: getattr(s.codec_context, "codec", None) for s in film.streams}
        names = {s.index: f"{s.type} stream #{s.index}" for s in film.streams}
    for index, codec in codecs.items():
        try:
            with _scratch(target) as scratch:
                _tried(source, info, container, scratch, lambda share: None, index)
        except (av.FFmpegError, OSError, ValueError) as fault:
            _check_disk(fault, target)
            what = f" ({codec.canonical_name})" if codec else ""
            return f"the {names[index]}{what} cannot be copied to {container.format}"
    return f"sound and subtitles cannot be copied to {container.format} together"


def _teller(listen: Listener) -> Callable[[float], None]:
    """Tells `listen` of a share of the work, at each percent; of what is done at once it tells nothing."""
    told, began = 0, time.monotonic()

    def tell(share: float) -> None:
        nonlocal told
        if told < (percent := min(int(share * 100), 100)) and time.monotonic() - began > _AT_ONCE:
            told = percent
            listen(Share("checking", percent / 100))

    return tell


# ----------------------------------------------------------------------------------------------------------------- film


def write_film(
    path: str | os.PathLike[str],
    units: Iterable[TemporalUnit],
    info: VideoInfo,
    base_size: tuple[int, int],
    source: str | os.PathLike[str] | None = None,
    container: Container = MP4,
    side: SideTracks | None = None,
) -> list[str]:
    """Write a film to `path`, replacing what is there, and return sentences on what of `source` is not kept.

    Args:
        units: in order of presentation, the first a keyframe; read once, as the file grows.
        info: of the source; gives time base, rate, sample aspect ratio, colour, display matrix and HDR data.
        base_size: width and height of the base track.
        source: the film whose sound, subtitles, chapters and tags are copied; None where there is none.
        side: what `check_side` made of `source`; its checksums go into the first unit.

    Raises OutputError where the file cannot be written, InputError where `source` cannot be read (SourceChanged where
    it is no longer what `side` was made of), FormatError where `units` are no film.
    """
    path = os.fspath(path)
    units = iter(units)
    first = next(units, None)
    if first is None:
        raise FormatError(f"there are no pictures to write to {path}")
    of_film = [write_tracks(side.tracks)] if side is not None and side.tracks else []
    if info.chroma_place and info.chroma_place not in TOLD_PLACES:
        of_film.append(write_properties(Properties(info.chroma_place)))
    first = replace(first, payloads=(*first.payloads[:1], *of_film, *first.payloads[1:]))
    writing = partial(faults_as, OutputError, f"{path} cannot be written")
    with ExitStack() as open_files:
        with writing():
            joined = _joined(local_url(path), obu.strip(first.data), info, base_size, source, container)
            output, video, streams = open_files.enter_context(joined)
            interleaver = Interleaver(output, streams.packets() if streams else iter(()))
        # only what is done here is guarded: an error of whoever makes the units is not one of writing
        for packet in _video_packets(chain([first], units), video, info, container):
            with writing():
                interleaver.mux([packet])
        with writing():
            interleaver.finish()
            output.close()
        if side is not None and streams and streams.sums != side.sums:
            raise SourceChanged(f"the sound or subtitles of {source} were changed while it was encoded")
        notes = _described(path, info, container)
        if streams is not None:
            with open_film(path) as written:
                notes += streams.notes + streams.lost(written)
        return notes


@contextmanager
def _joined(
    file: str | IO[bytes],
    first: bytes,
    info: VideoInfo,
    base_size: tuple[int, int],
    source: str | os.PathLike[str] | None,
    container: Container,
    only: int | None = None,
) -> Iterator[tuple[av.container.OutputContainer, Any, SideStreams | None]]:
    """A file opened to be written, its video stream for a base that begins with the unit `first`, and the other streams
    of `source`, or `only` that one."""
    options = muxer_options(container, info, source)
    if isinstance(file, str):  # libav opens it once more to make room for the index
        options |= {"movflags": "+faststart"} if container.format == "mp4" else {"cues_to_front": "1"}
    with ExitStack() as open_files:
        template = open_files.enter_context(_template(first, info, base_size))
        output = av.open(file, "w", format=container.format, options=options, buffer_size=_BUFFER)
        open_files.callback(_abandon, output)
        video = _add_video(output, template, info, container)
        side = None
        if source is not None:
            side = SideStreams(source, output, only=only)
            open_files.callback(side.close)
            output.set_chapters(side.chapters())
        yield output, video, side


def _abandon(output: av.container.OutputContainer) -> None:
    """Close a file that is either complete or of no more use."""
    with suppress(av.FFmpegError, OSError, ValueError):
        output.close()


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
        return av.open(io.BytesIO(with_boxes(file.getvalue(), hdr_boxes(info.side_data))), "r")


def _add_video(
    output: av.container.OutputContainer, template: av.container.InputContainer, info: VideoInfo, container: Container
) -> Any:
    video: Any = output.add_stream_from_template(template.streams.video[0], opaque=True)
    video.time_base = info.time_base
    context = video.codec_context
    context.framerate = info.rate
    context.sample_aspect_ratio = info.sar
    context.color_primaries, context.color_trc, context.colorspace, context.color_range = info.colour
    if info.display_matrix:
        video.set_display_matrix(info.display_matrix)
    if container.format != "mp4":
        video.metadata["title"] = ROOM  # `_described` takes it away
    return video


def _video_packets(
    units: Iterable[TemporalUnit], stream: Any, info: VideoInfo, container: Container
) -> Iterator[av.Packet]:
    """Packets at the times of the units, or at the nearest that the container's clock has left: no two at the same."""
    tick = container.clock or info.time_base
    last: int | None = None
    given: int | None = None
    for unit in units:
        if given is not None and unit.pts <= given:
            raise FormatError(f"the time stamps of the base stream do not increase: {unit.pts} after {given}")
        step = max(1, round(1 / (info.rate * info.time_base))) if given is None else unit.pts - given
        given = unit.pts
        # MP4 needs to know how long the last picture lasts
        end = unit.pts + (unit.duration or step)
        packet = av.Packet(obu.inject(unit.data, unit.payloads))
        at, end = (round(time * info.time_base / tick) for time in (unit.pts, end))
        if last is not None:
            at = max(at, last + 1)
        packet.pts = packet.dts = last = at
        packet.duration = max(end - at, 1)
        packet.time_base, packet.is_keyframe, packet.stream = tick, unit.keyframe, stream
        yield packet


def _described(path: str, info: VideoInfo, container: Container) -> list[str]:
    """Give a finished file what libav's muxer has not written of the pictures; sentences on what it cannot hold."""
    if container.format == "mp4":
        return []
    try:
        describe_pictures(path, info.sar, info.chroma_place, {})  # HDR metadata are the template's
    except ValueError as fault:
        return [f"{container.format} does not hold how samples are to be shown: {fault}"]
    return []
