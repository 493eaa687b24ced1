"""The streams that travel beside the pictures: sound, subtitles, covers, fonts, chapters and tags.

`SideStreams` reads them from one film and gives packets for another container, copied byte for byte with their side
data where the container can hold them, converted where that is asked for, and named in `notes` where they are lost.
`Interleaver` writes them and the pictures by time, so that two films are joined in one pass with bounded memory.
"""

from __future__ import annotations

import io
import os
import struct
from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import Any

import av
from av.audio.resampler import AudioResampler
from av.stream import Discard, Disposition

from ..errors import InputError
from .libav import faults_as, film_stream, open_film

# text subtitles become this codec where the container cannot hold their own
_TEXT_CODEC = {"mp4": "mov_text", "mov": "mov_text", "webm": "webvtt", "matroska": "subrip"}
# tags that describe the old file and not the film
_FILE_TAGS = frozenset(
    ("major_brand", "minor_version", "compatible_brands", "encoder", "duration", "vendor_id", "handler_name")
)
_STATISTICS = ("_STATISTICS", "NUMBER_OF", "BPS")


class SideStreams:
    """What accompanies the pictures of the film `path`, on its way into `output`.

    Adds its streams, chapters and tags to `output`, to which the video stream must have been added before.

    Args:
        sound_codec: encoder for sound that the container cannot hold; None drops such streams.

    Attributes:
        notes: sentences that name each stream that is lost or converted.
    """

    def __init__(
        self, path: str | os.PathLike[str], output: av.container.OutputContainer, sound_codec: str | None = None
    ):
        self.path = os.fspath(path)
        self.notes: list[str] = []
        self._output = output
        self._format = output.format.name
        self._sound_codec = sound_codec
        self._input = open_film(path)
        self._film = film_stream(self._input)
        self._routes: dict[int, _Copy | _Text | _Sound] = {}
        for stream in self._input.streams:
            if self._film is None or stream.index != self._film.index:
                self._add(stream)
        output.metadata.update(film_tags(self._input.metadata))
        if self._film is not None:
            self._tag(output.streams.video[0], self._film)
            output.streams.video[0].disposition = self._film.disposition

    def close(self) -> None:
        """Close the film; `output` stays open."""
        self._input.close()

    def _add(self, stream: Any) -> None:
        name = f"{stream.type} stream #{stream.index}"
        cover = bool(stream.disposition & Disposition.attached_pic)
        if stream.type == "video" and not cover:
            return  # the reader of the pictures names it
        if stream.type == "attachment" and self._format == "matroska":
            self._output.add_stream_from_template(stream)
            return
        codec = getattr(stream.codec_context, "codec", None)
        if codec is None:
            # the titles of an MP4's chapters are a data stream, which set_chapters writes anew
            if not (stream.type == "data" and stream.name == "bin_data" and self._input.chapters()):
                self.notes.append(f"the {name} is dropped; {self._format} cannot hold it")
            return
        what = f"{name} ({codec.canonical_name})"
        route: _Copy | _Text | _Sound
        if self._holds(stream):
            route = _Copy(self._output, stream)
        elif stream.type == "subtitle" and codec.text_sub:
            route = _Text(self._output, stream, _TEXT_CODEC[self._format])
            self.notes.append(f"the {what} is converted to {_TEXT_CODEC[self._format]}; its styling may be lost")
        elif stream.type == "audio" and self._sound_codec:
            route = _Sound(self._output, stream, self._sound_codec)
            self.notes.append(f"the {what} is encoded anew with {self._sound_codec}")
        else:
            self.notes.append(f"the {what} is dropped; {self._format} cannot hold it")
            return
        self._tag(route.stream, stream)
        route.stream.disposition = stream.disposition
        self._routes[stream.index] = route

    def _tag(self, new: Any, old: Any) -> None:
        tags = stream_tags(old.metadata)
        # either container has one place for a title
        tags.pop("title" if self._format in ("mp4", "mov") else "handler_name", None)
        new.metadata.update(tags)

    def _holds(self, stream: Any) -> bool:
        """Whether the output's format takes the stream, found by writing a header to memory."""
        try:
            with av.open(io.BytesIO(), "w", format=self._format) as trial:
                trial.add_stream_from_template(stream, opaque=True)
                trial.start_encoding()
        except (av.FFmpegError, OSError, ValueError):
            return False
        return True

    def chapters(self, start: Fraction = Fraction(0), end: Fraction | None = None) -> list[Any]:
        """The film's chapters within [start, end), with `start` as their new zero."""
        kept = []
        for chapter in self._input.chapters():
            base = chapter["time_base"] or Fraction(1, av.time_base)
            first, last = chapter["start"] * base, chapter["end"] * base
            if last > start and (end is None or first < end):
                first, last = max(first, start) - start, (last if end is None else min(last, end)) - start
                kept.append(chapter | {"start": round(first / base), "end": round(last / base), "time_base": base})
        return kept

    def packets(self, start: Fraction | None = None, end: Fraction | None = None) -> Iterator[av.Packet]:
        """Packets for the output in the input's order.

        With `start` (seconds) those that begin in [start, end), moved so that `start` becomes zero.
        """
        for stream in self._input.streams:
            if stream.index not in self._routes:
                stream.discard = Discard.all
        if not self._routes:
            return
        with faults_as(InputError, f"the sound or subtitles of {self.path} cannot be read"):
            if start is not None:
                self._input.seek(int(start * av.time_base), backward=True)
            open_ends = set(self._routes)
            for packet in self._input.demux([self._input.streams[i] for i in self._routes]):
                route = self._routes[packet.stream.index]
                if not packet.size:
                    continue
                if start is not None and not packet.stream.disposition & Disposition.attached_pic:
                    time = (packet.pts if packet.pts is not None else packet.dts or 0) * packet.time_base
                    if end is not None and time >= end:
                        open_ends.discard(packet.stream.index)
                        if not open_ends:
                            break
                        continue
                    if time < start:
                        continue
                    shift = round(start / packet.time_base)
                    packet.pts = None if packet.pts is None else packet.pts - shift
                    packet.dts = None if packet.dts is None else packet.dts - shift
                yield from route.feed(packet)
            for route in self._routes.values():
                yield from route.feed(None)

    def lost_tags(self, path: str | os.PathLike[str]) -> list[str]:
        """Sentences on the tags and chapters that the finished output at `path` does not give back."""
        notes = []
        with open_film(path) as written:
            pairs = [("film", self._input.metadata, written.metadata)]
            for index, route in self._routes.items():
                kept = written.streams[route.stream.index]
                pairs.append((f"{kept.type} stream #{index}", self._input.streams[index].metadata, kept.metadata))
            for what, old, new in pairs:
                here = {key.lower() for key in stream_tags(new)}
                lost = [key for key in stream_tags(old) if key.lower() not in here]
                if lost:
                    notes.append(f"tags of the {what} that {self._format} cannot hold are dropped: {', '.join(lost)}")
            if len(written.chapters()) < len(self._input.chapters()):
                notes.append(f"chapters that {self._format} cannot hold are dropped")
        return notes


