"""Directories of TIFF: which pages a file has, and what its tags say. Samples are read by `codec.media.tiff_samples`.

References: TIFF 6.0 (Adobe, 1992), its supplement 1, and BigTIFF. Nothing is trusted: what a tag points at must lie
within the file, else FormatError.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import FormatError
from ..settings import PAGES_MAX
from ..wire.exif import ORIENTATION, Entry, built
from .attributes import Attributes

CLASSIC = (b"II*\0", b"MM\0*")
BIG = (b"II+\0", b"MM\0+")
MAGICS = (*CLASSIC, *BIG)
WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC, FILL_ORDER = 256, 257, 258, 259, 262, 266
OFFSETS, SAMPLES, ROWS_PER_STRIP, BYTE_COUNTS, PLANAR, PREDICTOR, PALETTE = 273, 277, 278, 279, 284, 317, 320
TILE_WIDTH, TILE_HEIGHT, TILE_OFFSETS, TILE_BYTE_COUNTS, EXTRA, FORMAT = 322, 323, 324, 325, 338, 339
XMP, IPTC, PHOTOSHOP, ICC, EXIF, GPS = 700, 33723, 34377, 34675, 34665, 34853
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_WHOLE = {1: "u1", 3: "u2", 4: "u4", 13: "u4", 16: "u8"}  # kinds of whole numbers
_SHORT, _UNDEFINED = 3, 7
_KIND_MAX = 12  # of what EXIF has
_ENTRIES_MAX = 4096
_ABOUT = (270, 271, 272, ORIENTATION, 305, 306, 315, 33432)  # what EXIF's own first directory tells too
_WORTH = {271, 272, 315, 33432}  # without any of these, or what EXIF alone tells, there is no need of EXIF
_NESTED = {40965}  # a directory within EXIF's, which only says what kind of EXIF it is


@dataclass(frozen=True)
class Directory:
    """What a directory says: of each tag the kind, how many values, and where they lie. `order` as NumPy and struct
    write it."""

    data: bytes
    order: str
    at: int
    entries: dict[int, tuple[int, int, int]]
    places: dict[int, int]  # of each tag, where its entry lies

    def numbers(self, tag: int) -> NDArray[Any]:
        """Whole numbers of a tag, none where there is none. Raises FormatError."""
        if tag not in self.entries:
            return np.zeros(0, np.int64)
        kind, count, _ = self.entries[tag]
        if kind not in _WHOLE:
            raise FormatError(f"tag {tag} of the TIFF is of another kind than whole numbers")
        return np.frombuffer(self.bytes(tag), self.order + _WHOLE[kind], count).astype(np.int64)

    def number(self, tag: int, default: int = 0) -> int:
        """The first number of a tag. Raises FormatError."""
        found = self.numbers(tag)
        return int(found[0]) if len(found) else default

    def bytes(self, tag: int) -> bytes:
        """The values of a tag as they lie in the file, empty where there is none. Raises FormatError."""
        kind, count, at = self.entries.get(tag, (1, 0, 0))
        size = _SIZES.get(kind, 1) * count
        if at + size > len(self.data):
            raise FormatError(f"tag {tag} of the TIFF lies beyond its end")
        return self.data[at : at + size]


def _places(data: bytes, order: str, big: bool) -> list[int]:
    """Where the directories of a file lie, up to one that cannot be read. Raises FormatError where the first cannot."""
    count_form, at_form = ("Q", "Q") if big else ("H", "I")
    head, wide = struct.calcsize(order + count_form), 20 if big else 12
    found: dict[int, None] = {}
    at = _number(data, order + at_form, 8 if big else 4)
    while at and at not in found and len(found) < PAGES_MAX:
        count = _number(data, order + count_form, at)
        following = None if count is None else _number(data, order + at_form, at + head + count * wide)
        if following is None:
            break
        found[at] = None
        at = following
    if not found:
        raise FormatError("the TIFF is cut off" if at is None or at else "it has no page 1: there are 0")
    return list(found)


def _number(data: bytes, form: str, at: int) -> int | None:
    """A number that lies in the file, None where that ends before."""
    size = struct.calcsize(form)
    return int(struct.unpack_from(form, data, at)[0]) if 0 <= at <= len(data) - size else None


def _directory(data: bytes, order: str, big: bool, at: int) -> Directory:
    """The directory that lies at `at`. Raises FormatError where the file ends before, or it is larger than any is."""
    count_form, form, at_form = ("Q", "HHQ", "Q") if big else ("H", "HHI", "I")
    count = _number(data, order + count_form, at)
    first, inline = at + struct.calcsize(order + count_form), struct.calcsize(order + at_form)
    wide = struct.calcsize(order + form) + inline
    if count is None or first + count * wide > len(data):
        raise FormatError("the TIFF is cut off")
    if count > _ENTRIES_MAX:
        raise FormatError(f"a page of the TIFF has {count} tags: {_ENTRIES_MAX} are allowed")
    entries: dict[int, tuple[int, int, int]] = {}
    places: dict[int, int] = {}
    for here in range(first, first + count * wide, wide):
        tag, kind, values = struct.unpack_from(order + form, data, here)
        place = here + wide - inline
        (offset,) = struct.unpack_from(order + at_form, data, place)
        if tag not in entries:
            entries[tag] = kind, values, place if _SIZES.get(kind, 1) * values <= inline else offset
            places[tag] = here
    return Directory(data, order, at, entries, places)


def page_of(data: bytes, page: int) -> tuple[Directory, int]:
    """(page number `page`, 1 the first; how many there are). Raises FormatError where there is none of that number. The
    entries of that page alone are looked at: directories may lie across each other, and be long."""
    order, big = "<" if data[:2] == b"II" else ">", data[:4] in BIG
    places = _places(data, order, big)
    if not 1 <= page <= len(places):
        raise FormatError(f"it has no page {page}: there are {len(places)}")
    return _directory(data, order, big, places[page - 1]), len(places)


def look(page: Directory, beside: Attributes) -> None:
    """Tell what the tags of a page say beside its samples: profile, EXIF with the orientation; what is not kept."""
    beside.icc = page.bytes(ICC)
    beside.exif = _exif_of(page)
    for tag, name in ((XMP, "its XMP"), (IPTC, "its IPTC"), (PHOTOSHOP, "its IPTC")):
        if tag in page.entries:
            beside.lose(name)


def with_tags(data: bytes, icc: bytes, turned: int) -> bytes:
    """A small TIFF of one page that tells a profile, where there is one, and an orientation: its directory is written
    anew behind the rest."""
    page, _ = page_of(data, 1)
    form, data = page.order + "HHI", data + bytes(len(data) % 2)
    kept = {tag: data[at : at + 12] for tag, at in page.places.items()}
    kept[ORIENTATION] = struct.pack(form + "HH", ORIENTATION, _SHORT, 1, turned, 0)
    if icc:
        kept[ICC] = struct.pack(form + "I", ICC, _UNDEFINED, len(icc), len(data) + 2 + 12 * (len(kept) + 1) + 4)
    table = b"".join(entry for _, entry in sorted(kept.items()))
    first = struct.pack(page.order + "I", len(data))
    return data[:4] + first + data[8:] + struct.pack(page.order + "H", len(kept)) + table + bytes(4) + icc


def _exif_of(page: Directory) -> bytes:
    """EXIF that says what the page's tags do: a TIFF structure without a picture, empty where that is nothing."""
    turned = page.number(ORIENTATION, 1) in range(2, 9)
    if not turned and not (_WORTH | {EXIF, GPS}) & page.entries.keys():
        return b""
    nested: dict[int, list[Entry]] = {}
    for tag in (EXIF, GPS):
        try:
            inner = _directory(page.data, page.order, page.data[:4] in BIG, page.number(tag, len(page.data)))
        except FormatError:
            continue
        nested[tag] = _entries(inner, sorted(inner.entries.keys() - _NESTED))
    return built(page.order, _entries(page, _ABOUT), nested)


def _entries(directory: Directory, tags: Iterable[int]) -> list[Entry]:
    """The tags that are there, and whole, of kinds that EXIF has; no more of them than the file is long."""
    found: list[Entry] = []
    room = len(directory.data)
    for tag in tags:
        kind, count, _ = directory.entries.get(tag, (0, 0, 0))
        room -= _SIZES.get(kind, 1) * count
        if 0 < kind <= _KIND_MAX and room >= 0:
            try:
                found.append(Entry(tag, kind, count, directory.bytes(tag)))
            except FormatError:
                continue
    return found
