"""From a picture to a still .nvc file, in memory; `codec.still.decode` is its mirror.

    picture ──Y'CgCo 4:2:0──> AV1 base ──┬──────────────> in the file: AVIF, any browser shows it
                                         └─upscale chroma──> pretrained head ──> RGB ──(loss-stream)──> picture

The head comes with the program and knows the base's quantiser, so it costs no bits. Alpha is always exact: a coarse AV1
picture for browsers, and a lossless loss-stream on top. What the decoder runs is integer arithmetic.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray

from heads.restorer.coded import encode_last
from heads.restorer.integer import IntegerHead
from heads.restorer.last import Moments
from heads.restorer.planes import grid_of, pack

from ..base.av1 import BaseSettings, base_frames, encode_base
from ..base.colour import PEAK, SRGB, to_planes
from ..base.quantiser import base_q_of
from ..base.resample import downscale
from ..base.search import search
from ..errors import InputError
from ..events import Listener, Trying, silent
from ..frames import Colour, Plane, PlaneFormat, folds_of
from ..limits import PALETTE_PIXELS
from ..loss.modes import GUIDED, LINEAR, PALETTE
from ..machine import device_of_still
from ..media.pictures import Picture, Pixels
from ..metrics import PSNR_MAX, squared_error, ssims
from ..settings import CRF_MAX, StillSettings
from ..wire import avif
from ..wire.fields import PIXELS_MAX
from ..wire.obu import inject
from .by_torch import bands, head_of
from .exact import exact_encode
from .few_colours import COARSE_CRF, COARSE_PRESET, SURE, SURE_BITS, indexed, scattered, shown, stream_of, worth_trying
from .palette import Indexed
from .payload import ALPHA, NO_ALPHA, NO_HEAD, OPAQUE, StillHeader, write_still
from .presets import EXACT, NEVER, PRESETS, TUNES
from .restore import (
    BASE_SCALE,
    FULL,
    alpha_prediction,
    checksum_of_picture,
    restored,
    restoring,
    upscaled,
)

BASE_Q_MAX = 127  # either way, of what a head knows of the base
ALPHA_CRF = 48.0  # of what browsers show; the picture's own alpha is exact
WIDEST, HIGHEST = 16384, 8704  # what SVT-AV1 takes
LEAST = 1e-12  # that a picture is held to lack
EQUAL = 10 * math.log10(LEAST)  # dB
DB_PER_E = 5.5  # that e times the bytes of a base give: what a head's own layer must beat
TUNED_CELLS = 40000  # of a picture, about, that a last layer of its own is fitted on
PSNR_SLACK = 0.02  # dB above the target that is close enough
RATE_SLACK = 0.005  # share of the target size left over that is close enough
PEAK_8 = 255
GREY = PlaneFormat("400", 10)


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


def encode_still(picture: Picture, settings: StillSettings | None = None, listen: Listener = silent) -> CodedStill:
    """The .nvc file of `picture`; `listen` hears what is under way. Raises InputError."""
    return StillEncoder(picture, settings or StillSettings(), listen).run()


@dataclass(frozen=True)
class _Alpha:
    """A picture's alpha: its AV1 temporal unit, empty without, and its fields of the header."""

    kind: int = NO_ALPHA
    unit: bytes = b""
    loss: bytes = b""
    low: bytes = b""


@dataclass(frozen=True)
class _Prediction:
    """Colour as a base and the head that `header` describes give it; `lack` as `lack_of` has it."""

    header: StillHeader
    pixels: Pixels
    lack: float


