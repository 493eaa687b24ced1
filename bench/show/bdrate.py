"""BD-rate and BD-PSNR: how much less rate one method needs for the same quality, on average over a range of quality.

Quality is PSNR or any other measure in dB; SSIM is made one as -10 log10(1 - SSIM), in which equal steps are equal
shares of what is still wrong (`bench.results.decibels`).

Curves are interpolated by piecewise cubic Hermite polynomials (PCHIP) between ln(rate) and quality, and their
difference is integrated, exactly, over the range that both curves cover; nothing is extrapolated. The slopes are those
of Fritsch and Butland, "A method for constructing local monotone piecewise cubic interpolants" (SIAM J. Sci. Stat.
Comput. 1984), on the conditions of Fritsch and Carlson (SIAM J. Numer. Anal. 1980), with three-point slopes at the
ends, as in SciPy.
The measure is Bjontegaard's (VCEG-M33, 2001; VCEG-AI11, 2008).

Where rates are limited, a quality counts that both curves reach within them. The best of several methods is a curve of
its own: at each quality the least rate at which one of them gives it, or more.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
STEPS = 1024  # places at which the best of several curves is sought
RISE = 1e-6  # share of a worst point's rate that is taken off for each dB below it


class CurveError(ValueError):
    """Points from which no difference can be computed."""


class Difference(NamedTuple):
    """A mean difference over the range `low`..`high` that both curves cover.

    Of `bd_rate`: percent of the anchor's rate (negative: less rate), range in dB. Of `bd_psnr`: dB, range in rate.
    """

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Curve:
    """A method's points, rate and PSNR both strictly rising; `notes` name the points that were left out."""

    rates: Array
    psnrs: Array
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, points: Iterable[tuple[float, float]]) -> Curve:
        """The curve through (rate, PSNR in dB) points in any order and any unit of rate.

        Left out, with a note: points of infinite or unknown PSNR, and points that another one beats or equals in
        both rate and PSNR. Raises CurveError where fewer than two remain or a rate is not positive.
        """
        kept: list[tuple[float, float]] = []
        notes: list[str] = []
        for rate, psnr in sorted(points, key=lambda p: (p[0], -p[1])):
            if not (rate > 0 and math.isfinite(rate)):
                raise CurveError(f"a rate of {rate:g} has no logarithm")
            name = f"the point of rate {rate:g} and {psnr:.3f} dB"
            if not math.isfinite(psnr):
                notes.append(f"{name} is left out: its PSNR is not finite")
            elif kept and psnr <= kept[-1][1]:
                notes.append(f"{name} is left out: the one of rate {kept[-1][0]:g} and {kept[-1][1]:.3f} dB beats it")
            else:
                kept.append((rate, psnr))
        if len(kept) < 2:
            raise CurveError(f"a curve needs two points, and {len(kept)} is left" + "".join(f"; {n}" for n in notes))
        rates, psnrs = np.array(kept, np.float64).T
        return cls(rates, psnrs, tuple(notes))


Rates = tuple[float, float]  # the lowest and the highest that count


def best_of(curves: Sequence[Curve]) -> Curve:
    """The least rate, at each quality, of those curves that reach it; below a curve's worst point that point counts.

    Sampled at every point of every curve and `STEPS` places between their ends; a step from one method to another,
    where the better one ends, is steep and not upright.
    """
    if len(curves) == 1:
        return curves[0]
    low, high = min(c.psnrs[0] for c in curves), max(c.psnrs[-1] for c in curves)
    places = np.unique(np.concatenate([np.linspace(low, high, STEPS), *(c.psnrs for c in curves)]))
    rates, below = np.full(places.shape, np.inf), np.zeros(places.shape, bool)
    for c in curves:
        at = np.maximum(places, c.psnrs[0])
        found = np.exp(interpolate(c.psnrs, np.log(c.rates), np.minimum(at, c.psnrs[-1])))
        found *= 1 - RISE * (at - places)  # or the places below a worst point would be one
        better = (places <= c.psnrs[-1]) & (found < rates)
        rates, below = np.where(better, found, rates), np.where(better, at > places, below)
    begin = int(np.argmin(below))  # at the worst point of all that count
    best = Curve.of(zip(rates[begin:].tolist(), places[begin:].tolist(), strict=True))
    return Curve(best.rates, best.psnrs, tuple(note for c in curves for note in c.notes))


