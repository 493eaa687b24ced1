"""Ways of one stream beside the pictures into another container: `Copy` passes packets on byte for byte; those of
`codec.media.sound` and `codec.media.texts` convert what the container cannot hold.
"""

from __future__ import annotations

import io
from abc import ABC, abstractmethod
from collections.abc import Callable
from fractions import Fraction
from math import ceil
from typing import Any

import av

from .heard import Hidden, Sizes, plain_of, trimmed
from .timeline import clock

# libav's usual layouts, by the number of channels
LAYOUTS = {
    1: "mono", 2: "stereo", 3: "2.1", 4: "4.0", 5: "5.0", 6: "5.1", 7: "6.1", 8: "7.1", 10: "5.1.4", 12: "7.1.4",
    16: "hexadecagonal", 24: "22.2",
}  # fmt: skip
_PRIMING = Fraction(1, 10)  # seconds that a coder of sound adds before the beginning, at most
_SILENT = 4096  # samples of a packet of silence
SILENCE_MAX = 1 << 26  # bytes of silence for one gap
NO_TEXT = b"\0\0"  # a sample of mov_text that shows nothing: muxers fill gaps with it


class Route(ABC):
    """What becomes of one stream. `stream`: that of the output; `steps`: where time stamps step back, and how often."""

    stream: Any

    def __init__(self) -> None:
        self._steps, self._first_step = 0, ""
        self._closed = Fraction(0)  # seconds of gaps too long to be filled

    @abstractmethod
    def feed(self, packet: av.Packet | None) -> list[av.Packet]:
        """What becomes of a packet, and for None what is left at the end."""

    def notes(self, name: str) -> list[str]:
        """Sentences on what was repaired or left out of what sentences call `name`; complete after the end."""
        notes = []
        if self._steps:
            others = f" and {self._steps - 1} other times" if self._steps > 1 else ""
            where = f"{self._first_step}{others}; packets there follow the one before at once"
            notes.append(f"the time stamps of {name} step back at {where}")
        if self._closed:
            notes.append(f"gaps of {float(self._closed):.3f} s in {name} are closed; what follows comes early")
        return notes

    def _stepped(self, pts: int | None, time_base: Fraction) -> None:
        if not self._steps:
            self._first_step = clock(pts, time_base)
        self._steps += 1


