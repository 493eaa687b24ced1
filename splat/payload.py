"""The .nvs file: codes to bytes and back, whole or in part.

A file is a header, the lengths of all sections, one head per code, a CRC-32 of all that, then groups of 8x8 tiles, each
with a CRC-16, so that a crop reads and checks only the groups it needs. Fields are declared once; SPLAT.md says
what each means. Nothing is allocated before the lengths have been compared with the file's.
"""

from __future__ import annotations

import struct
import zlib
from binascii import crc_hqx
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from .atoms import PIXELS_MAX, SIDE_MAX, STEP_MAX, STEP_MIN, TILE, Code, Ints, grid_of
from .entropy import SymbolReader, SymbolWriter
from .errors import SplatError
from .fields import Record, wire
from .sections import code_group, code_head, ratios_for
from .tables import RATIO_MAX, Models, models

MAGIC = b"NVS"
VERSION = 1
GROUP = 8  # tiles per side
SEAM = 3  # pixels beyond a region that its seams depend on

MAX_PIXELS, MAX_MEMORY = 1 << 26, 4 << 30  # what a decoder takes on the word of a header, unless told otherwise
_FIXED, _PIXEL = 64 << 20, 20  # bytes in all, and a pixel: of what is read and drawn, as measured, rounded up

Region = tuple[int, int, int, int]  # x, y, width, height in pixels


FORM, COLOUR, ALPHA = 4 * VERSION, 1, 2


