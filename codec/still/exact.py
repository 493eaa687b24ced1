"""Exact and bounded samples of a still: 8 bits through one loss-stream, 16 bits through two, the second of their lower
bytes.

Colour that is to be exact is coded as Y'CgCo-R, which is reversible in integers; within a bound, as green, red, blue.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..errors import FormatError
from ..frames import Plane, PlaneFormat
from ..loss.coder import LossCoder, LossSettings
from ..loss.modes import GUIDED, LINEAR
from ..media.pictures import Pixels


def exact_encode(
    source: Pixels, predicted: Pixels, max_error: int, guided: bool = False
) -> tuple[bytes, bytes, Pixels]:
    """Loss-streams of the samples (of their upper bytes, if of 16 bits) and of the lower bytes, and the samples."""
    rows, columns, channels = source.shape
    if source.dtype == np.uint8:
        data, decoded = EightBitCoder(columns, rows, channels, max_error, guided).encode(source, predicted)
        return data, b"", decoded
    high, low = (source >> 8).astype(np.uint8), (source & 255).astype(np.uint8)
    data, _ = EightBitCoder(columns, rows, channels, 0).encode(high, (predicted >> 8).astype(np.uint8))
    guess = _low_bytes(high, int((high == low).mean() > 0.5))
    lower, _ = EightBitCoder(columns, rows, channels, 0).encode(low, guess)
    return data, bytes([int(guess is high)]) + lower, source


def exact_decode(data: bytes, lower: bytes, predicted: Pixels, max_error: int, guided: bool = False) -> Pixels:
    """Inverse of `exact_encode`. Raises FormatError."""
    rows, columns, channels = predicted.shape
    if predicted.dtype == np.uint8:
        return EightBitCoder(columns, rows, channels, max_error, guided).decode(data, predicted)
    high = EightBitCoder(columns, rows, channels, 0).decode(data, (predicted >> 8).astype(np.uint8))
    if not lower or lower[0] > 1:
        raise FormatError("the lower bytes of 16-bit samples are of an unknown kind")
    low = EightBitCoder(columns, rows, channels, 0).decode(lower[1:], _low_bytes(high, lower[0]))
    return high.astype(np.uint16) << 8 | low


def _low_bytes(high: Pixels, same: int) -> Pixels:
    """What lower bytes are guessed to be: the upper ones, as in 8-bit pictures made deeper, or the middle."""
    return high if same else np.full_like(high, 128)


class EightBitCoder:
    """Codes 8-bit samples (rows, columns, 1 or 3) to within `max_error`, given a prediction of them."""

    def __init__(self, width: int, height: int, channels: int, max_error: int, guided: bool = False):
        self._mixed = channels == 3 and max_error == 0
        fmt = PlaneFormat("400" if channels == 1 else "444", 10 if self._mixed else 8)
        settings = LossSettings(GUIDED if guided else LINEAR, 0, max_error)
        self._coder = LossCoder(fmt, width, height, settings, rgb=channels == 3 and not self._mixed)

    def _planes(self, pixels: Pixels) -> list[Plane]:
        return exact_planes(pixels, self._mixed)

    def _pixels(self, planes: Sequence[Plane]) -> Pixels:
        return irreversible(planes) if self._mixed else _joined(planes)

    def encode(self, source: Pixels, predicted: Pixels) -> tuple[bytes, Pixels]:
        """(loss-stream, samples as the decoder has them)."""
        data, planes = self._coder.encode(self._planes(source), self._planes(predicted))
        return data, self._pixels(planes)

    def decode(self, data: bytes, predicted: Pixels) -> Pixels:
        """Inverse of `encode`. Raises FormatError."""
        return self._pixels(self._coder.decode(data, self._planes(predicted)))


def exact_planes(pixels: Pixels, mixed: bool) -> list[Plane]:
    """Planes as a loss-stream codes 8-bit samples: reversible ones, if `mixed`, or the channels."""
    return reversible(pixels) if mixed else _split(pixels)


def reversible(pixels: Pixels) -> list[Plane]:
    """RGB of 8 bits as Y'CgCo-R (Malvar and Sullivan 2003) on the 10-bit scale: reversible in integers."""
    red, green, blue = (pixels[..., k].astype(np.int32) for k in range(3))
    orange = red - blue
    rest = blue + (orange >> 1)
    greenish = green - rest
    return [p.astype(np.uint16) for p in (rest + (greenish >> 1), greenish + 256, orange + 256)]


def irreversible(planes: Sequence[Plane]) -> Pixels:
    """Inverse of `reversible`; values that no RGB picture has are limited."""
    luma, greenish, orange = (p.astype(np.int32) for p in planes)
    greenish, orange = greenish - 256, orange - 256
    rest = luma - (greenish >> 1)
    blue = rest - (orange >> 1)
    return np.clip(np.stack([blue + orange, greenish + rest, blue], axis=2), 0, 255).astype(np.uint8)


def _split(pixels: Pixels) -> list[Plane]:
    """Planes of 8-bit samples, green first, since the others are predicted from it."""
    order = (1, 0, 2) if pixels.shape[2] == 3 else (0,)
    return [np.ascontiguousarray(pixels[..., k]) for k in order]


def _joined(planes: Sequence[Plane]) -> Pixels:
    """Inverse of `_split`."""
    order = (1, 0, 2) if len(planes) == 3 else (0,)
    return np.stack([planes[k] for k in order], axis=2)
