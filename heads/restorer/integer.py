"""Exact inference: the head as the decoder runs it, bit-identical on every machine.

The arithmetic is that of integers: y = clip((sum of w·x + bias + half) >> shift). It runs inside float32 kernels,
which is exact because every partial sum stays below 2^24 in magnitude whatever the order of summation; that bound is
computed from the weights themselves when a head is loaded, and a head that could exceed it is refused. Scaling by
powers of two and floor are exact in float32 as well.

What could still break it is a kernel that does not sum products: Winograd or FFT convolutions, TF32, oneDNN told to
multiply in bfloat16. They are switched off here, and when a head is loaded its kernels are compared with plain integer
arithmetic on patches of two sizes; where they fail that, float64 is used instead, whose margin of 29 bits covers such
transforms.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from ..exact import HeadError, exact_kernels, first_exact
from ..int8 import filled
from ..layers import BIAS_MAX, EXACT, WEIGHT_MAX, Layer
from ..threads import for_all
from .kernels import Kernels, kernels_of, truncated
from .spec import ACT_MAX, HISTORY_MAX, INPUT_MAX, SKIP_BITS, HeadSpec, effective, shift_of

CORRECTION_BITS = 4
PATCHES = (32, 32), (80, 128)  # that a head is checked on: oneDNN chooses kernels by size
BAND = 5 << 19  # bytes of a layer's activations that are computed at once
BAND_LEAST = 32  # rows of cells that are worth a thread
CPU = ("int8", "float32", "float64")  # kernels, the fastest first
DEPTHS = {8: torch.uint8, 10: torch.int16}  # bits of a sample, and what holds them
CORNER = 32  # columns of a patch that are compared


def worst_sums(spec: HeadSpec, layers: Sequence[Layer]) -> list[int]:
    """Largest magnitude that any partial sum of each layer can reach, rounding constant and base included."""
    sums = []
    for i, layer in enumerate(layers):
        peak = np.full(layer.weight.shape[1], ACT_MAX, np.int64)
        if i == 0:
            peak[: spec.planes], peak[spec.planes :] = INPUT_MAX, HISTORY_MAX
        elif i == len(layers) - 1:
            peak[spec.width :] = HISTORY_MAX << SKIP_BITS
        w = np.abs(effective(spec, i, layer)).sum(axis=(2, 3)) @ peak
        shift = shift_of(i, len(layers) - 1, layer.scale_bits)
        worst = int((w + np.abs(layer.bias.astype(np.int64))).max()) + (1 << shift + 1)
        worst += ACT_MAX << shift if spec.adds(i) else 0
        if i == len(layers) - 1:
            worst += 2 * INPUT_MAX << shift
        sums.append(worst)
    return sums


def check(spec: HeadSpec, layers: Sequence[Layer]) -> None:
    """Raise HeadError unless `layers` form a head of shape `spec` whose arithmetic is exact in float32."""
    if [layer.weight.shape for layer in layers] != spec.shapes():
        raise HeadError("the weights do not have the head's shape")
    for i, layer in enumerate(layers):
        if int(np.abs(layer.weight.astype(np.int16)).max()) > WEIGHT_MAX:
            raise HeadError(f"layer {i} has a weight beyond ±{WEIGHT_MAX}")
        if int(np.abs(layer.bias.astype(np.int64)).max()) > BIAS_MAX:
            raise HeadError(f"layer {i} has a bias beyond ±{BIAS_MAX}")
    for i, worst in enumerate(worst_sums(spec, layers)):
        if worst >= EXACT:
            raise HeadError(f"layer {i} can reach {worst}, beyond what is exact (2^24)")


class IntegerHead:
    """A checked head on a device, ready to predict. Immutable; safe to share between threads. Attributes: `kernel`, the
    one of `heads.exact.KERNELS` that computes it."""

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
        """Compare this machine's kernels with integer arithmetic on patches of extreme inputs."""
        return all(self._matches_on(*shape) for shape in PATCHES)

    def _matches_on(self, rows: int, columns: int) -> bool:
        rng = np.random.default_rng(0)
        x = rng.choice([-HISTORY_MAX, 0, HISTORY_MAX], (self.spec.inputs, rows, columns)).astype(np.int64)
        x[: self.spec.planes] = rng.choice([-INPUT_MAX, 0, INPUT_MAX - 1], (self.spec.planes, rows, columns))
        grid = torch.from_numpy(np.ascontiguousarray(x.transpose(1, 2, 0))).to(self.device, torch.float32)
        found = [y.cpu().numpy() for y in (self._sums(grid), self.whole(grid, self._sums))]
        # columns at the left: what lies beyond them by more cells than there are layers does not matter
        columns = min(columns, CORNER + self.spec.layers)
        x = x[:, :, :columns]
        wide = columns - self.spec.layers if columns < grid.shape[1] else columns
        last = self.spec.layers - 1
        skips = x[self.spec.skips] << SKIP_BITS
        for i, layer in enumerate(self.layers):
            if i == last:
                x = np.concatenate([x, skips])
            # integers below 2^53, which float64 holds: NumPy is many times as fast at those as at int64
            padded = np.pad(x, ((0, 0), (1, 1), (1, 1))).astype(np.float64)
            windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), (1, 2))
            weight = effective(self.spec, i, layer).astype(np.float64)
            acc = np.tensordot(weight, windows, ((1, 2, 3), (0, 3, 4))).astype(np.int64) + layer.bias[:, None, None]
            shift = shift_of(i, last, layer.scale_bits)
            acc += x << shift if self.spec.adds(i) else 0
            x = acc if i == last else np.clip((acc + (1 << shift >> 1)) >> shift, 0, ACT_MAX)
        wanted = x.transpose(1, 2, 0)[:, :wide]
        shown = grid[:, :wide, : self.spec.planes].cpu().numpy().astype(np.int64) + INPUT_MAX
        for depth in DEPTHS:
            drop = shift + 10 - depth
            samples = np.clip((wanted + (shown << shift) + (1 << drop >> 1)) >> drop, 0, (1 << depth) - 1)
            if not np.array_equal(self.predict(grid, depth).cpu().numpy()[:, :wide], samples):
                return False
        return all(np.array_equal(sums[:, :wide], wanted) for sums in found)

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
        most = max(BAND_LEAST, BAND // (4 * self.spec.width * columns))
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
            return truncated(y.clamp_(0, (1 << depth) - 1), DEPTHS[depth])[:, :, :planes]
