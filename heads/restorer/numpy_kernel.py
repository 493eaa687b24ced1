"""A restoring head without history in NumPy alone: for a picture that is done before torch would be imported.

The same integers as `heads.restorer.integer`, in float32 products of matrices, whose sums are exact in any order below
2^24. Rows flow through all layers a few at a time: each layer keeps the two rows before, so nothing is computed twice
but at the borders of the parts that threads share, and what is under way fits a cache.

A layer's input lies row by row, channels within a row, a zero behind each: (rows, channels, columns + 1), and one more
before and behind all. Three rows are then a matrix (3 · channels, columns + 1) where they lie, once for each of the
three places of a kernel's column: from one sample before on, from there, or from one behind. What comes out for the
place of the zero is of no picture, and becomes the next layer's zero; so a layer's outputs are one piece of memory.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from importlib import import_module
from threading import Lock
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from ..layers import Layer, with_input
from .proof import check, integer_sums
from .spec import ACT_MAX, CORRECTION_BITS, HISTORY_MAX, INPUT_MAX, HeadSpec, effective, shift_of

Rows = NDArray[Any]  # (rows, channels, columns), integers as float32 or float64
PATCHES = (3, 24), (2, 240)  # that a head is checked on: libraries choose kernels by size
CHUNK = 1 << 20  # bytes of a layer's rows that are computed at once
HELD = 128  # rows of every layer that may be under way at once
PART_LEAST = 32  # rows that are worth a thread


class NumpyHead:
    """A checked head, ready to correct pictures on `threads` threads. Immutable; safe to share between threads."""

    def __init__(self, spec: HeadSpec, layers: Sequence[Layer], threads: int = 1):
        if spec.history:
            raise ValueError("a head that sees earlier pictures needs torch")
        check(spec, layers)
        self.spec, self.layers, self.threads = spec, list(layers), threads
        self._load(np.float32)
        with _ONE_THREAD:
            exact = all(self._matches_integers(*shape) for shape in PATCHES)
        if not exact:
            self._load(np.float64)

    def _load(self, dtype: type) -> None:
        """Kernels (3 columns, out, 3 rows of in) and biases (out, 1), with shifts folded in: powers of two, so as exact
        as the integers. Where a layer adds its input, that is part of a weight."""
        self._dtype = dtype
        self._kernels: list[tuple[NDArray[Any], NDArray[Any]]] = []
        last = self.spec.layers - 1
        for i, layer in enumerate(self.layers):
            shift = shift_of(i, last, layer.scale_bits) - CORRECTION_BITS * (i == last)
            w = effective(self.spec, i, layer)
            if self.spec.adds(i):
                w = with_input(w, shift)
            half = 1 << shift >> 1 if shift > 0 else 0
            w, bias = w.transpose(3, 0, 2, 1).reshape(3, len(w), -1), layer.bias[:, None].astype(np.int64) + half
            self._kernels.append(((w * 2.0**-shift).astype(dtype), (bias * 2.0**-shift).astype(dtype)))

    def _matches_integers(self, rows: int, columns: int) -> bool:
        """Whether a patch of extreme inputs comes out as integer arithmetic has it."""
        shape = self.spec.inputs, rows, columns
        # numbers that look drawn: `numpy.random` takes longer to import than all else here
        which = (np.arange(math.prod(shape)).reshape(shape) * 2654435761 >> 15) % 3
        x = np.array([-HISTORY_MAX, 0, HISTORY_MAX])[which]
        x[: self.spec.planes] = np.array([-INPUT_MAX, 0, INPUT_MAX - 1])[which[: self.spec.planes]]
        found = np.empty((self.spec.planes, rows, columns), np.int64)

        def fill(here: slice, to: Rows) -> None:
            to[:] = x[:, here].transpose(1, 0, 2)

        def take(here: slice, y: Rows) -> None:
            found[:, here] = y.transpose(1, 0, 2)

        self._part(slice(0, rows), rows, columns, fill, take)
        drop = shift_of(self.spec.layers - 1, self.spec.layers - 1, self.layers[-1].scale_bits) - CORRECTION_BITS
        sums = integer_sums(self.spec, self.layers, x)
        return np.array_equal(found, (sums + (1 << drop >> 1)) >> drop if drop > 0 else sums << -drop)

    def correct(
        self, rows: int, columns: int, fill: Callable[[slice, Rows], None], take: Callable[[slice, Rows], None]
    ) -> None:
        """What the head adds to a picture of so many cells. `fill` writes the inputs of some of its rows, `take` is
        given the correction of others (rows, planes, columns), in 1/2^CORRECTION_BITS of a 10-bit step: from several
        threads, each row once."""
        count = max(1, min(self.threads, rows // PART_LEAST, HELD // (self._chunk(rows, columns) + 2)))
        parts = [slice(rows * k // count, rows * (k + 1) // count) for k in range(count)]
        with _ONE_THREAD:
            if count == 1:
                self._part(parts[0], rows, columns, fill, take)
                return
            with ThreadPoolExecutor(count, "head") as pool:
                for done in [pool.submit(self._part, part, rows, columns, fill, take) for part in parts]:
                    done.result()

    def _chunk(self, rows: int, columns: int) -> int:
        """Rows that are computed at once."""
        return max(2, min(rows, CHUNK // (np.dtype(self._dtype).itemsize * self.spec.width * columns)))

    def _part(
        self,
        part: slice,
        rows: int,
        columns: int,
        fill: Callable[[slice, Rows], None],
        take: Callable[[slice, Rows], None],
    ) -> None:
        """`correct` of some rows, which see as many others around them as there are layers."""
        layers, chunk, wide = self.spec.layers, self._chunk(rows, columns), columns + 1
        room: Rows = np.empty((2, chunk * max(len(bias) for _, bias in self._kernels) * wide), self._dtype)
        # what each layer sees: the two rows before, and those that come next; outside the picture all is 0
        memory = [np.zeros((chunk + 2) * w.shape[2] // 3 * wide + 2, self._dtype) for w, _ in self._kernels]
        seen = [x[1:-1].reshape(chunk + 2, -1, wide) for x in memory]
        for at in range(max(part.start - layers, 0), part.stop + layers, chunk):
            to = _next(seen[0], 0, min(chunk, rows - at))
            if len(to):
                fill(slice(at, at + len(to)), to[:, :, :-1])
            for i, (weights, bias) in enumerate(self._kernels):
                first, around = at - i - 1, layers - i - 1  # each layer lags one row behind the one before
                top = max(0, part.start - around - first, -first)
                bottom = max(top, min(chunk, part.stop + around - first, rows - first))
                to = _next(seen[i + 1], top, bottom) if around else seen[i][:0]
                if top == bottom:
                    continue
                x = memory[i][top * seen[i][0].size :]
                y = _convolved(x, weights, room, (bottom - top, len(bias), wide))
                y += bias
                np.floor(y, out=y)
                if around:
                    np.clip(y, 0, ACT_MAX, out=to)
                    to[:, :, -1] = 0
                else:
                    take(slice(first + top, first + bottom), y[:, :, :-1])


def _next(seen: Rows, top: int, bottom: int) -> Rows:
    """Where the rows `top` to `bottom` of those that come next to a layer go, once its last two are those before; the
    others are 0."""
    seen[:2] = seen[-2:]
    to = seen[2:]
    to[: min(top, len(to))] = 0
    to[max(bottom, 0) :] = 0
    return to[top : max(bottom, top)]


def _convolved(x: Rows, weights: NDArray[Any], room: Rows, shape: tuple[int, int, int]) -> Rows:
    """The convolution (rows, out, columns + 1) of the rows that lie in `x`, flat, behind one sample more; in `room`."""
    total, more = (part[: math.prod(shape)].reshape(shape) for part in room)
    high, wide, size = weights.shape[2], shape[2], x.itemsize
    for k, kernel in enumerate(weights):
        three = as_strided(x[k:], (shape[0], high, wide), (high // 3 * wide * size, wide * size, size))
        np.matmul(kernel, three, out=more if k else total)
        if k:
            total += more
    return total


@cache
def _blas() -> tuple[Callable[[], int], Callable[[int], None]] | None:
    """What tells and sets the threads of NumPy's own OpenBLAS; None where it is another library."""
    try:
        library = ctypes.CDLL(import_module("numpy._core._multiarray_umath").__file__)
    except (ImportError, OSError, TypeError):
        return None
    for name in ("scipy_openblas_{}_num_threads64_", "openblas_{}_num_threads64_", "openblas_{}_num_threads"):
        tell, ask = (getattr(library, name.format(word), None) for word in ("get", "set"))
        if tell and ask:
            return tell, ask
    return None


class _OneThread:
    """Within, products of matrices keep to the threads that ask for them: those of OpenBLAS wait for each other in busy
    loops after each. It is put back once nobody computes any more."""

    def __init__(self) -> None:
        self._lock, self._users, self._before = Lock(), 0, 0

    def __enter__(self) -> None:
        with self._lock:
            self._users += 1
            if self._users == 1 and (blas := _blas()):
                self._before = blas[0]()
                blas[1](1)

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._users -= 1
            if self._users == 0 and (blas := _blas()):
                blas[1](self._before)


_ONE_THREAD = _OneThread()
