"""The checksums that FFV1 keeps of its slices (RFC 9043, 4.9): libav's decoder says nothing where they fail, and shows
what was in the slice's place before.

A packet is slices one after the other, each with its size in 3 bytes, a byte of status and a CRC-32 at its end.
"""

from __future__ import annotations

import zlib

_TRAILER = 8
_STARTS = (0, 0x7A8C4079)  # what the CRC begins with, in the two ways of writing it
_MIRRORED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


class SliceSums:
    """Compares the packets of one stream with their checksums, once it is known that they have such."""

    def __init__(self) -> None:
        self._start: int | None = None

    def fail(self, packet: bytes) -> bool:
        """Whether the packet is damaged, as far as is known."""
        if self._start is None:
            self._start = next((start for start in _STARTS if _whole(packet, start)), None)
            return False
        return not _whole(packet, self._start)


def _whole(packet: bytes, start: int) -> bool:
    """Whether the packet consists of slices whose CRC, begun with `start`, leaves nothing."""
    end = len(packet)
    while end >= _TRAILER:
        begin = end - _TRAILER - int.from_bytes(packet[end - _TRAILER : end - _TRAILER + 3])
        if begin < 0 or _remainder(packet[begin:end], start):
            return False
        end = begin
    return end == 0


def _remainder(data: bytes, start: int) -> int:
    """The CRC with the most significant bit first, which zlib has with the least significant one first; mirrored."""
    mirrored = int(f"{start:032b}"[::-1], 2)
    return zlib.crc32(data.translate(_MIRRORED), mirrored ^ 0xFFFFFFFF) ^ 0xFFFFFFFF