def bd_rate(anchor: Curve, test: Curve, within: Rates | None = None) -> Difference:
    """Mean difference of the rate of `test` to that of `anchor` at equal quality, in percent, over the qualities that
    both reach, at rates `within` where such are given.

    Raises CurveError where the curves share no range of quality.
    """
    low, high = _overlap([_ends(c, within) for c in (anchor, test)], "quality", "dB")
    areas = [integral(c.psnrs, np.log(c.rates), low, high) for c in (anchor, test)]
    return Difference(100 * math.expm1((areas[1] - areas[0]) / (high - low)), low, high)


def bd_psnr(anchor: Curve, test: Curve, within: Rates | None = None) -> Difference:
    """Mean difference of the PSNR of `test` to that of `anchor` at equal rate, in dB.

    Raises CurveError where the curves share no range of rate.
    """
    limits = [np.array(within)] if within else []
    low, high = _overlap([anchor.rates, test.rates, *limits], "rate", "")
    ends = math.log(low), math.log(high)
    areas = [integral(np.log(c.rates), c.psnrs, *ends) for c in (anchor, test)]
    return Difference((areas[1] - areas[0]) / (ends[1] - ends[0]), low, high)


def _ends(curve: Curve, within: Rates | None) -> Array:
    """The lowest and the highest quality of a curve, at rates `within`."""
    if within is None:
        return curve.psnrs[[0, -1]]
    rates = np.log(curve.rates)
    return interpolate(rates, curve.psnrs, np.clip(np.log(within), rates[0], rates[-1]))


def _overlap(ranges: Sequence[Array], name: str, unit: str) -> tuple[float, float]:
    low, high = max(x[0] for x in ranges), min(x[-1] for x in ranges)
    if not low < high:
        told = " and ".join(f"{x[0]:.6g}..{x[-1]:.6g}" for x in ranges)
        raise CurveError(f"the curves do not overlap in {name}: {told} {unit}".rstrip())
    return float(low), float(high)


def slopes(x: Array, y: Array) -> Array:
    """Slope of the interpolant at each of two or more points; `x` strictly rising."""
    h, d = np.diff(x), np.diff(y) / np.diff(x)
    if len(d) == 1:
        return np.repeat(d, 2)
    out = np.zeros_like(y)
    w1, w2 = 2 * h[1:] + h[:-1], h[1:] + 2 * h[:-1]
    rising = d[:-1] * d[1:] > 0  # elsewhere an extremum lies, where the slope is 0
    before, after = d[:-1][rising], d[1:][rising]
    w1, w2 = w1[rising], w2[rising]
    out[1:-1][rising] = (w1 + w2) / (w1 / before + w2 / after)
    out[0], out[-1] = _end_slope(h[0], h[1], d[0], d[1]), _end_slope(h[-1], h[-2], d[-1], d[-2])
    return out


def _end_slope(h0: float, h1: float, d0: float, d1: float) -> float:
    """Three-point slope at an end, limited so that the piece keeps its direction; 0 is the piece at the end."""
    slope = ((2 * h0 + h1) * d0 - h0 * d1) / (h0 + h1)
    if slope * d0 <= 0:
        return 0.0
    if d0 * d1 <= 0 and abs(slope) > 3 * abs(d0):
        return float(3 * d0)
    return float(slope)


def _pieces(x: Array, y: Array) -> Array:
    """(4, pieces) coefficients of 1, t, t², t³ with t = position less the left end of the piece."""
    h, d, m = np.diff(x), np.diff(y) / np.diff(x), slopes(x, y)
    return np.stack([y[:-1], m[:-1], (3 * d - 2 * m[:-1] - m[1:]) / h, (m[:-1] + m[1:] - 2 * d) / h**2])


def interpolate(x: Array, y: Array, at: Array) -> Array:
    """The interpolant of (x, y), `x` strictly rising, at positions within x[0]..x[-1]."""
    k = np.clip(np.searchsorted(x, at, side="right") - 1, 0, len(x) - 2)
    t = at - x[k]
    return sum((c[k] * t**n for n, c in enumerate(_pieces(x, y))), np.zeros_like(t))


def integral(x: Array, y: Array, low: float, high: float) -> float:
    """Integral of the interpolant of (x, y) over low..high, which lies within x[0]..x[-1]."""
    a, b = np.clip(low, x[:-1], x[1:]) - x[:-1], np.clip(high, x[:-1], x[1:]) - x[:-1]
    terms = (c * (b ** (n + 1) - a ** (n + 1)) / (n + 1) for n, c in enumerate(_pieces(x, y)))
    return float(sum(term.sum() for term in terms))
