"""The container of a still .nvc: an AVIF file, written with what we need and read with what others may have changed.

Boxes are those of ISO/IEC 14496-12 and 23008-12 (HEIF) as the AV1 Image File Format profiles them (AOM, v1.1). An item
is a picture or metadata: the primary item is the base, an auxiliary one its alpha, `Exif` the camera's notes.

Reading trusts nothing: every size is checked against the bytes there are, nothing is allocated on a file's word.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import IO

from ..errors import FormatError
from ..frames import Colour
from .exif import TURNS, orientation, turned
from .obu import TEMPORAL_DELIMITER, SequenceHeader, iter_obus, sequence_colour, sequence_header, sequence_size

PEEK = 256  # bytes that tell what a file is
_BRANDS = (b"avif", b"mif1", b"miaf")
_HEIC = (b"heic", b"heix", b"heim", b"heis", b"mif1", b"mif2")
_ALPHA = b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha\0"
_WAY = (b"trak", b"mdia", b"minf", b"stbl", b"stsz")  # from the index of tracks to one's number of samples
_REFERENCES_MAX = 64  # of a file that we read
_ITEMS_MAX = 1024  # of a file that we read; a large picture of others is made of hundreds of tiles
_DEPTH = 10  # bits a sample of the base


@dataclass(frozen=True)
class Still:
    """What an AVIF file holds: AV1 temporal units of the base and of alpha (empty without), an ICC profile and EXIF
    (TIFF structure) where there are any; width, height and colour (code points of H.273) as announced."""

    base: bytes
    alpha: bytes = b""
    icc: bytes = b""
    exif: bytes = b""
    width: int = 0
    height: int = 0
    colour: Colour = Colour()


@dataclass(frozen=True)
class Described:
    """What an AVIF file of anybody says of its picture, be it one item or a grid of tiles.

    `depth`: bits a sample; `icc`, `exif` and `colour` as of a still; `orientation` 1..8 that its boxes tell, whatever
    EXIF says; `aperture`: (left, top, width, height) of the samples that are shown, None for all; `premultiplied`:
    whether colour was multiplied by alpha; `lost`: what else there is.
    """

    depth: int = 8
    icc: bytes = b""
    exif: bytes = b""
    colour: Colour = Colour()
    orientation: int = 1
    aperture: tuple[int, int, int, int] | None = None
    premultiplied: bool = False
    lost: tuple[str, ...] = ()


def is_avif(data: bytes) -> bool:
    """Whether a file that begins so is AVIF (or HEIF that says it holds AVIF)."""
    if len(data) < 16 or data[4:8] != b"ftyp":
        return False
    size = int.from_bytes(data[:4], "big")
    brands = {data[8:12], *(data[k : k + 4] for k in range(16, min(size, len(data), PEEK) - 3, 4))}
    return b"avif" in brands


def is_heic(data: bytes) -> bool:
    """Whether a file that begins so is a HEIF picture of another codec than AV1, as of phones."""
    return data[4:8] == b"ftyp" and data[8:12] in _HEIC and not is_avif(data)


def is_still(path: str) -> bool:
    """Whether a file begins like an AVIF file: a still .nvc rather than a film."""
    if not os.path.isfile(path):  # what is read of a pipe is lost to whoever reads it next
        return False
    try:
        with open(path, "rb") as file:
            return is_avif(file.read(PEEK))
    except OSError:
        return False


def is_sequence(file: IO[bytes]) -> bool:
    """Whether `file`, of which at least the beginning can be read, is AVIF with a track of several pictures: a film,
    even where it holds a still as well. Where the index of tracks is not there to be read, its major brand tells."""
    file.seek(0)
    head = file.read(PEEK)
    if not (is_avif(head) or head[4:12] == b"ftypavis"):
        return False
    end, samples = file.seek(0, 2), None
    for kind, body, stop in _boxes_in(file, 0, end):
        if kind == b"moov":
            samples = max([0, *_samples_in(file, body, stop)])
    return head[8:12] == b"avis" if samples is None else samples > 1


def _samples_in(file: IO[bytes], at: int, end: int, depth: int = 0) -> Iterator[int]:
    """How many samples the tracks that the boxes in [at, end) describe claim to have."""
    for kind, body, stop in _boxes_in(file, at, end):
        if kind == _WAY[depth]:
            if depth + 1 < len(_WAY):
                yield from _samples_in(file, body, stop, depth + 1)
            else:
                file.seek(body + 8)
                yield int.from_bytes(file.read(4), "big")


def _boxes_in(file: IO[bytes], at: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """(kind, first byte of the contents, end) of the boxes in [at, end), as far as they lie within it."""
    while at + 8 <= end:
        file.seek(at)
        head = file.read(16)
        size, kind, body = int.from_bytes(head[:4], "big"), head[4:8], at + 8
        if size == 1:
            size, body = int.from_bytes(head[8:16], "big"), at + 16
        elif size == 0:
            size = end - at
        if size < body - at or at + size > end:
            return
        yield kind, body, at + size
        at += size


def write(still: Still, colour: Colour) -> bytes:
    """The file of `still`; its width and height are those of the base."""
    base = _without_delimiter(still.base)
    header = sequence_header(base)
    if header is None:
        raise FormatError("a base without a sequence header cannot be stored")
    writer = ItemWriter()
    nclx = _box(b"colr", b"nclx", struct.pack(">HHHB", *colour[:3], (colour.range == 2) << 7))
    shown = _sizes(header.width, header.height), False
    properties = [shown, (_full(b"pixi", 0, 0, bytes([3, *[_DEPTH] * 3])), False), (_configuration(header), True)]
    properties += [(nclx, False)]
    if still.icc:
        properties.append((_box(b"colr", b"prof", still.icc), False))
    turn, mirror = TURNS.get(orientation(still.exif), (0, None))
    turns = [(_box(b"irot", bytes([turn])), True)] if turn else []
    turns += [(_box(b"imir", bytes([mirror])), True)] if mirror is not None else []
    writer.add(b"av01", base, properties + turns)
    if still.alpha:
        alpha = _without_delimiter(still.alpha)
        aux = sequence_header(alpha)
        assert aux is not None
        found = [shown, (_full(b"pixi", 0, 0, bytes([1, _DEPTH])), False), (_configuration(aux), True)]
        found += [(_full(b"auxC", 0, 0, _ALPHA), False), *turns]
        writer.refer(b"auxl", writer.add(b"av01", alpha, found))
    if still.exif:
        writer.refer(b"cdsc", writer.add(b"Exif", bytes(4) + still.exif, []))
    return writer.finish()


def _without_delimiter(unit: bytes) -> bytes:
    kept = [unit[obu.start : obu.end] for obu in iter_obus(unit) if obu.type != TEMPORAL_DELIMITER]
    return b"".join(kept)


@dataclass
class ItemWriter:
    """Items with their properties, in the order in which they are added."""

    items: list[tuple[bytes, bytes]] = field(default_factory=list)  # kind, data
    properties: list[bytes] = field(default_factory=list)
    associations: list[list[int]] = field(default_factory=list)
    references: list[bytes] = field(default_factory=list)

    def add(self, kind: bytes, data: bytes, properties: list[tuple[bytes, bool]]) -> int:
        """An item with (property, whether a reader must understand it); returns its number."""
        indices = []
        for prop, essential in properties:
            if prop not in self.properties:
                self.properties.append(prop)
            indices.append(self.properties.index(prop) + 1 | essential << 7)
        self.items.append((kind, data))
        self.associations.append(indices)
        return len(self.items)

    def refer(self, kind: bytes, item: int) -> None:
        """`item` belongs to the first one."""
        self.references.append(_box(kind, struct.pack(">HHH", item, 1, 1)))

    def finish(self) -> bytes:
        """The file."""
        head = _box(b"ftyp", b"avif", struct.pack(">I", 0), *_BRANDS, b"MA1B")
        kinds = enumerate((kind for kind, _ in self.items), 1)
        entries = [_full(b"infe", 2, 0, struct.pack(">HH", n, 0), kind, b"\0") for n, kind in kinds]
        owned = enumerate(self.associations, 1)
        ipma = [struct.pack(">HB", n, len(found)) + bytes(found) for n, found in owned if found]
        properties = _box(
            b"iprp",
            _box(b"ipco", *self.properties),
            _full(b"ipma", 0, 0, struct.pack(">I", len(ipma)), *ipma),
        )
        references = _full(b"iref", 0, 0, *self.references) if self.references else b""

        def meta(first: int) -> bytes:
            extents, at = [], first
            for number, (_, data) in enumerate(self.items, 1):
                extents.append(struct.pack(">HHHII", number, 0, 1, at, len(data)))
                at += len(data)
            return _full(
                b"meta",
                0,
                0,
                _full(b"hdlr", 0, 0, bytes(4), b"pict", bytes(13)),
                _full(b"pitm", 0, 0, struct.pack(">H", 1)),
                _full(b"iloc", 0, 0, b"\x44\x00", struct.pack(">H", len(extents)), *extents),
                _full(b"iinf", 0, 0, struct.pack(">H", len(entries)), *entries),
                references,
                properties,
            )

        data = [data for _, data in self.items]
        first = len(head) + len(meta(0)) + 8
        return b"".join([head, meta(first), _box(b"mdat", *data)])


def _configuration(header: SequenceHeader) -> bytes:
    """The box av1C: what a player needs to know before it opens the stream. The base is always 10-bit 4:2:0."""
    ten_bits, subsampled = 1 << 6, 0b11 << 2
    return _box(b"av1C", bytes([0x81, header.profile << 5 | header.level, header.tier << 7 | ten_bits | subsampled, 0]))


def _sizes(width: int, height: int) -> bytes:
    return _full(b"ispe", 0, 0, struct.pack(">II", width, height))


def _full(kind: bytes, version: int, flags: int, *parts: bytes) -> bytes:
    return _box(kind, struct.pack(">I", version << 24 | flags), *parts)


def _box(kind: bytes, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return struct.pack(">I", 8 + len(body)) + kind + body


def read(data: bytes) -> Still:
    """What the AVIF file `data` holds. Raises FormatError."""
    meta = _index(data)
    if meta.kinds.get(meta.primary) != b"av01":
        raise FormatError("the AVIF file's picture is not AV1")
    found = meta.properties_of(meta.primary)
    shown = next((value for name, value in found if name == b"ispe" and len(value) == 12), bytes(12))
    width, height = struct.unpack(">II", shown[4:])
    alpha = b"".join(meta.content(item, data) for item in meta.referring(b"auxl", meta.is_alpha)[:1])
    icc, colour = _colours(found)
    return Still(meta.content(meta.primary, data), alpha, icc, meta.exif(data), width, height, colour)


def describe(data: bytes) -> Described:
    """What the AVIF file `data` says of its picture. Raises FormatError where its boxes cannot be read."""
    meta = _index(data)
    found = meta.properties_of(meta.primary)
    boxes = dict(reversed(found))  # the first of a kind counts
    turn, mirror = boxes.get(b"irot", b"\0")[:1], boxes.get(b"imir", b"")[:1]
    icc, colour = _colours(found)
    if colour == Colour():  # then the coded picture tells
        colour = Colour(*(sequence_colour(meta.content(meta.first_coded(), data)) or ()))
    alphas = meta.referring(b"auxl", meta.is_alpha)
    lost = []
    if b"tmap" in meta.kinds.values():
        lost.append("its gain map")
    if len(meta.referring(b"auxl", lambda item: True)) > len(alphas):
        lost.append("its auxiliary pictures")
    if meta.referring(b"cdsc", lambda item: meta.kinds.get(item) == b"mime"):
        lost.append("its XMP")
    return Described(
        depth=meta.depth(),
        icc=icc,
        exif=meta.exif(data),
        colour=colour,
        orientation=turned(int.from_bytes(turn) & 3, mirror[0] & 1 if mirror else None),
        aperture=_aperture(boxes.get(b"clap", b""), boxes.get(b"ispe", b"")),
        premultiplied=any(kind == b"prem" and item == meta.primary for kind, item, _ in meta.references),
        lost=tuple(lost),
    )


def without_descriptions(data: bytes) -> bytes:
    """The AVIF file `data` with nothing that describes its picture: OpenCV, which reads EXIF too, fails where that lies
    behind the picture. Raises FormatError where boxes cannot be read."""
    out = bytearray(data)
    for kind, meta in _Cursor(data, 0, len(data)).boxes():
        if kind != b"meta":
            continue
        meta.take(4)
        for part, references in meta.boxes():
            if part == b"iref":
                references.take(4)
                for name, entry in references.boxes():
                    if name == b"cdsc":
                        out[entry.at - 4 : entry.at] = b"skip"
    return bytes(out)


def _index(data: bytes) -> _Meta:
    if not is_avif(data):
        raise FormatError("this is no AVIF file")
    index = next((box for kind, box in _Cursor(data, 0, len(data)).boxes() if kind == b"meta"), None)
    if index is None:
        raise FormatError("the AVIF file has no index of its items")
    return _read_meta(index)


def _colours(properties: list[tuple[bytes, bytes]]) -> tuple[bytes, Colour]:
    """(ICC profile, code points) that properties of an item tell; the last of each counts."""
    icc, colour = b"", Colour()
    for name, value in properties:
        if name == b"colr" and value[:4] in (b"prof", b"rICC"):
            icc = value[4:]
        elif name == b"colr" and value[:4] == b"nclx" and len(value) >= 11:
            primaries, transfer, matrix, full = struct.unpack(">HHHB", value[4:11])
            colour = Colour(primaries, transfer, matrix, 2 if full & 0x80 else 1)
    return icc, colour


def _aperture(clap: bytes, ispe: bytes) -> tuple[int, int, int, int] | None:
    """(left, top, width, height) that a clean aperture leaves of a picture; None for all of it, and where it is not one
    of whole samples that lies within."""
    if len(clap) < 32 or len(ispe) < 12:
        return None
    numbers = struct.unpack(">IIIIiIiI", clap[:32])
    if not all(numbers[1::2]):
        return None
    across, down, right, below = (Fraction(n, d) for n, d in zip(numbers[::2], numbers[1::2], strict=True))
    width, height = struct.unpack(">II", ispe[4:12])
    sides = [right + (width - across) / 2, below + (height - down) / 2, across, down]
    if any(side.denominator != 1 for side in sides):
        return None
    left, top, columns, rows = map(int, sides)
    inside = left >= 0 and top >= 0 and columns > 0 and rows > 0 and left + columns <= width and top + rows <= height
    return (left, top, columns, rows) if inside and (columns, rows) != (width, height) else None


def claimed_sizes(data: bytes) -> Iterator[tuple[int, int]]:
    """(width, height) of whatever the AVIF file `data` describes: items, tracks, and the AV1 of its picture and alpha.

    Raises FormatError where its boxes cannot be read.
    """
    pending = list(_Cursor(data, 0, len(data)).boxes())
    while pending:
        kind, box = pending.pop(0)
        if kind == b"meta":
            box.take(4)
        if kind in (b"meta", b"iprp", b"ipco", b"moov", b"trak"):
            pending += box.boxes()
        elif kind == b"ispe":
            box.take(4)
            yield box.number(4), box.number(4)
        elif kind == b"tkhd":
            yield (
                int.from_bytes(data[box.end - 8 : box.end - 6], "big"),
                int.from_bytes(data[box.end - 4 : box.end - 2], "big"),
            )
    try:
        found = read(data)
    except FormatError:  # tiles or a sequence: their sizes are among those above
        return
    yield from filter(None, map(sequence_size, (found.base, found.alpha)))


@dataclass
class _Meta:
    """A file's index: of each item by its number the kind, where its bytes lie and which properties are its own."""

    primary: int = 0
    kinds: dict[int, bytes] = field(default_factory=dict)
    extents: dict[int, list[tuple[int, int]]] = field(default_factory=dict)  # offset and length
    properties: list[tuple[bytes, bytes]] = field(default_factory=list)  # of all items: kind and contents
    associated: dict[int, list[int]] = field(default_factory=dict)  # places in `properties`, from 1 on
    references: list[tuple[bytes, int, list[int]]] = field(default_factory=list)  # kind, from which item, to which

    def content(self, item: int, data: bytes) -> bytes:
        """The bytes of an item in the file `data`. Raises FormatError."""
        parts, size = [], 0
        for offset, length in self.extents.get(item, []):
            size += length
            if offset + length > len(data) or size > len(data):
                raise FormatError("an item of the AVIF file lies beyond its end: the file is cut off")
            parts.append(data[offset : offset + length])
        return b"".join(parts)

    def referring(self, kind: bytes, wanted: Callable[[int], bool]) -> list[int]:
        """Items that refer to the primary one so, and are `wanted`."""
        return [i for found, i, targets in self.references if found == kind and self.primary in targets and wanted(i)]

    def is_alpha(self, item: int) -> bool:
        """Whether an auxiliary item is the picture's alpha."""
        return any(name == b"auxC" and value[4:] == _ALPHA for name, value in self.properties_of(item))

    def exif(self, data: bytes) -> bytes:
        """EXIF of the primary item as a TIFF structure, empty without."""
        for item in self.referring(b"cdsc", lambda item: self.kinds.get(item) == b"Exif")[:1]:
            found = self.content(item, data)
            return found[4 + int.from_bytes(found[:4], "big") :]
        return b""

    def first_coded(self) -> int:
        """The primary item, or its first tile."""
        of_tiles = b"dimg", self.primary
        tiles = [item for kind, source, items in self.references for item in items if (kind, source) == of_tiles]
        return tiles[0] if tiles else self.primary

    def depth(self) -> int:
        """Bits a sample of the primary item: those of its AV1, or of its first tile's."""
        for name, value in self.properties_of(self.first_coded()):
            if name == b"av1C" and len(value) >= 4:
                return 8 if not value[2] & 0x40 else 12 if value[2] & 0x20 else 10
        return 8

    def properties_of(self, item: int) -> list[tuple[bytes, bytes]]:
        """Kind and contents of an item's properties."""
        return [self.properties[k - 1] for k in self.associated.get(item, []) if 1 <= k <= len(self.properties)]


