"""From a still .nvc file back to a picture, in memory: the mirror of `codec.still.encode`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..base.av1 import decode_base
from ..base.resample import BASE_FORMAT, base_size
from ..errors import DamageError, FormatError
from ..frames import Plane
from ..limits import DEFAULT, Limits
from ..loss.modes import GUIDED
from ..media.pictures import Picture
from ..wire.obu import FRAME, FRAME_HEADER, SEQUENCE_HEADER, iter_obus, sequence_size
from .exact import exact_decode
from .payload import ALPHA, OPAQUE, StillHeader, check_still, header_of
from .restore import ONCE, alpha_prediction, checksum_of, restored, upscaled


def decode_still(data: bytes, threads: int = 0, limits: Limits = DEFAULT) -> Picture:
    """The picture of a still .nvc file. Raises FormatError, also for what is beyond `limits`, or DamageError where it
    cannot be restored exactly."""
    still, header = header_of(data)
    check_still(header, limits)
    base = _decoded(still.base, header, threads)
    pixels = restored(upscaled(base, header.width, header.height), header)
    if header.bounded:
        pixels = exact_decode(header.loss, header.loss_low, pixels, header.max_error, header.bounded == GUIDED.still)
    peak = (1 << header.depth) - 1
    if header.alpha == OPAQUE:
        pixels = np.concatenate([pixels, np.full_like(pixels[..., :1], peak)], axis=2)
    elif header.alpha == ALPHA:
        planes = _decoded(still.alpha, header, threads)
        predicted = alpha_prediction(planes, header.width, header.height, peak)
        alpha = exact_decode(header.alpha_loss, header.alpha_low, predicted, 0)
        pixels = np.concatenate([pixels, alpha], axis=2)
    if checksum_of(pixels) != header.checksum:
        raise DamageError("the decoded picture does not match its checksum")
    return Picture(pixels, still.icc, still.exif)


def _decoded(unit: bytes, header: StillHeader, threads: int) -> Sequence[Plane]:
    """The planes of the one picture of a temporal unit, which must have the size that the header implies."""
    height, width = BASE_FORMAT.shapes(*base_size(header.width, header.height, ONCE))[0]
    kinds = [obu.type for obu in iter_obus(unit)]
    if kinds.count(SEQUENCE_HEADER) != 1 or kinds.count(FRAME) + kinds.count(FRAME_HEADER) != 1:
        raise FormatError("the base is not one picture with one sequence header")
    if sequence_size(unit) != (width, height):
        raise FormatError("the base's sequence header says another size than the payload")
    frames = [planes for _, planes in decode_base([(unit, 0)], (height, width), threads)]
    if len(frames) != 1:
        raise FormatError(f"the base holds {len(frames)} pictures, not one")
    return frames[0]
