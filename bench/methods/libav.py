"""The encoders of libav that NVC is compared with: a table, and what runs any row of it.

Each row is an encoder with its preset as people use it; all may place keyframes as rarely as NVC does, and times are
exact. A row of more bits than the source codes the source's samples times four; what is decoded is rounded back before
it is compared (`bench.measure.quality`). Files are mp4, or NUT where mp4 does not know the codec.

x264 as found in PyAV's wheels writes different bytes from run to run where it uses AVX-512, so it is held to AVX2.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from io import BytesIO
from pathlib import Path
from typing import Any, ClassVar, Self, cast

import av

from codec.errors import reason
from codec.frames import PlaneFormat
from codec.media.libav import ordinary_priority, planes_from_av, planes_to_av
from codec.segment.scenes import LONGEST

from ..method import Kind, Knob, Method, Picture, Source, film_of
from ..process import BenchError

os.environ.setdefault("SVT_LOG", "1")  # errors only; read when the library is first used


@dataclass(frozen=True)
class Libav(Method):
    """A row of the table. `quality`: the encoder's option for its setting, "" where it has none; `depth`: bits that
    pictures of 8 bits are coded with; `container`: libav's name of one."""

    kind: ClassVar[Kind] = "video"

    name: str
    encoder: str
    options: dict[str, str] = field(hash=False)
    knob: Knob | None = None
    lossless: float | None = None
    quality: str = "crf"
    depth: int = 8
    container: str = "mp4"
    libraries: tuple[str, ...] = ("av",)
    modules: tuple[str, ...] = ("bench/methods/libav.py",)
    settings: str = field(init=False)

    def __post_init__(self) -> None:
        words = [self.encoder, *(f"{k}={v}" for k, v in self.options.items() if v)]
        object.__setattr__(self, "settings", ", ".join(words + [f"{self.depth} bits"] * (self.depth > 8)))

    def variant(self, options: Mapping[str, str]) -> Self:
        """Options are the encoder's own; `depth` is the bits of a sample."""
        others = dict(options)
        name = ":".join((self.name, *(f"{k}={v}" for k, v in options.items())))
        depth = others.pop("depth", str(self.depth))
        if depth not in ("8", "10"):
            raise BenchError(f"{name}: samples are coded in 8 or 10 bits")
        return replace(self, name=name, depth=int(depth), options={**self.options, **others})

    def coded_format(self, source: PlaneFormat) -> PlaneFormat:
        """The format that pictures of `source` are coded in. Raises BenchError where there is none."""
        fmt = replace(source, depth=max(source.depth, self.depth))
        if fmt.av_name not in {f.name for f in av.Codec(self.encoder, "w").video_formats or ()}:
            raise BenchError(f"{self.encoder} as built into PyAV does not code {fmt.av_name}")
        return fmt

    def wished(self, quality: float) -> dict[str, str]:
        """The encoder's option for a setting. SVT-AV1 takes quarters, and what lies above libav's 63, in its own words
        alone."""
        if not self.quality:
            return {}
        if self.encoder != "libsvtav1":
            return {self.quality: f"{quality:g}"}
        return {"svtav1-params": ":".join(filter(None, (self.options.get("svtav1-params"), f"crf={quality:g}")))}

    def encode(self, source: Source, quality: float) -> bytes:
        film = film_of(source)
        info, fmt = film.info, self.coded_format(film.info.format)
        shift = fmt.depth - info.format.depth
        data = BytesIO()
        options = {k: v for k, v in (self.options | self.wished(quality)).items() if v}
        options.setdefault("g", str(max(1, round(LONGEST * info.rate))))
        container = {"video_track_timescale": str(info.time_base.denominator)} if self.container == "mp4" else {}
        try:
            with av.open(data, "w", format=self.container, options=container) as output:
                stream = cast(Any, output.add_stream(self.encoder, rate=info.rate, options=options))
                stream.width, stream.height, stream.pix_fmt = info.width, info.height, fmt.av_name
                # of stream and encoder: with the encoder's left at 1/rate, times are rounded to it and may repeat
                stream.time_base = stream.codec_context.time_base = info.time_base
                context, c = stream.codec_context, info.colour
                context.color_primaries, context.color_trc, context.colorspace = c.primaries, c.transfer, c.matrix
                context.color_range = c.range
                output.start_encoding()
                if unknown := options.keys() & context.options.keys():  # those that the encoder did not take
                    raise BenchError(f"{self.encoder} has no option {', '.join(sorted(unknown))}")
                ordinary_priority()  # or SVT-AV1 would be timed ahead of all others
                for frame in film.pictures():
                    planes = [p.astype(fmt.dtype) << shift for p in frame.planes] if shift else frame.planes
                    picture = planes_to_av(planes, fmt)
                    picture.pts, picture.time_base = frame.pts, info.time_base
                    output.mux(stream.encode(picture))
                output.mux(stream.encode(None))
        except av.FFmpegError as error:
            raise BenchError(f"{self.encoder} failed: {reason(error)}") from None
        return data.getvalue()

    def decode(self, data: bytes) -> Iterator[Picture]:
        try:
            with av.open(BytesIO(data), "r") as container:
                stream = container.streams.video[0]
                stream.thread_type = "AUTO"
                first = None
                for frame in container.decode(stream):
                    fmt = PlaneFormat.from_av_name(frame.format.name)
                    if fmt is None:
                        raise BenchError(f"pictures of format {frame.format.name} cannot be compared")
                    at = cast(int, frame.pts) * cast(Any, frame.time_base)
                    first = at if first is None else first
                    yield Picture(planes_from_av(frame, fmt), fmt.depth, at - first)
        except av.FFmpegError as error:
            raise BenchError(f"the decoder failed: {reason(error)}") from None


