"""What disks, networks and malice do to files: seeded mutations, some of which know how our files are built.

`mutate(rng, seed, others)` gives the name of a mutation and the bytes that it makes of a `Seed`. The same state of the
generator gives the same bytes. Mutations of bytes know nothing; those of structure take a file apart with the project's
own code, change a field, a payload, a unit or a box, and put it together again with every checksum right, so that what
lies behind the checksums is reached as well.
"""

from __future__ import annotations

import struct
import tempfile
import zlib
from binascii import crc_hqx
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from codec.base.colour import SRGB
from codec.errors import NvcError
from codec.film.reader import FilmReader
from codec.film.writer import write_film
from codec.segment.payload import SegmentHeader
from codec.still.payload import StillHeader
from codec.wire import avif, obu
from codec.wire.fields import PROPERTIES, SEGMENT, TRACKS, Number, layout
from codec.wire.fields import STILL as STILL_PAYLOAD
from codec.wire.obu import TemporalUnit
from codec.wire.properties import Properties
from codec.wire.tracks import Track
from splat.errors import SplatError
from splat.payload import read_layout

Rng = np.random.Generator
FILM, STILL, SPLAT, MODEL, PAYLOAD, UNIT, JOB = "film", "still", "splat", "model", "payload", "unit", "job"
_BOXES = {
    b"moov": 0, b"trak": 0, b"mdia": 0, b"minf": 0, b"stbl": 0, b"edts": 0, b"dinf": 0, b"stsd": 8, b"av01": 78,
    b"moof": 0, b"traf": 0, b"mvex": 0, b"meta": 4, b"iprp": 0, b"ipco": 0, b"iinf": 6, b"iref": 4,
}  # fmt: skip
_TABLES = (b"free", b"cmov", b"trun", b"elst", b"stsz", b"stts", b"stps", b"iloc", b"sgpd", b"sbgp", b"pssh", b"tfra")
SPLICES = ("spliced", "payload-spliced", "units-spliced")  # whose pictures may be those of another seed


class Unfit(Exception):
    """This mutation is not for this file; another is taken."""


