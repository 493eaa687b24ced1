"""From a wish (PSNR, bit rate, file size) to the quantiser of each segment's base.

Each segment is coded a few times until the measured value meets the wish as closely as the quantiser's steps allow;
what a segment over- or underspends is carried to the next. What was decided depends on finished segments through
their statistics alone, so an encode that is resumed decides the same. Each chunk of segments (`codec.jobs.task`) begins
with what the film's first segment taught, and spends a budget of its own.
"""

from __future__ import annotations

import math
from copy import copy
from fractions import Fraction

from ..base.coded import Base
from ..base.search import search
from ..errors import InputError
from ..events import SegmentStats
from ..settings import Settings
from .encoder import SegmentEncoder
from .passes import OVERHEAD

PSNR_SLACK = 0.04  # dB above the wish that is close enough
RATE_SLACK = 0.02  # share of the budget left over that is close enough
PSNR_SLOPE = 0.2  # dB for each step of crf, about: where a search begins
RATE_SLOPE = 0.07  # factor e of rate for each step of crf, about
CARRY = 0.5  # of a segment's budget: the most that is added or taken for what earlier segments left
MP4_BYTES = 900, 7.5  # of the container, for a film and for each picture


class RateControl:
    """Chooses each segment's base. `start_crf`: where a search begins; `share_size` spreads a size asked for."""

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

    def finished(self, stats: SegmentStats, seconds: float) -> None:
        """Learn from a finished segment."""
        self.crf = float(stats.crf)
        self.gain = stats.psnr - stats.base_psnr
        self.extra = stats.head_bytes + stats.loss_bytes + 4 * stats.frames / 8
        if self.bytes_per_second:
            spent = stats.base_bytes + self.extra + 2 * OVERHEAD
            self.carry += self.bytes_per_second * seconds - spent

    def anew(self) -> RateControl:
        """For another chunk: what was learnt, without what was left of the budget."""
        control = copy(self)
        control.carry = 0.0
        return control


def _coded(base: Base) -> int:
    return base.bytes + 4 * OVERHEAD
