"""The .nvc file: an MP4 whose video track is the AV1 base and carries our payloads inside its temporal units.

`write_film` joins the base with the sound, subtitles, covers, chapters and tags of the source. It streams: it holds no
more of a film than libav's interleaving buffer."""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, suppress
from functools import partial
from itertools import chain
from math import lcm
from typing import Any

import av

from ..errors import FormatError, OutputError
from ..frames import VideoInfo
from ..media.libav import faults_as, local_url, open_film
from ..media.side_streams import Interleaver, SideStreams
from ..wire import obu
from ..wire.hdr import hdr_boxes
from ..wire.mp4 import with_boxes
from ..wire.obu import TemporalUnit

_LARGEST_TIMESCALE = (1 << 31) - 1


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
            side = None
            if source is not None:
                side = SideStreams(source, output)
                open_files.callback(side.close)
                output.set_chapters(side.chapters())
            interleaver = Interleaver(output, side.packets() if side else iter(()))
        # only what is done here is guarded: an error of whoever makes the units is not one of writing
        for packet in _video_packets(chain([first], units), video, info):
            with writing():
                interleaver.mux([packet])
        with writing():
            interleaver.finish()
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
        return av.open(io.BytesIO(with_boxes(file.getvalue(), hdr_boxes(info.side_data))), "r")


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
