"""NAL units of H.264 and HEVC: the SEI messages in a packet, and whether it holds pictures beside the film's own.

Nothing here raises: what breaks the rules of its codec is for that codec's decoder to tell.
"""

from __future__ import annotations

from collections.abc import Iterator

CODECS = ("h264", "hevc")  # by libav's names
_T35 = 4  # the type of an SEI's payload
_START = b"\0\0\1"


def nal_units(packet: bytes, codec: str, extradata: bytes) -> Iterator[bytes]:
    """The NAL units of a packet. `extradata`: what its stream begins with, which tells how they are parted."""
    if extradata[:1] != b"\1":  # by start codes
        at = packet.find(_START)
        while at >= 0:
            at, begin = packet.find(_START, at + 3), at + 3
            yield packet[begin : at if at >= 0 else None]
        return
    place = 21 if codec == "hevc" else 4
    at, width = 0, (extradata[place] & 3) + 1 if len(extradata) > place else 4
    while at + width < len(packet):
        begin = at + width
        at = begin + int.from_bytes(packet[at:begin])
        yield packet[begin:at]


def t35_of(unit: bytes, codec: str) -> list[bytes]:
    """The ITU-T T.35 messages of a NAL unit, from the country code on; none where it is no SEI."""
    if codec == "hevc":
        return list(_messages(unit[2:])) if unit[0] >> 1 & 63 in (39, 40) else []  # before and after the picture
    return list(_messages(unit[1:])) if unit[0] & 31 == 6 else []


def is_beside(unit: bytes, codec: str) -> bool:
    """Whether a NAL unit is of another view or layer than the film's own pictures, or of their alpha."""
    if codec == "hevc":
        return len(unit) > 1 and bool(unit[0] & 1 or unit[1] >> 3)
    return unit[0] & 31 in (19, 20, 21)


def _messages(sei: bytes) -> Iterator[bytes]:
    """The T.35 messages of an SEI, which is a list of payloads: type, size, bytes."""
    data = sei.replace(b"\0\0\3", b"\0\0")  # without what keeps start codes out
    at = 0

    def number() -> int:
        nonlocal at
        value = 0
        while at < len(data):
            at += 1
            value += data[at - 1]
            if data[at - 1] != 0xFF:
                break
        return value

    while at + 2 < len(data):
        kind, size = number(), number()
        if kind == _T35:
            yield data[at : at + size]
        at += size
