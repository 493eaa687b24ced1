"""From a wish (a quality, bit rate, file size) to the quantiser of each segment's base.

Each segment is coded a few times until the measured value meets the wish as closely as the quantiser's steps allow;
what a segment over- or underspends is carried to the next. What was decided depends on finished segments through
their statistics alone, so an encode that is resumed decides the same. Each chunk of segments (`codec.jobs.task`) begins
with what the film's first segment taught, and spends a budget of its own.

A quality is that of what the decoder shows. Bases are compared by what the head of the segment before gained on its
own; where the segment's own gains less, or much more, it is coded again under the head that it has, at quantisers that
are searched for by what is shown.

A bit rate is met on average. A size is never exceeded: a segment that has come out larger than its budget is coded
again with a coarser base under the head that it has, which costs no training and leaves right what refers to that head.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import replace
from functools import partial
from typing import TypeVar

from ..base.coded import Base
from ..base.search import search
from ..events import SegmentStats
from ..frames import Frame, VideoInfo
from ..settings import CRF_MAX, CRF_STEP, Settings
from .encoder import Segment, SegmentEncoder
from .passes import OVERHEAD
from .target import Target

SLACK = 0.04  # dB above the wish that is close enough, of a base
SHOWN_SLACK = 0.12  # and of the pictures that are shown, each trial of which takes a restoration as well
RATE_SLACK = 0.02  # share of the budget left over that is close enough
SLOPE = 0.2  # dB for each step of crf, about: where a search begins
RATE_SLOPE = 0.07  # factor e of rate for each step of crf, about
CARRY = 0.5  # of a segment's budget: the most that is added or taken for what earlier segments left
BESIDE = 0.01  # of a segment's budget that its head takes, before one is known
T = TypeVar("T")


class RateControl:
    """Chooses each segment's base. `start_crf`: where a search begins; `share` spreads a size asked for."""

    def __init__(self, settings: Settings, start_crf: float):
        self.settings = settings
        self.crf = start_crf
        self.gain = 0.0  # dB that a segment's head and loss-stream added to its base
        self.beside = BESIDE  # share of a segment's bytes that is not its base
        self.carry = 0.0  # bytes
        self.bytes_per_second = 0.0
        if settings.bitrate is not None:
            self.bytes_per_second = settings.bitrate * 1000 / 8

    def share(self, room: float, seconds: float) -> None:
        """Spread the bytes that the pictures of a film of known length may take."""
        self.bytes_per_second = room / seconds

    @property
    def target(self) -> Target | None:
        """The quality that is asked for."""
        return Target.of(self.settings)

    @property
    def wish(self) -> str:
        """What is asked for beside a quantiser, in words; empty where nothing is."""
        if self.target is not None:
            return self.target.words
        return f"{self.bytes_per_second * 8 / 1000:.0f} kbit/s" if self.bytes_per_second else ""

    def segment(self, encoder: SegmentEncoder, seconds: float, previous: Segment | None) -> Segment:
        """The segment that meets the wish best; its statistics say whether it does. `previous`: see
        SegmentEncoder.finish."""
        base, met = self.base(encoder, seconds)
        if self.target is not None:
            return _held(encoder, encoder.finish(base, previous), self.target)
        if self.settings.target_size is None:
            return _met(encoder.finish(base, previous), met)
        segment = encoder.finish(base, previous) if met else encoder.bare(base)
        return within(encoder, segment, self._budget(seconds), bare=True)

    def base(self, encoder: SegmentEncoder, seconds: float) -> tuple[Base, bool]:
        """The base that meets the wish best, and whether it meets it."""
        if target := self.target:
            lack = partial(_lack, target)
            return search(encoder.base, self.crf, lambda b: lack(b) - self.gain, -SLACK, 1 / SLOPE, rising=True)
        if self.bytes_per_second:
            budget = self._budget(seconds)
            room = min(budget * (1 - self.beside), budget - 4 * OVERHEAD)
            return _as_large(encoder.base, self.crf, lambda b: b.bytes, room)
        return encoder.base(self.crf), True

    def _budget(self, seconds: float) -> float:
        budget = self.bytes_per_second * seconds
        return budget + min(max(self.carry, -CARRY * budget), CARRY * budget)

    def finished(self, stats: SegmentStats, size: int, seconds: float) -> None:
        """Learn from a finished segment of `size` bytes."""
        self.crf = float(stats.crf)
        if (target := self.target) and stats.quality is not None and stats.base_quality is not None:
            self.gain = target.level(stats.quality) - target.level(stats.base_quality)
        self.beside = 1 - stats.base_bytes / size
        if self.bytes_per_second:
            self.carry += self.bytes_per_second * seconds - size

    def anew(self) -> RateControl:
        """For another chunk: what was learnt, without what was left of the budget."""
        control = copy(self)
        control.carry = 0.0
        return control


