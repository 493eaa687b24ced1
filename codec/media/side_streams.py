"""The streams that travel beside the pictures: sound, subtitles, covers, fonts, chapters and tags.

`SideStreams` reads them from one film and gives packets for another container, copied byte for byte with their side
data where the container can hold them, converted where that is asked for, and named in `notes` where they are lost.
`Interleaver` writes them and the pictures by time, so that two films are joined in one pass with bounded memory.
`tracks_of` tells what a file holds of them, in the terms of `codec.wire.tracks`.
"""

from __future__ import annotations

import io
import os
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from math import ceil
from typing import Any

import av
from av.audio.resampler import AudioResampler
from av.stream import Discard, Disposition

from ..errors import InputError
from ..wire.tracks import Track
from .libav import faults_as, film_stream, open_film
from .timeline import clock

# text subtitles become this codec where the container cannot hold their own
_TEXT_CODEC = {"mp4": "mov_text", "mov": "mov_text", "webm": "webvtt", "matroska": "subrip"}
# tags that describe the old file and not the film
_FILE_TAGS = frozenset(
    ("major_brand", "minor_version", "compatible_brands", "encoder", "duration", "vendor_id", "handler_name")
    + ("filename", "mimetype")  # of an attached file
)
_STATISTICS = ("_STATISTICS", "NUMBER_OF", "BPS")
# libav's usual layouts, by the number of channels
_LAYOUTS = {
    1: "mono", 2: "stereo", 3: "2.1", 4: "4.0", 5: "5.0", 6: "5.1", 7: "6.1", 8: "7.1", 10: "5.1.4", 12: "7.1.4",
    16: "hexadecagonal", 24: "22.2",
}  # fmt: skip
# covers as Matroska's attached files: libav's codec -> the part of a MIME type, and that -> the ending of a name
_PICTURES = {"mjpeg": "jpeg"}
_ENDINGS = {"jpeg": "jpg"}
_NO_TEXT = b"\0\0"  # a sample of mov_text that shows nothing: muxers fill gaps with it


