"""From a wish to a quantiser: the search against curves whose best answer is known, and what is carried over."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from codec.base.av1 import BasePacket
from codec.base.coded import Base
from codec.base.search import MORE, TRIALS, search
from codec.events import SegmentStats
from codec.frames import Frame, PlaneFormat, VideoInfo
from codec.segment.rate import BESIDE, CARRY, RATE_SLACK, SHOWN_SLACK, SLACK, RateControl, seconds_of, within
from codec.settings import CRF_MAX, CRF_STEP, Settings

CRFS = np.arange(1.0, CRF_MAX + CRF_STEP, CRF_STEP)


def made(crf: float, psnr: float, size: float = 0) -> Base:
    return Base(crf, [BasePacket(bytes(round(size)), 0, True)], [], np.array([[psnr]]), psnr)


class Coder:
    """A coder whose PSNR and size follow given curves; counts what it is asked."""

    def __init__(self, psnr: Callable[[float], float], size: Callable[[float], float] = lambda crf: 0.0):
        self.psnr, self.size, self.asked = psnr, size, []  # type: ignore[var-annotated]

    def base(self, crf: float) -> Base:
        assert 1.0 <= crf <= CRF_MAX and (crf / CRF_STEP).is_integer()
        assert crf not in self.asked, "nothing is coded twice"
        self.asked.append(crf)
        return made(crf, self.psnr(crf), self.size(crf))


def drawn_curve(rng: np.random.Generator, slope: float) -> Callable[[float], float]:
    """A strictly falling curve over crf with uneven steps, `slope` a crf on average."""
    steps = slope * CRF_STEP * rng.gamma(2.0, 0.5, len(CRFS))
    values = np.concatenate([[0.0], np.cumsum(steps)])[:-1]
    return lambda crf: float(-values[round((crf - 1) / CRF_STEP)])


@pytest.mark.parametrize("seed", range(30))
@pytest.mark.parametrize("rising", [True, False], ids=["distortion", "rate"])
def test_search_meets_the_wish_and_misses_by_little(seed: int, rising: bool) -> None:
    rng = np.random.default_rng(seed)
    slope = float(rng.uniform(0.1, 0.4))
    curve = drawn_curve(rng, slope)
    wish = curve(float(rng.choice(CRFS)))
    coder = Coder(curve)
    excess = (lambda b: wish - b.psnr) if rising else (lambda b: b.psnr - wish)
    start = float(rng.choice(CRFS))
    found, met = search(coder.base, start, excess, -0.02, 1 / 0.2, rising=rising)
    assert met and excess(found) <= 0
    assert len(coder.asked) <= TRIALS + MORE and coder.asked[0] == start
    values = [(excess(made(crf, curve(crf))), crf) for crf in coder.asked]
    assert found.crf == max(v for v in values if v[0] <= 0)[1], "the best of what was tried"
    best = max(e for crf in CRFS if (e := excess(made(crf, curve(crf)))) <= 0)
    # close to the best of all quantisers: within a few steps of crf, also where the start was far off
    assert excess(found) >= best - 8 * CRF_STEP * slope


def test_search_ends_early_where_it_is_close_enough() -> None:
    coder = Coder(lambda crf: 50 - 0.2 * crf)
    found, met = search(coder.base, 30.0, lambda b: 43.99 - b.psnr, -0.04, 5.0, rising=True)
    assert met and found.crf == 30.0 and coder.asked == [30.0]


def test_search_on_a_straight_line_takes_two_steps() -> None:
    coder = Coder(lambda crf: 50 - 0.2 * crf)
    found, met = search(coder.base, 30.0, lambda b: 40.0 - b.psnr, -0.04, 5.0, rising=True)
    assert met and found.crf == 50.0 and len(coder.asked) <= 3


@pytest.mark.parametrize("rising, end", [(True, 1.0), (False, CRF_MAX)])
def test_search_gives_the_nearest_where_nothing_fits(rising: bool, end: float) -> None:
    coder = Coder(lambda crf: 50 - 0.2 * crf)
    excess = (lambda b: 90.0 - b.psnr) if rising else (lambda b: b.psnr + 20)
    found, met = search(coder.base, 40.0, excess, -0.04, 5.0, rising=rising)
    assert not met and found.crf == end and len(coder.asked) <= 3


@pytest.mark.parametrize("rising, end", [(True, CRF_MAX), (False, 1.0)])
def test_search_stops_at_the_end_where_everything_fits(rising: bool, end: float) -> None:
    coder = Coder(lambda crf: 50 - 0.2 * crf)
    excess = (lambda b: 2.0 - b.psnr) if rising else (lambda b: b.psnr - 90)
    found, met = search(coder.base, 40.0, excess, -0.04, 5.0, rising=rising)
    assert met and found.crf == end and len(coder.asked) <= 3


@pytest.mark.parametrize("rising", [True, False], ids=["distortion", "rate"])
def test_search_reaches_far_on_a_curve_flatter_than_expected(rising: bool) -> None:
    sign = 1 if rising else -1
    coder = Coder(lambda crf: 50 - 0.05 * crf)
    wish = coder.psnr(32.0 - 25.0 * sign)
    found, met = search(coder.base, 32.0, lambda b: sign * (wish - b.psnr), -0.02, 1 / 0.2, rising=rising)
    assert met and abs(found.crf - (32.0 - 25.0 * sign)) <= 4 * CRF_STEP


def test_neighbouring_quantisers_end_the_search() -> None:
    """A jump between two neighbours: nothing lies between them, so nothing more is tried."""
    coder = Coder(lambda crf: 45.0 if crf <= 31.25 else 30.0)
    found, met = search(coder.base, 31.25, lambda b: 40.0 - b.psnr, -0.04, 0.01, rising=True)
    assert met and found.crf == 31.25 and coder.asked == [31.25, 31.5]


def test_flat_curves_do_not_trap_the_search() -> None:
    coder = Coder(lambda crf: 40.0)
    found, met = search(coder.base, 31.0, lambda b: 40.0 - b.psnr, 0.0, 5.0, rising=True)
    assert met and found.crf == 31.0 and len(coder.asked) == 1
    coder = Coder(lambda crf: 40.0)
    assert not search(coder.base, 31.0, lambda b: 40.1 - b.psnr, 0.0, 5.0, rising=True)[1]
    assert len(coder.asked) <= TRIALS + 1 and coder.asked[-1] == 1.0, "the end of the scale is tried"


@pytest.mark.parametrize("rising", [True, False], ids=["distortion", "rate"])
def test_what_fits_only_far_away_is_found(rising: bool) -> None:
    """A plateau that the usual number of trials does not leave, and a jump behind it."""
    sign = 1 if rising else -1

    def fits(crf: float) -> bool:
        return crf <= 4.0 if rising else crf >= 60.0

    coder = Coder(lambda crf: 40 + 5 * sign if fits(crf) else 40 - 0.1 * sign)

    def excess(base: Base) -> float:
        return sign * (40.0 - base.psnr)

    found, met = search(coder.base, 32.0, excess, -0.02, 1.0, rising=rising)
    assert met and fits(found.crf)
    assert TRIALS < len(coder.asked) <= TRIALS + MORE


# --- RateControl ------------------------------------------------------------------------------------------------------


def size_at(crf: float) -> float:
    return 60_000 * math.exp(-0.07 * (crf - 20))


def curve_coder() -> Any:
    return Coder(lambda crf: 50 - 0.2 * crf, size_at)


def stats(base_bytes: int, **values: Any) -> SegmentStats:
    made = SegmentStats(
        frames=80, crf=30.0, scale=1.0, base_bytes=base_bytes, head_bytes=0, head="none", history=0, loss_bytes=0,
        psnr=40.0, base_psnr=40.0, head_gain=0.0,
    )  # fmt: skip
    return replace(made, **values)


def test_a_quantiser_is_taken_as_it_is() -> None:
    coder = curve_coder()
    control = RateControl(Settings(crf=41), 41.0)
    assert control.base(coder, 4.0)[0].crf == 41.0 and coder.asked == [41.0] and not control.wish
    assert RateControl(Settings(), Settings().start_crf).base(curve_coder(), 4.0)[0].crf == 32.0


def test_psnr_is_met_with_what_the_head_gained_before() -> None:
    control = RateControl(Settings(target_psnr=42.0), 32.0)
    found, met = control.base(curve_coder(), 4.0)
    assert 42.0 <= found.psnr <= 42.0 + SLACK + 0.2 * CRF_STEP and met
    control.finished(stats(1000, crf=found.crf, quality=42.9, base_quality=41.9), 1000, 4.0)
    assert control.crf == found.crf
    found, _ = control.base(curve_coder(), 4.0)
    assert 41.0 <= found.psnr <= 41.0 + SLACK + 0.2 * CRF_STEP, "the base is coarser by the gain"


def test_a_wish_that_cannot_be_met_is_told() -> None:
    control = RateControl(Settings(target_psnr=80.0), 32.0)
    found, met = control.base(curve_coder(), 4.0)
    assert found.crf == 1.0 and not met
    assert control.wish == "a PSNR of 80 dB"
    control = RateControl(Settings(bitrate=1.0), 32.0)
    found, met = control.base(curve_coder(), 1.0)
    assert found.crf == CRF_MAX and not met
    assert control.wish == "1 kbit/s"


def test_bit_rate_is_met_and_its_rest_is_carried() -> None:
    control = RateControl(Settings(bitrate=80.0), 32.0)  # 10000 bytes a second
    assert control.bytes_per_second == 10_000
    first, _ = control.base(curve_coder(), 4.0)
    room = 40_000 * (1 - BESIDE)
    assert room * (1 - RATE_SLACK - 0.07 * CRF_STEP) <= first.bytes <= room
    control.finished(stats(35_000), 36_000, 4.0)
    assert control.carry == 40_000 - 36_000
    second, _ = control.base(curve_coder(), 4.0)
    room = (40_000 + control.carry) * 35 / 36
    assert room * 0.96 <= second.bytes <= room


@pytest.mark.parametrize("carry, share", [(1e9, 1 + CARRY), (-1e9, 1 - CARRY)])
def test_what_is_carried_is_bounded(carry: float, share: float) -> None:
    control = RateControl(Settings(bitrate=80.0), 32.0)
    control.carry = carry
    used = control.base(curve_coder(), 4.0)[0].bytes / (1 - BESIDE)
    assert share * 40_000 * 0.96 <= used <= share * 40_000


@dataclass(frozen=True)
class Made:
    """What stands for a segment."""

    bytes: int
    stats: SegmentStats


def made_segment(base: Base, beside: int, gain: float = 0.0) -> Made:
    quality = (base.quality or 0.0) + gain
    head = "none" if beside == 60 else "4x8"
    return Made(
        base.bytes + beside, stats(base.bytes, crf=base.crf, head=head, quality=quality, base_quality=base.quality)
    )


class SegmentCoder:
    """Codes segments: a base whose size follows a curve, with so many bytes `beside` it for a head, or 60 without, and
    so many dB of `gain`."""

    def __init__(self, beside: int, gain: float = 0.0):
        self.beside, self.gain = beside, gain
        self.finished = 0

    def base(self, crf: float) -> Base:
        return made(crf, 50 - 0.2 * crf, size_at(crf))

    def finish(self, base: Base, previous: Any = None) -> Made:
        self.finished += 1
        return made_segment(base, self.beside, self.gain)

    def again(self, base: Base, segment: Made) -> Made:
        return made_segment(base, segment.bytes - segment.stats.base_bytes, self.gain)

    def bare(self, base: Base) -> Made:
        return made_segment(base, 60)


@pytest.mark.parametrize("gains", [(0.8, 0.8), (0.8, 0.3), (3.0, 4.0), (0.0, -0.2)], ids=str)
def test_a_quality_is_held_by_what_is_shown(gains: tuple[float, ...]) -> None:
    control = RateControl(Settings(target_psnr=43.0), 32.0)
    for gain in gains:
        coder: Any = SegmentCoder(400, gain)
        segment = control.segment(coder, 4.0, None)
        assert segment.stats.met and coder.finished == 1, "a head is learnt once"
        assert 43.0 <= segment.stats.quality <= 43.0 + SHOWN_SLACK + 0.2 * CRF_STEP
        control.finished(segment.stats, segment.bytes, 4.0)
        assert control.gain == pytest.approx(gain)


def test_a_quality_out_of_reach_is_told_of_what_is_shown() -> None:
    """By the gain of the segment before the base would do; this segment's head gains nothing."""
    control = RateControl(Settings(target_psnr=50.0), 32.0)
    control.gain = 3.0
    coder: Any = SegmentCoder(60)
    segment = control.segment(coder, 4.0, None)
    assert segment.stats.crf == 1.0 and not segment.stats.met