class Interleaver:
    """Writes packets of pictures and `side` packets to `output` in the order in which they are decoded. Both are read
    only as far as needed."""

    def __init__(self, output: av.container.OutputContainer, side: Iterator[av.Packet]):
        self._output, self._side = output, side
        self._next = next(side, None)

    def mux(self, pictures: Iterable[av.Packet]) -> None:
        """The next packets of pictures, each after the side packets that are decoded before it."""
        for packet in pictures:
            time = _seconds(packet)
            while self._next is not None and _seconds(self._next) < time:
                self._mux_side(self._next)
            self._output.mux(packet)

    def finish(self) -> None:
        """What is left of the side packets."""
        while self._next is not None:
            self._mux_side(self._next)

    def _mux_side(self, packet: av.Packet) -> None:
        self._output.mux(packet)
        self._next = next(self._side, None)


def _seconds(packet: av.Packet) -> Fraction:
    """When a packet is decoded; packets without any time sort first."""
    time = packet.dts if packet.dts is not None else packet.pts
    return Fraction(-(1 << 40)) if time is None else time * packet.time_base


class _Copy:
    """Passes packets on as they are. As all routes: `feed` gives what becomes of a packet in the output's `stream`, and
    for None what is left at the end."""

    def __init__(self, output: av.container.OutputContainer, stream: Any):
        self.stream = output.add_stream_from_template(stream, opaque=True)
        # MP4 times sound in samples, Matroska and MPEG-TS in ticks of their own
        sampled = stream.type == "audio" and output.format.name in ("mp4", "mov")
        self._rate = stream.codec_context.sample_rate if sampled else 0
        self._frame = stream.codec_context.frame_size if sampled else 0
        self._next: int | None = None
        # libav's MP4 muxer fills the gaps between subtitles with empty samples, and would do so twice
        fills = stream.codec_context.name == "mov_text" and output.format.name in ("mp4", "mov")
        self._filler = b"\0\0" if fills else None

    def feed(self, packet: av.Packet | None) -> list[av.Packet]:
        if packet is None or bytes(packet) == self._filler:
            return []
        copy = _copied(packet, self.stream)
        if self._rate and packet.pts is not None and packet.time_base != Fraction(1, self._rate):
            self._time_in_samples(copy)
        return [copy]

    def _time_in_samples(self, packet: av.Packet) -> None:
        """Give a packet the time in samples that its rounded time stands for.

        Packets of sound follow each other without gaps, so each begins where the one before ends, as long as that
        is within a tick of what the file says. Thus a millisecond's rounding neither shifts the sound nor fills the
        MP4's tables with jitter.
        """
        assert packet.pts is not None
        tick = packet.time_base * self._rate
        given = packet.pts * tick
        skip, discard = _trimmed(packet)
        expected = -skip if self._next is None else self._next
        begin = expected if abs(expected - given) <= max(tick, 1) else round(given)
        size = self._frame or round((packet.duration or 0) * tick)
        packet.pts = packet.dts = begin
        packet.duration = max(size - discard, 0)
        packet.time_base = Fraction(1, self._rate)
        self._next = begin + size


