"""A still picture as an .nvc file and back, in memory.

    picture ──Y'CgCo 4:2:0──> AV1 base ──┬──────────────> in the file: AVIF, any browser shows it
                                         └─upscale chroma──> shipped head ──> RGB ──(loss-stream)──> picture

The head is part of the package and is told the base's quantiser, so it costs no bits. Alpha is always exact: a coarse
AV1 picture for browsers, and a lossless loss-stream on top. What the decoder runs is integer arithmetic.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from heads.restorer.coded import encode_last
from heads.restorer.integer import IntegerHead
from heads.restorer.last import Moments
from heads.restorer.planes import grid_of, pack

from ..base.av1 import BaseSettings, base_q_of
from ..base.colour import SRGB, to_planes
from ..base.search import search
from ..errors import InputError
from ..frames import Plane, folds_of
from ..loss.modes import GUIDED, LINEAR, OFF
from ..media.pictures import Picture, Pixels
from ..metrics import PSNR_MAX, squared_error
from ..settings import StillSettings
from ..wire import avif
from ..wire.fields import PIXELS_MAX
from ..wire.obu import inject
from .exact import exact_encode
from .payload import ALPHA, NO_ALPHA, NO_HEAD, OPAQUE, StillHeader, write_still
from .presets import PRESETS
from .restore import (
    alpha_prediction,
    bands,
    base_of,
    base_planes,
    checksum_of,
    pretrained_head,
    psnr_of,
    restored,
    upscaled,
)

HEAD = 1  # the shipped head that is used now
BASE_Q_MAX = 127
ALPHA_CRF = 48.0  # of what browsers show; the picture's own alpha is exact
PEAK_8 = 255
WIDEST, HIGHEST = 16384, 8704  # what SVT-AV1 takes
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


# encoding


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
        seen = head.activations(x)[:, :, max(first - top - 1, 0) : last - top + 1]
        moments.add(seen, target, (first == 0, last == rows), every)
    return [encode_last(layer, head.layers) for layer in moments.layers()]


class StillEncoder:
    """Codes one picture as often as a search wants it. Raises InputError for what cannot be stored."""

    def __init__(self, picture: Picture, settings: StillSettings, listen: Callable[[str], None] = lambda stage: None):
        self.picture, self.settings, self.listen = picture, settings, listen
        self.preset = PRESETS[settings.preset]
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
        loss, loss_low, bounded = b"", b"", OFF
        if settings.max_error is not None:
            # heads know photographs, which not every picture is
            tries = [LINEAR, GUIDED] if picture.peak == PEAK_8 else [LINEAR]
            coded = {k: exact_encode(picture.colour, predicted, settings.max_error, k == GUIDED) for k in tries}
            bounded = min(tries, key=lambda k: len(coded[k][0]))
            loss, loss_low, predicted = coded[bounded]
        alpha_unit, alpha_parts = self._alpha
        shown = predicted if picture.alpha is None else np.concatenate([predicted, picture.alpha], axis=2)
        psnr = psnr_of(predicted, picture.colour, picture.peak)
        payload = write_still(
            StillHeader(
                **{
                    **header,
                    "bounded": bounded.still,
                    "max_error": settings.max_error or 0,
                    "psnr": psnr,
                    "checksum": checksum_of(shown),
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
        return BaseSettings(crf, self.preset.base, self.settings.threads, SRGB, still=True)

    def _base_q(self, crf: float) -> list[int]:
        """What the head is told in turn."""
        base_q = base_q_of(crf)
        return sorted({min(max(base_q + by, -BASE_Q_MAX), BASE_Q_MAX) for by in self.preset.base_q})

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
        tries: list[dict[str, Any]] = [{"head": NO_HEAD, "base_q": 0}]
        if self.settings.head:
            tries += [{"head": HEAD, "base_q": base_q} for base_q in self._base_q(crf)]
        best: tuple[float, dict[str, Any], Pixels] | None = None
        for choice in tries:
            header = fixed | choice
            pixels = restored(planes, StillHeader(**header))
            cost = squared_error(pixels, picture.colour)
            if best is None or cost < best[0]:
                best = cost, header, pixels
        assert best is not None
        if best[0] and best[1]["head"] != NO_HEAD and self.width * self.height >= self.preset.tuned_from:
            return self._tune(planes, *best)
        return best[1], best[2]

    def _tune(
        self, planes: Sequence[Plane], cost: float, header: dict[str, Any], pixels: Pixels
    ) -> tuple[dict[str, Any], Pixels]:
        """The same with a last layer of the picture's own, where that saves more than it costs."""
        picture = self.picture
        wanted = to_planes(picture.colour, picture.peak)
        best = 0.0, header, pixels
        for delta in own_layers(pretrained_head(header["head"]), planes, wanted, header["base_q"]):
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
        predicted = alpha_prediction(base, self.width, self.height, self.picture.peak)
        data, low, _ = exact_encode(alpha, predicted, 0)
        return unit, {"alpha": ALPHA, "alpha_loss": data, "alpha_low": low}


def encode_still(
    picture: Picture, settings: StillSettings | None = None, listen: Callable[[str], None] = lambda stage: None
) -> CodedStill:
    """The .nvc file of `picture`; `listen` is told what is under way. Raises InputError."""
    return StillEncoder(picture, settings or StillSettings(), listen).run()