@pytest.mark.parametrize("beside", [60, 400, 3000, 9000])
def test_a_segment_never_takes_more_than_its_budget(beside: int) -> None:
    control = RateControl(Settings(target_size=1.0), 32.0)
    control.share(100_000.0, 10.0)
    coder: Any = SegmentCoder(beside)
    segment = control.segment(coder, 4.0, None)
    assert segment.stats.met and 40_000 * 0.96 <= segment.bytes <= 40_000
    control.finished(segment.stats, segment.bytes, 4.0)
    assert control.carry == 40_000 - segment.bytes
    following = control.segment(coder, 4.0, None)
    room = 40_000 + control.carry
    assert room * 0.96 <= following.bytes <= room


def test_a_budget_that_only_a_bare_segment_keeps_costs_it_its_head() -> None:
    control = RateControl(Settings(target_size=1.0), 32.0)
    control.share(size_at(CRF_MAX) + 200, 1.0)
    coder: Any = SegmentCoder(400)
    segment = control.segment(coder, 1.0, None)
    assert segment.stats.met and segment.bytes <= size_at(CRF_MAX) + 200
    assert segment.bytes - segment.stats.base_bytes == 60


def test_a_budget_below_the_coarsest_quantiser_gives_the_smallest_segment() -> None:
    control = RateControl(Settings(target_size=1.0), 32.0)
    control.share(500.0, 1.0)
    coder: Any = SegmentCoder(400)
    segment = control.segment(coder, 1.0, None)
    assert not segment.stats.met
    assert (segment.stats.crf, segment.bytes) == (CRF_MAX, round(size_at(CRF_MAX)) + 60)