class _Text:
    """Turns any text subtitle into another codec."""

    def __init__(self, output: av.container.OutputContainer, stream: Any, codec: str):
        self._decoder: Any = stream.codec_context
        self._decoder.open(strict=False)
        self.stream = output.add_stream(codec)
        assert isinstance(self.stream, av.subtitles.stream.SubtitleStream)
        self.stream.time_base = stream.time_base
        self._encoder = self.stream.codec_context
        self._encoder.time_base = stream.time_base
        self._encoder.subtitle_header = self._decoder.subtitle_header

    def feed(self, packet: av.Packet | None) -> list[av.Packet]:
        subtitle = self._decoder.decode2(packet) if packet is not None else None
        if packet is None or not subtitle or not subtitle.rects:
            return []
        subtitle.start_display_time = 0
        return [_copied(packet, self.stream, bytes(self._encoder.encode_subtitle(subtitle)))]


class _Sound:
    """Encodes sound anew."""

    def __init__(self, output: av.container.OutputContainer, stream: Any, codec: str):
        self._decoder: Any = stream.codec_context
        layout = "stereo" if self._decoder.channels > 1 else "mono"
        sound = output.add_stream(codec, rate=48000, layout=layout)
        assert isinstance(sound, av.AudioStream)
        self.stream, encoder = sound, sound.codec_context
        encoder.bit_rate = 160000
        self._resampler = AudioResampler(format=encoder.format, layout=layout, rate=encoder.sample_rate)

    def feed(self, packet: av.Packet | None) -> list[av.Packet]:
        frames = self._decoder.decode(packet)
        resampled = [out for frame in frames for out in self._resampler.resample(frame)]
        if packet is None:
            resampled += self._resampler.resample(None)
        packets = [p for frame in resampled for p in self.stream.encode(frame)]
        return packets + (self.stream.encode(None) if packet is None else [])


def _copied(packet: av.Packet, stream: Any, data: bytes | None = None) -> av.Packet:
    """A packet for output `stream` with the times and side data of `packet`, and its bytes unless `data` is given."""
    copy = av.Packet(bytes(packet) if data is None else data)
    copy.pts, copy.dts, copy.duration = packet.pts, packet.dts, packet.duration
    copy.time_base, copy.is_keyframe = packet.time_base, packet.is_keyframe
    for item in packet.iter_sidedata():
        copy.set_sidedata(item)
    copy.stream = stream
    return copy


def _trimmed(packet: av.Packet) -> tuple[int, int]:
    """Samples that the decoder is to drop at the packet's beginning and end."""
    if not packet.has_sidedata("skip_samples"):
        return 0, 0
    begin, end = struct.unpack_from("<2I", bytes(packet.get_sidedata("skip_samples")))
    return begin, end


def film_tags(metadata: dict[str, str]) -> dict[str, str]:
    """The tags of a file that are still true of its film in another file."""
    return {key: value for key, value in metadata.items() if key.lower() not in _FILE_TAGS}


def stream_tags(metadata: dict[str, str]) -> dict[str, str]:
    """The tags of a stream that are still true in another file; Matroska's statistics are not.

    MP4 keeps a stream's title as the name of its handler, so either gives the other.
    """
    tags = {k: v for k, v in film_tags(metadata).items() if not k.upper().startswith(_STATISTICS) and v != "und"}
    name = metadata.get("handler_name", "")
    title = next((v for k, v in tags.items() if k.lower() == "title"), "" if name.endswith("Handler") else name)
    return tags | {"title": title, "handler_name": title} if title else tags


def sound_bytes(path: str | os.PathLike[str]) -> int:
    """Bytes of the audio and subtitle packets of a film."""
    with open_film(path) as film:
        streams = [s for s in film.streams if s.type in ("audio", "subtitle")]
        return sum(packet.size for packet in film.demux(streams) if packet.size) if streams else 0
