"""Pictures of few colours: a palette, and a plane of indices into it, exact.

The colours of a palette are whole pixels, alpha among their channels where it is said so, in rising order, green first.
Both directions are here; `codec.still.few_colours` decides whether a picture is coded so.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import FormatError
from ..loss.entropy import CountTables, SymbolCoder, SymbolReader, SymbolWriter
from ..loss.indexed import IndexCoder
from ..media.pictures import Pixels

TRANSPOSED, WITH_ALPHA = 4, 8  # flags above the number of rounds
_FRONT = struct.Struct(">BH")  # rounds and flags, colours less one: the format has 65536 at most
Lanes = NDArray[np.int32]


@dataclass(frozen=True)
class Indexed:
    """A picture as a palette (colours, channels), rising as `order_of` puts the channels, uint8 or uint16, and its
    indices (rows, columns) int32. `alpha`: the last channel is alpha."""

    palette: NDArray[Any]
    indices: NDArray[np.int32]
    alpha: bool

    @property
    def pixels(self) -> Pixels:
        """The picture, (rows, columns, channels)."""
        return self.palette[self.indices]


def order_of(channels: int) -> list[int]:
    """Channels in the order in which colours are compared: green first."""
    return [1, 0, 2, 3][:channels] if channels >= 3 else list(range(channels))


def palette_encode(picture: Indexed, rounds: int, transposed: bool) -> bytes:
    """The loss-stream of a picture. `rounds`: see `IndexCoder`; `transposed`: columns are coded as rows."""
    colours = len(picture.palette)
    flags = rounds | TRANSPOSED * transposed | WITH_ALPHA * picture.alpha
    writer = SymbolWriter()
    _code_palette(writer, colours, _lanes(picture.palette), picture.palette.shape[1] * picture.palette.itemsize)
    if colours > 1:
        indices = picture.indices.T if transposed else picture.indices
        IndexCoder(writer, indices.shape, colours, rounds).run(indices)
    return _FRONT.pack(flags, colours - 1) + writer.finish()


def palette_decode(data: bytes, shape: tuple[int, int], channels: int, depth: int, alpha: bool) -> Indexed:
    """Inverse of `palette_encode`. `channels`: without alpha; `alpha`: whether there may be one. Raises FormatError."""
    if len(data) < _FRONT.size:
        raise FormatError("the loss-stream has no palette")
    flags, last = _FRONT.unpack_from(data)
    rounds, transposed, with_alpha = flags & 3, bool(flags & TRANSPOSED), bool(flags & WITH_ALPHA)
    colours = last + 1
    if flags >= 2 * WITH_ALPHA or (with_alpha and not alpha):
        raise FormatError("the palette's flags are not those of its picture")
    if colours > shape[0] * shape[1]:
        raise FormatError(f"a palette of {colours} colours is larger than its picture")
    reader = SymbolReader(data[_FRONT.size :])
    lanes = _code_palette(reader, colours, None, (channels + with_alpha) * (depth // 8))
    palette = _colours(lanes, channels + with_alpha, depth)
    if colours == 1:
        indices = np.zeros(shape, np.int32)
    else:
        indices = IndexCoder(reader, shape[::-1] if transposed else shape, colours, rounds).run(None)
        indices = indices.T if transposed else indices
    reader.finish()
    return Indexed(palette, indices, with_alpha)


def _code_palette(coder: SymbolCoder, colours: int, lanes: Lanes | None, width: int) -> Lanes:
    """The lanes (colours, width) of a palette: in calls of 1, 1, 2, 4, .. colours, so that tables adapt."""
    tables = CountTables(np.ones((width, 256), np.int64))
    found = np.empty((colours, width), np.int32)
    first = 0
    while first < colours:
        end = min(max(1, 2 * first), colours)
        classes = np.tile(np.arange(width, dtype=np.uint8), end - first)
        symbols = None if lanes is None else lanes[first:end].reshape(-1)
        found[first:end] = coder.code(tables, classes, symbols).reshape(-1, width)
        first = end
    return found


def _lanes(palette: NDArray[Any]) -> Lanes:
    """Bytes of what is sent of each colour, high ones before low ones: how much its first channel exceeds that of the
    colour before, how much the other colour channels exceed the first, and alpha exceeds that of the colour before."""
    values = palette[:, order_of(palette.shape[1])].astype(np.int64)
    sent = values.copy()
    sent[1:, 0] -= values[:-1, 0]
    sent[:, 1:3] -= values[:, :1]
    if palette.shape[1] in (2, 4):
        sent[:, -1] = np.diff(values[:, -1], prepend=0)
    if palette.dtype == np.uint16:
        sent = np.stack([sent >> 8, sent], axis=2).reshape(len(sent), -1)
    return (sent & 255).astype(np.int32)


def _colours(lanes: Lanes, channels: int, depth: int) -> NDArray[Any]:
    """Inverse of `_lanes`. Raises FormatError for a palette that does not rise."""
    sent = lanes.astype(np.int64)
    if depth == 16:
        sent = sent[:, ::2] << 8 | sent[:, 1::2]
    peak = (1 << depth) - 1
    values = sent.copy()
    values[:, 0] = np.cumsum(sent[:, 0])
    values[:, 1:3] += values[:, :1]
    if channels in (2, 4):
        values[:, -1] = np.cumsum(sent[:, -1])
    if values[-1, 0] > peak:
        raise FormatError("the palette is damaged: a colour that there is not")
    values[:, 1:] &= peak
    # a colour rises above the one before where the first channel that differs does
    steps = np.diff(values, axis=0)
    differs = steps != 0
    first = differs.argmax(axis=1)
    if not (np.take_along_axis(steps, first[:, None], axis=1) > 0).all():
        raise FormatError("the palette is damaged: its colours do not rise")
    palette = np.empty(values.shape, np.uint8 if depth == 8 else np.uint16)
    palette[:, order_of(channels)] = values
    return palette
