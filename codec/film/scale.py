"""Which size the base should have: measured on the film's first segment.

A few pictures are coded at each size, with quantisers about the one that meets the wish, and shown as a decoder would
with the head of the program for that size; sizes are compared at the rate (or the quality) that was asked for. Below a
certain rate a smaller base wins, at most rates the full size does; where a glance at the film shows that it is far
above, nothing is compared.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from ..events import Listener, Stage
from ..frames import Frame, VideoInfo
from ..segment.choice import WORTH, pretrained_gain
from ..segment.effort import GLANCE_PRESET, PROBE_PRESET, PROBED, PROBES
from ..segment.encoder import SegmentEncoder
from ..segment.presets import PRESETS
from ..segment.rate import RATE_SLOPE
from ..segment.target import Target
from ..settings import CRF_MAX, CRF_STEP, SCALES, Settings

PLENTY = 0.05  # bits for each sample of luma, of a glance, from which no smaller base wins
SMALLEST = 64  # samples: no base is made narrower or lower than this
ADVANTAGE = 0.03  # dB by which a smaller base must win
MARGIN = 0.5  # dB by which a size may fall behind before smaller ones are no longer tried
SHRINKS = 1.2  # a base smaller by s takes, at a quantiser, 1/s^SHRINKS of the bytes, about: where a search begins
NEAR = 0.15  # factor e of rate from the wish that a line may bridge
RESTORED = 4  # pictures of a probe that the head is tried on


@dataclass(frozen=True)
class _Point:
    """A probe: SVT-AV1's `crf`, ln of the bytes that a picture takes, and the mean of PSNR-YUV and luma's PSNR in dB as
    it would be shown (a smaller base hardly costs chroma, but luma's detail); `level`: what a target asks for, in its
    decibels, of the base with what the head adds to PSNR-YUV, or 0."""

    crf: float
    rate: float
    seen: float
    level: float


@dataclass(frozen=True)
class _Wish:
    """The rate (ln of bytes a picture) that is asked for, or the level."""

    rate: float | None = None
    level: float | None = None

    def excess(self, point: _Point) -> float:
        """How much more a probe takes than it should, in factors e of rate, about."""
        if self.rate is not None:
            return point.rate - self.rate
        assert self.level is not None
        return (point.level - self.level) / WORTH


class _Size:
    """Probes of one size of the base. `length`: pictures of the segment that `frames` are taken from."""

    def __init__(self, frames: Sequence[Frame], info: VideoInfo, settings: Settings, scale: Fraction, length: int):
        self.scale, self.points = scale, list[_Point]()
        self.reached = True  # whether the wish is within the quantiser's range
        self._encoder = SegmentEncoder(frames, info, replace(settings, preset="fast"), scale)
        self._length, self._target = length, Target.of(settings)

    def probe(self, crf: float) -> _Point:
        """Code the pictures."""
        base = self._encoder.base(crf, PROBE_PRESET)
        sizes = [len(packet.data) for packet in base.packets]
        rest = sum(sizes[1:]) / max(1, len(sizes) - 1)  # a picture, but for the one that opens the segment
        each = (sizes[0] + rest * (self._length - 1)) / self._length
        gain, level = pretrained_gain(self._encoder.passes, base, RESTORED) if self._encoder.settings.head else 0.0, 0.0
        if self._target and base.quality is not None:
            level = self._target.level(base.quality) + gain
        seen = (base.psnr + float(base.psnrs[:, 0].mean())) / 2
        self.points.append(_Point(crf, math.log(each), seen + gain, level))
        return self.points[-1]

    def search(self, wish: _Wish, start: float) -> None:
        """Probe about the quantiser that meets a wish, PROBES of them at most."""
        at = min(max(round(start / CRF_STEP) * CRF_STEP, 1.0), CRF_MAX)
        for _ in range(PROBES):
            excess = wish.excess(self.probe(at))
            if excess > 0 and at == CRF_MAX:
                self.reached = False
            if not self.reached or (len(self.points) > 1 and abs(excess) < NEAR):
                return
            move = max(abs(excess) / RATE_SLOPE, 8 * CRF_STEP)
            at, before = min(max(at + math.copysign(move, excess), 1.0), CRF_MAX), at
            at = round(at / CRF_STEP) * CRF_STEP
            if at == before:
                return

    def crf_at(self, wish: _Wish) -> float:
        """The quantiser that meets a wish."""
        return min(max(self._line(wish, "crf", -1 / RATE_SLOPE), 1.0), CRF_MAX)

    def worth_at(self, wish: _Wish) -> float:
        """What this size gives where a wish is met, in dB: of PSNR, or of the rate's worth. Minus infinity where its
        coarsest quantiser takes more bytes."""
        if wish.rate is not None:
            return self._line(wish, "seen", WORTH) if self.reached else -math.inf
        rate = self._line(wish, "rate", 1.0) if self.reached else self.points[-1].rate
        return -WORTH * rate

    def _line(self, wish: _Wish, name: str, slope: float) -> float:
        """The value of a point by that `name` where a wish is met: on the line through the two nearest probes, or by a
        usual `slope` where there is but one."""
        first, *others = sorted(self.points, key=lambda point: abs(wish.excess(point)))
        value: float = getattr(first, name)
        if others and (run := wish.excess(others[0]) - wish.excess(first)):
            slope = (getattr(others[0], name) - value) / run
        return value - wish.excess(first) * slope


def choose_scale(
    frames: Sequence[Frame], info: VideoInfo, settings: Settings, bytes_per_second: float, listen: Listener
) -> tuple[Fraction, float]:
    """(scale, crf to begin with). With `--crf N` the crf is that of the full-size base, and a smaller base gets the
    crf at which it takes the same bytes."""
    start, preset = settings.start_crf, PRESETS[settings.preset]
    if settings.scale is not None:
        return settings.scale, start
    if settings.max_error is not None:
        return Fraction(1), start
    length, middle = len(frames), max(0, (len(frames) - PROBED) // 2)  # films begin with titles and fades
    frames, quantiser = frames[middle : middle + PROBED], preset.quantiser(start)
    target = Target.of(settings)
    if target is None and not bytes_per_second:
        probe = replace(settings, preset="fast")
        glance = SegmentEncoder(frames, info, probe, Fraction(1)).base(quantiser, GLANCE_PRESET)
        if 8 * glance.bytes > PLENTY * info.width * info.height * len(frames):
            return Fraction(1), start
    wish = _Wish(level=target.level(target.wish) if target else None)
    if bytes_per_second:
        wish = _Wish(math.log(max(1.0, bytes_per_second / float(info.rate))))
    best: tuple[float, _Size] | None = None
    work = sum(1 / float(scale) ** 2 for scale in SCALES)
    for n, scale in enumerate(SCALES):
        if scale > 1 and min(info.width, info.height) / scale < SMALLEST:
            break
        listen(Stage("scale", sum(1 / float(done) ** 2 for done in SCALES[:n]) / work))
        size = _Size(frames, info, settings, scale, length)
        if wish == _Wish():  # the full size says what rate the quantiser stands for
            wish = _Wish(size.probe(quantiser).rate)
        else:
            size.search(wish, quantiser - SHRINKS * math.log(scale) / RATE_SLOPE)
        worth = size.worth_at(wish) - (ADVANTAGE if scale > 1 else 0.0)
        if best is None or worth > best[0] or best[0] == -math.inf:  # where none reaches it, the smallest
            best = worth, size
        elif worth < best[0] - MARGIN:
            break
    assert best is not None
    found = best[1]
    if found.scale == 1 and settings.crf is not None:
        return found.scale, start
    return found.scale, preset.asked(found.crf_at(wish))
