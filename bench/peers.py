"""The encoders of libav that NVC is compared with: a table, and what runs any row of it.

    python -m bench.peers encode CLIP OUT.mp4 --peer x265 --crf 28
    python -m bench.peers decode OUT.mp4 OUT.y4m

Each row is an encoder with its preset as people use it; times are exact, and all may place keyframes as rarely as NVC
does. A row of more bits than the source codes the source's samples times four; what is decoded is rounded back before
it is compared (`bench.compare`).

x264 as found in PyAV's wheels writes different bytes from run to run where it uses AVX-512, so it is held to AVX2.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

os.environ.setdefault("SVT_LOG", "1")  # errors only; read when the library is first used

import av
import click

from codec.base import _ordinary_priority
from codec.frames import Frame, Plane, PlaneFormat, VideoInfo, planes_to_av
from codec.scenes import LONGEST
from codec.sinks import open_sink
from codec.source import open_source

from .process import BenchError

X26_POINTS = (18.0, 23.0, 28.0, 33.0, 38.0)
AV1_POINTS = (25.0, 33.0, 41.0, 49.0, 57.0)  # about the same qualities


@dataclass(frozen=True)
class Peer:
    """One way to encode. `points`: values of crf for a curve; `chroma`: layouts that the encoder knows."""

    name: str
    encoder: str
    options: dict[str, str] = field(hash=False)
    points: tuple[float, ...]
    depth: int = 8  # bits that pictures of 8 bits are coded with
    chroma: tuple[str, ...] = ("420", "422", "444")


def _x264_cpu() -> str:
    try:
        return "asm=avx2" if "avx512" in Path("/proc/cpuinfo").read_text() else ""
    except OSError:
        return ""


_X264 = {"x264-params": _x264_cpu()}
_X265 = {"x265-params": "log-level=none"}

PEERS = {
    peer.name: peer
    for peer in (
        Peer("x264", "libx264", {"preset": "slow", **_X264}, X26_POINTS),
        Peer("x264-veryslow", "libx264", {"preset": "veryslow", **_X264}, X26_POINTS),
        Peer("x265", "libx265", {"preset": "slow", **_X265}, X26_POINTS),
        Peer("x265-psnr", "libx265", {"preset": "slow", "tune": "psnr", **_X265}, X26_POINTS),
        Peer("svt-av1", "libsvtav1", {"preset": "5"}, AV1_POINTS, chroma=("420",)),
        Peer("svt-av1-p2-10bit", "libsvtav1", {"preset": "2"}, AV1_POINTS, depth=10, chroma=("420",)),
    )
}


def coded_format(peer: Peer, source: PlaneFormat) -> PlaneFormat:
    """The format that `peer` codes pictures of `source` in. Raises BenchError where it knows none."""
    if source.chroma not in peer.chroma:
        raise BenchError(f"{peer.name} does not code {source.av_name}")
    return replace(source, depth=max(source.depth, peer.depth))


def encode(peer: Peer, crf: float, frames: Iterable[Frame], info: VideoInfo, path: str | os.PathLike[str]) -> None:
    """Encode `frames`, described by `info`, to the mp4 file `path`. Raises BenchError where the file is not right."""
    path, fmt = os.fspath(path), coded_format(peer, info.format)
    shift = fmt.depth - info.format.depth
    times: list[Fraction] = []
    scale = {"video_track_timescale": str(info.time_base.denominator)}
    try:
        with av.open(path, "w", format="mp4", options=scale) as output:
            options = {k: v for k, v in peer.options.items() if v} | {"crf": f"{crf:g}"}
            options["g"] = str(max(1, round(LONGEST * info.rate)))
            stream = cast(Any, output.add_stream(peer.encoder, rate=info.rate, options=options))
            stream.width, stream.height, stream.pix_fmt = info.width, info.height, fmt.av_name
            # of stream and encoder: with the encoder's left at 1/rate, times are rounded to it and may repeat
            stream.time_base = stream.codec_context.time_base = info.time_base
            c = info.colour
            context = stream.codec_context
            context.color_primaries, context.color_trc, context.colorspace = c.primaries, c.transfer, c.matrix
            context.color_range = c.range
            output.start_encoding()
            _ordinary_priority()  # or SVT-AV1 would be timed ahead of all others
            for frame in frames:
                picture = planes_to_av(_deepened(frame.planes, fmt, shift), fmt)
                picture.pts, picture.time_base = frame.pts, info.time_base
                times.append(frame.pts * info.time_base)
                output.mux(stream.encode(picture))
            output.mux(stream.encode(None))
    except av.FFmpegError as error:
        raise BenchError(f"{peer.name} at crf {crf:g}: {error}") from None
    _check_times(path, times)


def _deepened(planes: Iterable[Plane], fmt: PlaneFormat, shift: int) -> list[Plane]:
    return [p.astype(fmt.dtype) << shift if shift else p for p in planes]


def _check_times(path: str, times: list[Fraction]) -> None:
    """Raise BenchError unless the file shows as many pictures at the same distances in time."""
    with av.open(path) as file:
        stream = file.streams.video[0]
        found = sorted(cast(int, p.pts) * cast(Fraction, stream.time_base) for p in file.demux(stream) if p.size)
    if len(found) != len(times):
        raise BenchError(f"{path} holds {len(found)} pictures of {len(times)}")
    if [t - found[0] for t in found] != [t - times[0] for t in times]:
        raise BenchError(f"{path} shows its pictures at other times than the source")


def decode(path: str | os.PathLike[str], target: str | os.PathLike[str]) -> int:
    """Decode a film to y4m, as it was coded; returns the number of pictures."""
    count = 0
    with open_source(path) as film, open_sink(target, film.info, overwrite=True) as sink:
        for frame in film.frames():
            sink.write(frame)
            count += 1
    return count


@click.group()
def main() -> None:
    """Encode and decode with one of libav's encoders, each in this process alone."""


@main.command("encode")
@click.argument("clip")
@click.argument("target")
@click.option("--peer", type=click.Choice(list(PEERS)), required=True)
@click.option("--crf", type=float, required=True)
def encode_command(clip: str, target: str, peer: str, crf: float) -> None:
    """Encode the pictures of CLIP to the mp4 file TARGET."""
    with open_source(clip) as film:
        encode(PEERS[peer], crf, film.frames(), film.info, target)


@main.command("decode")
@click.argument("source")
@click.argument("target")
def decode_command(source: str, target: str) -> None:
    """Decode SOURCE to the y4m file TARGET."""
    decode(source, target)


if __name__ == "__main__":
    main()
