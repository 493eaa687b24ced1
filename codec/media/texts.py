"""Text subtitles that become those of another codec.

MP4 shows one sample of text at a time (3GPP TS 26.245): there, lines that overlap are joined for as long as they do, so
that each begins when it has to and none is lost.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import av
from av.subtitles.subtitle import SubtitleSet

from .routes import NO_TEXT, Route, copied

# text subtitles become this codec where the container cannot hold their own
TEXT_CODEC = {"mp4": "mov_text", "mov": "mov_text", "webm": "webvtt", "matroska": "subrip"}
_TOUCH = Fraction(1, 2)  # seconds: a line that ends no later than that after the next began ends where that begins
_UNTOLD = 5  # seconds that the last line is shown, where it does not say how long
_CLOCK = 1_000_000  # ticks of a track of MP4, at the least: where they are coarser than those of others, libav's muxer
# takes a track to be over that is not, and ends samples that need no end
_FILL, _FILLS_MAX = 1000, 1000  # seconds that a sample which shows nothing lasts at the most, and how many follow
_LINES_MAX = 256  # shown together
_BYTES_MAX = 60_000  # of text in a sample
_FIELDS = 8  # of a dialogue line of ASS that come before its text
_BREAK = b"\\N{\\r}"  # a new line in the usual style


class Text(Route):
    """Turns any text subtitle into the codec that its container is known for."""

    def __init__(self, output: av.container.OutputContainer, stream: Any):
        super().__init__()
        codec = TEXT_CODEC[output.format.name]
        self._decoder: Any = stream.codec_context
        self._decoder.open(strict=False)
        self.stream = output.add_stream(codec)
        self._base = stream.time_base
        self.stream.time_base = _fine(stream.time_base) if codec == "mov_text" else stream.time_base
        self._encoder = self.stream.codec_context
        self._encoder.time_base = stream.time_base
        self._encoder.subtitle_header = self._decoder.subtitle_header
        self._alone = _OneAtATime(stream.time_base) if codec == "mov_text" else None
        self._end = 0  # of the last sample
        self._damaged = 0

    def feed(self, packet: av.Packet | None) -> list[av.Packet]:
        if packet is None:
            return [] if self._alone is None else self._samples(self._alone.rest())
        try:
            subtitle = self._decoder.decode2(packet)
        except av.error.InvalidDataError:
            self._damaged += 1
            return []
        if not subtitle or not subtitle.rects:
            return []
        if self._alone is None or packet.pts is None:
            subtitle.start_display_time = 0
            return [copied(packet, self.stream, bytes(self._encoder.encode_subtitle(subtitle)))]
        texts = tuple(rect.ass for rect in subtitle.rects)
        end = packet.pts + packet.duration if packet.duration else None
        return self._samples(self._alone.add(_Line(packet.pts, end, texts)))

    def _samples(self, lines: list[_Line]) -> list[av.Packet]:
        """Packets of lines one after the other, and of nothing where there are none for so long that MP4 could not tell
        how long."""
        packets = []
        for line in lines:
            assert line.end is not None
            fill = int(_FILL / self._base)
            if fill < line.begin - self._end < fill * _FILLS_MAX:
                packets += [self._packet(NO_TEXT, at, fill) for at in range(self._end, line.begin - fill, fill)]
            packets.append(self._packet(self._encoded(line), line.begin, line.end - line.begin))
            self._end = line.end
        return packets

    def _packet(self, data: bytes, begin: int, duration: int) -> av.Packet:
        packet = av.Packet(data)
        packet.pts = packet.dts = begin
        packet.duration, packet.time_base, packet.is_keyframe = duration, self._base, True
        packet.stream = self.stream
        return packet

    def _encoded(self, shown: _Line) -> bytes:
        """Lines that are shown together as one sample; the first one's style is that of all."""
        first = shown.texts[0].split(b",", _FIELDS)
        rest = [text.split(b",", _FIELDS)[-1] for text in shown.texts[1:]]
        line = b",".join([*first[:-1], _BREAK.join([first[-1], *rest])])
        return bytes(self._encoder.encode_subtitle(SubtitleSet.create(line, 0, 0))) or NO_TEXT

    def notes(self, name: str) -> list[str]:
        notes = super().notes(name)
        if self._damaged:
            notes.append(f"{self._damaged} packets of {name} cannot be decoded and are left out")
        if self._alone is not None and self._alone.joined:
            notes.append(f"lines of {name} that are shown at the same time are joined")
        return notes


def _fine(time_base: Fraction) -> Fraction:
    """A time base with ticks of the same times, and finer ones."""
    return time_base / -(-_CLOCK * time_base.numerator // time_base.denominator)


@dataclass(frozen=True)
class _Line:
    """Dialogue lines of ASS that are shown from `begin` to `end`, in ticks; None where the file does not say."""

    begin: int
    end: int | None
    texts: tuple[bytes, ...]


class _OneAtATime:
    """Lines that may overlap as samples that do not. `joined`: whether some did."""

    def __init__(self, time_base: Fraction):
        self._touch, self._untold = int(_TOUCH / time_base), max(1, int(_UNTOLD / time_base))
        self._shown: list[_Line] = []
        self._at = 0  # up to where samples are given
        self.joined = False

    def add(self, line: _Line) -> list[_Line]:
        """The samples that are complete once `line` is known to be the next."""
        if self._shown:  # MP4 has no way back
            line = replace(line, begin=max(line.begin, self._at))
        if line.end is not None:
            line = replace(line, end=max(line.end, line.begin + 1))
        self._shown = [self._cut(shown, line.begin) for shown in self._shown]
        samples = self._until(line.begin)
        self._at = line.begin
        room, kept = _BYTES_MAX, [line]
        for shown in reversed(self._shown[1 - _LINES_MAX :]):
            room -= sum(map(len, shown.texts))
            kept += [shown] if room > 0 else []
        self._shown = kept[::-1]
        return samples

    def _cut(self, shown: _Line, at: int) -> _Line:
        """A line that is shown already when another begins."""
        untold = shown.end is None or at < shown.end <= at + self._touch
        return replace(shown, end=at) if untold and shown.begin < at else shown

    def rest(self) -> list[_Line]:
        """The samples that are left."""
        ends = [line.begin + self._untold if line.end is None else line.end for line in self._shown]
        self._shown = [replace(line, end=end) for line, end in zip(self._shown, ends, strict=True)]
        return self._until(max(ends)) if ends else []

    def _until(self, time: int) -> list[_Line]:
        """Samples of what is shown until `time`, one from each change to the next."""
        samples = []
        for end in sorted({min(time, line.end) for line in self._shown if line.end is not None} | {time}):
            if self._shown and end > self._at:
                texts = tuple(text for line in self._shown for text in line.texts)
                self.joined |= len(self._shown) > 1
                samples.append(_Line(self._at, end, texts))
                self._at = end
            self._shown = [line for line in self._shown if line.end is None or line.end > end]
        return samples
