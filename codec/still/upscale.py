"""Pictures made larger by a trained head: `codec upscale`.

    RGB ──Lanczos, integers──────────────────────────> + ──> RGB, larger
     └──Y'CgCo, 10 bits──Lanczos──> head (integers) ──/

The head adds what the filter cannot know; samples keep their depth. Tile by tile, each with as much around it as filter
and head see, so the picture is the same for every size of tiles, on every machine, and memory is bounded by a tile.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from heads.layers import HeadError
from heads.restorer.integer import IntegerHead
from heads.restorer.loaded import restoring_head
from heads.restorer.planes import cells, unpack
from heads.restorer.spec import CORRECTION_BITS, INPUT_MAX
from heads.restorer.store import Stored, read, upscaler

from ..base.colour import NEUTRAL, PEAK, to_planes
from ..base.resample import filtered, upscale_plane
from ..errors import InputError, UsageError
from ..events import Listener, Share, silent
from ..frames import folds_of
from ..limits import Limits, check_source, enlarging
from ..machine import device_of_still, use_threads
from ..media.files import read_bytes
from ..media.pictures import Admit, Picture, Pixels
from ..wire.fields import PIXELS_MAX

REACH = 4  # source samples around a tile that the filter sees
SIDE_MAX = 65535


def load_upscaler(scale: int | None, model: str | None) -> Stored:
    """The pretrained head for `scale` (None: 2), or the one in the file `model`. Raises InputError, UsageError."""
    if model is None:
        return upscaler(scale or 2)
    try:
        stored = read(read_bytes(model))
    except HeadError as error:
        raise InputError(f"{model}: {error}") from None
    if stored.scale == 1 or stored.spec.planes != 12 or stored.spec.base_q:
        raise InputError(f"{model}: this head does not enlarge pictures")
    if scale is not None and scale != stored.scale:
        raise UsageError(f"{model} enlarges by {stored.scale}, not by {scale}")
    return stored


def admit_to_enlarge(scale: int, limits: Limits) -> Admit:
    """What refuses a picture that is too large to be enlarged by `scale`; the result counts as well."""

    def admit(width: int, height: int) -> None:
        check_source(width, height, limits, enlarging(scale))
        _check_result(width, height, scale, limits.still_pixels)

    return admit


def _check_result(width: int, height: int, scale: int, pixels: int) -> None:
    """Raise InputError where the result has more samples than `pixels` or than can be stored."""
    larger = width * scale, height * scale
    if max(larger) > SIDE_MAX or larger[0] * larger[1] > PIXELS_MAX:
        raise InputError(f"a picture of {width}x{height} samples is too large to be enlarged by {scale}")
    if larger[0] * larger[1] > pixels:
        asked = f"a picture of {width}x{height} enlarged by {scale}"
        raise InputError(f"{asked} has more than {pixels:,} samples; --max-pixels raises that")


def upscaled_planes(pixels: Pixels, peak: int, scale: int) -> list[NDArray[np.uint16]]:
    """Three 10-bit planes of RGB or grey samples of 0..peak, larger by the fixed filter."""
    shape, factor = (pixels.shape[0] * scale, pixels.shape[1] * scale), Fraction(scale)
    planes = [np.clip(np.rint(p), 0, PEAK).astype(np.uint16) for p in to_planes(pixels, peak)]
    larger = [upscale_plane(p, (factor, factor), shape) for p in planes]
    return larger if len(larger) == 3 else [*larger, *[np.full(shape, NEUTRAL, np.uint16)] * 2]


def upscaled_picture(
    picture: Picture,
    stored: Stored,
    *,
    tile: int = 256,
    device: str = "auto",
    threads: int = 0,
    listen: Listener = silent,
) -> Picture:
    """`picture` times the head's scale. `tile`: samples of the source a side that are worked on at once; `device`:
    where the head runs, "auto" is the processor; `listen` is told the share done, tile by tile. Alpha is enlarged by
    the filter alone. Raises InputError for what would be too large, UsageError where there is no such device."""
    use_threads(threads)
    scale = stored.scale
    rows, columns, channels = picture.pixels.shape
    _check_result(columns, rows, scale, PIXELS_MAX)
    head = restoring_head(stored.spec, stored.layers, device_of_still(device))
    margin = REACH + -(-2 * stored.spec.layers // scale)
    margin += margin * scale % 2  # so that tiles begin on whole cells
    tile += tile * scale % 2
    out = np.empty((rows * scale, columns * scale, channels), picture.pixels.dtype)
    places = [(y, x) for y in range(0, rows, tile) for x in range(0, columns, tile)]
    for count, (y, x) in enumerate(places, 1):
        top, left = max(y - margin, 0), max(x - margin, 0)
        bottom, right = min(y + tile + margin, rows), min(x + tile + margin, columns)
        part = picture.pixels[top:bottom, left:right]
        done = _enlarged(part, picture.peak, head, scale)
        here = done[(y - top) * scale :, (x - left) * scale :][: tile * scale, : tile * scale]
        out[y * scale : (y + tile) * scale, x * scale : (x + tile) * scale] = here
        listen(Share("upscale", count / len(places)))
    return replace(picture, pixels=out)


def _enlarged(pixels: Pixels, peak: int, head: IntegerHead, scale: int) -> Pixels:
    """A tile with what is around it."""
    colour = Picture(pixels).colour
    planes = upscaled_planes(colour, peak, scale)
    shape = planes[0].shape
    added = _additions(head, planes, shape)[: colour.shape[2]]
    if len(added) == 3:
        luma, green, orange = added
        added = [luma - green + orange, luma + green, luma - green - orange]
    larger = filtered(pixels, scale)  # 1/16 of a sample
    unit = PEAK << CORRECTION_BITS
    for channel, add in enumerate(added):
        larger[..., channel] += (add * (16 * peak) + (unit >> 1)) // unit
    return np.clip((larger + 8) >> 4, 0, peak).astype(pixels.dtype)


def _additions(head: IntegerHead, planes: list[NDArray[np.uint16]], shape: tuple[int, int]) -> list[NDArray[np.int64]]:
    """What the head adds to each plane, in 1/2^CORRECTION_BITS of a 10-bit step."""
    x = cells(planes, folds_of("444"), head.cell, INPUT_MAX)
    out = [np.empty(shape, np.int64) for _ in planes]
    unpack(head.whole(x.to(head.device), head.correction), folds_of("444"), out)
    return out
