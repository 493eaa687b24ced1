"""The base: a segment's downscaled pictures in AV1, through libav.

Encoding is libsvtav1, 10-bit 4:2:0 also for 8-bit films (finer prediction, smaller files), one closed group of
pictures a segment. Decoding is dav1d; AV1 decoding is exact by specification, so it is the same everywhere.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

import av
from av.error import FFmpegError

from ..errors import DamageError, InputError, reason
from ..frames import Colour, Frame, Plane
from ..media.libav import ordinary_priority, packet_of, planes_from_av, planes_in, planes_to_av
from .resample import BASE_FORMAT

RATE_MAX = Fraction(240)  # pictures a second that SVT-AV1 takes; times are those of the packets in any case
TOLD_PLACES = ("left", "topleft")  # of chroma samples, that a sequence header can tell
THREADS_FROM = 32  # samples a side: SVT-AV1 4.1 with several threads never returns from 24x66 and the like


@dataclass(frozen=True)
class BaseSettings:
    """How a segment's base is coded. `crf` 1..63 in quarters, `preset` of SVT-AV1, `threads` (any number gives the
    same bytes), colour code points and place of chroma samples to announce, HDR strings as SVT-AV1 spells them, `still`
    for one picture alone. `options`: more of SVT-AV1's, as it spells them."""

    crf: float
    preset: int
    threads: int = 0
    colour: Colour = Colour()
    mastering: str = ""
    content_light: str = ""
    chroma_place: str = ""
    still: bool = False
    options: tuple[str, ...] = ()


@dataclass(frozen=True)
class BasePacket:
    """One temporal unit as the encoder gave it; `pts` of the picture that it shows."""

    data: bytes
    pts: int
    keyframe: bool


def encode_base(
    pictures: Iterable[Sequence[Plane]],
    pts: Sequence[int],
    time_base: Fraction,
    rate: Fraction,
    settings: BaseSettings,
) -> list[BasePacket]:
    """The packets of `base_packets`, all of them."""
    return list(base_packets(pictures, pts, time_base, rate, settings))


def base_packets(
    pictures: Iterable[Sequence[Plane]],
    pts: Sequence[int],
    time_base: Fraction,
    rate: Fraction,
    settings: BaseSettings,
) -> Iterator[BasePacket]:
    """Encode 10-bit 4:2:0 pictures (uint16 planes, all of one size) as one closed group of pictures; a packet of each
    comes in their order. SVT-AV1's threads go on while nobody asks for the next."""
    context: av.VideoCodecContext | None = None
    left = deque(pts)

    def packets(found: Iterable[av.Packet]) -> Iterator[BasePacket]:
        for p in found:
            if p.size:
                if not left or p.pts != left.popleft():
                    raise InputError("the AV1 encoder returned other pictures than it was given")
                yield BasePacket(bytes(p), p.pts, bool(p.is_keyframe))

    try:
        for picture, at in zip(pictures, pts, strict=True):
            if context is None:
                context = _encoder(picture[0].shape, time_base, rate, settings)
            frame = planes_to_av(picture, BASE_FORMAT)
            frame.pts, frame.time_base = at, time_base
            yield from packets(context.encode(frame))
        if context is None:
            raise InputError("a segment without pictures cannot be encoded")
        yield from packets(context.encode_lazy(None))  # most of the work is done while this waits
    except FFmpegError as error:
        raise InputError(f"the AV1 encoder failed: {reason(error)}") from None
    if left:
        raise InputError("the AV1 encoder returned fewer pictures than it was given")


def _encoder(
    shape: tuple[int, int], time_base: Fraction, rate: Fraction, settings: BaseSettings
) -> av.VideoCodecContext:
    context = av.CodecContext.create("libsvtav1", "w")
    assert isinstance(context, av.VideoCodecContext)
    context.height, context.width = shape
    context.pix_fmt = BASE_FORMAT.av_name
    context.time_base = time_base
    context.framerate = min(rate, RATE_MAX)
    c = settings.colour
    context.color_primaries, context.color_trc, context.colorspace = c.primaries, c.transfer, c.matrix
    context.color_range = c.range
    threads = settings.threads if min(shape) >= THREADS_FROM else 1
    # no picture but the first is a keyframe; libav's own option would round the quantiser to a whole number
    params = ["keyint=-1", f"crf={settings.crf:g}", f"lp={threads}"]
    if settings.still:
        params.append("avif=1")
    params += settings.options
    if settings.mastering:
        params.append(f"mastering-display={settings.mastering}")
    if settings.content_light:
        params.append(f"content-light={settings.content_light}")
    context.options = {
        "preset": str(settings.preset),
        "crf": str(int(settings.crf)),
        "svtav1-params": ":".join(params),
    }
    if settings.chroma_place in TOLD_PLACES:
        context.options["chroma_sample_location"] = settings.chroma_place
    context.open()
    ordinary_priority()
    return context


def decode_base(
    units: Iterable[tuple[bytes, int]], shape: tuple[int, int], threads: int = 0, *, shared: bool = False
) -> Iterator[tuple[int, list[Plane]]]:
    """Decode temporal units (data, pts) to (pts, 10-bit 4:2:0 planes) in presentation order. `shared`: planes are views
    of the decoder's own memory, for those who only read them.

    `shape` is (height, width) of every picture; one of another size or format raises DamageError, as does a unit
    that dav1d refuses or a picture that does not come out.
    """
    context = av.CodecContext.create("libdav1d", "r")
    assert isinstance(context, av.VideoCodecContext)
    context.thread_count = threads
    # dav1d takes it as the largest size of any frame, shown or not: a stream may change its size midway
    context.options = {"filmgrain": "0", "max_pixels": str(shape[0] * shape[1])}
    last: int | None = None

    def frames(found: Iterable[av.VideoFrame]) -> Iterator[tuple[int, list[Plane]]]:
        for frame in found:
            if (frame.height, frame.width) != shape or frame.format.name != BASE_FORMAT.av_name:
                raise DamageError(
                    f"a base picture is {frame.width}x{frame.height} {frame.format.name}, "
                    f"not {shape[1]}x{shape[0]} {BASE_FORMAT.av_name}",
                    frame.pts,
                )
            yield frame.pts or 0, list((planes_in if shared else planes_from_av)(frame, BASE_FORMAT))

    try:
        for data, pts in units:
            last = pts
            packet = packet_of(data)
            packet.pts = pts
            yield from frames(context.decode(packet))
        yield from frames(context.decode(None))
    except FFmpegError as error:
        raise DamageError(f"the base does not decode: {reason(error)}", last) from None


def base_frames(packets: Iterable[BasePacket], shape: tuple[int, int], threads: int = 0) -> Iterator[Frame]:
    """Decode what `base_packets` gives."""
    for pts, planes in decode_base(((p.data, p.pts) for p in packets), shape, threads):
        yield Frame(tuple(planes), pts)
