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
from ..media.beside import Beside
from ..media.chapters import moved
from ..media.folders import resolved
from ..media.libav import faults_as, local_url, open_film, reason
from ..media.side_streams import Interleaver, SideStreams, tracks_of
from ..wire import obu
from ..wire.hdr import hdr_boxes
from ..wire.matroska import ROOM, describe_pictures, sar_notes
from ..wire.mp4 import with_boxes
from ..wire.obu import TemporalUnit
from ..wire.properties import Properties, write_properties
from ..wire.tracks import Track, write_tracks
from .containers import MP4, Container, muxer_options

_AT_ONCE = 0.5  # seconds
_BUFFER = 1 << 20  # bytes of a file of Python's that libav asks for at a time
_FAULTS = (av.FFmpegError, OSError, ValueError)


# --------------------------------------------------------------------------------------------------------- other tracks


@dataclass(frozen=True)
class SideTracks:
    """What a film's other tracks will be. `beside`: what they come from, as far as the muxer takes it; `bytes`: of a
    file that holds them alone; `sums`: see `SideStreams`; `notes`: sentences on what is lost, converted or repaired."""

    beside: Beside
    tracks: tuple[Track, ...]
    bytes: int
    sums: dict[int, int]
    notes: list[str]


def check_side(
    beside: Beside, info: VideoInfo, container: Container, target: str, listen: Listener = silent
) -> SideTracks:
    """Write what accompanies the pictures to a nameless file in the folder of `target`, and read it again. How far that
    is goes to `listen`. What the muxer does not take is converted, or dropped, which is noted.

    Raises InputError where a stream cannot be read, or sound in no way be written, and names it then; OutputError where
    the folder has no room.
    """
    trial = _Trial(info, container, target)
    tell = _teller(listen)
    while True:
        try:
            return trial.run(beside, tell)
        except _FAULTS as fault:
            _check_disk(fault, target)
            again = trial.mended(beside)
            if again == beside:
                what = f"sound and subtitles cannot be copied to {container.format} together"
                raise InputError(f"{beside.path}: {what}: {reason(fault)}") from None
            beside = again


def _scratch(target: str) -> IO[bytes]:
    """A nameless file in the folder that `target` will lie in."""
    return TemporaryFile(dir=os.path.dirname(resolved(target)) or ".")


def _check_disk(fault: Exception, target: str) -> None:
    """Raise OutputError where a fault tells nothing of what was written."""
    error = unwritable(f"{target} cannot be written", fault)
    if not isinstance(error, Refused):
        raise error from None


