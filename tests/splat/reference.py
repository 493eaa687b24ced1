"""A second .nvs decoder, written from SPLAT.md alone, in plain Python integers: slow, and independent of `splat`."""

from __future__ import annotations

import zlib
from binascii import crc_hqx
from bisect import bisect_right
from functools import cache
from itertools import accumulate
from math import isqrt
from pathlib import Path
from typing import NamedTuple

import splat

Plane = list[list[int]]

TABLES = (Path(splat.__file__).parent / "tables.bin").read_bytes()
NUMBERS = [int.from_bytes(TABLES[i : i + 2], "big") for i in range(4, len(TABLES) - 4, 2)]
SHAPE, LUMA, CHROMA, SPLIT, COUNT = (
    NUMBERS[a:b] for a, b in ((0, 376), (376, 888), (888, 1912), (1912, 1918), (1918, 1999))
)
SIGMAS = (7, 10, 14, 20, 28, 40, 56, 80)


class Illegal(Exception):
    pass


def clip(x: int, low: int, high: int) -> int:
    return min(max(x, low), high)


# --- Symbols ---------------------------------------------------------------------------------------------------------


class Reader:
    def __init__(self, data: bytes):
        data += bytes(-len(data) % 4)
        self.words = [int.from_bytes(data[i : i + 4], "big") for i in range(0, len(data), 4)]
        self.at = self.low = 0
        self.range = 2**64 - 1
        self.point = self.word() << 32 | self.word()

    def word(self) -> int:
        self.at += 1
        return self.words[self.at - 1] if self.at <= len(self.words) else 0

    def symbol(self, cdf: list[int]) -> int:
        self.range >>= 24
        slot = (self.point - self.low) % 2**64 // self.range
        if slot >= 2**24:
            raise Illegal("slot")
        i = bisect_right(cdf, slot) - 1
        self.low = (self.low + cdf[i] * self.range) % 2**64
        self.range *= cdf[i + 1] - cdf[i]
        if self.range < 2**32:
            self.low = self.low << 32 & 2**64 - 1
            self.range <<= 32
            self.point = self.point << 32 & 2**64 - 1 | self.word()
        return i

    def raw(self, n: int) -> int:
        return self.symbol([i * (2**24 // n) for i in range(n)] + [2**24]) if n > 1 else 0

    def finish(self) -> None:
        if self.at < len(self.words) or (self.range != 2**64 - 1 and (self.point - self.low) % 2**64 >= 2**33 - 1):
            raise Illegal("words left over")


def table(weights: list[int]) -> list[int]:
    n, sums = len(weights), [0, *accumulate(weights)]
    scale = (2**24 - n) / sums[n]
    return [i + int(sums[i] * scale) for i in range(n)] + [2**24]


@cache
def geometric(ratio: int) -> list[int]:
    g = [2**40]
    for _ in range(511):
        g.append(max(1, g[-1] * ratio >> 8))
    return table([g[abs(v)] for v in range(-511, 512)])


@cache
def split(level: int, n: int) -> list[int]:
    a, middle = SPLIT[level], n // 2
    weights = {middle: 2**40}
    for k in range(middle, 0, -1):
        weights[k - 1] = max(1, weights[k] * (k * (a + 4 * (n - k))) // ((n - k + 1) * (a + 4 * (k - 1))))
    return table([weights[min(k, n - k)] for k in range(n + 1)])


@cache
def shapes_in(cell: int) -> tuple[list[int], list[int]]:
    """The shapes with places in a cell, and their table."""
    found = [s for s in range(376) if per_cell(s)[cell]]
    return found, table([SHAPE[s] * 4096 * len(per_cell(s)[cell]) // len(places(s)) for s in found])


# --- Shapes ----------------------------------------------------------------------------------------------------------


class Shape(NamedTuple):
    profile: int
    along: int
    across: int
    angle: int
    scale: int


SHAPES = [
    Shape(profile, across * ratio, across, angle, scale)
    for profile in range(3)
    for scale, across in enumerate(SIGMAS)
    for ratio in (1, 2, 4)
    for angle in range(1 if profile == 0 and ratio == 1 else 8)
    if across * ratio <= 110
]


def turned(c: tuple[int, ...], k: int) -> tuple[int, int]:
    return c[k] if k <= 4 else -c[8 - k], c[abs(4 - k)]


@cache
def exponentials() -> list[int]:
    f = t = 2**96
    for m in range(1, 20):
        t //= 256 * m
        f += -t if m % 2 else t
    p, e = 2**96, []
    for _ in range(4096):
        e.append(p + 2**79 >> 80)
        p = p * f >> 96
    return [*e, 0]


@cache
def kernel(number: int) -> list[list[int]]:
    """Indexed [y + 35][x + 35]."""
    shape, e = SHAPES[number], exponentials()
    cos, sin = turned((4096, 3784, 2896, 1567, 0), shape.angle)
    along, across = ((40960 + sigma // 2) // sigma for sigma in (shape.along, shape.across))
    values = []
    for y in range(-35, 36):
        for x in range(-35, 36):
            u = clip((x * cos + y * sin) * along >> 12, -30000, 30000)
            v = clip((y * cos - x * sin) * across >> 12, -30000, 30000)
            g = e[min(u * u + v * v >> 17, 4096)]
            value = (g, g * v >> 12, g * (4096 - (v * v >> 12)) >> 12)[shape.profile]
            values.append(value if abs(value) >= 196 else 0)
    norm = isqrt(sum(v * v for v in values))
    values = [((v << 14) + norm // 2) // norm for v in values]
    return [values[i : i + 71] for i in range(0, 71 * 71, 71)]


def cell_of(y: int, x: int) -> int:
    return clip(y, 0, 31) // 4 * 8 + clip(x, 0, 31) // 4


def places(number: int) -> list[tuple[int, int]]:
    """y, x of each place of a shape."""
    return lattice(*SHAPES[number][1:4])


@cache
def lattice(along: int, across: int, angle: int) -> list[tuple[int, int]]:
    cos, sin = turned((1073741824, 992008094, 759250125, 410903207, 0), angle)
    a, b = max(100, 12 * along), max(100, 12 * across)
    out, points = min(4, 7 * across // 100), set()
    for i in range(-(2900 // a), 2900 // a + 1):
        for j in range(-(2900 // b), 2900 // b + 1):
            x = 16 + (i * a * cos - j * b * sin) // (100 << 30)
            y = 16 + (i * a * sin + j * b * cos) // (100 << 30)
            if -out <= x < 32 + out and -out <= y < 32 + out:
                points.add((y, x))
    return sorted(points, key=lambda p: (cell_of(*p), p))


def per_cell(number: int) -> list[list[int]]:
    """The places of a shape in each cell."""
    return sorted_into_cells(*SHAPES[number][1:4])


@cache
def sorted_into_cells(along: int, across: int, angle: int) -> list[list[int]]:
    found: list[list[int]] = [[] for _ in range(64)]
    for number, place in enumerate(lattice(along, across, angle)):
        found[cell_of(*place)].append(number)
    return found


# --- Head and group --------------------------------------------------------------------------------------------------


def read_head(data: bytes, rows: int, columns: int, ratios: list[int]) -> tuple[list[list[list[int]]], list[int]]:
    """[tile][channel][mean, along x, along y], and the number of atoms of each tile."""
    reader, tiles = Reader(data), rows * columns
    residuals = []
    for ratio in ratios:
        values = [reader.symbol(geometric(ratio)) - 511 for _ in range(tiles)]
        for i in range(tiles):
            if abs(values[i]) == 511:
                values[i] += (1 if values[i] > 0 else -1) * reader.raw(65536)
        residuals.append(values)
    base = [[[0, 0, 0] for _ in range(len(ratios) // 3)] for _ in range(tiles)]
    for channel in range(len(ratios) // 3):
        m = [[0] * columns for _ in range(rows)]
        for y in range(rows):
            for x in range(columns):
                if x and y:
                    w, n, c = m[y][x - 1], m[y - 1][x], m[y - 1][x - 1]
                    guess = clip(w + n - c, min(w, n), max(w, n))
                else:
                    guess = m[y][x - 1] if x else m[y - 1][x] if y else 0
                m[y][x] = residuals[3 * channel][y * columns + x] + guess
        for y in range(rows):
            for x in range(columns):
                tile = y * columns + x
                across = m[y][min(x + 1, columns - 1)] - m[y][max(x - 1, 0)]
                down = m[min(y + 1, rows - 1)][x] - m[max(y - 1, 0)][x]
                base[tile][channel] = [
                    m[y][x],
                    residuals[3 * channel + 1][tile] + (3 * across + 8 >> 4),
                    residuals[3 * channel + 2][tile] + (3 * down + 8 >> 4),
                ]
    if any(abs(v) > 32767 for tile in base for channel in tile for v in channel):
        raise Illegal("base")
    counts: list[int] = []
    for tile in range(tiles):
        west = counts[tile - 1] if tile % columns else None
        north = counts[tile - columns] if tile >= columns else None
        w = west if west is not None else north if north is not None else 8
        n = north if north is not None else w
        row = (w + n + 1 >> 1).bit_length()
        b = reader.symbol(table(COUNT[9 * row : 9 * row + 9]))
        counts.append(b if b < 2 else 2 ** (b - 1) + reader.raw(2 ** (b - 1)))
    reader.finish()
    return base, counts


def read_group(data: bytes, counts: list[int], channels: int) -> list[list[int]]:
    """[tile in the group, shape, place, amplitudes] of each atom."""
    reader = Reader(data)
    boxes = {(tile, 0, 0): n for tile, n in enumerate(counts) if n}  # tile, row, column of the box
    for level in range(6):
        halves = {}
        for (tile, y, x), n in sorted(boxes.items(), key=lambda item: (item[1], item[0])):
            first = reader.symbol(split(level, n))
            parts = (
                ((tile, 2 * y, x), (tile, 2 * y + 1, x)) if level % 2 == 0 else ((tile, y, 2 * x), (tile, y, 2 * x + 1))
            )
            halves |= {part: k for part, k in zip(parts, (first, n - first), strict=True) if k}
        boxes = halves
    cells = [(tile, 8 * y + x) for (tile, y, x), n in sorted(boxes.items()) for _ in range(n)]
    atoms = [[tile, 0, 0] for tile, _ in cells]

    def by_key(keys: list[int]) -> list[int]:
        return sorted(range(len(keys)), key=lambda i: keys[i])

    for i in by_key([cell for _, cell in cells]):
        shapes, cdf = shapes_in(cells[i][1])
        atoms[i][1] = shapes[reader.symbol(cdf)]
    near = [per_cell(atom[1])[cell] for atom, (_, cell) in zip(atoms, cells, strict=True)]
    for i in by_key([len(choice) for choice in near]):
        atoms[i][2] = near[i][reader.raw(len(near[i]))]
    scales = [SHAPES[atom[1]].scale for atom in atoms]
    for channel in range(channels):
        values = [0] * len(atoms)
        for i in by_key(scales):
            at = 64 * scales[i] + (512 if channel == 2 else 0)
            values[i] = reader.symbol(table((CHROMA if channel else LUMA)[at : at + 64]))
        values = [v + reader.raw(256) if v == 63 else v for v in values]
        values = [-v if v and reader.raw(2) else v for v in values]
        for atom, value in zip(atoms, values, strict=True):
            atom.append(value)
    reader.finish()
    return atoms


# --- Pixels ----------------------------------------------------------------------------------------------------------

HALF = (860, 804, 749, 693, 638, 582, 527, 471, 416, 360, 305, 250, 194, 139, 83, 28)
RAMP = [-v for v in HALF] + [*reversed(HALF)]


def draw(
    width: int, height: int, step: int, base: list[list[list[int]]], atoms: list[list[int]]
) -> list[list[tuple[int, ...]]]:
    """Rows of pixels, each a tuple of its channels. `atoms`: [tile, shape, place, amplitudes]."""
    columns, channels = -(-width // 32), len(base[0])
    planes = [[[0] * (32 * columns) for _ in range(-(-height // 32) * 32)] for _ in range(channels)]
    for tile, parts in enumerate(base):
        top, left = tile // columns * 32, tile % columns * 32
        for plane, (m, a, b) in zip(planes, parts, strict=True):
            for y in range(32):
                plane[top + y][left : left + 32] = [512 * m + RAMP[x] * a + RAMP[y] * b for x in range(32)]
    for tile, shape, place, *amplitudes in atoms:
        top, left = tile // columns * 32, tile % columns * 32
        cy, cx = places(shape)[place]
        for plane, amplitude in zip(planes, amplitudes, strict=True):
            for y in range(32):
                for x in range(32):
                    plane[top + y][left + x] += amplitude * kernel(shape)[y - cy + 35][x - cx + 35]
    limit = 2**18
    planes = [[[clip(s * step + 2048 >> 12, -limit, limit) for s in row] for row in plane] for plane in planes]
    if channels == 3:
        planes = coloured(planes)
    planes = [soft(plane, 28 * step >> 6) for plane in planes]
    planes = [transposed(soft(transposed(plane), 28 * step >> 6)) for plane in planes]
    return [
        [tuple(clip(plane[y][x] + 32768 + 128 >> 8, 0, 255) for plane in planes) for x in range(width)]
        for y in range(height)
    ]


def coloured(planes: list[Plane]) -> list[Plane]:
    found: list[Plane] = [[], [], []]
    for rows in zip(*planes, strict=True):
        mixed = [(2365 * v0 + 2048, 2896 * v1, 1672 * v2) for v0, v1, v2 in zip(*rows, strict=True)]
        found[0].append([p + q + t >> 12 for p, q, t in mixed])
        found[1].append([p - 2 * t >> 12 for p, _, t in mixed])
        found[2].append([p - q + t >> 12 for p, q, t in mixed])
    return found


def transposed(plane: Plane) -> Plane:
    return [list(column) for column in zip(*plane, strict=True)]


def soft(plane: Plane, most: int) -> Plane:
    """With the borders between rows of tiles softened."""
    plane, half = [row[:] for row in plane], most >> 1
    for border in range(32, len(plane), 32):
        for x in range(len(plane[0])):
            p2, p1, p0, q0, q1, q2 = (plane[border + k][x] for k in range(-3, 3))
            d = clip(9 * (q0 - p0) - 3 * (q1 - p1) >> 4, -most, most)
            h = p0 + q0 >> 1
            plane[border - 2][x] = p1 + clip((p2 + h >> 1) - p1, -half, half)
            plane[border - 1][x] = p0 + d
            plane[border][x] = q0 - d
            plane[border + 1][x] = q1 + clip((q2 + h >> 1) - q1, -half, half)
    return plane


# --- File ------------------------------------------------------------------------------------------------------------


def decode(data: bytes) -> list[list[tuple[int, ...]]]:
    """Rows of pixels, each a tuple of 1..4 numbers."""
    at = 8
    form, width, height = data[3], int.from_bytes(data[4:6], "big"), int.from_bytes(data[6:8], "big")
    if data[:3] != b"NVS" or not 4 <= form <= 7 or not width or not height or width * height > 2**27:
        raise Illegal("header")
    channels = [3 if form & 1 else 1] + [1] * (form >> 1 & 1)
    steps, ratios, lengths = [], [], []
    for n in channels:
        steps.append(int.from_bytes(data[at : at + 2], "big"))
        ratios.append([*data[at + 2 : at + 2 + 3 * n]])
        at += 2 + 3 * n
        if steps[-1] < 16 or not all(1 <= ratio <= 254 for ratio in ratios[-1]):
            raise Illegal("header")
    rows, columns = -(-height // 32), -(-width // 32)
    down, across = -(-rows // 8), -(-columns // 8)
    for _ in range((1 + down * across) * len(channels)):
        length = shift = 0
        while data[at] & 128:
            length, shift, at = length | (data[at] & 127) << shift, shift + 7, at + 1
        if shift > 21 or (shift and not data[at]):
            raise Illegal("varint")
        lengths.append(length | data[at] << shift)
        at += 1

    def section() -> bytes:
        nonlocal at
        length = lengths.pop(0)
        at += length
        return data[at - length : at]

    heads = [section() for _ in channels]
    crc = int.from_bytes(data[at : at + 4], "big")
    if crc != zlib.crc32(data[:at]):
        raise Illegal("CRC-32")
    at += 4
    read = [read_head(head, rows, columns, r) for head, r in zip(heads, ratios, strict=True)]
    atoms: list[list[list[int]]] = [[] for _ in channels]
    for number in range(down * across):
        top, left = number // across * 8, number % across * 8
        tiles = [y * columns + x for y in range(top, min(top + 8, rows)) for x in range(left, min(left + 8, columns))]
        first = at
        for which, n in enumerate(channels):
            counts = [read[which][1][tile] for tile in tiles]
            mine = section()
            if 8 * len(mine) < sum(counts):
                raise Illegal("short")
            atoms[which] += [[tiles[tile], *rest] for tile, *rest in read_group(mine, counts, n)]
        if at > first:
            if crc_hqx(data[first:at], (crc ^ number) & 0xFFFF) != int.from_bytes(data[at : at + 2], "big"):
                raise Illegal("CRC-16")
            at += 2
    if at != len(data):
        raise Illegal("length")
    pictures = [draw(width, height, step, base, some) for step, (base, _), some in zip(steps, read, atoms, strict=True)]
    return [[sum(pixels, ()) for pixels in zip(*row, strict=True)] for row in zip(*pictures, strict=True)]