class StillEncoder:
    """Codes one picture, as often as the search for a target needs. Raises InputError for what cannot be stored."""

    def __init__(self, picture: Picture, settings: StillSettings, listen: Listener = silent):
        self.picture, self.settings, self.listen = picture, settings, listen
        self.preset = PRESETS[settings.preset]
        # what a loss-stream starts from is the nearer, the less it takes
        self.tune = TUNES[settings.tune if settings.max_error is None else EXACT]
        self.height, self.width, _ = picture.pixels.shape
        self._check()
        self._device = device_of_still(settings.device)
        self._planes = base_planes(picture.colour, picture.peak)

    @property
    def space(self) -> Colour:
        """What the base is labelled with: the picture's primaries and transfer, and the matrix that is ours."""
        return Colour(*self.picture.points, matrix=SRGB.matrix, range=SRGB.range)

    def _check(self) -> None:
        if self.width > WIDEST or self.height > HIGHEST or self.width * self.height > PIXELS_MAX:
            raise InputError(f"a picture of {self.width}x{self.height} is larger than {WIDEST}x{HIGHEST}")
        if self.settings.max_error == 0 and self.picture.inexact:
            raise InputError(f"the picture cannot be stored losslessly: {self.picture.inexact}")
        if self.settings.max_error and self.picture.peak > PEAK_8:
            raise InputError("16-bit samples cannot be kept within an error other than 0")

    def run(self) -> CodedStill:
        """The file that the settings ask for. Raises InputError where a size asked for is out of reach."""
        settings = self.settings
        if settings.target_psnr is not None:
            target = settings.target_psnr
            found, met = search(
                self.code, settings.start_crf, lambda c: target - min(c.psnr, PSNR_MAX), -PSNR_SLACK, 5.0, rising=True
            )
            return found if met else replace(found, missed=f"a PSNR of {target:g} dB")
        if settings.max_error == 0:
            return self._lossless()
        room = settings.size_of(self.width, self.height)
        return self.code(settings.start_crf) if room is None else self._within(room)

    def _within(self, room: float) -> CodedStill:
        """The best file of at most `room` bytes."""
        found, met = search(
            self.code,
            self.settings.start_crf,
            lambda c: math.log(len(c.data) / max(room, 1.0)),
            -RATE_SLACK,
            14.0,
            rising=False,
        )
        if not met and self.width * self.height >= self.preset.tuned_from:
            self.preset = replace(self.preset, tuned_from=NEVER)
            found = min(found, self.code(CRF_MAX), key=lambda c: len(c.data))
            met = len(found.data) <= room
        if not met:
            raise InputError(
                f"a size of {math.floor(room):,} bytes cannot be reached: the smallest file takes {len(found.data):,}"
            )
        return found

    def _lossless(self) -> CodedStill:
        """The smaller of a palette, where there are few colours, and what a base predicts. Where the palette takes few
        bits for a picture that is not scattered, a base, which is slow, is not tried."""
        pixels = self.width * self.height
        found = indexed(self.picture) if pixels <= PALETTE_PIXELS else None
        share = scattered(found.indices) if found else 1.0
        if found is None or not worth_trying(found, share):
            return self.code(self.settings.start_crf)
        self.listen(Trying("encode", f"a palette of {len(found.palette)}"))
        stream = stream_of(found, share)
        small = self._with_palette(found, stream)
        if share < SURE and 8 * len(stream) < SURE_BITS * pixels:
            return small
        return min(small, self.code(self.settings.start_crf), key=lambda coded: len(coded.data))

    def _with_palette(self, found: Indexed, loss: bytes) -> CodedStill:
        """The file of a picture with a palette; its base is for viewers alone."""
        picture, crf, preset = self.picture, self.settings.crf, max(self.preset.base, COARSE_PRESET)

        def coded(planes: Sequence[Plane]) -> bytes:
            own = COARSE_CRF if crf is None else crf
            return base_of(planes, replace(self._base_settings(own), preset=preset))[0]

        def unit_of(planes: Sequence[Plane]) -> bytes:
            return coded(planes) if crf is not None else shown(planes, coded, len(loss))

        depth = 8 if picture.peak == PEAK_8 else 16
        header = StillHeader(self.width, self.height, picture.colour.shape[2], depth, bounded=PALETTE.still, loss=loss)
        alpha = self._alpha
        if found.alpha and picture.alpha is not None:
            alpha = _Alpha(ALPHA, unit_of(base_planes(picture.alpha, picture.peak)))
        return self._file(unit_of(self._planes), header, picture.colour, alpha, COARSE_CRF if crf is None else crf)

    def code(self, crf: float) -> CodedStill:
        """The file with a base of that quantiser."""
        self.listen(Trying("encode", f"crf {crf:g}"))
        unit, base = base_of(self._planes, self._base_settings(crf))
        found = self._predict(base, crf, len(unit))
        header, colour = self._with_loss(found.header, found.pixels)
        return self._file(unit, header, colour, self._alpha, crf)

    def _file(self, unit: bytes, header: StillHeader, colour: Pixels, alpha: _Alpha, crf: float) -> CodedStill:
        """The file of a base and what decodes to `colour`."""
        picture = self.picture
        whole = colour if picture.alpha is None else np.concatenate([colour, picture.alpha], axis=2)
        psnr = psnr_of(colour, picture.colour, picture.peak)
        header = replace(header, psnr=psnr, checksum=checksum_of_picture(whole))
        header = replace(header, alpha=alpha.kind, alpha_loss=alpha.loss, alpha_low=alpha.low)
        still = avif.Still(inject(unit, [write_still(header)]), alpha.unit, picture.icc, picture.exif)
        data = avif.write(still, self.space)
        parts = {
            "file": len(data),
            "base": len(unit),
            "head": len(header.delta),
            "loss_stream": len(header.loss) + len(header.loss_low),
            "alpha": len(alpha.unit) + len(alpha.loss) + len(alpha.low),
        }
        return CodedStill(data, crf, psnr, header.head != NO_HEAD, parts)

    def prediction(self, crf: float) -> Pixels:
        """Colour as the base of that quantiser and the head give it: what a loss-stream would start from."""
        unit, base = base_of(self._planes, self._base_settings(crf))
        return self._predict(base, crf, len(unit)).pixels

    def _base_settings(self, crf: float) -> BaseSettings:
        options, threads = self.tune.base, self.settings.threads
        return BaseSettings(crf, self.preset.base, threads, self.space, still=True, options=options)

    def _predict(self, base: Sequence[Plane], crf: float, base_bytes: int) -> _Prediction:
        """The best that is found: without a head, or by one, given the `base_q` that serves best."""
        planes = upscaled(base, self.width, self.height)
        depth = 8 if self.picture.peak == PEAK_8 else 16
        without = StillHeader(self.width, self.height, self.picture.colour.shape[2], depth)
        headers = [without]
        if self.settings.head:
            told = [(head, base_q) for head in self.tune.heads for base_q in self._base_qs(crf)]
            headers += [replace(without, head=head, base_q=base_q) for head, base_q in told]
        best = min((self._restored(planes, header) for header in headers), key=lambda found: found.lack)
        if best.lack > EQUAL and best.header.head != NO_HEAD and self.width * self.height >= self.preset.tuned_from:
            return self._tuned(planes, best, base_bytes)
        return best

    def _base_qs(self, crf: float) -> list[int]:
        """What the head may be given for the base's quantiser, each of which is tried."""
        base_q = base_q_of(crf)
        return sorted({min(max(base_q + by, -BASE_Q_MAX), BASE_Q_MAX) for by in self.preset.base_q})

    def _restored(self, planes: Sequence[Plane], header: StillHeader) -> _Prediction:
        pixels = restored(planes, header, restoring(header, self._device, self.settings.threads))
        return _Prediction(header, pixels, lack_of(pixels, self.picture.colour, self.picture.peak, self.tune.likeness))

    def _tuned(self, planes: Sequence[Plane], found: _Prediction, base_bytes: int) -> _Prediction:
        """The same with a last layer of the picture's own, where that saves more than it costs."""
        wanted = to_planes(self.picture.colour, self.picture.peak)
        head, base_q = head_of(found.header, self._device), found.header.base_q
        best, most = found, 0.0
        for delta in own_layers(head, planes, wanted, base_q):
            tried = self._restored(planes, replace(found.header, delta=delta))
            profit = found.lack - tried.lack - DB_PER_E * math.log1p(len(delta) / base_bytes)
            if profit > most:
                best, most = tried, profit
        return best

    def _with_loss(self, header: StillHeader, predicted: Pixels) -> tuple[StillHeader, Pixels]:
        """With the loss-stream that the settings ask for: its fields, and colour as it comes out."""
        max_error = self.settings.max_error
        if max_error is None:
            return header, predicted
        # heads know photographs, which not every picture is
        tries = [LINEAR, GUIDED] if self.picture.peak == PEAK_8 else [LINEAR]
        coded = {k: exact_encode(self.picture.colour, predicted, max_error, k == GUIDED) for k in tries}
        bounded = min(tries, key=lambda k: len(coded[k][0]))
        loss, loss_low, colour = coded[bounded]
        return replace(header, bounded=bounded.still, max_error=max_error, loss=loss, loss_low=loss_low), colour

    @cached_property
    def _alpha(self) -> _Alpha:
        """Alpha as it is coded where no palette holds it."""
        alpha, peak = self.picture.alpha, self.picture.peak
        if alpha is None:
            return _Alpha()
        if (alpha == peak).all():
            return _Alpha(OPAQUE)
        settings = replace(self._base_settings(ALPHA_CRF), options=TUNES[EXACT].base)
        unit, base = base_of(base_planes(alpha, peak), settings)
        predicted = alpha_prediction(base, self.width, self.height, peak)
        loss, low, _ = exact_encode(alpha, predicted, 0)
        return _Alpha(ALPHA, unit, loss, low)


