"""Files of pictures, byte by byte: what libraries do not write is written here.

References: ISO/IEC 15948 (PNG), TIFF 6.0, Netpbm's pages of PBM, PGM, PPM and PAM, ICC.1:2010 (profiles), EXIF 2.3.
Samples are integers of (rows, columns, channels), 0 to 2 ** depth - 1.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.int64]
ADAM7 = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))
PNG_KINDS = {1: 0, 3: 2, 2: 4, 4: 6}  # channels -> colour type
SRGB = ((0.4361, 0.2225, 0.0139), (0.3851, 0.7169, 0.0971), (0.1431, 0.0606, 0.7141))  # X, Y, Z of the primaries, D50
P3 = ((0.5151, 0.2412, -0.0011), (0.2919, 0.6922, 0.0419), (0.1572, 0.0666, 0.7841))


def packed(samples: Samples, depth: int) -> list[bytes]:
    """Every row as bytes: samples below 8 bits are packed, those above are big-endian."""
    rows = samples.reshape(samples.shape[0], -1)
    if depth >= 8:
        return [row.tobytes() for row in rows.astype(">u2" if depth > 8 else np.uint8)]
    bits = (rows[..., None] >> np.arange(depth - 1, -1, -1)) & 1
    return [row.tobytes() for row in np.packbits(bits.reshape(len(rows), -1).astype(np.uint8), axis=1)]


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(
    samples: Samples,
    depth: int,
    chunks: Iterable[tuple[bytes, bytes]] = (),
    palette: Samples | None = None,
    key: bytes = b"",
    interlaced: bool = False,
) -> bytes:
    """A PNG. `palette`: (colours, 3), of which `samples` are then indices; `key`: what tRNS holds."""
    kind = 3 if palette is not None else PNG_KINDS[samples.shape[2]]
    height, width = samples.shape[:2]
    parts = [samples]
    if interlaced:
        parts = [samples[top::down, left::across] for top, left, down, across in ADAM7]
    rows = b"".join(b"\0" + row for part in parts if part.size for row in packed(part, depth))
    file = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, interlaced))
    file += b"".join(chunk(*one) for one in chunks)
    if palette is not None:
        file += chunk(b"PLTE", palette.astype(np.uint8).tobytes())
    file += chunk(b"tRNS", key) if key else b""
    return file + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def png_chunks(data: bytes) -> dict[bytes, bytes]:
    """The first chunk of every kind of a PNG; the data chunks joined."""
    found: dict[bytes, bytes] = {}
    at = 8
    while at + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        body = data[at + 8 : at + 8 + length]
        found[kind] = found[kind] + body if kind == b"IDAT" and kind in found else found.get(kind, body)
        at += 12 + length
    return found


def png_samples(data: bytes) -> Samples:
    """The samples of a PNG of 8 or 16 bits that is neither interlaced nor of a palette (ISO/IEC 15948, 9)."""
    chunks = png_chunks(data)
    width, height, depth, kind, _, _, interlaced = struct.unpack(">IIBBBBB", chunks[b"IHDR"])
    if depth < 8 or kind == 3 or interlaced:
        raise ValueError(f"a PNG of {depth} bits and colour type {kind} is not expected")
    channels = {0: 1, 2: 3, 4: 2, 6: 4}[kind]
    step = channels * depth // 8
    raw = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8).reshape(height, 1 + width * step)
    rows = np.zeros((height + 1, step + width * step), np.int64)
    for y in range(height):
        _unfilter(int(raw[y, 0]), raw[y, 1:], rows[y], rows[y + 1], step)
    found = rows[1:, step:].astype(np.uint8).tobytes()
    return np.frombuffer(found, ">u2" if depth == 16 else np.uint8).reshape(height, width, channels).astype(np.int64)


def _unfilter(kind: int, raw: NDArray[np.uint8], above: Samples, row: Samples, step: int) -> None:
    """One row of a PNG, behind `step` bytes of nothing."""
    for x, value in enumerate(raw.tolist(), step):
        left, up, corner = int(row[x - step]), int(above[x]), int(above[x - step])
        guess = left + up - corner
        nearest = min((abs(guess - one), n, one) for n, one in enumerate((left, up, corner)))[2]
        row[x] = (value + (0, left, up, (left + up) // 2, nearest)[kind]) % 256


def pnm(samples: Samples, peak: int, plain: bool = False, pam: bool = False) -> bytes:
    """A PBM, PGM, PPM or PAM whose largest value is `peak`; 1 is black and white."""
    height, width, channels = samples.shape
    if pam:
        kind = {1: "GRAYSCALE", 2: "GRAYSCALE_ALPHA", 3: "RGB", 4: "RGB_ALPHA"}[channels]
        head = f"P7\nWIDTH {width}\nHEIGHT {height}\nDEPTH {channels}\nMAXVAL {peak}\nTUPLTYPE {kind}\nENDHDR\n"
        return head.encode() + b"".join(packed(samples, 16 if peak > 255 else 8))
    if peak == 1:
        samples = 1 - samples  # in PBM, 1 is black
    number = {1: 1 if peak == 1 else 2, 3: 3}[channels] + (0 if plain else 3)
    head = f"P{number}\n# a comment\n{width} {height}\n" + ("" if peak == 1 else f"{peak}\n")
    if plain:
        return head.encode() + b"".join(b" ".join(b"%d" % n for n in row.flat) + b"\n" for row in samples)
    return head.encode() + b"".join(packed(samples, 1 if peak == 1 else 16 if peak > 255 else 8))


def tiff(
    samples: Samples,
    depth: int,
    photometric: int,
    extra: int | None = None,
    order: str = "<",
    tags: Iterable[tuple[int, int, Sequence[int] | bytes]] = (),
    deflated: bool = False,
    planar: bool = False,
    pages: int = 1,
) -> bytes:
    """A TIFF of one strip (or one a channel, where it is planar). `extra`: what the last channel is (1: premultiplied
    alpha, 2: alpha)."""
    height, width, channels = samples.shape
    parts = [samples[..., c : c + 1] for c in range(channels)] if planar else [samples]
    strips = []
    for part in parts:
        rows = b"".join(packed(part, depth))
        if depth == 16 and order == "<":
            rows = np.frombuffer(rows, ">u2").astype("<u2").tobytes()
        strips.append(zlib.compress(rows) if deflated else rows)
    entries: list[tuple[int, int, Sequence[int] | bytes]] = [
        (256, 4, [width]),
        (257, 4, [height]),
        (258, 3, [depth] * channels),
        (259, 3, [8 if deflated else 1]),
        (262, 3, [photometric]),
        (277, 3, [channels]),
        (278, 4, [height]),
        (279, 4, [len(strip) for strip in strips]),
        (284, 3, [2 if planar else 1]),
        *([(338, 3, [extra])] if extra is not None else []),
        *tags,
    ]
    file = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8)
    for page in range(pages):
        file += _directory(entries, strips, len(file), order, page + 1 < pages)
    return file


def _directory(
    entries: Sequence[tuple[int, int, Sequence[int] | bytes]], strips: Sequence[bytes], at: int, order: str, more: bool
) -> bytes:
    """A directory of a TIFF at `at`, the values that do not fit into it, and the strips."""
    table = sorted([*entries, (273, 4, [0] * len(strips))], key=lambda entry: entry[0])
    begin = at + 2 + 12 * len(table) + 4
    values: list[tuple[int, int, int, bytes]] = []
    outside = b""
    for tag, kind, content in table:
        data = (
            content if isinstance(content, bytes) else struct.pack(f"{order}{len(content)}{'HI'[kind == 4]}", *content)
        )
        values.append((tag, kind, len(content), data))
    sizes = sum(len(data) + len(data) % 2 for *_, data in values if len(data) > 4)
    places, place = [], begin + sizes
    for strip in strips:
        places.append(place)
        place += len(strip) + len(strip) % 2
    body = struct.pack(order + "H", len(table))
    for tag, kind, count, data in values:
        if tag == 273:
            data = struct.pack(f"{order}{len(places)}I", *places)
        if len(data) > 4:
            body += struct.pack(order + "HHII", tag, kind, count, begin + len(outside))
            outside += data + bytes(len(data) % 2)
        else:
            body += struct.pack(order + "HHI", tag, kind, count) + data.ljust(4, b"\0")
    body += struct.pack(order + "I", place if more else 0)
    return body + outside + b"".join(strip + bytes(len(strip) % 2) for strip in strips)


def exif(orientation: int, order: str = "<") -> bytes:
    """A TIFF structure that tells an orientation and a maker."""
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8)
    maker = struct.pack(order + "HHI", 0x010F, 2, 4) + b"abc\0"
    turned = struct.pack(order + "HHIHH", 0x0112, 3, 1, orientation, 0)
    return head + struct.pack(order + "H", 2) + maker + turned + bytes(4)


def icc(space: bytes = b"RGB ", primaries: Sequence[Sequence[float]] = SRGB, gamma: float = 2.2) -> bytes:
    """A matrix profile of version 2, or one of grey; of other spaces one that holds no transform."""
    curve = b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256)) + bytes(2)
    tags = [
        (b"desc", b"desc" + bytes(4) + struct.pack(">I", 5) + b"test\0" + bytes(78 + 1)),
        (b"cprt", b"text" + bytes(4) + b"none\0"),
    ]
    tags.append((b"wtpt", _xyz((0.9642, 1.0, 0.8249))))
    if space == b"RGB ":
        tags += [(name + b"XYZ", _xyz(one)) for name, one in zip((b"r", b"g", b"b"), primaries, strict=True)]
        tags += [(name + b"TRC", curve) for name in (b"r", b"g", b"b")]
    elif space == b"GRAY":
        tags.append((b"kTRC", curve))
    at, table, body = 128 + 4 + 12 * len(tags), b"", b""
    for name, data in tags:
        table += name + struct.pack(">II", at + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    head = struct.pack(">I4xI", at + len(body), 0x02400000) + (b"prtr" if space == b"CMYK" else b"mntr") + space
    head += (b"Lab " if space == b"CMYK" else b"XYZ ") + struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp" + bytes(28)
    head += struct.pack(">3i", 63190, 65536, 54061)  # D50
    return head.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + body


def _xyz(values: Sequence[float]) -> bytes:
    return b"XYZ " + bytes(4) + struct.pack(">3i", *(round(v * 65536) for v in values))


def with_segments(jpeg: bytes, segments: Iterable[tuple[int, bytes]]) -> bytes:
    """A JPEG with more segments (marker, content) behind its first one."""
    length = int.from_bytes(jpeg[4:6], "big")
    at = 4 + length
    return (
        jpeg[:at] + b"".join(b"\xff" + bytes([m]) + struct.pack(">H", 2 + len(d)) + d for m, d in segments) + jpeg[at:]
    )