class Copy(Route):
    """Passes packets on as they are.

    Where the container has no edit lists, sound that one hides is left out; where it has no gaps between plain samples,
    which is MP4, there is silence in their place.
    """

    def __init__(self, output: av.container.OutputContainer, stream: Any):
        super().__init__()
        self.stream = added_stream(output, stream)
        context, sound = stream.codec_context, stream.type == "audio"
        # muxers refuse packets that are decoded before the one before them, MP4's those of sound at the same time too
        self._least = int(sound)
        self._last: Fraction | None = None
        self._lists = output.format.name in ("mp4", "mov")
        # MP4 times sound in samples, Matroska and MPEG-TS in ticks of their own
        self._rate = context.sample_rate if sound and self._lists else 0
        self._plain = plain_of(context) if sound else None
        self._sizes = Sizes(context, self._plain) if self._rate else None
        self._hidden = Hidden(context, self._plain) if sound and not self._lists else None
        self._next: int | None = None
        self._filled: int | None = None  # where plain samples end
        # libav's MP4 muxer fills the gaps between subtitles with empty samples, and would do so twice
        fills = context.name == "mov_text" and self._lists
        self._filler = NO_TEXT if fills else None

    def feed(self, packet: av.Packet | None) -> list[av.Packet]:
        if packet is None or bytes(packet) == self._filler:
            return []
        return [made for one in self._heard(packet) for made in self._copied(one)]

    def notes(self, name: str) -> list[str]:
        notes = super().notes(name)
        if self._hidden is not None and self._hidden.seconds > _PRIMING:
            hidden = f"{float(self._hidden.seconds):.3f} s of {name}"
            notes.append(f"{hidden}, which the source holds but hides, are left out")
        return notes

    def _heard(self, packet: av.Packet) -> list[av.Packet]:
        return [packet] if self._hidden is None else self._hidden.feed(packet)

    def _copied(self, packet: av.Packet) -> list[av.Packet]:
        copy = copied(packet, self.stream)
        if self._rate and packet.pts is not None and packet.time_base != Fraction(1, self._rate):
            self._time_in_samples(copy)
        silence = self._silence(copy)
        self._put_in_order(copy)
        return [*silence, copy]

    def _put_in_order(self, packet: av.Packet) -> None:
        """Let a packet that is said to be decoded before the last one follow it at once, as ffmpeg does."""
        if packet.dts is None:
            return
        base = packet.time_base
        if self._last is not None and (packet.dts - self._least) * base < self._last:
            self._stepped(packet.dts, base)
            packet.dts = ceil(self._last / base) + self._least
            packet.pts = packet.dts if packet.pts is None else max(packet.pts, packet.dts)
        self._last = packet.dts * base

    def _time_in_samples(self, packet: av.Packet) -> None:
        """Give a packet the time in samples that its rounded time stands for.

        Packets of sound follow each other without gaps, so each begins where the one before ends, as long as that
        is within a tick of what the file says. Thus a millisecond's rounding neither shifts the sound nor fills the
        MP4's tables with jitter.
        """
        assert packet.pts is not None and self._sizes is not None
        tick = packet.time_base * self._rate
        given = packet.pts * tick
        skip, discard = trimmed(packet)
        expected = -skip if self._next is None else self._next
        begin = expected if abs(expected - given) <= max(tick, 1) else round(given)
        told = round((packet.duration or 0) * tick)
        size = self._sizes.of(packet, told)
        packet.pts = packet.dts = begin
        # demuxers take what is trimmed at the end off the duration, or not
        packet.duration = max(size - discard, 0) or told
        packet.time_base = Fraction(1, self._rate)
        self._next = begin + size

    def _silence(self, packet: av.Packet) -> list[av.Packet]:
        """Silence that fills the gap before a packet of plain samples, which MP4 puts one behind the other."""
        if self._plain is None or not self._rate or packet.pts is None or packet.time_base != Fraction(1, self._rate):
            return []
        begin, end = packet.pts, self._filled
        self._filled = begin + packet.size // self._plain.unit
        if end is None or begin <= end:
            return []
        if (begin - end) * self._plain.unit > SILENCE_MAX:
            self._closed += Fraction(begin - end, self._rate)
            return []
        return [self._silent(at, min(_SILENT, begin - at)) for at in range(end, begin, _SILENT)]

    def _silent(self, at: int, count: int) -> av.Packet:
        """A packet of so many samples of silence."""
        assert self._plain is not None
        packet = av.Packet(self._plain.silence * (count * self._plain.unit))
        packet.pts = packet.dts = at
        packet.duration, packet.time_base = count, Fraction(1, self._rate)
        packet.is_keyframe, packet.stream = True, self.stream
        return packet


def added_stream(output: av.container.OutputContainer, stream: Any) -> Any:
    """A stream of `output` for packets like those of `stream`. Sound whose channels have no places, as plain samples in
    Matroska and AVI, gets the usual ones for their number, without which MP4 cannot hold it."""
    new: Any = output.add_stream_from_template(stream, opaque=True)
    if stream.type == "audio":
        new.codec_context.layout = placed(new.codec_context.layout)
    return new


def placed(layout: Any) -> Any:
    """A layout of channels, or the usual one for their number where it does not say where they are."""
    usual = LAYOUTS.get(layout.nb_channels)
    return av.AudioLayout(usual) if usual and layout.name == f"{layout.nb_channels} channels" else layout


def holds(container: str, stream: Any) -> bool:
    """Whether libav's muxer `container` takes a stream's codec."""
    return takes(container, lambda output: added_stream(output, stream))


def takes(container: str, add: Callable[[av.container.OutputContainer], Any]) -> bool:
    """Whether libav's muxer `container` takes the stream that `add` gives an output, found by writing a header to
    memory."""
    try:
        with av.open(io.BytesIO(), "w", format=container) as trial:
            add(trial)
            trial.start_encoding()
    except (av.FFmpegError, OSError, ValueError):
        return False
    return True


def copied(packet: av.Packet, stream: Any, data: bytes | None = None) -> av.Packet:
    """A packet for output `stream` with the times and side data of `packet`, and its bytes unless `data` is given."""
    copy = av.Packet(bytes(packet) if data is None else data)
    copy.pts, copy.dts, copy.duration = packet.pts, packet.dts, packet.duration
    copy.time_base, copy.is_keyframe = packet.time_base, packet.is_keyframe
    for item in packet.iter_sidedata():
        copy.set_sidedata(item)
    copy.stream = stream
    return copy
