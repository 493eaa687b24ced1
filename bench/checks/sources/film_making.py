"""Makes the film of a combination with PyAV: pictures, sound and subtitles are coded on clocks of their own, and their
packets are given the times that are wanted.

Times that an encoder would not take (leaps, negative ones, those beyond the 33 bits of MPEG-TS) are thus possible for
every codec. What a muxer or an encoder refuses is `NotMade`.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from fractions import Fraction
from math import cos, pi, sin
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.stream import Disposition

from .films import HOLDERS, SOUNDS, VIDEOS, Holder
from .sampling import Choice

WRAP = Fraction(1 << 33, 90000)  # seconds after which the clock of MPEG-TS begins anew
CHUNK = 1024  # samples
EDITED = ("mp4", "mov", "3gp")  # muxers that write edit lists
STYLES = b"""[Script Info]
ScriptType: v4.00+
[V4+ Styles]
Format: Name, Fontname, Fontsize, PrimaryColour, Bold, Alignment
Style: Default,Arial,20,&Hffffff,0,2
[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
"""
COLOURS = {  # name -> primaries, transfer, matrix of H.273, range of libav
    "bt709": (1, 1, 1, 1),
    "bt601": (6, 6, 6, 1),
    "bt2020-pq": (9, 16, 9, 1),
    "bt2020-hlg": (9, 18, 9, 1),
    "full": (2, 2, 2, 2),
    "full-bt709": (1, 1, 1, 2),
    "srgb": (1, 13, 1, 2),
}


class NotMade(Exception):
    """An encoder or a muxer does not take a combination."""


def make(choice: Choice, folder: Path, seed: int) -> Path:
    """The film of a combination, in `folder`. Raises NotMade."""
    holder = HOLDERS[choice["container"]]
    path = folder / f"film.{holder.ending}"
    try:
        with av.open(str(path), "w", format=holder.format, options=_options(choice, holder)) as output:
            _Film(choice, output, random.Random(seed)).write()
    except (av.FFmpegError, OSError, ValueError, NotImplementedError, OverflowError) as error:
        raise NotMade(str(error)) from None
    return path


def _options(choice: Choice, holder: Holder) -> dict[str, str]:
    """The muxer's options: times as they are wanted, which in MP4 become edit lists."""
    options = {"fflags": "+bitexact", **holder.options}
    if choice["first"] != "0" and holder.format in (*EDITED, "mpegts", "nut"):
        options["avoid_negative_ts"] = "disabled"
    if holder.format == "mpegts":
        options["mpegts_copyts"] = "1"
    return options


class _Film:
    """A film under way: its streams, then all packets by time."""

    def __init__(self, choice: Choice, output: av.container.OutputContainer, rng: random.Random):
        self.choice, self.output, self.rng = choice, output, rng
        self.video = VIDEOS[choice["video"]]
        self.size = self.video.size or tuple(int(n) for n in choice["size"].split("x"))
        self.rate = Fraction(choice["rate"])
        self.tick = 1 / self.rate if choice["tick"] == "1/rate" else Fraction(choice["tick"])
        self.times, self.last = self._times()

    def _times(self) -> tuple[list[int], int]:
        """When pictures are shown, and how long the last one is, in ticks."""
        pace, step = self.choice["pace"], 1 / self.rate
        steps = [step] * int(self.choice["frames"])
        if pace == "varied":
            steps = [step * self.rng.choice((1, 1, 2, 3, Fraction(3, 2))) for _ in steps]
        elif pace == "gap":
            steps[len(steps) // 2 - 1] += 2
        elif pace == "doubled":
            steps[len(steps) // 2 - 1] *= 2
        elif pace == "long last":
            steps[-1] = Fraction(1)
        elif pace == "short last":
            steps[-1] /= 2
        at = {"wrapped": WRAP + 1, "wrapping": WRAP - sum(steps) / 2}.get(self.choice["first"])
        at = Fraction(self.choice["first"]) if at is None else at
        times: list[int] = []
        for one in steps:
            ticks = round(at / self.tick)
            times.append(max(ticks, times[-1] + 1) if times else ticks)
            at += one
        return times, max(round(steps[-1] / self.tick), 1)

    @property
    def start(self) -> Fraction:
        """Seconds of the first picture."""
        return self.times[0] * self.tick

    def write(self) -> None:
        film = self._film_stream()
        sounds = [self._sound_stream(self.choice[axis]) for axis in ("sound", "sound 2")]
        text = self._text_stream()
        cover = self._attached()
        self._tell()
        packets = list(self._pictures(film))
        for number, sound in enumerate(sounds):
            packets += self._sounds(sound, number) if sound else ()
        packets += self._texts(text) if text else ()
        packets += self._cover(cover) if cover else ()
        packets.sort(key=lambda packet: (packet.dts if packet.dts is not None else packet.pts) * packet.time_base)
        for packet in packets:
            self.output.mux(packet)

    def _film_stream(self) -> Any:
        choice, video = self.choice, self.video
        options = dict(video.options)
        if choice["place"] != "none":
            options["chroma_sample_location"] = choice["place"]
        stream: Any = self.output.add_stream(video.encoder, rate=self.rate, options=options)
        context = stream.codec_context
        stream.width, stream.height = self.size
        stream.pix_fmt = video.pix_fmt
        context.thread_count = 1
        context.sample_aspect_ratio = Fraction(choice["sar"])
        if choice["colour"] != "none":
            found = COLOURS[choice["colour"]]
            context.color_primaries, context.color_trc, context.colorspace, context.color_range = found
        if matrix := _matrix(choice["turn"]):
            stream.set_display_matrix(matrix)
        stream.time_base = self.tick
        return stream

    def _sound_stream(self, name: str) -> Any:
        if name == "none":
            return None
        encoder, layout, rate = SOUNDS[name]
        options = {"strict": "experimental"} if encoder in ("vorbis", "opus") else {}
        stream: Any = self.output.add_stream(encoder, rate=rate, options=options)
        stream.codec_context.layout = "stereo" if encoder == "vorbis" else layout
        if encoder == "flac" and name == "flac-24":
            stream.codec_context.format = "s32"
        if encoder == "wmav2":
            stream.codec_context.bit_rate = 96000
        if encoder == "libmp3lame":
            stream.codec_context.format = "s16p"
        return stream

    def _text_stream(self) -> Any:
        name = self.choice["text"]
        if name == "none":
            return None
        stream: Any = self.output.add_stream({"srt": "subrip"}.get(name, name))
        stream.time_base = stream.codec_context.time_base = Fraction(1, 1000)
        stream.codec_context.subtitle_header = STYLES
        return stream

    def _attached(self) -> Any:
        """Attachments, and the stream of a cover where the container has one for it."""
        what = self.choice["attached"]
        if what in ("font", "both"):
            self.output.add_attachment("a.ttf", "font/ttf", bytes(range(200)))
        if what not in ("cover", "both"):
            return None
        if self.output.format.name == "matroska":
            self.output.add_attachment("cover.jpg", "image/jpeg", _jpeg())
            return None
        stream: Any = self.output.add_mux_stream("mjpeg", rate=25, width=16, height=16, time_base=Fraction(1, 90000))
        stream.disposition = Disposition.attached_pic
        return stream

    def _tell(self) -> None:
        """Tags and chapters."""
        if self.choice["tags"] != "none":
            self.output.metadata["title"] = "A film"
        if self.choice["tags"] == "odd":
            self.output.metadata.update({"comment": "zwei\nZeilen", "artist": "Ünï – 影", "my_own": "x"})
            for stream in self.output.streams:
                stream.metadata["language"] = "deu"
        if self.choice["chapters"] != "none":
            self.output.set_chapters(list(_chapters(self.choice["chapters"], max(self.start, Fraction(0)))))

    def _pictures(self, stream: Any) -> Iterator[Any]:
        """Packets of pictures, at the times that are wanted."""
        base = 1 / self.rate
        stream.codec_context.time_base = base

        def ticks(number: int) -> int:
            """When picture `number` is shown, those before the first and behind the last a usual step apart."""
            if number < 0:
                return self.times[0] + round(number / self.rate / self.tick)
            if number >= len(self.times):
                return self.times[-1] + self.last + round((number - len(self.times)) / self.rate / self.tick)
            return self.times[number]

        frames = [self._picture(number) for number in range(len(self.times))]
        made: list[Any] = []
        for number, frame in enumerate([*frames, None]):
            if frame is not None:
                frame.pts, frame.time_base = number, base
            made += stream.encode(frame)
        for packet in made:
            unit = packet.time_base
            shown = round(packet.pts * unit / base)
            decoded = shown if packet.dts is None else round(packet.dts * unit / base)
            packet.pts, packet.dts, packet.time_base = ticks(shown), ticks(decoded), self.tick
            packet.duration = ticks(shown + 1) - ticks(shown)
            yield packet

    def _picture(self, number: int) -> Any:
        """A gradient that moves, with noise."""
        width, height = self.size
        noise = np.random.default_rng(number)
        ramp = np.add.outer(np.arange(height) * 700, np.arange(width) * 500)[..., None] + np.array([0, 9000, 21000])
        samples = (ramp + 3000 * number + noise.integers(0, 6000, ramp.shape)) % 65536
        frame = av.VideoFrame.from_ndarray(samples.astype(np.uint16), "rgb48le")
        return frame.reformat(format=self.video.pix_fmt)

    def _sounds(self, stream: Any, number: int) -> Iterator[Any]:
        """Packets of sound that begins and ends when it is wanted."""
        where = self.choice["sound at"]
        context = stream.codec_context
        rate = context.sample_rate
        length = sum((self.times[-1] - self.times[0], self.last)) * self.tick
        seconds = {"short": length / 2, "long": length + 1}.get(where, length)
        shift = self.start + {"earlier": Fraction(-1, 5), "later": Fraction(3, 10)}.get(where, Fraction(0))
        if shift < 0 and self.output.format.name not in EDITED:  # others hold no time before 0
            shift = max(shift, self.start)
        resampler = av.AudioResampler(context.format, context.layout, rate, context.frame_size or CHUNK)
        wave = _wave(int(seconds * rate), rate, 220 * (number + 2))
        whole = av.AudioFrame.from_ndarray(wave, "s16", "mono")
        whole.sample_rate, whole.pts, whole.time_base = rate, 0, Fraction(1, rate)
        frames = [f for source in (whole, None) for f in resampler.resample(source)]
        packets = [p for frame in [*frames, None] for p in stream.encode(frame)]
        leap = len(packets) // 2 if where == "gap" else len(packets)
        for count, packet in enumerate(packets):
            moved = shift + (1 if count >= leap else 0)
            packet.pts += round(moved / packet.time_base)
            packet.dts = packet.pts
            yield packet

    def _texts(self, stream: Any) -> Iterator[Any]:
        for start, end, text in _lines(self.choice["text how"]):
            packet = av.Packet(_subtitle(self.choice["text"], text))
            packet.time_base, packet.stream = Fraction(1, 1000), stream
            packet.pts = packet.dts = start + round(max(self.start, Fraction(0)) * 1000)
            packet.duration = end - start
            yield packet

    def _cover(self, stream: Any) -> Iterator[Any]:
        packet = av.Packet(_jpeg())
        packet.pts = packet.dts = 0
        packet.time_base, packet.stream, packet.is_keyframe = Fraction(1, 90000), stream, True
        yield packet


def _matrix(turn: str) -> tuple[int, ...]:
    """The display matrix of a turn, in the fixed-point numbers of MP4; empty for none."""
    if turn == "none":
        return ()
    one, last = 1 << 16, 1 << 30
    if turn in ("hflip", "vflip"):
        across, down = (-one, one) if turn == "hflip" else (one, -one)
        return (across, 0, 0, 0, down, 0, 0, 0, last)
    angle = {"odd": 30}.get(turn) or int(turn)
    c, s = round(one * cos(angle * pi / 180)), round(one * sin(angle * pi / 180))
    return (c, s, 0, -s, c, 0, 0, 0, last)


def _chapters(how: str, start: Fraction) -> Iterator[Any]:
    spans = [(0, 200), (200, 500)] if how == "two" else [(100, 200), (300, 350)]
    for number, (first, end) in enumerate(spans, 1):
        first, end = (n + round(start * 1000) for n in (first, end))
        base, title = Fraction(1, 1000), {"title": f"Part {number}"}
        yield {"id": number, "start": first, "end": end, "time_base": base, "metadata": title}


def _lines(how: str) -> Sequence[tuple[int, int, str]]:
    """Subtitles: milliseconds behind the first picture, and text."""
    if how == "overlapping":
        return [(0, 300, "one"), (100, 400, "two"), (350, 500, "three"), (600, 700, "four")]
    if how == "nested":
        return [(0, 900, "outer"), (100, 200, "inner"), (300, 400, "more")]
    if how == "styled":
        return [(20, 120, "<i>leaning</i>"), (140, 260, "two\nlines"), (300, 420, "a < b & c")]
    if how == "early":
        return [(0, 40, "at once"), (400, 1400, "behind the end")]
    return [(40, 140, "one"), (160, 240, "two"), (300, 460, "three")]


def _subtitle(codec: str, text: str) -> bytes:
    if codec == "mov_text":
        data = text.encode()
        return len(data).to_bytes(2, "big") + data
    if codec == "ass":
        return b"0,0,Default,,0,0,0,," + text.replace("\n", "\\N").encode()
    return text.encode()


def _wave(samples: int, rate: int, pitch: int) -> np.ndarray[Any, np.dtype[np.int16]]:
    """A tone with noise, (1, samples)."""
    time = np.arange(samples) / rate
    noise = np.random.default_rng(pitch).integers(-2000, 2000, samples)
    return (np.sin(2 * np.pi * pitch * time) * 12000 + noise).astype(np.int16)[None]


def _jpeg() -> bytes:
    """A cover."""
    codec: Any = av.CodecContext.create("mjpeg", "w")
    codec.width, codec.height, codec.pix_fmt, codec.time_base = 16, 16, "yuvj420p", Fraction(1, 25)
    return bytes(codec.encode(av.VideoFrame(16, 16, "yuvj420p"))[0])