@dataclass(frozen=True)
class Front(Record):
    """What a file begins with, behind MAGIC."""

    form: int = wire("B", FORM, FORM + COLOUR + ALPHA)
    width: int = wire("H", 1, SIDE_MAX)
    height: int = wire("H", 1, SIDE_MAX)

    @property
    def channels(self) -> list[int]:
        """Of each code."""
        return [3 if self.form & COLOUR else 1] + [1] * bool(self.form & ALPHA)

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of tiles."""
        return grid_of(self.height, self.width)


@dataclass(frozen=True)
class CodeFront(Record):
    """What the header says of a code: its quantiser step; three ratios a channel, of the models of means and of
    gradients along x and y."""

    step: int = wire("H", STEP_MIN, STEP_MAX)
    ratios: tuple[int, ...] = wire("B", 1, RATIO_MAX, tuple(f"ratio {c}.{k}" for c in range(3) for k in range(3)))


def varint(value: int) -> bytes:
    """LEB128: seven bits a byte, lowest first, the high bit set in all but the last."""
    return bytes([value]) if value < 128 else bytes([value & 127 | 128]) + varint(value >> 7)


def read_varint(data: bytes, at: int) -> tuple[int, int]:
    """(the number that begins at `at`, where it ends), at most four bytes. Raises SplatError."""
    value = 0
    for shift in (0, 7, 14, 21):
        if at >= len(data):
            break
        value |= (data[at] & 127) << shift
        at += 1
        if data[at - 1] < 128:
            if shift and data[at - 1] == 0:
                break
            return value, at
    raise SplatError("a section's length is damaged")


def groups_of(grid: tuple[int, int]) -> Iterator[Ints]:
    """The numbers of the tiles of each group, group by group and within it row by row."""
    rows, columns = grid
    tiles = np.arange(rows * columns).reshape(grid)
    for y in range(0, rows, GROUP):
        for x in range(0, columns, GROUP):
            yield tiles[y : y + GROUP, x : x + GROUP].reshape(-1)


def tiles_of(height: int, width: int, region: Region | None) -> tuple[int, int, int, int]:
    """First and last + 1 row, first and last + 1 column of the tiles that a region's pixels depend on.

    Raises SplatError where the region is empty or not inside the picture.
    """
    x, y, w, h = region or (0, 0, width, height)
    if w < 1 or h < 1 or x < 0 or y < 0 or x + w > width or y + h > height:
        raise SplatError(f"the region {w}x{h} at {x},{y} is not inside the picture of {width}x{height} pixels")
    top, left = max(0, y - SEAM) // TILE, max(0, x - SEAM) // TILE
    return top, -(-min(height, y + h + SEAM) // TILE), left, -(-min(width, x + w + SEAM) // TILE)


def write(codes: Sequence[Code], tables: Models | None = None) -> bytes:
    """The file of a picture: its code and, if it has alpha, that of the alpha. Raises SplatError on illegal numbers."""
    tables = tables or models()
    picture = codes[0].check()
    if len(codes) > 2 or any(alpha.check().channels != 1 for alpha in codes[1:]):
        raise SplatError("a file holds one picture and at most one alpha of one channel")
    if any((alpha.height, alpha.width) != (picture.height, picture.width) for alpha in codes[1:]):
        raise SplatError("picture and alpha differ in size")
    form = FORM + COLOUR * (picture.channels == 3) + ALPHA * (len(codes) == 2)
    header = MAGIC + Front(form, picture.width, picture.height).pack()
    grid, heads, groups = picture.grid, [], []
    for code in codes:
        ratios = ratios_for(code.base, grid)
        header += CodeFront(code.step, tuple(ratios)).pack()
        counts = np.bincount(code.atoms[:, 0], minlength=grid[0] * grid[1])
        writer = SymbolWriter()
        code_head(writer, tables, grid, ratios, code.base, counts)
        heads.append(writer.finish())
        groups.append(list(_written_groups(code, tables, counts)))
    bodies = [*heads, *(section for pair in zip(*groups, strict=True) for section in pair)]
    front = header + b"".join(varint(len(body)) for body in bodies) + b"".join(heads)
    crc = zlib.crc32(front)
    parts = [front, struct.pack(">I", crc)]
    for number, pair in enumerate(zip(*groups, strict=True)):
        parts.append(_sealed(b"".join(pair), crc, number))
    return b"".join(parts)


def _written_groups(code: Code, tables: Models, counts: Ints) -> Iterator[bytes]:
    """The section of every group of tiles."""
    groups = list(groups_of(code.grid))
    order = np.concatenate(groups)
    place = np.empty_like(order)  # of a tile, in the order of groups
    place[order] = np.arange(len(order))
    atoms = code.atoms.astype(np.int64)
    atoms[:, 0] = place[atoms[:, 0]]
    atoms = atoms[np.argsort(atoms[:, 0], kind="stable")]
    first_tile = first_atom = 0
    for tiles in groups:
        some = int(counts[tiles].sum())
        mine = atoms[first_atom : first_atom + some]
        mine[:, 0] -= first_tile
        writer = SymbolWriter()
        code_group(writer, tables, code.channels, counts[tiles], mine)
        yield writer.finish(_least(some))
        first_tile, first_atom = first_tile + len(tiles), first_atom + some


def _least(atoms: int) -> int:
    """Bytes that a group's section must have. No atom costs less than a bit, so this bounds what a reader allocates."""
    return -(-atoms // 8)


def _group_crc(data: bytes, crc: int, number: int) -> bytes:
    """CRC-16 (CCITT) that starts from the file's CRC and the group's number: no group can stand in for another."""
    return struct.pack(">H", crc_hqx(data, (crc ^ number) & 0xFFFF))


def _sealed(data: bytes, crc: int, number: int) -> bytes:
    return data + _group_crc(data, crc, number) if data else b""


@dataclass(frozen=True)
class Layout:
    """The checked front of a file."""

    front: Front
    codes: list[CodeFront]
    crc: int
    heads: list[bytes]
    groups: list[list[tuple[int, int]]]  # per group, per code: where its section begins and ends; the CRC-16 follows


def read_layout(data: bytes, max_pixels: int = MAX_PIXELS, max_memory: int = MAX_MEMORY) -> Layout:
    """The front of a file, and where its groups are. Raises SplatError (see `read`)."""
    if data[: len(MAGIC)] != MAGIC:
        raise SplatError("this is no .nvs file")
    front, at = Front.unpack(data, len(MAGIC))
    height, width, channels = front.height, front.width, front.channels
    if height * width > PIXELS_MAX:
        raise SplatError(f"a picture of {width}x{height} pixels is too large")
    if height * width > max_pixels:
        raise SplatError(f"a picture of {width}x{height} is claimed, more than {max_pixels:,} pixels (--max-pixels)")
    if (needed := _FIXED + _PIXEL * height * width) > max_memory:
        raise SplatError(
            f"a picture of {width}x{height} may take {needed:,} bytes of memory to decode, more than {max_memory:,} "
            "(--max-memory)"
        )
    codes, lengths = [], []
    for number in channels:
        code, at = CodeFront.unpack(data, at, 3 * number)
        codes.append(code)
    side = TILE * GROUP
    groups = -(-height // side) * -(-width // side)
    for _ in range((1 + groups) * len(channels)):
        length, at = read_varint(data, at)
        lengths.append(length)
    ends = at + np.cumsum([0, *lengths[: len(channels)]])
    end = int(ends[-1])
    crc = zlib.crc32(data[:end])
    if end + 4 > len(data) or struct.unpack_from(">I", data, end)[0] != crc:
        raise SplatError("the file's header is damaged")
    sections, at = [], end + 4
    for first in range(len(channels), len(lengths), len(channels)):
        section = []
        for length in lengths[first : first + len(channels)]:
            section.append((at, at + length))
            at += length
        sections.append(section)
        at += 2 * (section[0][0] < at)
    if at != len(data):
        raise SplatError(f"the file has {len(data)} bytes, but its header says {at}")
    heads = [data[a:b] for a, b in zip(ends[:-1].tolist(), ends[1:].tolist(), strict=True)]
    return Layout(front, codes, crc, heads, sections)


def read(
    data: bytes,
    region: Region | None = None,
    account: dict[str, float] | None = None,
    *,
    max_pixels: int = MAX_PIXELS,
    max_memory: int = MAX_MEMORY,
) -> list[Code]:
    """The codes in a file: the picture's and, if there is one, the alpha's.

    region: only atoms of the groups that these pixels depend on are read; the tiles of others come without atoms.
    account: gets the bits of each part added (see `SymbolReader`). Raises SplatError on anything illegal, and where
    the file claims more than `max_pixels`, or what may take more than `max_memory` bytes.
    """
    data = bytes(data)
    layout, tables = read_layout(data, max_pixels, max_memory), models()
    height, width, grid = layout.front.height, layout.front.width, layout.front.grid
    top, bottom, left, right = tiles_of(height, width, region)
    wanted = np.zeros(grid, bool)
    wanted[top:bottom, left:right] = True
    codes = []
    for which, channels in enumerate(layout.front.channels):
        reader = SymbolReader(layout.heads[which], account)
        base, counts = code_head(reader, tables, grid, layout.codes[which].ratios)
        reader.finish()
        atoms = [np.zeros((0, 3 + channels), np.int64)]
        for number, tiles in enumerate(groups_of(grid)):
            sections = layout.groups[number]
            if not wanted.reshape(-1)[tiles].any():
                continue
            whole, section = data[sections[0][0] : sections[-1][1]], data[slice(*sections[which])]
            if whole and data[sections[-1][1] : sections[-1][1] + 2] != _group_crc(whole, layout.crc, number):
                raise SplatError(f"group {number} of the file is damaged")
            total = int(counts[tiles].sum())
            if len(section) < _least(total) or (section and not total):
                raise SplatError(f"group {number} of the file has {len(section)} bytes for its {total} atoms")
            reader = SymbolReader(section, account)
            found = code_group(reader, tables, channels, counts[tiles])
            reader.finish()
            found[:, 0] = tiles[found[:, 0]]
            atoms.append(found)
        joined = np.concatenate(atoms)
        joined = joined[np.argsort(joined[:, 0], kind="stable")]
        codes.append(Code(height, width, channels, layout.codes[which].step, base, joined))
    return codes


def describe(data: bytes, *, max_pixels: int = MAX_PIXELS, max_memory: int = MAX_MEMORY) -> dict[str, object]:
    """What is in a file: size, channels, steps, numbers of Gaussians, and the bits of each part. Raises SplatError."""
    account = dict.fromkeys(("base", "counts", "positions", "shapes", "amplitudes"), 0.0)
    layout = read_layout(data, max_pixels, max_memory)
    codes = read(data, account=account, max_pixels=max_pixels, max_memory=max_memory)
    sections = sum(map(len, layout.heads)) + sum(b - a for section in layout.groups for a, b in section)
    tiles = codes[0].grid[0] * codes[0].grid[1]
    counts = sum(np.bincount(code.atoms[:, 0], minlength=tiles) for code in codes)
    bits = {"header": 8.0 * (len(data) - sections), **account}
    bits["rounding"] = 8.0 * len(data) - sum(bits.values())  # of sections to bytes
    return {
        "width": layout.front.width,
        "height": layout.front.height,
        "channels": sum(layout.front.channels),
        "steps": [code.step / 64 for code in layout.codes],  # of the picture and of its alpha, in pixel values
        "bytes": len(data),
        "bits": {part: round(value, 1) for part, value in bits.items()},
        "gaussians": sum(len(code.atoms) for code in codes),
        "per_tile": {"min": int(np.min(counts)), "mean": float(np.mean(counts)), "max": int(np.max(counts))},
    }