def _lack(target: Target, coded: Base | SegmentStats) -> float:
    """Decibels by which a base or a segment falls short of a target."""
    assert coded.quality is not None
    return target.lacks(coded.quality)


def _held(encoder: SegmentEncoder, segment: Segment, target: Target) -> Segment:
    """`segment`, or the coarsest base that makes of it, under the head that it has, what is shown to reach the target
    and hardly more. Its statistics say whether it does."""

    def code(crf: float) -> Segment:
        return segment if crf == segment.stats.crf else encoder.again(encoder.base(crf), segment)

    lack = partial(_lack, target)
    return _met(*search(code, segment.stats.crf, lambda s: lack(s.stats), -SHOWN_SLACK, 1 / SLOPE, rising=True))


def within(encoder: SegmentEncoder, segment: Segment, most: float, bare: bool) -> Segment:
    """`segment`, or the best of what a coarser base makes of it, that takes no more than `most` bytes; where none does,
    the smallest that was found. Its statistics say whether it does. `bare`: where none does, its head is left out, as
    no other segment refers to it."""
    if segment.bytes <= most:
        return _met(segment, True)
    least = segment
    if segment.stats.crf < CRF_MAX:
        least = min(least, _coarser(encoder, segment, most), key=_size)
    if least.bytes > most and bare and (least.stats.head != "none" or least.stats.loss_bytes):
        least = _bare(encoder, most)
    return _met(least, least.bytes <= most)


def _coarser(encoder: SegmentEncoder, segment: Segment, most: float) -> Segment:
    """What a coarser base, under the head and the loss-stream that it has, makes of a segment."""
    over = math.log(segment.bytes / max(most, 1.0))
    crf = segment.stats.crf + max(CRF_STEP, math.ceil(over / RATE_SLOPE / CRF_STEP) * CRF_STEP)
    crf = min(crf, CRF_MAX)
    if segment.stats.loss_bytes:  # which grows as the base becomes coarser
        return _as_large(lambda at: encoder.again(encoder.base(at), segment), crf, _size, most)[0]
    beside = segment.bytes - segment.stats.base_bytes
    base, _ = _as_large(encoder.base, crf, lambda b: b.bytes, most - beside)
    return encoder.again(base, segment)


def _bare(encoder: SegmentEncoder, most: float) -> Segment:
    """The segment with nothing but its base, unless the settings want more."""
    return _as_large(lambda at: encoder.bare(encoder.base(at)), CRF_MAX, _size, most)[0]


def _as_large(code: Callable[[float], T], start: float, size: Callable[[T], int], most: float) -> tuple[T, bool]:
    """What `code` makes of a quantiser that takes `most` bytes or a little less, and whether there is one."""
    room = max(most, 1.0)
    return search(code, start, lambda found: math.log(size(found) / room), -RATE_SLACK, 1 / RATE_SLOPE, rising=False)


def _size(segment: Segment) -> int:
    return segment.bytes


def _met(segment: Segment, met: bool) -> Segment:
    return replace(segment, stats=replace(segment.stats, met=met))


def seconds_of(frames: Sequence[Frame], info: VideoInfo) -> float:
    """How long pictures in a row are shown."""
    last = frames[-1].duration * info.time_base if frames[-1].duration > 0 else 1 / info.rate
    return float((frames[-1].pts - frames[0].pts) * info.time_base + last)
