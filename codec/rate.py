"""From a wish (PSNR, bit rate, file size) to the quantiser of each segment's base.

Each segment is coded a few times until the measured value meets the wish as closely as the quantiser's steps allow;
what a segment over- or underspends is carried to the next. What was decided depends on finished segments through
their statistics alone, so an encode that is resumed decides the same. Each chunk of segments (`codec.task`) begins with
what the film's first segment taught, and spends a budget of its own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from copy import copy
from fractions import Fraction
from typing import TypeVar

from .base import CRF_MAX, CRF_STEP
from .errors import InputError
from .segment import OVERHEAD, Base, SegmentEncoder
from .settings import Settings

TRIALS = 6  # codings of a segment's base at most
PSNR_SLACK = 0.04  # dB above the wish that is close enough
RATE_SLACK = 0.02  # share of the budget left over that is close enough
PSNR_SLOPE = 0.2  # dB for each step of crf, about: where a search begins
RATE_SLOPE = 0.07  # factor e of rate for each step of crf, about
CARRY = 0.5  # of a segment's budget: the most that is added or taken for what earlier segments left
T = TypeVar("T")
MP4_BYTES = 900, 7.5  # of the container, for a film and for each picture


class RateControl:
    """Chooses each segment's base. `video_bytes`: budget of the whole film's video, where a size is asked for."""

    def __init__(self, settings: Settings, start_crf: float):
        self.settings = settings
        self.crf = start_crf
        self.gain = 0.0  # dB that a segment's head and loss-stream added to its base
        self.extra = 0.0  # bytes that they cost
        self.carry = 0.0  # bytes
        self.bytes_per_second = 0.0
        if settings.bitrate is not None:
            self.bytes_per_second = settings.bitrate * 1000 / 8

    def share_size(self, sound_bytes: int, frames: int, seconds: Fraction) -> None:
        """Spread `target_size` over a film of known length. Raises InputError where the sound alone is too large."""
        assert self.settings.target_size is not None
        room = self.settings.target_size * 1e6 - sound_bytes - MP4_BYTES[0] - MP4_BYTES[1] * frames
        if room <= 0:
            raise InputError(
                f"{self.settings.target_size:g} MB cannot be reached: sound and container alone take "
                f"{(self.settings.target_size * 1e6 - room) / 1e6:.4g} MB"
            )
        self.bytes_per_second = room / float(seconds)

    @property
    def wish(self) -> str:
        """What is asked for beside a quantiser, in words; empty where nothing is."""
        if self.settings.target_psnr is not None:
            return f"a PSNR of {self.settings.target_psnr:g} dB"
        return f"{self.bytes_per_second * 8 / 1000:.0f} kbit/s" if self.bytes_per_second else ""

    def base(self, encoder: SegmentEncoder, seconds: float) -> tuple[Base, bool]:
        """The base that meets the wish best, and whether it meets it."""
        if self.settings.target_psnr is not None:
            wish = self.settings.target_psnr - self.gain
            return search(encoder.base, self.crf, lambda b: wish - b.psnr, -PSNR_SLACK, 1 / PSNR_SLOPE, rising=True)
        if self.bytes_per_second:
            budget = self.bytes_per_second * seconds
            budget += min(max(self.carry, -CARRY * budget), CARRY * budget)
            room = max(1.0, budget - self.extra)
            return search(
                encoder.base,
                self.crf,
                lambda b: math.log(_coded(b) / room),
                -RATE_SLACK,
                1 / RATE_SLOPE,
                rising=False,
            )
        return encoder.base(self.crf), True

    def finished(self, stats: Mapping[str, float | int | str], seconds: float) -> None:
        """Learn from a finished segment."""
        self.crf = float(stats["crf"])
        self.gain = float(stats["psnr"]) - float(stats["base_psnr"])
        self.extra = float(stats["head_bytes"]) + float(stats["loss_bytes"]) + 4 * int(stats["frames"]) / 8
        if self.bytes_per_second:
            spent = int(stats["base_bytes"]) + self.extra + 2 * OVERHEAD
            self.carry += self.bytes_per_second * seconds - spent

    def anew(self) -> RateControl:
        """For another chunk: what was learnt, without what was left of the budget."""
        control = copy(self)
        control.carry = 0.0
        return control


def _coded(base: Base) -> int:
    return base.bytes + 4 * OVERHEAD


def search(
    code: Callable[[float], T],
    start: float,
    excess: Callable[[T], float],
    enough: float,
    step: float,
    *,
    rising: bool,
) -> tuple[T, bool]:
    """What `code` makes at the quantiser whose `excess` is not positive and nearest to zero, and whether there is one.

    `excess` rises with crf (`rising`, for a distortion) or falls (for a rate); one in enough..0 ends the search.
    `step`: change of crf for an excess of one, about. Where none fits, the one of least excess is returned.
    """
    sign = 1 if rising else -1  # what follows is written for an excess that rises with position = sign · crf
    low, high = sorted((sign * 1.0, sign * CRF_MAX))
    below: tuple[float, float, T] | None = None  # largest position known to fit
    above: tuple[float, float, T] | None = None  # smallest position known not to fit
    before: tuple[float, float] | None = None
    at = sign * start
    for _ in range(TRIALS):
        base = code(abs(at))
        value = excess(base)
        if value <= 0:
            below = (at, value, base)
            if value >= enough or at >= high:
                break
        else:
            above = (at, value, base)
            if at <= low:
                break
        if below and above:
            if above[0] - below[0] <= CRF_STEP:
                break
            share = below[1] / (below[1] - above[1])
            share = min(max(share, 0.1), 0.9)
            following = below[0] + share * (above[0] - below[0])
            following = math.floor(following / CRF_STEP) * CRF_STEP
            following = min(max(following, below[0] + CRF_STEP), above[0] - CRF_STEP)
            if not below[0] < following < above[0]:
                break
        else:
            move = -value * step
            if before and (value - before[1]) * (at - before[0]) > 0:  # flatter than expected: by its own slope, and on
                move = max(move, -1.25 * value * (at - before[0]) / (value - before[1]), key=abs)
            move = max(move, CRF_STEP) if value <= 0 else min(move, -CRF_STEP)
            following = min(max(at + move, low), high)
            following = math.floor(following / CRF_STEP) * CRF_STEP
            following = min(max(following, low), high)
        before = (at, value)
        at = following
    if below:
        return below[2], True
    assert above is not None
    return above[2], False
