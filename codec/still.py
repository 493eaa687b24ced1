"""A still picture as an .nvc file and back, in memory.

    picture ──Y'CgCo 4:2:0──> AV1 base ──┬──────────────> in the file: AVIF, any browser shows it
                                         └─upscale chroma──> shipped head ──> RGB ──(loss-stream)──> picture

The head is part of the package and is told the base's quantiser, so it costs no bits. Alpha is always exact: a coarse
AV1 picture for browsers, and a lossless loss-stream on top. What the decoder runs is integer arithmetic.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from heads.integer import HeadError, IntegerHead
from heads.last import Moments
from heads.model import INPUT_MAX, HeadSpec
from heads.planes import folds_of, grid_of, pack, unpack
from heads.store import STILL_HEADS, shipped
from heads.weights import decode_last, encode_last

from . import avif
from .base import BaseSettings, base_frames, decode_base, encode_base
from .colour import BITS, PEAK, SRGB, to_pixels, to_planes
from .errors import DamageError, FormatError, InputError
from .frames import Plane, PlaneFormat
from .limits import DEFAULT, Limits, check_still
from .metrics import squared_error
from .obu import FRAME, FRAME_HEADER, SEQUENCE_HEADER, extract, inject, iter_obus, sequence_size
from .payload import PIXELS_MAX, PSNR_MAX, checksum, told_of
from .pictures import Picture, Pixels
from .rate import search
from .resample import BASE_FORMAT, base_size, downscale, upscale
from .residual import LossCoder, LossKind, LossSettings
from .still_payload import (
    ALPHA,
    GUIDED,
    LINEAR,
    NO_ALPHA,
    NO_HEAD,
    OPAQUE,
    UNBOUNDED,
    StillHeader,
    read_still,
    write_still,
)
from .still_settings import StillSettings

HEAD = 1  # the shipped head that is used now
TOLD_MAX = 127
ALPHA_CRF = 48.0  # of what browsers show; the picture's own alpha is exact
BAND = 64  # rows of cells that a head restores at once: bounds the memory
BIAS = 1 << 15  # added to corrections, so that `unpack` finds them positive; larger ones are limited
PEAK_8 = 255
WIDEST, HIGHEST = 16384, 8704  # what SVT-AV1 takes
_FULL, _GREY = PlaneFormat("444", 10), PlaneFormat("400", 10)
_ONCE = Fraction(1)
DB_PER_E = 5.5  # that e times the bytes of a base give: what a head's own layer must beat
TUNED_CELLS = 40000  # that a picture's own last layer is fitted on
PSNR_SLACK = 0.02  # dB above the wish that is close enough
RATE_SLACK = 0.005  # share of the wish left over that is close enough


@dataclass(frozen=True)
class CodedStill:
    """A file and how it came about. `psnr`: dB over the colour channels (infinite where exact), of the decoded picture;
    `parts`: bytes of the base, the loss-streams and alpha; `missed`: what was asked for and could not be met."""

    data: bytes
    crf: float
    psnr: float
    head: bool
    parts: dict[str, int]
    missed: str = ""


def base_planes(pixels: Pixels, peak: int) -> list[Plane]:
    """10-bit 4:2:0 planes of RGB or grey samples of 0..peak, at the size of the base."""
    planes = [np.clip(np.rint(p), 0, PEAK).astype(np.uint16) for p in to_planes(pixels, peak)]
    return downscale(planes, _FULL if len(planes) == 3 else _GREY, _ONCE)


def base_of(planes: Sequence[Plane], settings: BaseSettings) -> tuple[bytes, Sequence[Plane]]:
    """(temporal unit, planes as they are decoded) of one picture given as `base_planes`."""
    packets = encode_base([planes], [0], Fraction(1, 25), Fraction(25), settings)
    (frame,) = base_frames(packets, planes[0].shape, settings.threads)
    return packets[0].data, frame.planes


def upscaled(base: Sequence[Plane], width: int, height: int) -> list[Plane]:
    """Three full-size 10-bit planes of the base by the fixed filter."""
    return upscale(base, _FULL, width, height, _ONCE)


def plain(planes: Sequence[Plane]) -> list[NDArray[np.int32]]:
    """Planes with BITS more bits, as a picture without a head has them."""
    return [p.astype(np.int32) << BITS for p in planes]


def bands(spec: HeadSpec, planes: Sequence[Plane], told: int) -> Iterator[tuple[int, int, int, Tensor]]:
    """(first and last + 1 row of cells, row where the inputs begin, inputs of a head): band by band, each with as many
    rows around it as the layers see."""
    rows, columns = grid_of(planes[0].shape)
    for first in range(0, rows, BAND):
        last = min(first + BAND, rows)
        top, bottom = max(first - spec.layers, 0), min(last + spec.layers, rows)
        x = torch.full((bottom - top, columns, spec.inputs), float(told), dtype=torch.float32)
        pack([p[2 * top : 2 * bottom] for p in planes], folds_of("444"), x[:, :, :12])
        x[:, :, :12] -= INPUT_MAX
        yield first, last, top, x


def corrected(head: IntegerHead, planes: Sequence[Plane], told: int = 0) -> list[NDArray[np.int32]]:
    """Three full-size 10-bit planes as a head restores them, with BITS more bits."""
    folds = folds_of("444")
    out = [np.empty(p.shape, np.int32) for p in planes]
    for first, last, top, x in bands(head.spec, planes, told):
        y = head.correction(x.to(head.device))[first - top : last - top]
        here = [p[2 * first : 2 * last] for p in planes]
        added = unpack((y + BIAS).clamp_(0, 2 * BIAS - 1), [p.shape for p in here], folds, np.dtype(np.uint16))
        for plane, upscaled, add in zip(out, here, added, strict=True):
            value = (upscaled.astype(np.int32) << BITS) + add.astype(np.int32) - BIAS
            plane[2 * first : 2 * last] = np.clip(value, 0, PEAK << BITS)
    return out


def psnr_of(found: Pixels, wanted: Pixels, peak: int) -> float:
    """dB over all samples, infinite where they are equal."""
    error = squared_error(found, wanted)
    return 10 * math.log10(peak**2 / error) if error else math.inf


@cache
def shipped_head(number: int) -> IntegerHead:
    """A head of the package, ready to run. Raises FormatError where there is none of that number."""
    if number not in STILL_HEADS:
        raise FormatError(f"the picture needs head {number}, which this version does not have")
    stored = shipped(STILL_HEADS[number])
    return IntegerHead(stored.spec, stored.layers)


def head_of(header: StillHeader) -> IntegerHead:
    """The head that a picture uses: a shipped one, or that with another last layer. Raises FormatError."""
    head = shipped_head(header.head)
    if not header.delta:
        return head
    try:
        return IntegerHead(head.spec, decode_last(header.delta, head.spec, head.layers))
    except HeadError as error:
        raise FormatError(f"the picture's own head is damaged: {error}") from None


def restored(planes: Sequence[Plane], header: StillHeader) -> Pixels:
    """Colour as the head makes it of the `upscaled` base, or as that is alone: what encoder and decoder both run."""
    if header.head != NO_HEAD:
        full = corrected(head_of(header), planes, header.told)
    else:
        full = plain(planes)
    return to_pixels(full[: header.channels], (1 << header.depth) - 1)


# exact and bounded samples


def _reversible(pixels: Pixels) -> list[Plane]:
    """RGB of 8 bits as Y'CgCo-R (Malvar and Sullivan 2003) on the 10-bit scale: reversible in integers."""
    red, green, blue = (pixels[..., k].astype(np.int32) for k in range(3))
    orange = red - blue
    rest = blue + (orange >> 1)
    greenish = green - rest
    return [p.astype(np.uint16) for p in (rest + (greenish >> 1), greenish + 256, orange + 256)]