def _x264_cpu() -> str:
    try:
        return "asm=avx2" if "avx512" in Path("/proc/cpuinfo").read_text() else ""
    except OSError:
        return ""


_X264 = {"x264-params": _x264_cpu()}
_X265 = {"x265-params": "log-level=none"}
_X26_KNOB = Knob(best=18, worst=40, low=0, high=51, step=0.125)
_AV1_KNOB = Knob(best=22, worst=58, low=1, high=70, step=0.25)  # from 63 on the quantiser stays, and lambda rises
_X265_LOSSLESS = {"x265-params": "log-level=none:lossless=1"}
_FFV1 = {"level": "3", "coder": "range_def", "context": "1", "slices": "4"}
# AV1's own super-resolution: every picture coded at half the columns, enlarged within the decoder's loop
_SUPERRES = {"svtav1-params": "superres-mode=1:superres-denom=16:superres-kf-denom=16"}
_VP9_KNOB = Knob(best=18, worst=58, low=0, high=63)
_VP9 = {"b": "0", "deadline": "good", "cpu-used": "1", "row-mt": "1", "lag-in-frames": "25", "auto-alt-ref": "1"}

LIBAV = (
    Libav("x264", "libx264", {"preset": "slow", **_X264}, _X26_KNOB),
    Libav("x264-veryslow", "libx264", {"preset": "veryslow", **_X264}, _X26_KNOB),
    Libav("x265", "libx265", {"preset": "slow", **_X265}, _X26_KNOB),
    Libav("x265-psnr", "libx265", {"preset": "slow", "tune": "psnr", **_X265}, _X26_KNOB),
    Libav("svt-av1", "libsvtav1", {"preset": "5"}, _AV1_KNOB),
    Libav("svt-av1-p2-10bit", "libsvtav1", {"preset": "2"}, _AV1_KNOB, depth=10),
    Libav("svt-av1-superres", "libsvtav1", {"preset": "2", **_SUPERRES}, _AV1_KNOB, depth=10),
    Libav("vp9", "libvpx-vp9", _VP9, _VP9_KNOB),
    Libav("ffv1", "ffv1", _FFV1, lossless=0.0, quality=""),
    Libav("x264-lossless", "libx264", {"preset": "veryslow", **_X264}, lossless=0.0, quality="qp"),
    Libav("x265-lossless", "libx265", {"preset": "slow", **_X265_LOSSLESS}, lossless=0.0, quality=""),
    Libav("huffyuv", "ffvhuff", {"context": "1"}, lossless=0.0, quality="", container="nut"),  # huffyuv with 4:2:0
)