class SideStreams:
    """What accompanies the pictures of the film `path`, on its way into `output`.

    Adds its streams, chapters and tags to `output`, to which the video stream must have been added before.

    Args:
        sound_codec: encoder for sound that the container cannot hold; None drops such streams.
        only: number of the one stream that is taken; None takes all.

    Attributes:
        notes: sentences that name each stream that is lost, converted or repaired; complete once all packets are read.
        silenced: what sentences call the sound that is dropped.
        names: what sentences call the streams that are taken, by their numbers.
        sums: CRC-32 of what was taken of each stream so far, by its number.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        output: av.container.OutputContainer,
        sound_codec: str | None = None,
        only: int | None = None,
    ):
        self.path = os.fspath(path)
        self.notes: list[str] = []
        self.silenced: list[str] = []
        self.names: dict[int, str] = {}
        self.sums: dict[int, int] = {}
        self._output = output
        self._format = output.format.name
        self._sound_codec = sound_codec
        self._input = open_film(path)
        self._film = film_stream(self._input)
        self._routes: dict[int, _Copy | _Text | _Sound] = {}
        for stream in self._input.streams:
            if (self._film is None or stream.index != self._film.index) and only in (None, stream.index):
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
            self.sums[stream.index] = zlib.crc32(stream.data or b"")
            return
        codec = getattr(stream.codec_context, "codec", None)
        if codec is None:
            # the titles of an MP4's chapters are a data stream, which set_chapters writes anew
            if not (stream.type == "data" and stream.name == "bin_data" and self._input.chapters()):
                self.notes.append(f"the {name} is dropped; {self._format} cannot hold it")
            return
        what = f"{name} ({codec.canonical_name})"
        if cover and self._format == "matroska":
            self._attach(stream, codec.canonical_name)
            return
        route: _Copy | _Text | _Sound
        if self._holds(stream, cover):
            route = _Copy(self._output, stream)
        elif stream.type == "subtitle" and codec.text_sub:
            route = _Text(self._output, stream, _TEXT_CODEC[self._format])
            self.notes.append(f"the {what} is converted to {_TEXT_CODEC[self._format]}; its styling may be lost")
        elif stream.type == "audio" and self._sound_codec:
            route = _Sound(self._output, stream, self._sound_codec)
            self.notes.append(f"the {what} is encoded anew with {self._sound_codec}")
        else:
            self.notes.append(f"the {what} is dropped; {self._format} cannot hold it")
            self.silenced += [f"the {what}"] if stream.type == "audio" else []
            return
        self._tag(route.stream, stream)
        route.stream.disposition = stream.disposition
        self._routes[stream.index], self.names[stream.index] = route, f"the {what}"

    def _tag(self, new: Any, old: Any) -> None:
        tags = stream_tags(old.metadata)
        # either container has one place for a title
        tags.pop("title" if self._format in ("mp4", "mov") else "handler_name", None)
        new.metadata.update(tags)

    def _holds(self, stream: Any, cover: bool) -> bool:
        """Whether the output's format takes the stream, found by writing a header to memory."""
        if cover and self._format != "mp4":
            return False  # libav's QuickTime muxer takes covers and writes none
        try:
            with av.open(io.BytesIO(), "w", format=self._format) as trial:
                added_stream(trial, stream)
                trial.start_encoding()
        except (av.FFmpegError, OSError, ValueError):
            return False
        return True

    def _attach(self, stream: Any, codec: str) -> None:
        """A cover of a Matroska film is an attached file."""
        kind = _PICTURES.get(codec, codec)
        with faults_as(InputError, f"the cover of {self.path} cannot be read"), open_film(self.path) as film:
            only = film.streams[stream.index]
            for other in film.streams:
                if other.index != stream.index:
                    other.discard = Discard.all
            data = next((bytes(packet) for packet in film.demux(only) if packet.size), b"")
        self._output.add_attachment(f"cover.{_ENDINGS.get(kind, kind)}", f"image/{kind}", data)
        self.sums[stream.index] = zlib.crc32(data)

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
                yield from self._fed(packet.stream.index, packet)
            for index in self._routes:
                yield from self._fed(index, None)
        for index, route in self._routes.items():
            if isinstance(route, _Copy) and route.repaired:
                self.notes.append(f"the time stamps of {self.names[index]} step back at {route.repaired}")

    def _fed(self, index: int, packet: av.Packet | None) -> list[av.Packet]:
        """What becomes of a packet of stream `index`, or of None at the end, taken into its sum."""
        made = self._routes[index].feed(packet)
        for one in made:
            self.sums[index] = zlib.crc32(memoryview(one), self.sums.get(index, 0))
        return made

    def lost(self, written: av.container.InputContainer) -> list[str]:
        """Sentences on what of the streams, tags and chapters the finished output does not give back."""
        notes = []
        pairs = [("film", self._input.metadata, written.metadata)]
        for index, kept in self._found(written).items():
            if kept is None and index in self.sums:
                notes.append(f"{self.names[index]} is dropped; {self._format} cannot hold it")
            elif kept is None:
                notes.append(f"{self.names[index]} is empty, and dropped")
            else:
                pairs.append((f"{kept.type} stream #{index}", self._input.streams[index].metadata, kept.metadata))
        for what, old, new in pairs:
            here = {key.lower() for key in stream_tags(new)}
            tags = [key for key in stream_tags(old) if key.lower() not in here]
            if tags:
                notes.append(f"tags of the {what} that {self._format} cannot hold are dropped: {', '.join(tags)}")
        if len(written.chapters()) < len(self._input.chapters()):
            notes.append(f"chapters that {self._format} cannot hold are dropped")
        return notes

    def _found(self, written: av.container.InputContainer) -> dict[int, Any]:
        """The stream of the finished output that each of ours has become, None where it is not there. Streams of a kind
        keep their order; those of which nothing came are left out by muxers."""
        film = film_stream(written)
        there: dict[str, list[Any]] = {}
        for stream in written.streams:
            if film is None or stream.index != film.index:
                there.setdefault(stream.type, []).append(stream)
        found: dict[int, Any] = {}
        for index, route in sorted(self._routes.items(), key=lambda item: item[1].stream.index):
            same = there.get(route.stream.type, []) if index in self.sums else []
            found[index] = same.pop(0) if same else None
        return found