def _irreversible(planes: Sequence[Plane]) -> Pixels:
    """Inverse of `_reversible`; values that no RGB picture has are limited."""
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
    order = (1, 0, 2) if len(planes) == 3 else (0,)
    return np.stack([planes[k] for k in order], axis=2)


def exact_planes(pixels: Pixels, mixed: bool) -> list[Plane]:
    """Planes as a loss-stream codes 8-bit samples: reversible ones, if `mixed`, or the channels."""
    return _reversible(pixels) if mixed else _split(pixels)


class Exact:
    """Codes 8-bit samples (rows, columns, 1 or 3) to within `max_error`, given a prediction of them."""

    def __init__(self, width: int, height: int, channels: int, max_error: int, guided: bool = False):
        self._mixed = channels == 3 and max_error == 0
        fmt = PlaneFormat("400" if channels == 1 else "444", 10 if self._mixed else 8)
        settings = LossSettings(LossKind.GUIDED if guided else LossKind.BOUNDED, 0, max_error)
        self._coder = LossCoder(fmt, width, height, settings, rgb=channels == 3 and not self._mixed)

    def _planes(self, pixels: Pixels) -> list[Plane]:
        return exact_planes(pixels, self._mixed)

    def _pixels(self, planes: Sequence[Plane]) -> Pixels:
        return _irreversible(planes) if self._mixed else _joined(planes)

    def encode(self, source: Pixels, predicted: Pixels) -> tuple[bytes, Pixels]:
        """(loss-stream, samples as the decoder has them)."""
        data, planes = self._coder.encode(self._planes(source), self._planes(predicted))
        return data, self._pixels(planes)

    def decode(self, data: bytes, predicted: Pixels) -> Pixels:
        """Inverse of `encode`. Raises FormatError."""
        return self._pixels(self._coder.decode(data, self._planes(predicted)))