@dataclass(frozen=True)
class Seed:
    """A file to mutate: its name, its kind, its bytes."""

    name: str
    kind: str
    data: bytes
    known: Any = field(default=None, compare=False)  # what it decodes to, for whoever compares

    @cached_property
    def film(self) -> tuple[FilmReader, list[TemporalUnit]]:
        """The film's reader and its units."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "a.nvc"
            path.write_bytes(self.data)
            reader = FilmReader(path)
            return reader, list(reader.units())

    @cached_property
    def payloads(self) -> list[bytes]:
        """All payloads in the file."""
        if self.kind == FILM:
            return [p for unit in self.film[1] for p in unit.payloads]
        if self.kind == STILL:
            return obu.extract(avif.read(self.data).base)
        if self.kind == UNIT:
            return obu.extract(self.data)
        return [self.data] if self.kind == PAYLOAD else []


def pick(rng: Rng, items: Sequence[Any]) -> Any:
    """One of them."""
    if not len(items):
        raise Unfit
    return items[int(rng.integers(len(items)))]


# bytes


def _place(rng: Rng, data: bytes, most: int = 64) -> tuple[int, int]:
    """A range of the data; beginnings are as likely as all the rest."""
    if not data:
        raise Unfit
    within = len(data) if rng.random() < 0.6 else min(len(data), 400)
    start = int(rng.integers(within))
    return start, min(len(data), start + int(rng.integers(1, most)))


def flips(rng: Rng, data: bytes) -> bytes:
    """One to eight bits."""
    out = bytearray(data)
    for _ in range(int(rng.integers(1, 9)) if rng.random() < 0.5 else 1):
        at, _ = _place(rng, data)
        out[at] ^= 1 << int(rng.integers(8))
    return bytes(out)


def overwritten(rng: Rng, data: bytes) -> bytes:
    """A range of other bytes: random, zeros or ones."""
    a, b = _place(rng, data)
    return data[:a] + pick(rng, [rng.bytes(b - a), bytes(b - a), b"\xff" * (b - a)]) + data[b:]


def removed(rng: Rng, data: bytes) -> bytes:
    """Without a range."""
    a, b = _place(rng, data)
    return data[:a] + data[b:]


def inserted(rng: Rng, data: bytes) -> bytes:
    """With bytes more in between."""
    a, b = _place(rng, data)
    return data[:a] + pick(rng, [rng.bytes(b - a), bytes(b - a)]) + data[a:]


def duplicated(rng: Rng, data: bytes) -> bytes:
    """A range twice."""
    a, b = _place(rng, data, 2000)
    return data[:b] + data[a:]


def truncated(rng: Rng, data: bytes) -> bytes:
    """Cut off anywhere."""
    a, _ = _place(rng, data)
    return data[:a]


def claimed(rng: Rng, data: bytes) -> bytes:
    """A number of one to four bytes, somewhere, that is 0, 1, the largest, or one off."""
    width = int(pick(rng, (1, 2, 4)))
    if len(data) < width:
        raise Unfit
    at, _ = _place(rng, data[: len(data) - width + 1])
    return data[:at] + _claim(rng, data[at : at + width]) + data[at + width :]


def _claim(rng: Rng, number: bytes) -> bytes:
    top = (1 << 8 * len(number)) - 1
    value = int.from_bytes(number)
    half = top >> 1
    other = pick(rng, (0, 1, top, half, half + 1, value + 1, value - 1, value * 2, int(rng.integers(top + 1))))
    return (other & top).to_bytes(len(number))


BYTES: dict[str, Callable[[Rng, bytes], bytes]] = {
    f.__name__: f for f in (flips, overwritten, removed, inserted, duplicated, truncated, claimed)
}


def any_bytes(rng: Rng, data: bytes) -> bytes:
    """One of the mutations of bytes."""
    return BYTES[pick(rng, list(BYTES))](rng, data)


# payloads, sealed again


def _fields(kind: int) -> list[Number]:
    records = {SEGMENT: SegmentHeader, STILL_PAYLOAD: StillHeader, TRACKS: Track, PROPERTIES: Properties}
    return list(records[kind].numbers.values()) if kind in records else []


def resealed(rng: Rng, data: bytes) -> bytes:
    """A payload with a changed body and a CRC-32 that fits."""
    kind, body = data[1], data[2:-4]
    fields = _fields(kind)
    size = layout(fields).size
    way = rng.random()
    if fields and way < 0.5:
        chosen = int(rng.integers(len(fields)))
        at = layout(fields[:chosen]).size
        end = layout(fields[: chosen + 1]).size
        legal = rng.random() < 0.6  # to reach what lies behind the checks of ranges
        one = fields[chosen]
        value = int(rng.integers(one.low, one.high + 1)).to_bytes(end - at) if legal else _claim(rng, body[at:end])
        body = body[:at] + value + body[end:]
    elif fields and way < 0.6:  # cut off after a field
        body = body[: layout(fields[: int(rng.integers(len(fields) + 1))]).size]
    elif way < 0.9 and len(body) > size:
        body = body[:size] + any_bytes(rng, body[size:])
    else:
        body = any_bytes(rng, body)
    head = data[:2] if rng.random() < 0.95 else any_bytes(rng, data[:2])
    return head + body + zlib.crc32(head + body).to_bytes(4)


def _exchanged(data: bytes, old: bytes, new: bytes) -> bytes:
    """`new` in the place of `old`, as long as it; a mutation of a payload that leaves the container as it is."""
    at = data.find(old)
    if at < 0 or len(new) != len(old):
        raise Unfit
    return data[:at] + new + data[at + len(old) :]


def payload_resealed(rng: Rng, seed: Seed, others: Sequence[Seed]) -> bytes:
    """A payload resealed, in its place."""
    old = pick(rng, seed.payloads)
    new = resealed(rng, old)
    if seed.kind == PAYLOAD:
        return new
    if len(new) == len(old):
        return _exchanged(seed.data, old, new)
    return _rebuilt(seed, lambda payloads: [new if p == old else p for p in payloads])


def payload_spliced(rng: Rng, seed: Seed, others: Sequence[Seed]) -> bytes:
    """A payload of another file, or of another place, in the place of one."""
    there = [p for other in others for p in other.payloads] or seed.payloads
    old, new = pick(rng, seed.payloads), pick(rng, there)
    if seed.kind == PAYLOAD:
        cut = int(rng.integers(len(old)))
        body = old[:cut] + new[-int(rng.integers(1, len(new))) :]
        return body[:-4] + zlib.crc32(body[:-4]).to_bytes(4)
    return _rebuilt(seed, lambda payloads: [new if p == old else p for p in payloads])


def payloads_many(rng: Rng, seed: Seed, others: Sequence[Seed]) -> bytes:
    """None, or many of them, in a unit."""
    old, count = pick(rng, seed.payloads), int(pick(rng, (0, 2, 3, 200)))
    return _rebuilt(seed, lambda payloads: [p for q in payloads for p in [q] * (count if q == old else 1)])


def _rebuilt(seed: Seed, change: Callable[[list[bytes]], list[bytes]]) -> bytes:
    """The file with its payloads changed, unit by unit."""
    if seed.kind == STILL:
        still = avif.read(seed.data)
        base = obu.inject(obu.strip(still.base), change(obu.extract(still.base)))
        return avif.write(replace(still, base=base), SRGB)
    if seed.kind == UNIT:
        return obu.inject(obu.strip(seed.data), change(obu.extract(seed.data)))
    units = [replace(u, payloads=tuple(change(list(u.payloads)))) for u in seed.film[1]]
    return _muxed(seed, units)


# units of films


def _muxed(seed: Seed, units: list[TemporalUnit]) -> bytes:
    reader = seed.film[0]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.nvc"
        write_film(path, units, reader.info, (reader.info.width, reader.info.height))
        return path.read_bytes()


def units_changed(rng: Rng, seed: Seed, others: Sequence[Seed]) -> bytes:
    """Units swapped, dropped, doubled, with each other's base, or keyframes where there are none."""
    units = list(seed.film[1])
    a, b = (int(k) for k in rng.integers(len(units), size=2))
    way = int(rng.integers(6))
    if way == 0:
        units[a], units[b] = units[b], units[a]
    elif way == 1:
        del units[a]
    elif way == 2:
        units.insert(a, units[b])
    elif way == 3:
        units[a] = replace(units[a], data=units[b].data)
    elif way == 4:
        units[a] = replace(units[a], keyframe=not units[a].keyframe)
    else:
        units[a] = replace(units[a], payloads=units[b].payloads)
    return _muxed(seed, _timed(units))


