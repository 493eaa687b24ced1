"""What tests make: drawn pictures and films, tones, what a shell sees."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, cast

import av
import numpy as np
import pytest

from codec.cli.main import main
from codec.frames import Frame, Plane, PlaneFormat
from codec.media.libav import ordinary_priority, planes_to_av
from codec.segment.presets import PRESETS, Preset
from heads.restorer.fit import Schedule

NTSC = Fraction(24000, 1001)
GOLDEN = Path(__file__).parent / "golden"
QUICK = Preset(12, 0, 4, Schedule(60, 40, batch=2, crop=16, coarser=2), ((4, 0),), least=20)  # hardly any training
GENEROUS, LAVISH = 1e-6, -1e6  # dB for each factor e of rate: bytes cost nothing; bytes are what is wanted


def shorten(patch: pytest.MonkeyPatch, batches: int = 20, worth: float | None = None) -> None:
    """Makes the preset "fast" much faster, with so many batches that a pretrained head learns at the least. `worth`
    rules what is chosen: GENEROUS takes heads wherever they gain, LAVISH takes the longest one that there is, so that
    what is sent does not depend on how a training comes out."""
    patch.setitem(PRESETS, "fast", replace(QUICK, least=batches))
    patch.setattr("codec.segment.choice.FIT_BYTES", 1)
    if worth is not None:
        patch.setattr("codec.segment.choice.WORTH", worth)
        patch.setattr("codec.segment.worth.PRICE", worth)


def drawn_planes(fmt: PlaneFormat, width: int, height: int, number: int) -> tuple[Plane, ...]:
    """The planes of picture `number`: a gradient that moves, with noise of a fixed seed in every sample."""
    noise = np.random.default_rng(number)
    planes: list[Any] = []
    for rows, columns in fmt.shapes(width, height):
        ramp = np.add.outer(np.arange(rows) * 3, np.arange(columns) * 2) + 7 * number
        planes.append(((ramp + noise.integers(0, 32, (rows, columns))) % (fmt.peak + 1)).astype(fmt.dtype))
    return tuple(planes)


def drawn_frames(fmt: PlaneFormat, width: int, height: int, count: int, step: int = 1001) -> list[Frame]:
    """`count` frames whose pts are multiples of `step`."""
    return [Frame(drawn_planes(fmt, width, height, i), i * step, step) for i in range(count)]


def scene_frames(
    fmt: PlaneFormat, width: int, height: int, lengths: tuple[int, ...] = (12, 12), step: int = 40
) -> list[Frame]:
    """Scenes of these lengths: waves and stripes with sharp edges that move by (1, 2) samples a picture, each scene
    of another brightness, so that there is a cut between any two."""
    frames: list[Frame] = []
    for scene, length in enumerate(lengths):
        for k in range(length):
            planes: list[Any] = []
            for p, (rows, columns) in enumerate(fmt.shapes(width, height)):
                y, x = np.arange(rows)[:, None] + k, np.arange(columns)[None] + 2 * k
                picture = np.sin(y / 3 + scene) * np.cos(x / 4) * 0.06 + ((x + y) // 6 % 3 == 0) * 0.12
                level = (0.15, 0.5, 0.3)[scene % 3] if p == 0 else 0.4 + 0.05 * p
                planes.append(np.rint(np.clip(picture + level, 0, 1) * fmt.peak).astype(fmt.dtype))
            frames.append(Frame(tuple(planes), len(frames) * step, step))
    return frames


def write_frames(path: Path, frames: list[Frame], fmt: PlaneFormat, rate: Fraction = Fraction(25)) -> Path:
    """Write frames losslessly, as FFV1 in Matroska; pts in milliseconds."""
    with av.open(str(path), "w") as output:
        video = cast(Any, output.add_stream("ffv1", rate=rate, options={"level": "1"}))
        height, width = frames[0].planes[0].shape
        video.width, video.height, video.pix_fmt = width, height, fmt.av_name
        video.time_base = video.codec_context.time_base = Fraction(1, 1000)
        for frame in frames:
            picture = planes_to_av(frame.planes, fmt)
            picture.pts, picture.time_base = frame.pts, Fraction(1, 1000)
            output.mux(video.encode(picture))
        output.mux(video.encode(None))
    return path


def same_planes(a: Frame, b: Frame) -> bool:
    """Whether two frames hold the same samples in the same layout."""
    return len(a.planes) == len(b.planes) and all(
        x.dtype == y.dtype and np.array_equal(x, y) for x, y in zip(a.planes, b.planes, strict=True)
    )


@cache
def base_temporal_units(count: int, width: int = 64, height: int = 48, gop: int = 8) -> tuple[tuple[bytes, bool], ...]:
    """(temporal unit, is keyframe) of a 10-bit AV1 stream, a keyframe every `gop` pictures."""
    file = io.BytesIO()
    fmt = PlaneFormat("420", 10)
    with av.open(file, "w", format="mp4") as output:
        options = {"preset": "12", "crf": "45", "g": str(gop), "svtav1-params": "lp=1"}
        stream = output.add_stream("libsvtav1", rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = width, height, fmt.av_name
        for i in range(count):
            picture = planes_to_av(drawn_planes(fmt, width, height, i), fmt)
            picture.pts = i
            output.mux(stream.encode(picture))
        ordinary_priority()
        output.mux(stream.encode(None))
    with av.open(io.BytesIO(file.getvalue()), "r") as container:
        return tuple((bytes(p), p.is_keyframe) for p in container.demux(container.streams.video[0]) if p.size)


def tone(number: int, rate: int, samples: int = 1024) -> av.AudioFrame:
    """Frame `number` of a 440 Hz tone."""
    time = (np.arange(samples) + number * samples) / rate
    wave = (np.sin(2 * np.pi * 440 * time) * 12000).astype(np.int16)
    frame = av.AudioFrame.from_ndarray(wave[None], format="s16", layout="mono")
    frame.sample_rate, frame.pts, frame.time_base = rate, number * samples, Fraction(1, rate)
    return frame


@cache
def cover_picture() -> bytes:
    """A small JPEG."""
    jpeg = cast(Any, av.CodecContext.create("mjpeg", "w"))
    jpeg.width, jpeg.height, jpeg.pix_fmt, jpeg.time_base = 16, 16, "yuvj420p", Fraction(1, 25)
    return bytes(jpeg.encode(av.VideoFrame(16, 16, "yuvj420p"))[0])


def with_cover(film: Path, target: Path) -> bytes:
    """Copy a film to the MP4 `target` and add a cover, whose bytes are returned."""
    picture = cover_picture()
    with av.open(str(film)) as old, av.open(str(target), "w") as new:
        streams = [cast(Any, new.add_stream_from_template(stream, opaque=True)) for stream in old.streams]
        cover: Any = new.add_mux_stream("mjpeg", rate=25, width=16, height=16, time_base=Fraction(1, 90000))
        cover.disposition = av.stream.Disposition.attached_pic
        for stream, copy in zip(old.streams, streams, strict=True):
            copy.metadata.update(stream.metadata)
        packet = av.Packet(picture)
        packet.pts = packet.dts = 0
        packet.stream, packet.is_keyframe, packet.time_base = cover, True, Fraction(1, 90000)
        for one in old.demux():
            if one.size:
                one.stream = streams[one.stream.index]
                new.mux(one)
        new.mux(packet)
    return picture


def remuxed(film: Path, target: Path, *kinds: str) -> Path:
    """Copy a film's packets to another container, without the streams of other types, where `kinds` are given."""
    with av.open(str(film)) as old, av.open(str(target), "w") as new:
        kept = [s for s in old.streams if s.type in (kinds or ("video", "audio", "subtitle"))]
        streams = {s.index: new.add_stream_from_template(s, opaque=True) for s in kept}
        for packet in old.demux(kept):
            if packet.size:
                packet.stream = streams[packet.stream.index]
                new.mux(packet)
    return target


def stand_on_input(monkeypatch: pytest.MonkeyPatch, path: Path, piped: bool) -> None:
    """Let a file be standard input: as a shell redirects it, or what a pipe brings."""
    if piped:
        reading, writing = os.pipe()
        data = path.read_bytes()
        assert len(data) < 1 << 16, "more would wait for a reader"
        os.write(writing, data)
        os.close(writing)
    else:
        reading = os.open(path, os.O_RDONLY)
    monkeypatch.setattr(sys, "stdin", os.fdopen(reading))


class Result(NamedTuple):
    code: int
    out: bytes
    err: str

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]


Run = Callable[..., Result]


def shell(monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes], *before: str) -> Run:
    """What a shell sees of `codec`, given the words `before` and then those of the call."""

    def command(*words: object) -> Result:
        monkeypatch.setattr(sys, "argv", ["codec", *before, *map(str, words)])
        with pytest.raises(SystemExit) as end:
            main()
        sys.stdout.flush()
        out, err = capfdbinary.readouterr()
        assert isinstance(end.value.code, int)
        assert b"Traceback" not in err
        assert b"internal fault" not in err
        return Result(end.value.code, out, err.decode())

    return command
