"""EXIF as far as a picture's place is told by it: its orientation, read and written.

EXIF is a TIFF structure (CIPA DC-008): a header, and a directory of entries of 12 bytes whose offsets count from the
header. Nothing of it is trusted: what does not fit tells no orientation.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from typing import NamedTuple

ORIENTATION = 0x0112
_SHORT, _LONG = 3, 4
_ORDERS = {b"II*\0": "<", b"MM\0*": ">"}
_EMPTY = b"MM\0*\0\0\0\x08\0\0\0\0\0\0"  # a directory of no entries

# orientation -> (turns of 90 degrees anticlockwise, mirror axis or None), as irot and imir of HEIF; the turn is first
TURNS: dict[int, tuple[int, int | None]] = {
    2: (0, 1), 3: (2, None), 4: (0, 0), 5: (1, 0), 6: (3, None), 7: (3, 0), 8: (1, None)
}  # fmt: skip


def orientation(exif: bytes) -> int:
    """The orientation 1..8 that EXIF tells (tag 0x0112 of the first directory), 1 where it tells none."""
    for at, tag in _entries(exif):
        if tag == ORIENTATION:
            kind, number, value = struct.unpack_from(_ORDERS[exif[:4]] + "HIH", exif, at + 2)
            return value if (kind, number) == (_SHORT, 1) and 1 <= value <= 8 else 1
    return 1


def with_orientation(exif: bytes, wanted: int) -> bytes:
    """EXIF that tells the orientation `wanted`, all else as in `exif`. What is no EXIF stays as it is where `wanted` is
    1, and is otherwise replaced by one that tells nothing else."""
    if orientation(exif) == wanted:
        return exif
    entries = list(_entries(exif))
    if not entries:
        exif = _EMPTY
    order = _ORDERS[exif[:4]]
    own = struct.pack(order + "HHIHH", ORIENTATION, _SHORT, 1, wanted, 0)
    for at, tag in entries:
        if tag == ORIENTATION:
            return exif[:at] + own + exif[at + 12 :]
    # a new first directory, at the end: entries are sorted, and their offsets stay true
    kept = sorted([own, *(exif[at : at + 12] for at, _ in entries)], key=lambda e: struct.unpack(order + "H", e[:2]))
    (first,) = struct.unpack_from(order + "I", exif, 4)
    following = exif[first + 2 + 12 * len(entries) :][:4].ljust(4, b"\0")
    body = exif[:4] + struct.pack(order + "I", len(exif) + len(exif) % 2) + exif[8:] + bytes(len(exif) % 2)
    return body + struct.pack(order + "H", len(kept)) + b"".join(kept) + following


def tells_more(exif: bytes) -> bool:
    """Whether EXIF tells anything but an orientation."""
    return any(tag != ORIENTATION for _, tag in _entries(exif))


def turned(turn: int, mirror: int | None) -> int:
    """The orientation that a turn and then a mirror axis are, as in `TURNS`."""
    if mirror is not None and turn >= 2 and (turn, mirror) not in TURNS.values():
        turn, mirror = turn - 2, 1 - mirror  # half a turn is both mirrors
    elif (turn, mirror) == (1, 1):
        turn, mirror = 3, 0
    return next((number for number, found in TURNS.items() if found == (turn, mirror)), 1)


def _entries(exif: bytes) -> Iterator[tuple[int, int]]:
    """(position, tag) of the entries of the first directory that are there."""
    order = _ORDERS.get(exif[:4])
    if order is None or len(exif) < 8:
        return
    (at,) = struct.unpack_from(order + "I", exif, 4)
    if at + 2 > len(exif):
        return
    (count,) = struct.unpack_from(order + "H", exif, at)
    for entry in range(at + 2, min(at + 2 + 12 * count, len(exif) - 11), 12):
        yield entry, struct.unpack_from(order + "H", exif, entry)[0]


class Entry(NamedTuple):
    """A tag with its kind, the number of its values, and these as they lie in a file."""

    tag: int
    kind: int
    number: int
    values: bytes


def built(order: str, entries: Iterable[Entry], nested: dict[int, list[Entry]]) -> bytes:
    """EXIF of a first directory of `entries` and of further ones, to which tags of the first point; `order` of bytes as
    struct writes it."""
    own, places = list(entries), dict.fromkeys(nested, 0)

    def first() -> bytes:
        pointers = [Entry(tag, _LONG, 1, struct.pack(order + "I", at)) for tag, at in places.items()]
        return _laid(order, [*own, *pointers], 8)

    at, parts = 8 + len(first()), []
    for tag, inner in nested.items():
        places[tag] = at
        parts.append(_laid(order, inner, at))
        at += len(parts[-1])
    magic = next(magic for magic, found in _ORDERS.items() if found == order)
    return magic + struct.pack(order + "I", 8) + first() + b"".join(parts)


def _laid(order: str, entries: list[Entry], at: int) -> bytes:
    """A directory that begins at `at`, and behind it the values that do not fit into its entries."""
    table, beyond = b"", b""
    behind = at + 2 + 12 * len(entries) + 4
    for tag, kind, count, values in sorted(entries):
        place = values.ljust(4, b"\0")
        if len(values) > 4:
            place = struct.pack(order + "I", behind + len(beyond))
            beyond += values + bytes(len(values) % 2)
        table += struct.pack(order + "HHI", tag, kind, count) + place
    return struct.pack(order + "H", len(entries)) + table + bytes(4) + beyond