def added_stream(output: av.container.OutputContainer, stream: Any) -> Any:
    """A stream of `output` for packets like those of `stream`. Sound whose channels have no places, as plain samples in
    Matroska and AVI, gets the usual ones for their number, without which MP4 cannot hold it."""
    new: Any = output.add_stream_from_template(stream, opaque=True)
    if stream.type == "audio":
        layout = new.codec_context.layout
        usual = _LAYOUTS.get(layout.nb_channels)
        if usual and layout.name == f"{layout.nb_channels} channels":
            new.codec_context.layout = usual
    return new


def tracks_of(
    container: av.container.InputContainer, watch: Callable[[av.Packet], None] = lambda packet: None
) -> list[Track]:
    """What a file holds beside its film, by the order of its streams; its packets are read, none is held. `watch` is
    given each of them. A further video track counts as a cover, which is what some muxers make of one."""
    film = film_stream(container)
    names: dict[int, tuple[str, str]] = {}
    attached: dict[int, Track] = {}
    stream: Any
    for stream in container.streams:
        kind = "cover" if stream.type == "video" else stream.type
        codec = getattr(stream.codec_context, "codec", None)
        if stream.type == "attachment":
            data = stream.data or b""
            attached[stream.index] = Track(kind, 1, len(data), zlib.crc32(data), "")
        elif kind in ("audio", "subtitle", "cover") and codec and (film is None or stream.index != film.index):
            names[stream.index] = kind, codec.canonical_name
        else:
            stream.discard = Discard.all
    sums = dict.fromkeys(names, (0, 0, 0))
    for packet in container.demux([container.streams[index] for index in names]) if names else ():
        watch(packet)
        index = packet.stream.index
        if packet.size and not (names[index][1] == "mov_text" and bytes(packet) == _NO_TEXT):
            count, size, crc = sums[index]
            sums[index] = count + 1, size + packet.size, zlib.crc32(memoryview(packet), crc)
    found = attached | {n: Track(kind, *sums[n], codec) for n, (kind, codec) in names.items() if sums[n][0]}
    return [found[index] for index in sorted(found)]


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
        self.stream = added_stream(output, stream)
        # muxers refuse packets that are decoded before the one before them, MP4's those of sound at the same time too
        self._least = int(stream.type == "audio")
        self._last: Fraction | None = None
        self._steps, self._first_step = 0, ""
        # MP4 times sound in samples, Matroska and MPEG-TS in ticks of their own
        sampled = stream.type == "audio" and output.format.name in ("mp4", "mov")
        self._rate = stream.codec_context.sample_rate if sampled else 0
        self._frame = stream.codec_context.frame_size if sampled else 0
        self._next: int | None = None
        # libav's MP4 muxer fills the gaps between subtitles with empty samples, and would do so twice
        fills = stream.codec_context.name == "mov_text" and output.format.name in ("mp4", "mov")
        self._filler = _NO_TEXT if fills else None

    @property
    def repaired(self) -> str:
        """Where time stamps step back, in words; empty where they never do."""
        if not self._steps:
            return ""
        others = f" and {self._steps - 1} other times" if self._steps > 1 else ""
        return f"{self._first_step}{others}; packets there follow the one before at once"

    def feed(self, packet: av.Packet | None) -> list[av.Packet]:
        if packet is None or bytes(packet) == self._filler:
            return []
        copy = _copied(packet, self.stream)
        if self._rate and packet.pts is not None and packet.time_base != Fraction(1, self._rate):
            self._time_in_samples(copy)
        self._put_in_order(copy)
        return [copy]

    def _put_in_order(self, packet: av.Packet) -> None:
        """Let a packet that is said to be decoded before the last one follow it at once, as ffmpeg does."""
        if packet.dts is None:
            return
        base = packet.time_base
        if self._last is not None and (packet.dts - self._least) * base < self._last:
            if not self._steps:
                self._first_step = clock(packet.dts, base)
            self._steps += 1
            packet.dts = ceil(self._last / base) + self._least
            packet.pts = packet.dts if packet.pts is None else max(packet.pts, packet.dts)
        self._last = packet.dts * base

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