def _read_meta(meta: _Cursor) -> _Meta:
    found = _Meta()
    meta.take(4)
    for kind, box in meta.boxes():
        if kind not in (b"pitm", b"iloc", b"iinf", b"iref", b"iprp"):
            continue
        version = 0
        if kind != b"iprp":
            version = box.number(4) >> 24
        wide = 4 if version else 2
        if kind == b"pitm":
            found.primary = box.number(wide)
        elif kind == b"iloc":
            _read_locations(box, version, found)
        elif kind == b"iinf":
            for _, (name, entry) in zip(_count(box, wide), box.boxes(), strict=False):
                if name == b"infe" and (number := entry.number(4) >> 24) >= 2:
                    item = entry.number(4 if number == 3 else 2)
                    entry.take(2)
                    found.kinds[item] = entry.take(4)
        elif kind == b"iref":
            for name, entry in box.boxes():
                if len(found.references) == _REFERENCES_MAX:
                    raise FormatError("an AVIF file of so many references is not one of ours")
                source = entry.number(wide)
                found.references.append((name, source, [entry.number(wide) for _ in _count(entry, 2)]))
        else:
            _read_properties(box, found)
    return found


def _read_locations(box: _Cursor, version: int, found: _Meta) -> None:
    sizes = box.number(2)
    offset_size, length_size, base_size, index_size = (sizes >> s & 15 for s in (12, 8, 4, 0))
    wide = 4 if version >= 2 else 2
    for _ in _count(box, wide):
        item = box.number(wide)
        method = box.number(2) & 15 if version >= 1 else 0
        box.take(2)
        base, extents = box.number(base_size), []
        parts = _count(box, 2)
        if len(parts) > 1 and not offset_size + length_size:  # such a list takes no bytes, so there might be any number
            raise FormatError("an item of the AVIF file lies in several places that are one")
        for _ in parts:
            if version >= 1:
                box.take(index_size)
            offset = box.number(offset_size)
            extents.append((base + offset, box.number(length_size)))
        if method == 0:
            found.extents[item] = extents


