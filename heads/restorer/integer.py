"""Exact inference: the head as the decoder runs it, bit-identical on every machine.

The arithmetic is that of integers: y = clip((sum of w·x + bias + half) >> shift). Kernels of int8 run it as
`heads.int8` says. In float32 it is exact because every partial sum stays below 2^24 in magnitude whatever the order of
summation; that bound is computed from the weights themselves when a head is loaded, and a head that could exceed it is
refused. Scaling by powers of two and rounding down are exact in float32 as well.

What could still break it is a kernel that does not sum products: Winograd or FFT convolutions, TF32, oneDNN told to
multiply in bfloat16, pairs that saturate. They are switched off or avoided, and when a head is loaded its kernels are
compared with plain integer arithmetic on patches of two sizes; those that fail that give way to the next, at the end to
float64, whose margin of 29 bits covers such transforms.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from ..choice import first_exact
from ..exact import exact_kernels
from ..int8 import filled
from ..layers import Layer
from ..threads import for_all, one_thread
from .kernels import Kernels, kernels_of, limit
from .proof import check, integer_sums
from .spec import CORRECTION_BITS, HISTORY_MAX, INPUT_MAX, HeadSpec, shift_of

PATCHES = (32, 32), (66, 128)  # that a head is checked on: oneDNN chooses kernels by size
BAND = 8 << 20  # bytes of the largest array that are computed at once
BAND_LEAST = 32  # rows of cells that are worth a thread
CPU = ("int8", "float32", "float64")  # kernels, the fastest first
DEPTHS = {8: torch.uint8, 10: torch.int16}  # bits of a sample, and what holds them
CORNER = 32  # rows and columns of a patch that are compared


class IntegerHead:
    """A checked head on a device, ready to predict. Immutable; safe to share between threads. Attributes: `kernel`, the
    one of `heads.choice.KERNELS` that computes it."""

    def __init__(self, spec: HeadSpec, layers: Sequence[Layer], device: str = "cpu"):
        check(spec, layers)
        self.spec = spec
        self.layers = list(layers)
        self.device = torch.device(device)
        self.kernel, self._kernels = first_exact(CPU if self.device.type == "cpu" else CPU[1:], self._proven)

    def _proven(self, kernel: str) -> Kernels | None:
        found = kernels_of(kernel, self.spec, self.layers, self.device)
        if found is None:
            return None
        self._kernels = found
        return found if self._matches_integers() else None

    def _matches_integers(self) -> bool:
        """Compare this machine's kernels with integer arithmetic on patches of extreme inputs, in one thread, as bands
        are computed."""
        with one_thread(), exact_kernels():
            return self._matches_on(PATCHES[0], tuple(DEPTHS)) and self._matches_on(PATCHES[1])

    def _matches_on(self, shape: tuple[int, int], depths: Sequence[int] = ()) -> bool:
        """The last layer's sums, and samples of some depths."""
        rng = np.random.default_rng(0)
        x = rng.choice([-HISTORY_MAX, 0, HISTORY_MAX], (self.spec.inputs, *shape)).astype(np.int64)
        x[: self.spec.planes] = rng.choice([-INPUT_MAX, 0, INPUT_MAX - 1], (self.spec.planes, *shape))
        grid = torch.from_numpy(np.ascontiguousarray(x.transpose(1, 2, 0))).to(self.device, torch.float32)
        # a corner, which what lies beyond it by more cells than there are layers does not bear on
        seen, corner = slice(CORNER + self.spec.layers), (slice(CORNER), slice(CORNER))
        wanted = integer_sums(self.spec, self.layers, x[:, seen, seen]).transpose(1, 2, 0)[corner]
        shown = grid[..., : self.spec.planes].cpu().numpy().astype(np.int64)[corner] + INPUT_MAX
        for depth in depths:
            drop = self._shift + 10 - depth
            samples = np.clip((wanted + (shown << self._shift) + (1 << drop >> 1)) >> drop, 0, (1 << depth) - 1)
            if not np.array_equal(self.predict(grid, depth).cpu().numpy()[corner], samples):
                return False
        return np.array_equal(self._sums(grid).cpu().numpy()[corner], wanted)

    def in_bands(
        self, rows: int, columns: int, work: Callable[[slice, slice, slice], None], held: int | None = None
    ) -> None:
        """Do `work` with every band of a picture of so many cells: rows of it, the same with all rows that bear on
        them, and where in those the first lie. `held`: rows of cells that may be under way at once.

        Bands run side by side, each on one thread: kernels that share one layer among threads wait for each other after
        every one. And they are small: memory that a large one gives back goes to the system, which clears it for the
        next (bench/NOTES.md, "Kernels")."""
        halo = self.spec.layers + bool(self.spec.history)  # the gate looks at neighbours
        threads, count = torch.get_num_threads(), 1
        most = max(BAND_LEAST, BAND // (self._kernels.cell_bytes * columns))
        if held is not None:
            threads = max(1, min(threads, held // (most + 2 * halo)))
        if self.device.type == "cpu":
            count = min(threads * -(-rows // (threads * most)), max(1, rows // BAND_LEAST))

        def band(k: int) -> None:
            top, bottom = rows * k // count, rows * (k + 1) // count
            above, below = max(0, top - halo), min(rows, bottom + halo)
            with exact_kernels():
                work(slice(top, bottom), slice(above, below), slice(top - above, bottom - above))

        for_all(band, range(count), threads)

    def whole(self, x: Tensor, part: Callable[[Tensor], Tensor]) -> Tensor:
        """(h, w, planes) float32 of a picture (h, w, inputs), by a method of this head that takes bands."""
        out = torch.empty((*x.shape[:2], self.spec.planes), dtype=torch.float32, device=self.device)

        def band(rows: slice, seen: slice, inner: slice) -> None:
            out[rows] = part(x[seen])[inner]

        self.in_bands(x.shape[0], x.shape[1], band)
        return out

    # what follows takes a picture, or a band of one with no regard to what lies around it: float32 (h, w, inputs), or
    # with `cell` channels, those beyond the inputs 0, which is faster

    @property
    def cell(self) -> int:
        """Channels of a picture that need not be filled up."""
        return filled(self.spec.inputs)

    def activations(self, x: Tensor) -> Tensor:
        """(h, w, inputs) integers to (1, width, h, w): what the last layer sees, 0..ACT_MAX, of some type."""
        return self._kernels.activations(x)

    def _sums(self, x: Tensor) -> Tensor:
        """(h, w, inputs) integers to the (h, w, planes) accumulators of the last layer."""
        return self._kernels.last(x, 0, 0)[:, :, : self.spec.planes]

    @property
    def _shift(self) -> int:
        """Of the last layer."""
        return shift_of(self.spec.layers - 1, self.spec.layers - 1, self.layers[-1].scale_bits)

    def correction(self, x: Tensor) -> Tensor:
        """What the head adds to the upscaled base, (h, w, planes) in 1/2^CORRECTION_BITS of a 10-bit step, for `x` as
        `predict` takes it."""
        drop = self._shift - CORRECTION_BITS
        y = self._kernels.last(x, drop, 1 << drop >> 1 if drop > 0 else 0)
        with exact_kernels():
            return y.floor_()[:, :, : self.spec.planes]

    def predict(self, x: Tensor, depth: int) -> Tensor:
        """Predict samples.

        x: (h, w, inputs) integers as float32; the first `planes` channels are the upscaled base, 10-bit, less 512;
        the others are differences within ±255. Returns (h, w, planes) samples of `depth` bits: uint8, or int16 for 10.
        """
        drop, planes = self._shift + 10 - depth, self.spec.planes
        y = self._kernels.last(x, drop, (INPUT_MAX << self._shift) + (1 << drop >> 1))
        with exact_kernels():
            here = slice(y.shape[2] if x.shape[2] >= y.shape[2] else planes)  # all of a cell lies in one piece
            y[:, :, here].add_(x[:, :, here], alpha=2.0 ** (depth - 10))
            out = torch.empty_like(y, dtype=DEPTHS[depth])
            limit(y, (1 << depth) - 1, out)
            return out[:, :, :planes]