def _exact_encode(
    source: Pixels, predicted: Pixels, max_error: int, guided: bool = False
) -> tuple[bytes, bytes, Pixels]:
    """Loss-streams of the samples (of their upper bytes, if of 16 bits) and of the lower bytes, and the samples."""
    rows, columns, channels = source.shape
    if source.dtype == np.uint8:
        data, decoded = Exact(columns, rows, channels, max_error, guided).encode(source, predicted)
        return data, b"", decoded
    high, low = (source >> 8).astype(np.uint8), (source & 255).astype(np.uint8)
    data, _ = Exact(columns, rows, channels, 0).encode(high, (predicted >> 8).astype(np.uint8))
    guess = _low_bytes(high, int((high == low).mean() > 0.5))
    lower, _ = Exact(columns, rows, channels, 0).encode(low, guess)
    return data, bytes([int(guess is high)]) + lower, source


def _exact_decode(data: bytes, lower: bytes, predicted: Pixels, max_error: int, guided: bool = False) -> Pixels:
    """Inverse of `_exact_encode`. Raises FormatError."""
    rows, columns, channels = predicted.shape
    if predicted.dtype == np.uint8:
        return Exact(columns, rows, channels, max_error, guided).decode(data, predicted)
    high = Exact(columns, rows, channels, 0).decode(data, (predicted >> 8).astype(np.uint8))
    if not lower or lower[0] > 1:
        raise FormatError("the lower bytes of 16-bit samples are of an unknown kind")
    low = Exact(columns, rows, channels, 0).decode(lower[1:], _low_bytes(high, lower[0]))
    return high.astype(np.uint16) << 8 | low


def _low_bytes(high: Pixels, same: int) -> Pixels:
    """What lower bytes are guessed to be: the upper ones, as in 8-bit pictures made deeper, or the middle."""
    return high if same else np.full_like(high, 128)


# encoding


def own_layers(head: IntegerHead, planes: Sequence[Plane], wanted: NDArray[np.float32], told: int) -> list[bytes]:
    """Last layers that suit this picture better, coded, from few changes to many. wanted: the picture's own planes,
    10-bit, one or three."""
    moments, fold = Moments(head.spec, head.layers), folds_of("444")
    rows, columns = grid_of(planes[0].shape)
    every = max(1, round(rows * columns / TUNED_CELLS))
    full = [*wanted, *planes[len(wanted) :]]
    for first, last, top, x in bands(head.spec, planes, told):
        target = torch.empty((last - first, columns, 12), dtype=torch.float32)
        own = [w[2 * first : 2 * last] - p[2 * first : 2 * last] for w, p in zip(full, planes, strict=True)]
        pack(own, fold, target)
        seen = head.activations(x)[:, :, max(first - top - 1, 0) : last - top + 1]
        moments.add(seen, target, (first == 0, last == rows), every)
    return [encode_last(layer, head.layers) for layer in moments.layers()]


