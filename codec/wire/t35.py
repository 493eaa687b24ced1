"""Messages as ITU-T T.35 has them, from the country code on, that a picture brings with it: those that mean in another
encoding of the same pictures what they meant in the first.
"""

from __future__ import annotations

from collections.abc import Iterable

from ..errors import FormatError
from .obu import messages_of

CAPTIONS = b"\xb5\x00\x31GA94\x03"  # ATSC A/53, part 4, 6.2.3
# what a message begins with -> what it is
_KEPT = {
    b"\xb5\x00\x3c\x00\x01\x04": "HDR10+ dynamic metadata",
    b"\x26\x00\x04\x00\x05": "HDR Vivid dynamic metadata",
    CAPTIONS: "closed captions inside the video",
}
_TRIPLET, _TRIPLETS_MAX = 3, 31  # bytes of a caption, and how many a message holds


def name_of(message: bytes) -> str | None:
    """What a message is, None for one that is not kept."""
    return next((name for start, name in _KEPT.items() if message.startswith(start)), None)


def kept(messages: Iterable[bytes]) -> tuple[bytes, ...]:
    """Those that are kept."""
    return tuple(message for message in messages if name_of(message))


def messages_in(tu: bytes) -> tuple[bytes, ...]:
    """Those of an AV1 temporal unit that are kept; none where it is damaged, which its decoder will tell."""
    try:
        return kept(messages_of(tu))
    except FormatError:
        return ()


def caption_messages(triplets: bytes) -> tuple[bytes, ...]:
    """The closed captions of a picture, as libav has them, as messages."""
    step = _TRIPLET * _TRIPLETS_MAX
    runs = (triplets[at : at + step] for at in range(0, len(triplets), step))
    return tuple(CAPTIONS + bytes([0x40 | len(run) // _TRIPLET, 0xFF]) + run + b"\xff" for run in runs)
