"""What is heard of packets of sound: how many samples each holds, and which ones the container hides.

An edit list of MP4 hides what comes before the sound begins, all of which is there in the packets; other containers can
at most say what a coder adds.
"""

from __future__ import annotations

import re
import struct
from collections import deque
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
from av.codec.context import Flags2

# packets before the first that is heard, without which its decoder does not give the same samples
_NEEDED = {"mp3": 3, "opus": 4}
_PLAIN = re.compile(r"pcm_(?:[suf](\d+)(?:le|be)?|alaw|mulaw)")
_SILENCE = {"pcm_u8": b"\x80", "pcm_alaw": b"\xd5", "pcm_mulaw": b"\xff"}


@dataclass(frozen=True)
class Plain:
    """Samples without a coder. `unit`: bytes of a sample of all channels; `silence`: the byte that silence is."""

    unit: int
    silence: bytes


def plain_of(context: Any) -> Plain | None:
    """How samples lie in the packets of a codec; None where they are coded."""
    name = context.codec.canonical_name if context.codec else ""
    found = _PLAIN.fullmatch(name)
    if found is None or not context.layout.nb_channels:
        return None
    return Plain(int(found[1] or 8) // 8 * context.layout.nb_channels, _SILENCE.get(name, b"\0"))


def trimmed(packet: av.Packet) -> tuple[int, int]:
    """Samples that the decoder is to drop at the packet's beginning and end."""
    if not packet.has_sidedata("skip_samples"):
        return 0, 0
    begin, end = struct.unpack_from("<2I", bytes(packet.get_sidedata("skip_samples")))
    return begin, end


class Sizes:
    """Tells how many samples packets hold, which come in order. Where neither the codec nor the packet says, they are
    decoded: a duration of whole milliseconds is not exact, and may be without what is trimmed."""

    def __init__(self, context: Any, plain: Plain | None):
        self._context, self._plain = context, plain
        self._rate, self._frame = context.sample_rate, context.frame_size
        self._begun = False
        if not self._frame and plain is None:
            context.flags2 |= Flags2.skip_manual
            context.thread_count = 1

    def of(self, packet: av.Packet, told: int) -> int:
        """Samples of a packet, `told` where it cannot be decoded; none where it is but the beginning of an overlap."""
        if self._frame or self._plain is not None:
            return self._frame if self._plain is None else packet.size // self._plain.unit
        try:
            frames = self._context.decode(packet)
        except (av.FFmpegError, ValueError):
            return told
        size = sum(round(Fraction(frame.samples * self._rate, frame.sample_rate)) for frame in frames)
        begun, self._begun = self._begun, True
        return size if size or not begun else told


class Hidden:
    """Leaves out packets that are hidden, but for those that a decoder needs for what comes after. `seconds`: of what
    is left out."""

    def __init__(self, context: Any, plain: Plain | None):
        codec = context.codec
        self._needed = 0 if codec.lossless else _NEEDED.get(codec.canonical_name, 1)
        self._rate, self._plain = context.sample_rate, plain
        self._held: deque[av.Packet] = deque()
        self._begin: Fraction | None = None  # seconds, where sound is heard
        self.seconds = Fraction(0)

    def feed(self, packet: av.Packet) -> list[av.Packet]:
        """What is kept, now that a packet was read."""
        if packet.pts is None:
            return [packet]
        begin = packet.pts * packet.time_base
        length = (packet.duration or 0) * packet.time_base
        if self._begin is None:
            self._begin = begin + Fraction(trimmed(packet)[0], self._rate or 1)
        if packet.is_discard or (length and begin + length <= self._begin):
            self._held.append(packet)
            if len(self._held) > self._needed:
                left = self._held.popleft()
                self.seconds += (left.duration or 0) * left.time_base
            return []
        kept = [*self._held, packet if self._plain is None else self._cut(packet, self._begin - begin)]
        self._held.clear()
        return kept

    def _cut(self, packet: av.Packet, hidden: Fraction) -> av.Packet:
        """A packet of plain samples without the first seconds."""
        assert self._plain is not None and packet.pts is not None
        count = round(hidden * self._rate)
        if count <= 0:
            return packet
        cut = av.Packet(bytes(packet)[count * self._plain.unit :])
        ticks = round(hidden / packet.time_base)
        cut.pts = cut.dts = packet.pts + ticks
        cut.duration, cut.time_base = max((packet.duration or 0) - ticks, 0), packet.time_base
        cut.is_keyframe = packet.is_keyframe
        return cut