def base_planes(pixels: Pixels, peak: int) -> list[Plane]:
    """10-bit 4:2:0 planes of RGB or grey samples of 0..peak, at the size of the base."""
    planes = [np.clip(np.rint(p), 0, PEAK).astype(np.uint16) for p in to_planes(pixels, peak)]
    return downscale(planes, FULL if len(planes) == 3 else GREY, BASE_SCALE)


def base_of(planes: Sequence[Plane], settings: BaseSettings) -> tuple[bytes, Sequence[Plane]]:
    """(temporal unit, planes as they are decoded) of one picture given as `base_planes`."""
    packets = encode_base([planes], [0], Fraction(1, 25), Fraction(25), settings)
    (frame,) = base_frames(packets, planes[0].shape, settings.threads)
    return packets[0].data, frame.planes


def own_layers(head: IntegerHead, planes: Sequence[Plane], wanted: NDArray[np.float32], base_q: int) -> list[bytes]:
    """Last layers that suit this picture better, coded, from few changes to many. wanted: the picture's own planes,
    10-bit, one or three."""
    moments, fold = Moments(head.spec, head.layers), folds_of("444")
    rows, columns = grid_of(planes[0].shape)
    every = max(1, round(rows * columns / TUNED_CELLS))
    full = [*wanted, *planes[len(wanted) :]]
    for first, last, top, x in bands(head.spec, planes, base_q):
        target = torch.empty((last - first, columns, 12), dtype=torch.float32)
        own = [w[2 * first : 2 * last] - p[2 * first : 2 * last] for w, p in zip(full, planes, strict=True)]
        pack(own, fold, target)
        found = head.activations(x.to(head.device)).cpu()[:, :, max(first - top - 1, 0) : last - top + 1]
        moments.add(found, target, (first == 0, last == rows), every)
    return [encode_last(layer, head.layers) for layer in moments.layers()]


def lack_of(found: Pixels, wanted: Pixels, peak: int, likeness: float) -> float:
    """What a picture lacks, in dB that fall as it comes nearer: squared error, and with the weight `likeness` the mean
    of what SSIM and MS-SSIM lack of 1, means over the channels, as far as the picture has room for their windows."""
    lacks = [squared_error(found, wanted) / peak**2]
    if likeness:
        pairs = zip(np.moveaxis(found, 2, 0), np.moveaxis(wanted, 2, 0), strict=True)
        alike = np.mean([ssims(one, other, peak) for one, other in pairs], 0)
        lacks += [float(1 - x) for x in alike if np.isfinite(x)]
    error, *others = [10 * math.log10(max(x, LEAST)) for x in lacks]
    return (1 - likeness) * error + likeness * float(np.mean(others)) if others else error


def psnr_of(found: Pixels, wanted: Pixels, peak: int) -> float:
    """dB over all samples, infinite where they are equal."""
    error = squared_error(found, wanted)
    return 10 * math.log10(peak**2 / error) if error else math.inf