def _timed(units: list[TemporalUnit]) -> list[TemporalUnit]:
    """The units at increasing times."""
    step = max(1, units[1].pts - units[0].pts) if len(units) > 1 else 1
    return [replace(u, pts=k * abs(step)) for k, u in enumerate(units)]


def units_spliced(rng: Rng, seed: Seed, others: Sequence[Seed]) -> bytes:
    """Units of another film, maybe of another size, before, between or behind."""
    other = pick(rng, [o for o in others if o.kind == FILM])
    units, more = list(seed.film[1]), list(other.film[1])
    at, first = int(rng.integers(len(units) + 1)), int(rng.integers(len(more)))
    units[at:at] = more[first : first + int(rng.integers(1, 6))]
    if rng.random() < 0.5:  # as if they were of this segment
        units[at] = replace(units[at], keyframe=False)
    return _muxed(seed, _timed(units))


def base_changed(rng: Rng, seed: Seed, others: Sequence[Seed]) -> bytes:
    """AV1 bytes, in place or with a length of their own."""
    if seed.kind == STILL:
        still = avif.read(seed.data)
        base = obu.inject(any_bytes(rng, obu.strip(still.base)), obu.extract(still.base))
        return avif.write(replace(still, base=base), SRGB)
    units = list(seed.film[1])
    k = int(rng.integers(len(units)))
    found = [o for o in obu.iter_obus(units[k].data) if o.end > o.body]
    one = pick(rng, found)
    data = units[k].data
    if rng.random() < 0.7:
        body = flips(rng, data[one.body : one.end])
        return _exchanged(seed.data, data, data[: one.body] + body + data[one.end :])
    units[k] = replace(units[k], data=any_bytes(rng, data))
    return _muxed(seed, units)


def obu_changed(rng: Rng, seed: Seed, others: Sequence[Seed]) -> bytes:
    """An OBU removed, doubled, moved, of another type or size, or the unit cut off at its end."""
    whole = seed.data if seed.kind == UNIT else avif.read(seed.data).base
    parts = [whole[o.start : o.end] for o in obu.iter_obus(whole)]
    k, way = int(rng.integers(len(parts))), int(rng.integers(6))
    if way == 0:
        del parts[k]
    elif way == 1:
        parts.insert(int(rng.integers(len(parts) + 1)), parts[k])
    elif way == 2:
        parts[k] = bytes([(parts[k][0] & 0x87) | int(rng.integers(16)) << 3]) + parts[k][1:]
    elif way == 3:
        parts[k] = parts[k][:1] + _claim(rng, parts[k][1:3]) + parts[k][3:]
    elif way == 4:
        parts = parts[: k + 1]
    else:
        parts[k] = bytes([parts[k][0] ^ 1 << int(rng.integers(8))]) + parts[k][1:]
    unit = b"".join(parts)
    return unit if seed.kind == UNIT else _exchanged(seed.data, whole, unit.ljust(len(whole), b"\0")[: len(whole)])


# boxes of MP4 and AVIF


def boxes_of(data: bytes, at: int = 0, end: int | None = None, depth: int = 0) -> Iterator[tuple[int, int, bytes]]:
    """(start, end, kind) of every box, outer ones first."""
    end = len(data) if end is None else end
    while at + 8 <= end:
        size, kind = int.from_bytes(data[at : at + 4]), data[at + 4 : at + 8]
        if size < 8 or at + size > end:
            return
        yield at, at + size, kind
        if kind in _BOXES and depth < 9:
            yield from boxes_of(data, at + 8 + _BOXES[kind], at + size, depth + 1)
        at += size