@dataclass(frozen=True)
class _Trial:
    """Writes what accompanies the pictures of a film, without them."""

    info: VideoInfo
    container: Container
    target: str

    def run(
        self, beside: Beside, tell: Callable[[float], None] = lambda share: None, only: int | None = None
    ) -> SideTracks:
        """What comes of writing the streams, or `only` that one, to a nameless file. Raises what libav raises."""
        grey = TemporalUnit(obu.GREY, 0, 0, True)
        with (
            _scratch(self.target) as scratch,
            _joined(scratch, obu.GREY, self.info, (16, 16), beside, self.container, only) as (output, video, side),
        ):
            assert side is not None
            if self.container.whole_sound and side.silenced:
                raise InputError(
                    f"{beside.path}: {' and '.join(side.silenced)} cannot be held by {self.container.format}; "
                    "ask for --audio opus, or let the target end in .mkv or .nvc"
                )
            output.mux(list(_video_packets([grey], video, self.info, self.container)))
            for packet in side.packets():
                # to mux it gives it another time base
                at = None if packet.pts is None else packet.pts * packet.time_base
                output.mux(packet)
                if self.info.duration and at is not None:
                    tell(min(float(at / self.info.duration) / 2, 0.5))
            output.close()
            size = scratch.seek(0, os.SEEK_END)
            scratch.seek(0)
            with av.open(scratch, "r", buffer_size=_BUFFER) as written:
                notes = side.notes + side.lost(written)
                tracks = tuple(tracks_of(written, lambda packet: tell(0.5 + (packet.pos or 0) / size / 2)))
            return SideTracks(beside, tracks, size if tracks else 0, dict(side.sums), notes)

    def mended(self, beside: Beside) -> Beside:
        """The same without the ways that the muxer refuses: a stream is converted, and where that fails too, dropped.
        Raises InputError for sound that would be dropped, OutputError where the disk is at fault."""
        with open_film(beside.path) as film:
            streams = [(s.index, s.type, getattr(s.codec_context, "codec", None)) for s in film.streams]
        for index, kind, codec in streams:
            try:
                self.run(beside, lambda share: None, index)
            except _FAULTS as fault:
                _check_disk(fault, self.target)
                if index not in beside.refused and kind in ("audio", "subtitle"):
                    beside = replace(beside, refused=beside.refused | {index})
                elif kind != "audio":
                    beside = replace(beside, dropped=beside.dropped | {index})
                else:
                    name = f"the audio stream #{index}" + (f" ({codec.canonical_name})" if codec else "")
                    fate = f"cannot be written to {self.container.format}: {reason(fault)}"
                    raise InputError(f"{beside.path}: {name} {fate}; --audio none leaves out all sound") from None
        return beside


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
    side: SideTracks | Beside | None = None,
    container: Container = MP4,
) -> list[str]:
    """Write a film to `path`, replacing what is there, and return sentences on what of `side` is not kept.

    Args:
        units: in order of presentation, the first a keyframe; read once, as the file grows.
        info: of the source; gives time base, rate, sample aspect ratio, colour, display matrix and HDR data.
        base_size: width and height of the base track.
        side: the sound, subtitles, chapters and tags that go along, None where there are none; the checksums of what
            `check_side` made of them go into the first unit.

    Raises OutputError where the file cannot be written, InputError where `side` cannot be read (SourceChanged where it
    is no longer what it was), FormatError where `units` are no film.
    """
    path = os.fspath(path)
    units = iter(units)
    first = next(units, None)
    if first is None:
        raise FormatError(f"there are no pictures to write to {path}")
    checked, beside = (side, side.beside) if isinstance(side, SideTracks) else (None, side)
    of_film = [write_tracks(checked.tracks)] if checked is not None and checked.tracks else []
    if info.chroma_place and info.chroma_place not in TOLD_PLACES:
        of_film.append(write_properties(Properties(info.chroma_place)))
    first = replace(first, payloads=(*first.payloads[:1], *of_film, *first.payloads[1:]))
    writing = partial(faults_as, OutputError, f"{path} cannot be written")
    with ExitStack() as open_files:
        with writing():
            joined = _joined(local_url(path), obu.strip(first.data), info, base_size, beside, container)
            output, video, streams = open_files.enter_context(joined)
            interleaver = Interleaver(output, streams.packets() if streams else iter(()))
            if streams and container.format != "mp4":
                output.set_chapters(moved(streams.chapters(), interleaver.begins(first.pts * info.time_base)))
        # only what is done here is guarded: an error of whoever makes the units is not one of writing
        for packet in _video_packets(chain([first], units), video, info, container):
            with writing():
                interleaver.mux([packet])
        with writing():
            interleaver.finish()
            output.close()
        if checked is not None and streams and streams.sums != checked.sums:
            raise SourceChanged(f"the sound or subtitles of {checked.beside.path} were changed while it was encoded")
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
    beside: Beside | None,
    container: Container,
    only: int | None = None,
) -> Iterator[tuple[av.container.OutputContainer, Any, SideStreams | None]]:
    """A file opened to be written, its video stream for a base that begins with the unit `first`, and the streams of
    `beside`, or `only` that one."""
    options = muxer_options(container, info, None if beside is None else beside.path)
    if isinstance(file, str):  # libav opens it once more to make room for the index
        options |= {"movflags": "+faststart"} if container.format == "mp4" else {"cues_to_front": "1"}
    with ExitStack() as open_files:
        template = open_files.enter_context(_template(first, info, base_size))
        output = av.open(file, "w", format=container.format, options=options, buffer_size=_BUFFER)
        open_files.callback(_abandon, output)
        video = _add_video(output, template, info, container)
        side = None
        if beside is not None:
            side = SideStreams(beside, output, only)
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
        told = describe_pictures(path, info.sar, info.chroma_place, {})  # HDR metadata are the template's
    except ValueError as fault:
        return [f"{container.format} does not hold how samples are to be shown: {fault}"]
    return sar_notes(container.format, info.sar, told)