@pytest.mark.parametrize("bare", [True, False])
@pytest.mark.parametrize("most", [39_999, 38_000, 20_000, 5000, 3300, 0])
def test_a_segment_that_is_coded_again_is_no_larger_than_asked_for(most: int, bare: bool) -> None:
    coder: Any = SegmentCoder(400)
    crf = next(crf for crf in CRFS if size_at(crf) + 400 <= 40_000)
    segment = coder.finish(coder.base(crf))
    found = within(coder, segment, most, bare)
    least = size_at(CRF_MAX) + (60 if bare else 400)
    assert found.stats.met == (most >= least)
    assert found.bytes <= most if found.stats.met else found.bytes == round(least)
    assert not found.stats.met or found.bytes >= 0.94 * most or found.stats.crf == crf + CRF_STEP
    assert within(coder, segment, segment.bytes, bare).bytes == segment.bytes, "what is small enough stays"


def test_length_of_a_segment_is_what_its_pictures_are_shown_for() -> None:
    fmt = PlaneFormat("420", 8)
    info = VideoInfo(8, 8, fmt, Fraction(1, 1000), Fraction(25))
    frames = [Frame((), pts, duration) for pts, duration in ((100, 40), (140, 60), (200, 50))]
    assert seconds_of(frames, info) == 0.15
    assert seconds_of([replace(f, duration=0) for f in frames], info) == 0.14


def test_a_resumed_encode_decides_the_same() -> None:
    """All that is learnt comes from the statistics of finished segments."""
    finished = [stats(30_000, crf=33.0, head_bytes=100), stats(50_000, crf=36.5, loss_bytes=900)]
    whole, resumed = (RateControl(Settings(bitrate=80.0), 32.0) for _ in range(2))
    for one in finished:
        whole.base(curve_coder(), 4.0)
        whole.finished(one, one.base_bytes + 1200, 4.0)
        resumed.finished(one, one.base_bytes + 1200, 4.0)
    assert whole.base(curve_coder(), 4.0)[0].crf == resumed.base(curve_coder(), 4.0)[0].crf


def test_another_chunk_begins_with_what_was_learnt_and_a_budget_of_its_own() -> None:
    control = RateControl(Settings(bitrate=80.0), 32.0)
    control.finished(stats(35_000, crf=33.0), 35_300, 4.0)
    other = control.anew()
    assert control.carry and (other.crf, other.beside, other.carry) == (33.0, control.beside, 0.0)
    other.finished(stats(1, crf=20.0), 61, 4.0)
    assert control.crf == 33.0, "chunks do not learn from one another"
