"""The quantiser that meets a target, such as a rate or a PSNR.

What is coded is coded a few times, until what is measured comes as near to the target as the quantiser's steps allow.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeVar

from ..settings import CRF_MAX, CRF_STEP

TRIALS = 6  # codings at most, where one of them fits
MORE = 4  # where none does: of the quantiser's end, and on from there; and where all that do are far off,
FAR = 4  # times what is near enough
T = TypeVar("T")


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
    `step`: change of crf for an excess of one, about. Where none fits, not even the end of the scale, that end is
    returned.
    """
    sign = 1 if rising else -1  # what follows is written for an excess that rises with position = sign · crf
    low, high = sorted((sign * 1.0, sign * CRF_MAX))
    below: tuple[float, float, T] | None = None  # largest position known to fit
    above: tuple[float, float, T] | None = None  # smallest position known not to fit
    before: tuple[float, float] | None = None
    at = sign * start
    trial = 0
    while True:
        base = code(abs(at))
        trial += 1
        value = excess(base)
        if value <= 0:
            below = (at, value, base)
            if value >= enough or at >= high:
                break
        else:
            above = (at, value, base)
            if at <= low:
                break
        if below and trial >= TRIALS and (below[1] >= FAR * enough or trial >= TRIALS + MORE):
            break
        if not below and trial == TRIALS:
            following = low
        elif below and above:
            following = _between(below[:2], above[:2])
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


def _between(below: tuple[float, float], above: tuple[float, float]) -> float:
    """Where an excess of zero is expected between two positions with theirs; outside where they are neighbours."""
    share = below[1] / (below[1] - above[1])
    share = min(max(share, 0.1), 0.9)
    following = below[0] + share * (above[0] - below[0])
    following = math.floor(following / CRF_STEP) * CRF_STEP
    return min(max(following, below[0] + CRF_STEP), above[0] - CRF_STEP)
