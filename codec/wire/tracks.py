"""What lies beside the pictures of a film, as its encoder wrote it: the payload of kind 4.

For each track the number of its packets, and size and CRC-32 of their bytes in order, one after the other; where a
packet ends does not count, as containers divide plain samples of sound each in its own way. Times are not covered:
containers round them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ..errors import FormatError
from .fields import TRACKS, WORD_MAX, Record, length, one_of, seal, text, unseal, wire

KINDS = {"audio": 1, "subtitle": 2, "cover": 3, "attachment": 4}


@dataclass(frozen=True)
class Track(Record, what="the record of a track"):
    """One track. `codec`: libav's name of what its packets hold, empty for an attachment; `size` in bytes."""

    kind: str = one_of("B", KINDS)
    packets: int = wire("I", 0, WORD_MAX)  # information
    size: int = wire("Q", 0, (1 << 63) - 1)
    crc: int = wire("I", 0, WORD_MAX)
    codec_bytes = length("codec", "B", 63)
    codec: str = text("codec_bytes")

    @property
    def name(self) -> str:
        """What sentences call it."""
        return f"the {self.kind} track ({self.codec})" if self.codec else f"the {self.kind}"


def write_tracks(tracks: Iterable[Track]) -> bytes:
    """The payload that says what tracks there are. Raises FormatError where one is not legal."""
    return seal(TRACKS, b"".join(track.pack() for track in tracks))


def read_tracks(payload: bytes) -> tuple[Track, ...]:
    """Inverse of `write_tracks`. Raises FormatError."""
    kind, body = unseal(payload)
    if kind != TRACKS:
        raise FormatError("a payload does not tell of tracks")
    tracks = []
    while body:
        track, body = Track.read(body)
        tracks.append(track)
    return tuple(tracks)
