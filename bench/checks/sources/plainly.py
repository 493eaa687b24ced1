"""Films as PyAV reads them, plainly: the judge where ffmpeg and ffprobe are not installed.

Nothing is repaired, moved or left out; every packet is decoded by the decoder that libav takes for it.
"""

from __future__ import annotations

import re
import struct
import zlib
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from .reading import FilmReading, Line, Shown, Sound, Texts, Unreadable

UPRIGHT = (1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
COLOUR = ("color_range", "colorspace", "color_trc", "color_primaries")
RANGES = {"1": "tv", "2": "pc"}
UNSPECIFIED = (0, 2, 2, 2)


def version() -> str:
    return av.__version__


def read(path: Path, pix_fmt: str | None = None) -> FilmReading:
    """What a film holds, samples of pictures taken in `pix_fmt`, or in the film's own. Raises Unreadable."""
    try:
        with av.open(f"file:{path}") as container:
            return _Reading(container, pix_fmt).run()
    except (av.FFmpegError, OSError, ValueError) as error:
        raise Unreadable(str(error)) from None


class _Reading:
    """One pass over the packets of a film."""

    def __init__(self, container: av.container.InputContainer, pix_fmt: str | None):
        self.container, self.pix_fmt = container, pix_fmt
        films = [s for s in container.streams.video if not s.disposition & av.stream.Disposition.attached_pic]
        if not films:
            raise Unreadable("there is no film")
        self.film: Any = films[0]
        self.first: Any = None
        self.pictures: list[Shown] = []
        self.packets = dict.fromkeys(range(len(container.streams)), 0)
        self.frames: dict[int, list[tuple[Fraction, int]]] = {s.index: [] for s in container.streams.audio}
        self.waves: dict[int, list[bytes]] = {index: [] for index in self.frames}
        self.coded = dict.fromkeys(self.frames, 0)
        self.lines: dict[int, list[Line]] = {s.index: [] for s in container.streams.subtitles}

    def run(self) -> FilmReading:
        takes = {self.film.index: self._picture} | dict.fromkeys(self.frames, self._heard)
        for packet in self.container.demux():
            stream: Any = packet.stream
            if stream.type == "subtitle" and packet.size:
                self._line(packet)
            elif stream.index in takes:
                self.packets[stream.index] += packet.size > 0
                if stream.index in self.coded:
                    self.coded[stream.index] = zlib.crc32(bytes(packet), self.coded[stream.index])
                for frame in packet.decode():
                    takes[stream.index](stream, frame)
        if not self.pictures:
            raise Unreadable("there are no pictures")
        streams: Any = self.container.streams
        return FilmReading(
            **self._shape(),
            tick=self.film.time_base,
            pictures=tuple(self.pictures),
            sounds=tuple(self._sound(s) for s in streams.audio),
            subtitles=tuple(self._texts(s) for s in streams.subtitles),
            chapters=tuple(map(_chapter, self.container.chapters())),
            attachments=len(streams.attachments),
            covers=sum(bool(s.disposition & av.stream.Disposition.attached_pic) for s in streams.video),
            tags=dict(self.container.metadata),
        )

    def _picture(self, stream: Any, frame: Any) -> None:
        self.first = self.first or frame
        time = frame.pts if frame.pts is not None else frame.dts
        shown = frame.reformat(format=self.pix_fmt) if self.pix_fmt else frame
        base = stream.time_base
        at = None if time is None else time * base
        self.pictures.append(Shown(at, (frame.duration or 0) * base, _sum_of(shown)))

    def _heard(self, stream: Any, frame: Any) -> None:
        index, base = stream.index, frame.time_base or stream.time_base
        self.frames[index].append(((frame.pts or 0) * base, frame.samples))
        (whole,) = av.AudioResampler("dbl", frame.layout, frame.sample_rate).resample(frame)
        self.waves[index].append(np.ascontiguousarray(whole.to_ndarray(), "<f8").tobytes())

    def _line(self, packet: Any) -> None:
        stream = packet.stream
        if stream.codec_context.name == "mov_text" and packet.size <= 2:
            return
        self.packets[stream.index] += 1
        found = stream.codec_context.decode2(packet)
        for rect in found.rects if found else ():
            if isinstance(rect, av.subtitles.subtitle.AssSubtitle):
                text = re.sub(rb"\{[^}]*\}", b"", rect.dialogue or rect.ass).decode(errors="replace")
                start = packet.pts * packet.time_base
                end = start + (packet.duration or 0) * packet.time_base
                self.lines[stream.index].append(Line(start, end, text.strip()))

    def _shape(self) -> dict[str, Any]:
        frame, context = self.first, self.film.codec_context
        data = {item.type.name: bytes(item) for item in frame.side_data}
        turn = struct.unpack("=9i", data["DISPLAYMATRIX"]) if "DISPLAYMATRIX" in data else UPRIGHT
        colour = []
        for name, unspecified in zip(COLOUR, UNSPECIFIED, strict=True):
            ours, theirs = int(getattr(frame, name)), int(getattr(context, name))
            told = theirs if ours == unspecified else ours
            colour.append("unknown" if told == unspecified else str(told))
        if frame.format.name.startswith("yuvj"):
            colour[0] = "2"
        colour[0] = RANGES.get(colour[0], colour[0])
        return {
            "width": frame.width,
            "height": frame.height,
            "pix_fmt": frame.format.name,
            "sar": self.film.sample_aspect_ratio or Fraction(1),
            "turn": () if turn == UPRIGHT else turn,
            "colour": tuple(colour),
            "chroma_place": str(getattr(frame, "chroma_location", "unspecified")),
        }

    def _sound(self, stream: Any) -> Sound:
        index, context = stream.index, stream.codec_context
        frames, wave = tuple(self.frames[index]), b"".join(self.waves[index])
        name, rate, channels = context.codec.canonical_name, context.sample_rate, context.channels
        return Sound(name, rate, channels, stream.time_base, self.packets[index], frames, wave, self.coded[index])

    def _texts(self, stream: Any) -> Texts:
        lines = sorted(self.lines[stream.index], key=lambda line: (line.start, line.end, line.text))
        name = stream.codec_context.codec.canonical_name
        return Texts(name, stream.time_base, self.packets[stream.index], tuple(lines))


def _sum_of(frame: Any) -> int:
    """CRC-32 of the samples of a picture, plane by plane, without libav's padding; of packed formats, of all bytes."""
    crc = 0
    for number, plane in enumerate(frame.planes):
        rows = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
        parts = [c for c in frame.format.components if c.plane == number]
        wide = parts[0].width * -(-parts[0].bits // 8) if len(parts) == 1 else plane.line_size
        crc = zlib.crc32(np.ascontiguousarray(rows[: plane.height, :wide]).data, crc)
    return crc


def _chapter(told: Any) -> Line:
    base = told["time_base"]
    return Line(told["start"] * base, told["end"] * base, told["metadata"].get("title", ""))