class StillEncoder:
    """Codes one picture as often as a search wants it. Raises InputError for what cannot be stored."""

    def __init__(self, picture: Picture, settings: StillSettings, listen: Callable[[str], None] = lambda stage: None):
        self.picture, self.settings, self.listen = picture, settings, listen
        self.height, self.width, _ = picture.pixels.shape
        self._check()
        self._planes = base_planes(picture.colour, picture.peak)
        self._alpha = self._code_alpha()

    def _check(self) -> None:
        if self.width > WIDEST or self.height > HIGHEST or self.width * self.height > PIXELS_MAX:
            raise InputError(f"a picture of {self.width}x{self.height} is larger than {WIDEST}x{HIGHEST}")
        if self.settings.max_error and self.picture.peak > 255:
            raise InputError("16-bit samples cannot be kept within an error other than 0")

    def run(self) -> CodedStill:
        """The file that the settings ask for."""
        settings = self.settings
        if settings.target_psnr is not None:
            wish = settings.target_psnr
            found, met = search(
                self.code, settings.start_crf, lambda c: wish - min(c.psnr, PSNR_MAX), -PSNR_SLACK, 5.0, rising=True
            )
            missed = "" if met else f"a PSNR of {wish:g} dB"
        elif settings.size_of(self.width, self.height) is not None:
            room = settings.size_of(self.width, self.height) or 1.0
            found, met = search(
                self.code, settings.start_crf, lambda c: math.log(len(c.data) / room), -RATE_SLACK, 14.0, rising=False
            )
            missed = "" if met else f"a size of {room:,.0f} bytes"
        else:
            return self.code(settings.start_crf)
        return CodedStill(found.data, found.crf, found.psnr, found.head, found.parts, missed)

    def code(self, crf: float) -> CodedStill:
        """The file with a base of that quantiser."""
        self.listen(f"crf {crf:g}")
        picture, settings = self.picture, self.settings
        unit, base = base_of(self._planes, self._base_settings(crf))
        self._size = len(unit)
        header, predicted = self._predict(base, crf)
        loss, loss_low, bounded = b"", b"", UNBOUNDED
        if settings.max_error is not None:
            # heads know photographs, which not every picture is
            tries = [LINEAR, GUIDED] if picture.peak == PEAK_8 else [LINEAR]
            coded = {k: _exact_encode(picture.colour, predicted, settings.max_error, k == GUIDED) for k in tries}
            bounded = min(tries, key=lambda k: len(coded[k][0]))
            loss, loss_low, predicted = coded[bounded]
        alpha_unit, alpha_parts = self._alpha
        shown = predicted if picture.alpha is None else np.concatenate([predicted, picture.alpha], axis=2)
        psnr = psnr_of(predicted, picture.colour, picture.peak)
        payload = write_still(
            StillHeader(
                **{
                    **header,
                    "bounded": bounded,
                    "max_error": settings.max_error or 0,
                    "psnr": psnr,
                    "checksum": _checksum(shown),
                    "loss": loss,
                    "loss_low": loss_low,
                    **alpha_parts,
                }
            )
        )
        still = avif.Still(inject(unit, [payload]), alpha_unit, picture.icc, picture.exif)
        data = avif.write(still, SRGB)
        parts = {
            "file": len(data),
            "base": len(unit),
            "head": len(header.get("delta", b"")),
            "loss_stream": len(loss) + len(loss_low),
            "alpha": len(alpha_unit) + sum(len(p) for p in alpha_parts.values() if isinstance(p, bytes)),
        }
        return CodedStill(data, crf, psnr, header["head"] != NO_HEAD, parts)

    def _base_settings(self, crf: float) -> BaseSettings:
        return BaseSettings(crf, self.settings.base_preset, self.settings.threads, SRGB, still=True)

    def _predict(self, base: Sequence[Plane], crf: float) -> tuple[dict[str, Any], Pixels]:
        """The header's part on the head, and colour as it will be: by the head, told what serves best, or without."""
        picture = self.picture
        fixed = {
            "width": self.width,
            "height": self.height,
            "channels": picture.colour.shape[2],
            "depth": 8 if picture.peak == 255 else 16,
        }
        planes = upscaled(base, self.width, self.height)
        tries: list[dict[str, Any]] = [{"head": NO_HEAD, "told": 0}]
        if self.settings.head:
            tries += [{"head": HEAD, "told": told} for told in self.settings.told_about(told_of(crf), TOLD_MAX)]
        best: tuple[float, dict[str, Any], Pixels] | None = None
        for choice in tries:
            header = fixed | choice
            pixels = restored(planes, StillHeader(**header))
            cost = squared_error(pixels, picture.colour)
            if best is None or cost < best[0]:
                best = cost, header, pixels
        assert best is not None
        if best[0] and best[1]["head"] != NO_HEAD and self.settings.tunes(self.width * self.height):
            return self._tune(planes, *best)
        return best[1], best[2]

    def _tune(
        self, planes: Sequence[Plane], cost: float, header: dict[str, Any], pixels: Pixels
    ) -> tuple[dict[str, Any], Pixels]:
        """The same with a last layer of the picture's own, where that saves more than it costs."""
        picture = self.picture
        wanted = to_planes(picture.colour, picture.peak)
        best = 0.0, header, pixels
        for delta in own_layers(shipped_head(header["head"]), planes, wanted, header["told"]):
            tried = header | {"delta": delta}
            found = restored(planes, StillHeader(**tried))
            gain = 10 * math.log10(cost / max(squared_error(found, picture.colour), 1e-9))
            profit = gain - DB_PER_E * math.log1p(len(delta) / self._size)
            if profit > best[0]:
                best = profit, tried, found
        return best[1], best[2]

    def _code_alpha(self) -> tuple[bytes, dict[str, Any]]:
        """Alpha's AV1 unit and its fields."""
        alpha = self.picture.alpha
        if alpha is None:
            return b"", {"alpha": NO_ALPHA}
        if (alpha == self.picture.peak).all():
            return b"", {"alpha": OPAQUE}
        planes = base_planes(alpha, self.picture.peak)
        unit, base = base_of(planes, self._base_settings(ALPHA_CRF))
        predicted = _alpha_prediction(base, self.width, self.height, self.picture.peak)
        data, low, _ = _exact_encode(alpha, predicted, 0)
        return unit, {"alpha": ALPHA, "alpha_loss": data, "alpha_low": low}


