"""Films made on the spot by libav, for tests of reading, writing and muxing."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
import pytest
import torch

from codec.frames import PlaneFormat
from codec.media.libav import ordinary_priority, planes_to_av
from tests.makers import GENEROUS, LAVISH, NTSC, drawn_planes, shorten, tone


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes the preset "fast" much faster."""
    shorten(monkeypatch)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """Networks run on one thread, also in fixtures of modules, unless a test asks for more: on pictures this small,
    threads mostly wait for each other. No result depends on their number."""
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def ordinary() -> Iterator[None]:
    """Fails a test that leaves this thread with the real-time priority that SVT-AV1 takes where it may (as root): two
    such threads that wait for each other by spinning stop all else for ever."""
    yield
    if hasattr(os, "sched_getscheduler"):
        policy = os.sched_getscheduler(0)
        ordinary_priority()
        assert policy == os.SCHED_OTHER


@pytest.fixture
def generous(quick: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes bytes worth next to nothing, so that heads and loss-streams are sent also for the smallest films."""
    shorten(monkeypatch, worth=GENEROUS)


@pytest.fixture
def lavish(quick: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes bytes what is wanted, so that the longest head is sent, however trainings come out."""
    shorten(monkeypatch, worth=LAVISH)


@pytest.fixture
def make_film(tmp_path: Path) -> Callable[..., Path]:
    """make_film(name, ...) writes drawn pictures, with a tone and subtitles if asked, and returns the path."""

    def make(
        name: str,
        codec: str = "libx264",
        fmt: PlaneFormat = PlaneFormat("420", 8),  # noqa: B008
        size: tuple[int, int] = (64, 48),
        times: list[int] | None = None,
        rate: Fraction = NTSC,
        time_base: Fraction = 1 / NTSC,
        sound: str | None = None,
        sound_rate: int = 44100,
        subtitles: list[tuple[int, int, str]] | None = None,
        options: dict[str, str] | None = None,
        adjust: Callable[[av.container.OutputContainer, Any], None] | None = None,
    ) -> Path:
        path = tmp_path / name
        times = list(range(12)) if times is None else times
        with av.open(str(path), "w") as output:
            default = {"preset": "ultrafast", "bf": "2"} if codec == "libx264" else {}
            video = cast(Any, output.add_stream(codec, rate=rate, options=default | (options or {})))
            video.width, video.height, video.pix_fmt = *size, fmt.av_name
            video.time_base = video.codec_context.time_base = time_base
            voice = cast(Any, output.add_stream(sound, rate=sound_rate, layout="mono")) if sound else None
            text = cast(Any, output.add_stream("subrip")) if subtitles else None
            if text:
                text.time_base = text.codec_context.time_base = Fraction(1, 1000)
                text.codec_context.subtitle_header = b"[Script Info]\n[V4+ Styles]\n[Events]\n"
            if adjust:
                adjust(output, video)
            for i, pts in enumerate(times):
                picture = planes_to_av(drawn_planes(fmt, *size, i), fmt)
                picture.pts, picture.time_base = pts, time_base
                output.mux(video.encode(picture))
            output.mux(video.encode(None))
            if voice:
                seconds = float(len(times) / rate)
                resampler = av.AudioResampler(voice.format, voice.layout, sound_rate, voice.frame_size or 1024)
                for i in range(int(seconds * sound_rate / 1024) + 1):
                    for frame in resampler.resample(tone(i, sound_rate)):
                        output.mux(voice.encode(frame))
                for frame in resampler.resample(None):
                    output.mux(voice.encode(frame))
                output.mux(voice.encode(None))
            for start, end, line in subtitles or []:
                packet = av.Packet(line.encode())
                packet.pts = packet.dts = start
                packet.duration, packet.time_base, packet.stream = end - start, Fraction(1, 1000), text
                output.mux(packet)
        return path

    return make


@pytest.fixture
def ffmpeg() -> str:
    """The ffmpeg program; tests that ask for it are skipped where there is none."""
    program = shutil.which("ffmpeg")
    if program is None:
        pytest.skip("ffmpeg is not installed")
    return program
