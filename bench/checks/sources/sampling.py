"""Combinations by seeded sampling that covers every legal pair of values as soon as it can.

A kind of input is a row of axes, each of which has named values; a case is one value of each. The first axis takes its
values in turn. Of some combinations drawn at random, the one that holds most pairs not seen yet is taken, so that the
first cases of a longer run are those of a shorter one.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import combinations, count

Choice = dict[str, str]  # axis -> value
Axes = Mapping[str, Sequence[str]]  # axis -> its values; one that stands twice is drawn twice as often
Fits = Callable[[str, str, Choice], bool]  # whether an axis may take a value, given those of the axes before it

TRIES = 30  # combinations that are looked at for each that is taken


def spread(axes: Axes, fits: Fits, seed: int) -> Iterator[Choice]:
    """Legal combinations without end, the same for the same seed."""
    rng = random.Random(seed)
    seen: set[tuple[str, ...]] = set()
    leading, (axis, values) = {}, next(iter(axes.items()))
    for number in count():
        leading = {axis: values[number % len(values)]}
        best = max((_drawn(axes, fits, leading, rng) for _ in range(TRIES)), key=lambda one: len(_pairs(one) - seen))
        seen |= _pairs(best)
        yield best


def _drawn(axes: Axes, fits: Fits, leading: Choice, rng: random.Random) -> Choice:
    """A legal combination. An axis for which no value fits raises IndexError: every axis needs one that always does."""
    choice = dict(leading)
    for axis, values in axes.items():
        if axis not in choice:
            choice[axis] = rng.choice([value for value in values if fits(axis, value, choice)])
    return choice


def _pairs(choice: Choice) -> set[tuple[str, ...]]:
    """The pairs of values that a combination holds."""
    return {(*a, *b) for a, b in combinations(sorted(choice.items()), 2)}
