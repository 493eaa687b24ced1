"""Samples of TIFF pages, of any number of bits up to 16, with whatever channels there are.

Strips and tiles that are not compressed, or by Deflate, LZW or PackBits, are unpacked here: OpenCV makes other
samples of alpha, of planes one after the other, of white that is zero and of odd depths. It decompresses only, each
strip as a grey picture of its own. JPEG and facsimile codings are left to it.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from . import tiff
from .attributes import Attributes
from .pnm import scaled
from .tiff import Directory

Samples = NDArray[Any]

_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _INDEXED, _SEPARATED, _YCBCR = 0, 1, 2, 3, 5, 6
_CHANNELS = {_WHITE_IS_ZERO: 1, _BLACK_IS_ZERO: 1, _RGB: 3, _INDEXED: 1, _SEPARATED: 4}
_PLAIN, _LZW, _DEFLATE, _PACKBITS = 1, 5, (8, 32946), 32773
_BY_OPENCV = {2, 3, 4, 7}  # facsimile codings and JPEG
_HORIZONTAL = 2
_ASSOCIATED, _UNASSOCIATED = 1, 2
_UNSIGNED, _VOID = 1, 4
_CHANNELS_MAX, _BITS_MAX, _SIDE_MAX = 5, 16, 1 << 20
_REVERSED = bytes(int(f"{value:08b}"[::-1], 2) for value in range(256))  # bits of each byte
_SLAB = 64  # rows that are unpacked at once: bounds the memory


def decode(page: Directory, beside: Attributes) -> Samples:
    """Samples (rows, columns, 1 to 4) of a page: grey or RGB, with alpha where it has any. Raises InputError for what
    cannot be read, FormatError for what breaks the rules."""
    photometric, bits = page.number(tiff.PHOTOMETRIC, -1), page.numbers(tiff.BITS)
    compression, count = page.number(tiff.COMPRESSION, 1), page.number(tiff.SAMPLES, 1)
    if {*page.numbers(tiff.FORMAT).tolist()} - {_UNSIGNED, _VOID}:
        raise InputError("samples other than whole numbers from 0 on cannot be stored")
    if photometric == _YCBCR or compression in _BY_OPENCV:
        return _by_opencv(page, count, photometric)
    if photometric not in _CHANNELS:
        raise InputError(f"TIFF of colour space {photometric} cannot be read")
    depth = int(bits[0]) if len(bits) else 1
    if not 1 <= depth <= _BITS_MAX or (bits != depth).any() or not _CHANNELS[photometric] <= count <= _CHANNELS_MAX:
        raise InputError(f"TIFF of {count} samples a pixel of {depth} bits cannot be read")
    samples = _Layout.of(page, depth, count).samples()
    return _finished(samples, page, photometric, depth, beside)


@dataclass(frozen=True)
class _Layout:
    """How samples lie in a page: tiles of `columns` by `rows` (strips are as wide as the picture), each with
    `channels` samples a pixel of `depth` bits, in `planes` planes one after the other."""

    page: Directory
    width: int
    height: int
    columns: int
    rows: int
    channels: int
    planes: int
    depth: int
    tiled: bool

    @classmethod
    def of(cls, page: Directory, depth: int, count: int) -> _Layout:
        width, height = page.number(tiff.WIDTH), page.number(tiff.HEIGHT)
        tiled = tiff.TILE_WIDTH in page.entries
        columns = page.number(tiff.TILE_WIDTH) if tiled else width
        rows = page.number(tiff.TILE_HEIGHT) if tiled else min(page.number(tiff.ROWS_PER_STRIP, height), height)
        apart = page.number(tiff.PLANAR, 1) == 2 and count > 1
        channels, planes = (1, count) if apart else (count, 1)
        stride = -(-columns * channels * depth // 8)
        if min(width, height, columns, rows) < 1 or max(stride, rows) > _SIDE_MAX:
            raise InputError(f"TIFF of strips or tiles of {columns}x{rows} samples cannot be read")
        return cls(page, width, height, columns, rows, channels, planes, depth, tiled)

    def samples(self) -> Samples:
        """(rows, columns, channels) as they are stored. Raises InputError, FormatError."""
        page = self.page
        offsets = page.numbers(tiff.TILE_OFFSETS if self.tiled else tiff.OFFSETS)
        sizes = page.numbers(tiff.TILE_BYTE_COUNTS if self.tiled else tiff.BYTE_COUNTS)
        across, down = -(-self.width // self.columns), -(-self.height // self.rows)
        whole = len(sizes) == 0 and len(offsets) == 1  # old writers leave out what can be worked out
        if whole:
            sizes = np.array([len(page.data)])
        if min(len(offsets), len(sizes)) < across * down * self.planes:
            raise InputError("the TIFF lacks strips or tiles")
        shape = self.height, self.width, self.channels * self.planes
        out = np.empty(shape, np.uint8 if self.depth <= 8 else np.uint16)
        for number in range(across * down * self.planes):
            plane, place = divmod(number, across * down)
            top, left = place // across * self.rows, place % across * self.columns
            rows = self.rows if self.tiled else min(self.rows, self.height - top)
            at = int(offsets[number])
            part = page.data[at : at + int(sizes[number])]
            if at + int(sizes[number]) > len(page.data) and not whole:
                raise InputError("the TIFF is cut off or damaged")
            found = self._unpacked(part, rows)[: self.height - top, : self.width - left]
            channels = slice(None) if self.planes == 1 else slice(plane, plane + 1)
            out[top : top + len(found), left : left + found.shape[1], channels] = found
        return out

    def _unpacked(self, part: bytes, rows: int) -> Samples:
        """Samples (rows, columns, channels) of a strip or tile."""
        count = self.columns * self.channels
        stride = -(-count * self.depth // 8)
        raw = _decompressed(part, self.page, stride, rows)
        if self.depth == 8:
            found: Samples = raw[:, :count]
        elif self.depth == 16:
            found = raw.view(self.page.order + "u2")[:, :count].astype(np.uint16)
        else:
            found = _of_bits(raw, count, self.depth)
        found = found.reshape(rows, self.columns, self.channels)
        predictor = self.page.number(tiff.PREDICTOR, 1)
        if predictor == _HORIZONTAL and self.depth in (8, 16):
            found = np.cumsum(found, axis=1, dtype=found.dtype)  # beyond the peak it begins anew, as it must
        elif predictor != 1:
            raise InputError(f"TIFF of predictor {predictor} for {self.depth} bits cannot be read")
        return found


def _of_bits(raw: NDArray[np.uint8], count: int, depth: int) -> Samples:
    """Samples (rows, count) packed from the first bit on, each row from a byte on."""
    found = np.empty((len(raw), count), np.uint8 if depth <= 8 else np.uint16)
    weights = (1 << np.arange(depth - 1, -1, -1)).astype(np.uint16)
    for top in range(0, len(raw), _SLAB):
        bits = np.unpackbits(raw[top : top + _SLAB], axis=1)[:, : count * depth]
        found[top : top + _SLAB] = (bits.reshape(len(bits), count, depth) * weights).sum(axis=2, dtype=np.uint16)
    return found


def _decompressed(part: bytes, page: Directory, stride: int, rows: int) -> NDArray[np.uint8]:
    """(rows, stride) bytes of a strip or tile. Raises InputError."""
    compression, size = page.number(tiff.COMPRESSION, 1), stride * rows
    if page.number(tiff.FILL_ORDER, 1) == 2:  # of compressed bytes too, whatever compressed them
        part = part.translate(_REVERSED)
    if compression == _PLAIN:
        data = part[:size]
    elif compression in _DEFLATE:
        try:
            data = zlib.decompressobj().decompress(part, size)
        except zlib.error:
            data = b""
    elif compression in (_LZW, _PACKBITS):
        data = _by_libtiff(part, compression, stride, rows)
    else:
        raise InputError(f"TIFF of compression {compression} cannot be read")
    if len(data) < size:
        raise InputError("the TIFF is cut off or damaged")
    return np.frombuffer(data, np.uint8, size).reshape(rows, stride)


def _by_libtiff(part: bytes, compression: int, stride: int, rows: int) -> bytes:
    """What a strip's bytes decompress to, as OpenCV reads them in a grey picture of `stride` samples a row; empty where
    it does not."""
    tags = [
        (tiff.WIDTH, stride), (tiff.HEIGHT, rows), (tiff.BITS, 8), (tiff.COMPRESSION, compression),
        (tiff.PHOTOMETRIC, _BLACK_IS_ZERO), (tiff.OFFSETS, 8), (tiff.SAMPLES, 1), (tiff.ROWS_PER_STRIP, rows),
        (tiff.BYTE_COUNTS, len(part)),
    ]  # fmt: skip
    head = b"II*\0" + struct.pack("<I", 8 + len(part))
    body = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    found = _imdecode(head + part + struct.pack("<H", len(tags)) + body + bytes(4))
    return b"" if found is None or found.shape != (rows, stride) or found.dtype != np.uint8 else found.tobytes()


def _imdecode(data: bytes) -> Samples | None:
    from .opencv import cv2

    try:
        return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        return None


def _by_opencv(page: Directory, count: int, photometric: int) -> Samples:
    """Samples of a page that OpenCV decodes, not turned. Raises InputError."""
    data, order = bytearray(page.data), page.order
    if data[:4] in tiff.BIG:
        struct.pack_into(order + "Q", data, 8, page.at)
    else:
        struct.pack_into(order + "I", data, 4, page.at)
    if tiff.ORIENTATION in page.entries:
        _, _, at = page.entries[tiff.ORIENTATION]
        struct.pack_into(order + "H", data, at, 1)
    found = _imdecode(bytes(data)) if count in (1, 3) and photometric in (*_CHANNELS, _YCBCR) else None
    if found is None or found.dtype != np.uint8:
        raise InputError("TIFF of this coding cannot be read")
    return found[..., None] if found.ndim == 2 else found[..., ::-1]


def _finished(samples: Samples, page: Directory, photometric: int, depth: int, beside: Attributes) -> Samples:
    """Grey or RGB of 8 or 16 bits, with alpha, of samples as they are stored."""
    base, peak = _CHANNELS[photometric], (1 << depth) - 1
    colour, alpha = samples[..., :base], _alpha(samples, page, base, beside)
    if photometric == _INDEXED:
        return _looked_up(colour[..., 0], page, peak)
    top = 255 if depth <= 8 else 65535
    if photometric == _WHITE_IS_ZERO:
        colour = peak - colour
    elif photometric == _SEPARATED:
        ink, paper = colour.astype(np.int64), peak - colour[..., 3:].astype(np.int64)
        colour = (((peak - ink[..., :3]) * paper * 2 + peak) // (2 * peak)).astype(colour.dtype)
        beside.convert("CMYK is converted to RGB without its profile")
    if alpha is None:
        found = colour
    else:
        if tiff.EXTRA in page.entries and _ASSOCIATED in page.numbers(tiff.EXTRA) and (alpha < peak).any():
            colour = divided(colour, alpha, peak)
            beside.convert("colours that were multiplied by alpha are divided by it")
        found = np.concatenate([colour, alpha], axis=2)
    if 8 < depth < 16:
        beside.notes.append(f"samples of {depth} bits are scaled to 16")
    return found if peak == top else scaled(found, peak)


def _alpha(samples: Samples, page: Directory, base: int, beside: Attributes) -> Samples | None:
    """The channel of alpha, (rows, columns, 1): one that is said to be, or the only one that is not colour."""
    extra = page.numbers(tiff.EXTRA).tolist()
    count = samples.shape[2] - base
    known = [k for k in range(min(count, len(extra))) if extra[k] in (_ASSOCIATED, _UNASSOCIATED)]
    at = known[0] if known else 0 if count == 1 else None
    if count > (at is not None):
        beside.lose("its further channels")
        beside.inexact = "it has further channels"
    return None if at is None else samples[..., base + at : base + at + 1]


def _looked_up(indices: Samples, page: Directory, peak: int) -> Samples:
    """RGB of a palette's indices: of 8 bits where its colours are of 8 bits, in any of the ways that there are."""
    palette = page.numbers(tiff.PALETTE)
    if len(palette) < 3 * (peak + 1):
        raise InputError("the TIFF's palette is cut off")
    colours = palette[: 3 * (peak + 1)].reshape(3, -1).T
    if not (colours & 255).any() or (colours == (colours >> 8) * 257).all():
        return (colours >> 8).astype(np.uint8)[indices]
    return colours.astype(np.uint16)[indices]


def divided(colour: Samples, alpha: Samples, peak: int) -> Samples:
    """Colour that was multiplied by alpha, divided by it, rounded half up; where alpha is 0, as it is."""
    out = colour.copy()
    for top in range(0, len(out), _SLAB):
        here, by = colour[top : top + _SLAB].astype(np.int64), alpha[top : top + _SLAB].astype(np.int64)
        found = np.minimum((here * (2 * peak) + by) // np.maximum(2 * by, 1), peak)
        out[top : top + _SLAB] = np.where(by > 0, found, here)
    return out