def _alpha_prediction(base: Sequence[Plane], width: int, height: int, peak: int) -> Pixels:
    return to_pixels(plain([base[0][:height, :width]]), peak)


def _checksum(pixels: Pixels) -> int:
    return checksum(list(np.moveaxis(pixels, 2, 0)))


def encode_still(
    picture: Picture, settings: StillSettings | None = None, listen: Callable[[str], None] = lambda stage: None
) -> CodedStill:
    """The .nvc file of `picture`; `listen` is told what is under way. Raises InputError."""
    return StillEncoder(picture, settings or StillSettings(), listen).run()


# decoding


def header_of(data: bytes) -> tuple[avif.Still, StillHeader]:
    """What a still .nvc file holds, and its payload's header. Raises FormatError."""
    still = avif.read(data)
    payloads = extract(still.base)
    if len(payloads) != 1:
        raise FormatError("this AVIF file holds no payload of NVC: it is an ordinary picture")
    return still, read_still(payloads[0])


def decode_still(data: bytes, threads: int = 0, limits: Limits = DEFAULT) -> Picture:
    """The picture of a still .nvc file. Raises FormatError, also for what is beyond `limits`, or DamageError where it
    cannot be restored exactly."""
    still, header = header_of(data)
    check_still(header, limits)
    base = _decoded(still.base, header, threads)
    pixels = restored(upscaled(base, header.width, header.height), header)
    if header.bounded:
        pixels = _exact_decode(header.loss, header.loss_low, pixels, header.max_error, header.bounded == GUIDED)
    peak = (1 << header.depth) - 1
    if header.alpha == OPAQUE:
        pixels = np.concatenate([pixels, np.full_like(pixels[..., :1], peak)], axis=2)
    elif header.alpha == ALPHA:
        planes = _decoded(still.alpha, header, threads)
        predicted = _alpha_prediction(planes, header.width, header.height, peak)
        alpha = _exact_decode(header.alpha_loss, header.alpha_low, predicted, 0)
        pixels = np.concatenate([pixels, alpha], axis=2)
    if _checksum(pixels) != header.checksum:
        raise DamageError("the decoded picture does not match its checksum")
    return Picture(pixels, still.icc, still.exif)


def _decoded(unit: bytes, header: StillHeader, threads: int) -> Sequence[Plane]:
    """The planes of the one picture of a temporal unit, which must have the size that the header implies."""
    height, width = BASE_FORMAT.shapes(*base_size(header.width, header.height, _ONCE))[0]
    kinds = [obu.type for obu in iter_obus(unit)]
    if kinds.count(SEQUENCE_HEADER) != 1 or kinds.count(FRAME) + kinds.count(FRAME_HEADER) != 1:
        raise FormatError("the base is not one picture with one sequence header")
    if sequence_size(unit) != (width, height):
        raise FormatError("the base's sequence header says another size than the payload")
    frames = [planes for _, planes in decode_base([(unit, 0)], (height, width), threads)]
    if len(frames) != 1:
        raise FormatError(f"the base holds {len(frames)} pictures, not one")
    return frames[0]

