"""From a still .nvc file back to a picture, in memory: the mirror of `codec.still.encode`."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from ..base.resample import BASE_FORMAT, base_size
from ..errors import DamageError, FormatError
from ..frames import Plane
from ..limits import DEFAULT, Limits
from ..loss.modes import GUIDED, PALETTE
from ..machine import device_of_still, use_threads
from ..media.colours import points_of
from ..media.pictures import Picture, Pixels
from ..wire.obu import FRAME, FRAME_HEADER, SEQUENCE_HEADER, iter_obus, sequence_size
from .payload import ALPHA, NO_ALPHA, OPAQUE, StillHeader, check_still, header_of
from .restore import BASE_SCALE, alpha_prediction, checksum_of_picture, restored, restoring, upscaled


def decode_still(data: bytes, threads: int = 0, limits: Limits = DEFAULT, device: str = "auto") -> Picture:
    """The picture of a still .nvc file. `threads`: 0 = all cores; `device`: where its head runs, "cpu" or "cuda";
    "auto" is the processor. Raises FormatError, also for what is beyond `limits`, UsageError where there is no such
    device, or DamageError where the picture cannot be restored exactly."""
    device = device_of_still(device)
    still, header = header_of(data)
    check_still(header, limits)
    _check_unit(still.base, header)
    if header.alpha == ALPHA:
        if not still.alpha:
            raise FormatError("the payload says that there is alpha, and the file has no item of it")
        _check_unit(still.alpha, header)
    whole = False  # with alpha
    if header.bounded == PALETTE.still:
        pixels, whole = _of_palette(header)
    else:
        with ThreadPoolExecutor(1, "base") as pool:  # while the head is loaded and proven
            base = pool.submit(_upscaled_base, still.base, header, threads)
            head = restoring(header, device, threads)
            pixels = restored(base.result(), header, head)
        if header.bounded:
            guided = header.bounded == GUIDED.still
            if guided:
                use_threads(threads)
            from .exact import exact_decode

            pixels = exact_decode(header.loss, header.loss_low, pixels, header.max_error, guided)
    if header.alpha != NO_ALPHA and not whole:
        pixels = np.concatenate([pixels, _alpha_of(still.alpha, header, threads)], axis=2)
    if checksum_of_picture(pixels) != header.checksum:
        raise DamageError("the decoded picture does not match its checksum")
    points = points_of(still.colour.primaries, still.colour.transfer)
    return Picture(pixels, still.icc, still.exif, points)


def _of_palette(header: StillHeader) -> tuple[Pixels, bool]:
    """Pixels of a palette, and whether alpha is among their channels. Of the base only the size matters."""
    from .palette import palette_decode

    shape = header.height, header.width
    found = palette_decode(header.loss, shape, header.channels, header.depth, header.alpha == ALPHA)
    if found.alpha and (header.alpha_loss or header.alpha_low):
        raise FormatError("alpha is both of the palette and in a loss-stream of its own")
    return found.pixels, found.alpha


def _alpha_of(unit: bytes, header: StillHeader, threads: int) -> Pixels:
    """Alpha (rows, columns, 1) of its temporal unit and its loss-stream, or opaque everywhere."""
    from .exact import exact_decode

    peak = (1 << header.depth) - 1
    if header.alpha == OPAQUE:
        return np.full((header.height, header.width, 1), peak, np.uint8 if header.depth == 8 else np.uint16)
    predicted = alpha_prediction(_base_of(unit, header, threads), header.width, header.height, peak)
    return exact_decode(header.alpha_loss, header.alpha_low, predicted, 0)


def _upscaled_base(unit: bytes, header: StillHeader, threads: int) -> Sequence[Plane]:
    """Three full-size planes of a temporal unit that was checked."""
    return upscaled(_base_of(unit, header, threads), header.width, header.height)


def _base_of(unit: bytes, header: StillHeader, threads: int) -> Sequence[Plane]:
    """The planes of the one picture of a temporal unit that was checked."""
    from ..base.av1 import decode_base  # libav takes long to load: some of that beside the head

    shape = _shape_of(header)
    frames = [planes for _, planes in decode_base([(unit, 0)], shape, threads)]
    if len(frames) != 1:
        raise FormatError(f"the base holds {len(frames)} pictures, not one")
    return frames[0]


def _shape_of(header: StillHeader) -> tuple[int, int]:
    """(rows, columns) of the base and of alpha's item."""
    return BASE_FORMAT.shapes(*base_size(header.width, header.height, BASE_SCALE))[0]


def _check_unit(unit: bytes, header: StillHeader) -> None:
    """Raise FormatError unless a temporal unit is one picture of the size that the header implies, as its own headers
    say: a size that is nowhere else in the file is not believed."""
    rows, columns = _shape_of(header)
    kinds = [obu.type for obu in iter_obus(unit)]
    if kinds.count(SEQUENCE_HEADER) != 1 or kinds.count(FRAME) + kinds.count(FRAME_HEADER) != 1:
        raise FormatError("the base is not one picture with one sequence header")
    if sequence_size(unit) != (columns, rows):
        raise FormatError("the base's sequence header says another size than the payload")
