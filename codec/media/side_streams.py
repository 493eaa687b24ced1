"""The streams that travel beside the pictures: sound, subtitles, covers, fonts, chapters and tags.

`SideStreams` reads them from one film and gives packets for another container, copied byte for byte with their side
data where the container can hold them, converted where it cannot or where that is asked for, and named in `notes` where
they are lost. `Interleaver` writes them and the pictures by time, so that two films are joined in one pass with bounded
memory. `tracks_of` tells what a file holds of them, in the terms of `codec.wire.tracks`.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from typing import Any

import av
from av.stream import Discard, Disposition

from ..errors import InputError
from ..settings import NONE
from ..wire.tracks import Track
from .beside import Beside, Ways
from .chapters import chapters_of, filled, span
from .libav import faults_as, film_stream, open_film, packets_of
from .routes import NO_TEXT, Route

# tags that describe the old file and not the film
_FILE_TAGS = frozenset(
    ("major_brand", "minor_version", "compatible_brands", "encoder", "duration", "vendor_id", "handler_name")
    + ("filename", "mimetype")  # of an attached file
)
_STATISTICS = ("_STATISTICS", "NUMBER_OF", "BPS")
# covers as Matroska's attached files: libav's codec -> the part of a MIME type, and that -> the ending of a name
_PICTURES = {"mjpeg": "jpeg"}
_ENDINGS = {"jpeg": "jpg"}
_UNTIMED = Fraction(-(1 << 40))  # seconds that packets without a time are sorted by


class SideStreams:
    """The streams of `beside` on their way into `output`.

    Adds them, chapters and tags to `output`, to which the video stream must have been added before.

    Args:
        only: number of the one stream that is taken; None takes all.

    Attributes:
        notes: sentences that name each stream that is lost, converted or repaired; complete once all packets are read.
        silenced: what sentences call the sound that is dropped, though it was not asked to be.
        names: what sentences call the streams that are taken, by their numbers.
        sums: CRC-32 of what was taken of each stream so far, by its number.
    """

    def __init__(self, beside: Beside, output: av.container.OutputContainer, only: int | None = None):
        self.path = os.fspath(beside.path)
        self.notes: list[str] = []
        self.silenced: list[str] = []
        self.names: dict[int, str] = {}
        self.sums: dict[int, int] = {}
        self._beside, self._output = beside, output
        self._format = output.format.name
        self._input = open_film(self.path)
        self._film = film_stream(self._input)
        self._ways = Ways(beside, output, self.notes)
        self._routes: dict[int, Route] = {}
        for stream in self._input.streams:
            if (self._film is None or stream.index != self._film.index) and only in (None, stream.index):
                self._add(stream)
        output.metadata.update(film_tags(self._input.metadata))
        if self._film is not None:
            _tag(output.streams.video[0], self._film, self._format)
            output.streams.video[0].disposition = self._film.disposition

    def close(self) -> None:
        """Close the film; `output` stays open."""
        self._input.close()

    # --- which way a stream goes ----------------------------------------------------------------------------------

    def _add(self, stream: Any) -> None:
        name = f"{stream.type} stream #{stream.index}"
        cover = bool(stream.disposition & Disposition.attached_pic)
        if stream.type == "video" and not cover:
            return  # the reader of the pictures names it
        asked = {"audio": self._beside.audio, "subtitle": self._beside.subtitles}.get(stream.type)
        if asked == NONE:
            self._ways.note(f"{'sound is' if stream.type == 'audio' else 'subtitles are'} left out, as asked")
            return
        if stream.type == "attachment" and self._format == "matroska":
            self._output.add_stream_from_template(stream)
            self.sums[stream.index] = zlib.crc32(stream.data or b"")
            return
        codec = getattr(stream.codec_context, "codec", None)
        if codec is None:
            self._drop_unknown(stream, name)
            return
        what = f"the {name} ({codec.canonical_name})"
        if cover and self._format == "matroska":
            kind = _PICTURES.get(codec.canonical_name, codec.canonical_name)
            data = _only_packet(self.path, stream.index)
            self._output.add_attachment(f"cover.{_ENDINGS.get(kind, kind)}", f"image/{kind}", data)
            self.sums[stream.index] = zlib.crc32(data)
            return
        route = self._ways.route(stream, what, cover)
        if route is None:
            self.silenced += [what] if stream.type == "audio" else []
            return
        _tag(route.stream, stream, self._format)
        route.stream.disposition = stream.disposition
        self._routes[stream.index], self.names[stream.index] = route, what

    def _drop_unknown(self, stream: Any, name: str) -> None:
        """Name a stream that libav knows no codec for, unless what it says is kept elsewhere."""
        # the titles of an MP4's chapters are a data stream, which set_chapters writes anew
        titles = stream.type == "data" and stream.name == "bin_data" and self._input.chapters()
        # libav's muxers make a track, or a tag, of the film's time code
        tags = self._film.metadata if self._film is not None else {}
        code = stream.metadata.get("timecode")
        if not titles and (code is None or code != tags.get("timecode", self._input.metadata.get("timecode"))):
            self._ways.note(f"the {name} is dropped; {self._format} cannot hold it")

    # --- what is read ---------------------------------------------------------------------------------------------

    def chapters(self, start: Fraction | None = None, end: Fraction | None = None) -> list[Any]:
        """The film's chapters within [start, end), seconds on the file's clock, with `start` as their new zero; those
        of all that `beside` tells of where no part is given."""
        if start is None:
            start = self._beside.clock.origin
            end = None if self._beside.until is None else start + self._beside.until
        kept = []
        for chapter in chapters_of(self._input):
            base = chapter["time_base"] or Fraction(1, av.time_base)
            first, last = span(chapter)
            if last > start and (end is None or first < end):
                first, last = max(first, start) - start, (last if end is None else min(last, end)) - start
                kept.append(chapter | {"start": round(first / base), "end": round(last / base), "time_base": base})
        return filled(kept) if self._format in ("mp4", "mov") else kept

    def packets(self, start: Fraction | None = None, end: Fraction | None = None) -> Iterator[av.Packet]:
        """Packets for the output in the input's order.

        With `start` (seconds on the file's clock) those that are a part of the film, [start, end), moved so that
        `start` becomes zero; else all that `beside` tells of, by its clock.
        """
        for stream in self._input.streams:
            if stream.index not in self._routes:
                stream.discard = Discard.all
        if not self._routes:
            return
        with faults_as(InputError, f"the sound or subtitles of {self.path} cannot be read"):
            if start is not None:
                self._input.seek(int(start * av.time_base), backward=True)
                taken = self._taken(lambda packet: -start, None if end is None else end - start, True)
            else:
                clocks = {index: self._beside.clock.follow() for index in self._routes}
                taken = self._taken(lambda p: clocks[p.stream_index].shift(p), self._beside.until, False)
            for packet in taken:
                yield from self._fed(packet.stream.index, packet)
            for index in self._routes:
                yield from self._fed(index, None)
        for index, route in self._routes.items():
            self.notes += route.notes(self.names[index])

    def _taken(self, shift: Callable[[av.Packet], Fraction], end: Fraction | None, part: bool) -> Iterator[av.Packet]:
        """The packets that are read, each moved by its `shift` (seconds), up to `end` on the output's clock; of sound
        those before 0 only where that is not `part` of a film that goes on before."""
        open_ends = set(self._routes)
        for packet in packets_of(self._input, *(self._input.streams[i] for i in self._routes)):
            if not packet.size:
                continue
            stream, given = packet.stream, packet.pts if packet.pts is not None else packet.dts
            if given is None or stream.disposition & Disposition.attached_pic:
                yield packet
                continue
            moved = shift(packet)
            time = given * packet.time_base + moved
            if end is not None and time >= end:
                open_ends.discard(stream.index)
                if not open_ends:
                    return
                continue
            # a subtitle that began earlier may be shown still
            if part and time < 0 and not (stream.type == "subtitle" and packet.duration):
                continue
            ticks = round(moved / packet.time_base)
            packet.pts = None if packet.pts is None else packet.pts + ticks
            packet.dts = None if packet.dts is None else packet.dts + ticks
            if stream.type != "subtitle" or _shown(packet, end):
                yield packet

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
        # MP4 keeps a time code as a track
        track = {"timecode"} if any("timecode" in stream.metadata for stream in written.streams) else set()
        for what, old, new in pairs:
            here = {key.lower() for key in stream_tags(new)} | track
            tags = [key for key in stream_tags(old) if key.lower() not in here]
            if tags:
                notes.append(f"tags of the {what} that {self._format} cannot hold are dropped: {', '.join(tags)}")
        if len(chapters_of(written)) < len(chapters_of(self._input)):
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
        if packet.size and not (names[index][1] == "mov_text" and bytes(packet) == NO_TEXT):
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

    def begins(self, pictures: Fraction) -> Fraction:
        """Seconds of the first packet of all, where that of pictures comes at `pictures`. What sound's decoder needs
        before counts from where that is over, as far as the stream says."""
        if self._next is None or (time := _seconds(self._next)) == _UNTIMED:
            return pictures
        stream: Any = self._next.stream
        if stream.type == "audio":
            time += Fraction(stream.codec_context.delay, stream.codec_context.sample_rate or 1)
        return min(time, pictures)

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
    return _UNTIMED if time is None else time * packet.time_base


def _only_packet(path: str, index: int) -> bytes:
    """The cover that a stream consists of. Raises InputError."""
    with faults_as(InputError, f"the cover of {path} cannot be read"), open_film(path) as film:
        for other in film.streams:
            if other.index != index:
                other.discard = Discard.all
        return next((bytes(packet) for packet in packets_of(film, film.streams[index]) if packet.size), b"")


def _shown(packet: av.Packet, end: Fraction | None) -> bool:
    """Let a subtitle begin at 0 at the earliest and end at `end` (seconds) at the latest; whether it is shown at all
    then. One that does not say how long is shown is shown."""
    if packet.pts is None:
        return True
    last = packet.pts + (packet.duration or 0)
    if packet.pts < 0 < (packet.duration or 0) and last <= 0:
        return False
    if packet.duration:
        if end is not None:
            last = min(last, int(end / packet.time_base))
        packet.duration = max(last - max(packet.pts, 0), 1)
    if packet.pts < 0:
        packet.pts = packet.dts = 0
    return True


def _tag(new: Any, old: Any, container: str) -> None:
    tags = stream_tags(old.metadata)
    # either container has one place for a title
    tags.pop("title" if container in ("mp4", "mov") else "handler_name", None)
    new.metadata.update(tags)


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