def _read_properties(box: _Cursor, found: _Meta) -> None:
    for kind, part in box.boxes():
        if kind == b"ipco":
            found.properties += [(name, prop.rest()) for _, (name, prop) in zip(range(256), part.boxes(), strict=False)]
        elif kind == b"ipma":
            flags = part.number(4)
            for _ in _count(part, 4):
                item = part.number(4 if flags >> 24 else 2)
                wide = 2 if flags & 1 else 1
                mask = 0x7FFF if flags & 1 else 0x7F
                indices = [part.number(wide) & mask for _ in range(part.number(1))]
                found.associated.setdefault(item, indices)  # an item's first list counts


def _count(cursor: _Cursor, width: int) -> range:
    count = cursor.number(width)
    if count > _ITEMS_MAX:
        raise FormatError(f"an AVIF file of {count} items is not one of ours")
    return range(count)


class _Cursor:
    """Reads big-endian fields of data[at:end]; beyond the end is a FormatError."""

    def __init__(self, data: bytes, at: int, end: int):
        self.data, self.at, self.end = data, at, end

    def take(self, count: int) -> bytes:
        if not 0 <= count <= self.end - self.at:
            raise FormatError("an AVIF box is shorter than what it must hold")
        self.at += count
        return self.data[self.at - count : self.at]

    def number(self, width: int) -> int:
        return int.from_bytes(self.take(width), "big")

    def boxes(self) -> Iterator[tuple[bytes, _Cursor]]:
        """(kind, contents) of the boxes from here to the end."""
        while self.at < self.end:
            start = self.at
            size, kind = self.number(4), self.take(4)
            if size == 1:
                size = self.number(8)
            elif size == 0:
                size = self.end - start
            if size < self.at - start or start + size > self.end:
                raise FormatError(f"the AVIF box {kind.decode('latin1')!r} reaches past the end of what holds it")
            yield kind, _Cursor(self.data, self.at, start + size)
            self.at = start + size

    def rest(self) -> bytes:
        return self.take(self.end - self.at)
