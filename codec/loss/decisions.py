"""Binary decisions, each with a probability that several contexts mix: context mixing, whole arrays at a time.

A decision is asked of many pixels at once. Every context of a pixel leads to a cell, which counts how the decision fell
there before; a map turns the counts into a probability, and learns what they are worth; the probabilities are mixed in
the logistic domain by weights that follow the gradient of the cost. Tables, maps and weights adapt after each array,
alike in encoder and decoder, so that nothing is sent.

Invariant: all of it is integers, or float64 that holds integers below 2^53, which are exact in any order.

Reference: M. Mahoney, "Adaptive weighing of context models for lossless data compression", Florida Tech. CS-2005-16
(PAQ6 to PAQ8; nonstationary counts, adaptive maps, logistic mixing).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .entropy import Ints, SymbolCoder
from .repeated import assign_last

Sums = NDArray[np.uint64]  # of contexts, not yet scattered

COUNT = 32  # counts of a cell are below
KEPT = 24  # what a count that would reach COUNT becomes; the other loses a quarter
MAP_BITS = 22  # of the probabilities in maps
MAP_RATE = 6  # a map moves by 2^-6 of its error
STRETCHED = 12  # bits of a probability that is stretched
REACH = 3072  # logits lie within, in 1/256
LEAST = 4  # of 2^16, probability of a decision
WEIGHT_MAX = 1 << 20
WEIGHT_START = 19661  # 0.3
LEARNING = 800  # the gradient's divisor, times pixels + CALM
CALM = 16  # pixels a wave, about, from which on the step no longer grows with them
SCATTER = np.uint64(0x9E3779B97F4A7C15)  # 2^64 over the golden ratio
DECAY = 4278222805  # 2^32 exp(-1/256)


def multipliers(count: int) -> NDArray[np.int64]:
    """Odd numbers below 2^24 by which a context's parts are multiplied before they are added."""
    found, state = [], 1
    for _ in range(count):
        state = (state * 1664525 + 1013904223) % (1 << 32)
        found.append(state >> 8 | 1)
    return np.array(found, np.int64)


def _squashed() -> NDArray[np.int64]:
    """65536 / (1 + exp(-x / 256)) for x = -REACH .. REACH, by integers."""
    power, upper = 1 << 32, []
    for _ in range(REACH + 1):
        upper.append((1 << 48) // ((1 << 32) + power))
        power = power * DECAY >> 32
    return np.array([*(65536 - p for p in upper[:0:-1]), *upper], np.int64)


def _following() -> NDArray[np.uint16]:
    """The counts after a decision: entry 2 * cell + decision, cell = COUNT * yes + no."""
    yes, no = np.divmod(np.arange(COUNT * COUNT), COUNT)

    def counted(one: NDArray, other: NDArray) -> tuple[NDArray, NDArray]:
        full = one + 1 == COUNT
        return np.where(full, KEPT, one + 1), np.where(full, 3 * other >> 2, other)

    more, rest = counted(yes, no)
    less, kept = counted(no, yes)
    return np.stack([COUNT * kept + less, COUNT * more + rest], axis=1).astype(np.uint16).reshape(-1)


def _first_map() -> NDArray[np.int32]:
    """What counts are worth at first, on MAP_BITS."""
    yes, no = np.divmod(np.arange(COUNT * COUNT), COUNT)
    return (((5 * yes + 2) << MAP_BITS) // (5 * (yes + no) + 4)).astype(np.int32)


_SQUASH = _squashed()
_STRETCH = (np.searchsorted(_SQUASH, 16 * np.arange(1 << STRETCHED) + 8) - REACH).astype(np.float64)
_CHANCE = np.clip(_SQUASH, LEAST, 65536 - LEAST)
_FOLLOWING, _MAP = _following(), _first_map()


class Decisions:
    """Decisions of several kinds that share the tables of their contexts.

    `seen`: the contexts whose number of cells that were met before picks the set of weights.
    """

    def __init__(self, kinds: int, contexts: int, bits: int, seen: slice):
        """`bits`: a context has 2^bits cells."""
        self._shift = np.uint64(64 - bits)
        self._cells = np.zeros(contexts << bits, np.uint16)
        self._first = (np.arange(contexts, dtype=np.int64) << bits)[:, None]
        self._maps = np.tile(_MAP, (kinds, contexts))  # (kinds, contexts * cells)
        self._map = (np.arange(contexts, dtype=np.int64) * COUNT * COUNT)[:, None]
        self._seen = seen
        self._sets = np.arange(len(range(contexts)[seen]) + 1)[:, None]
        self._weights = np.zeros((kinds, len(self._sets), contexts + 1), np.int64)
        self._weights[:, :, :contexts] = WEIGHT_START

    def scattered(self, sums: Sums) -> NDArray[np.int64]:
        """Places of the cells that sums of contexts (contexts, n) lead to."""
        return (sums * SCATTER >> self._shift).view(np.int64) + self._first

    def code(
        self, coder: SymbolCoder, kind: int, places: NDArray[np.int64], decided: NDArray[np.bool_] | None
    ) -> NDArray[np.bool_]:
        """How n decisions of a kind fall, given the places (contexts, n) of their cells; then adapts. Where pixels
        share a cell or an entry of a map, the last one's stays."""
        cells = self._cells.take(places)
        entries = cells + self._map
        found = self._maps[kind].take(entries)
        inputs = np.empty((len(cells) + 1, cells.shape[1]), np.float64)
        _STRETCH.take(found >> (MAP_BITS - STRETCHED), out=inputs[:-1])
        inputs[-1] = 256
        chosen = (cells[self._seen] > 0).sum(axis=0)
        weights = self._weights[kind]
        # 8 inputs of 2^12 at weights of 2^20: below 2^36
        logit = (weights.take(chosen, axis=0).T * inputs).sum(axis=0).astype(np.int64) >> 16
        chance = _CHANCE.take(np.minimum(np.maximum(logit, -REACH), REACH) + REACH)
        fell = coder.code_bits(chance, decided)
        # the gradient: n * 2^12 * 2^16, below 2^53 for n < 2^25
        mine = (chosen == self._sets).astype(np.float64)
        gradient = ((mine * (65536 * fell - chance)) @ inputs.T).astype(np.int64)
        weights += gradient // (LEARNING * (CALM + mine.sum(axis=1).astype(np.int64)))[:, None]
        np.minimum(np.maximum(weights, -WEIGHT_MAX, out=weights), WEIGHT_MAX, out=weights)
        assign_last(self._cells, places, _FOLLOWING.take(2 * cells.astype(np.int64) + fell))
        assign_last(self._maps[kind], entries, found + (((fell * ((1 << MAP_BITS) - 1)) - found) >> MAP_RATE))
        return fell


class Simple:
    """Decisions of one context, for where there are many and nearly all fall alike."""

    RATE = 7

    def __init__(self, contexts: int):
        self._chances = np.full(contexts, (1 << MAP_BITS) - (1 << (MAP_BITS - 5)), np.int64)

    def code(self, coder: SymbolCoder, contexts: Ints, decided: NDArray[np.bool_] | None) -> NDArray[np.bool_]:
        """How n decisions fall; then adapts. Where pixels share a context, the last one's stays."""
        found = self._chances.take(contexts)
        chance = np.minimum(np.maximum(found >> (MAP_BITS - 16), LEAST), 65536 - LEAST)
        fell = coder.code_bits(chance, decided)
        assign_last(self._chances, contexts, found + (((fell * ((1 << MAP_BITS) - 1)) - found) >> self.RATE))
        return fell