def box_changed(rng: Rng, seed: Seed, others: Sequence[Seed]) -> bytes:
    """A box of another size or kind, removed, doubled, with a changed number, or the file cut off at its edge."""
    data = seed.data
    start, end, _ = pick(rng, [b for b in boxes_of(data) if b[2] != b"mdat" or rng.random() < 0.1])
    way = int(rng.integers(7))
    if way == 0:
        return data[:start] + _claim(rng, data[start : start + 4]) + data[start + 4 :]
    if way == 1:
        return data[: start + 4] + pick(rng, [rng.bytes(4), *_BOXES, *_TABLES]) + data[start + 8 :]
    if way == 2:
        return data[:start] + data[end:]
    if way == 3:
        return data[:end] + data[start:end] + data[end:]
    if way == 4:
        return data[: int(pick(rng, (start, start + 4, start + 8, end)))]
    width = int(pick(rng, (1, 2, 4, 4)))
    if end - start - 8 < width:
        raise Unfit
    at = start + 8 + int(rng.integers(min(end - start - 8 - width, 40) + 1)) // width * width
    return data[:at] + _claim(rng, data[at : at + width]) + data[at + width :]


# pictures of Gaussians, heads, finished segments


def splat_resealed(rng: Rng, seed: Seed, others: Sequence[Seed]) -> bytes:
    """A header, a head or a group changed, and all CRCs that fit."""
    layout = read_layout(seed.data)
    front = seed.data[: layout.groups[0][0][0] - 4]
    groups = [seed.data[s[0][0] : s[-1][1]] for s in layout.groups]
    if rng.random() < 0.6:
        low = 40 if rng.random() < 0.5 else len(front)
        front = any_bytes(rng, front[:low]) + front[low:]
    else:
        k = int(rng.integers(len(groups)))
        groups[k] = any_bytes(rng, groups[k])
    crc = zlib.crc32(front)
    parts = [front, crc.to_bytes(4)]
    for number, group in enumerate(groups):
        parts.append(group + struct.pack(">H", crc_hqx(group, (crc ^ number) & 0xFFFF)) if group else b"")
    return b"".join(parts)


def sealed_at_end(rng: Rng, seed: Seed, others: Sequence[Seed]) -> bytes:
    """All but the CRC-32 at the end changed, which fits again: heads as files and finished segments."""
    data = seed.data[:-4]
    if rng.random() < 0.4:
        low = min(len(data), 40)
        data = any_bytes(rng, data[:low]) + data[low:]
    else:
        data = any_bytes(rng, data)
    return data + zlib.crc32(data).to_bytes(4)


def spliced(rng: Rng, seed: Seed, others: Sequence[Seed]) -> bytes:
    """The beginning of a file and the end of another."""
    other = pick(rng, others)
    return seed.data[: _place(rng, seed.data)[0]] + other.data[_place(rng, other.data)[0] :]


STRUCTURE: dict[str, tuple[Callable[[Rng, Seed, Sequence[Seed]], bytes], ...]] = {
    FILM: (payload_resealed, payload_resealed, payload_spliced, payloads_many, units_changed, units_spliced,
           base_changed, box_changed, box_changed, spliced),
    STILL: (payload_resealed, payload_resealed, payload_spliced, payloads_many, base_changed, obu_changed, box_changed,
            box_changed, spliced),
    UNIT: (payload_resealed, payload_spliced, payloads_many, obu_changed, obu_changed, spliced),
    PAYLOAD: (payload_resealed, payload_resealed, payload_spliced, spliced),
    SPLAT: (splat_resealed, splat_resealed, splat_resealed, spliced),
    MODEL: (sealed_at_end, sealed_at_end, spliced),
    JOB: (sealed_at_end, sealed_at_end, spliced),
}  # fmt: skip


def mutate(rng: Rng, seed: Seed, others: Sequence[Seed]) -> tuple[str, bytes]:
    """(name of the mutation, bytes); `others`: seeds of the same kind. What does not fit the file is tried again, and
    in the end its bytes are changed."""
    for _ in range(4):
        if rng.random() < 0.35:
            break
        work = pick(rng, STRUCTURE[seed.kind])
        try:
            return work.__name__.replace("_", "-"), work(rng, seed, others)
        except (Unfit, NvcError, SplatError, IndexError, ValueError):
            continue
    name = pick(rng, list(BYTES))
    try:
        return name, BYTES[name](rng, seed.data)
    except Unfit:
        return "emptied", b""
