"""Convolutions of uint8 activations with int8 weights through oneDNN: exact where `int8_convolution` gives one.

    y = clip((sum of w·x + bias + half) >> shift, 0, 255)      uint8, half = 1 << shift >> 1
    y = (sum of w·x + bias) / 2^shift                          float32

The operator sums in int32, converts the sum to float32, multiplies by 2^-shift, adds the bias, limits and rounds to
nearest, ties to even. The format rounds half up, so a quarter of a sum's unit is added: no tie remains, nothing else
changes sides. In quarters numbers below 2^24 are exact in float32, so biases are, and sums below 2^22. Larger ones may
be rounded, but not across the limits: 256 · 2^shift is 2^21 at most, and so is what an added input can take away.

What can go wrong lies in the sums. Processors without VNNI add the products of a pair of neighbouring input channels
in int16, where 255 · (127 + 127) saturates. Three things stand against that. `fits_pairs` is arithmetic: weights whose
pairs cannot saturate are exact on all of them. `pairs_saturate` asks the machine, once, with the largest weights,
whether others may be used. And whatever they said, loaded weights are probed: every output channel sees 255 where its
weights are positive, then 255 where they are negative. No sum of some of its products can be larger, whichever an
implementation adds first, and one that saturates makes the total smaller, which shows.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .exact import exact_kernels
from .layers import EXACT, WEIGHT_MAX, with_input

PEAK = 255  # of activations
PAIR_MAX = 128  # |sum of two weights of equal sign| that int16 holds times PEAK
SHIFT_MAX = 13
LANES = 8  # oneDNN computes so many output channels at once: others are filled with zeros
TYPICAL = (66, 640)  # rows and columns that weights are laid out for
PROBED = (18, 128), (9, 200)  # that weights are probed on, at least so large: oneDNN chooses kernels by size
LARGEST = (8, 8), (16, 16), (24, 24), (48, 48), (64, 64)  # channels that the machine is asked about

_MISSING = (AttributeError, RuntimeError, TypeError, ValueError)  # what a torch without these operators raises


def fits_pairs(weight: NDArray[np.int8]) -> bool:
    """Whether products of `weight` (outputs, inputs, k, k) and a pair of neighbouring inputs stay within int16."""
    w = weight.astype(np.int64)
    w = np.concatenate([w, np.zeros_like(w[:, : w.shape[1] % 2])], 1)
    pairs = w.reshape(len(w), -1, 2, *w.shape[2:])
    return bool(np.clip(pairs, 0, None).sum(2).max(initial=0) <= PAIR_MAX) and bool(
        np.clip(pairs, None, 0).sum(2).min(initial=0) >= -PAIR_MAX
    )


def paired(weights: Sequence[NDArray[np.integer]]) -> list[int]:
    """An order of the input channels of all `weights` (outputs, inputs, k, k) in which few pairs (0 and 1, 2 and 3 ..)
    have weights of equal sign, at one place, whose sum is beyond PAIR_MAX: exchanges, as long as they help."""
    inputs = weights[0].shape[1]
    count = inputs + inputs % 2  # a channel of zeros goes with one that is left over, which comes last
    cost = np.zeros((count, count), np.int64)  # layers in which two channels do not go together
    for weight in weights:
        for sign in (1, -1):
            w = np.maximum(sign * weight.astype(np.int16), 0).transpose(1, 0, 2, 3).reshape(inputs, -1)
            cost[:inputs, :inputs] += (w[:, None] + w[None]).max(2) > PAIR_MAX
    pairs = [(k, k + 1) for k in range(0, count, 2)]
    helped = True
    while helped:
        helped = False
        for i, (a, b) in enumerate(pairs):
            for j, (c, d) in enumerate(pairs[:i]):
                now = cost[a, b] + cost[c, d]
                if now and cost[a, c] + cost[b, d] < now:
                    pairs[i], pairs[j], helped = (a, c), (b, d), True
                elif now and cost[a, d] + cost[b, c] < now:
                    pairs[i], pairs[j], helped = (a, d), (b, c), True
                else:
                    continue
                break
    pairs.sort(key=lambda pair: max(pair) >= inputs)
    return [channel for pair in pairs for channel in pair if channel < inputs]


def folded(weight: NDArray[np.integer], shift: int) -> NDArray[np.integer]:
    """`with_input` of a layer's `weight`, of its type; the weight as it is where int8 does not hold that."""
    whole = with_input(weight, shift)
    return whole.astype(weight.dtype) if whole.max() <= WEIGHT_MAX else weight


def filled(channels: int) -> int:
    """So many output channels as oneDNN computes anyway."""
    return -(-channels // LANES) * LANES


class Int8Convolution:
    """A loaded convolution; see `int8_convolution`, which makes sure that it is exact. Safe to share between threads.

    Attributes: `outputs`, channels of what it returns: those of the weights, filled up with zeros."""

    def __init__(
        self,
        weight: NDArray[np.int8],
        bias: NDArray[np.int64],
        shift: int,
        output: torch.dtype,
        adds: bool,
        inputs: int,
    ):
        out, known, side, _ = weight.shape
        self.outputs, self._inputs, self._pad = filled(out), inputs, side // 2
        self._type, self._adds = output, adds
        full = np.zeros((self.outputs, inputs, side, side), np.int8)
        full[:out, :known] = weight
        self._weight = full
        self._zeros = torch.zeros(self.outputs, dtype=torch.int32)
        self._set(bias, shift)
        self._packed = torch.ops.onednn.qconv_prepack(
            torch.from_numpy(full), self._scale, 1.0, 0, [1, 1], [self._pad] * 2, [1, 1], 1, [1, inputs, *TYPICAL]
        )

    def _set(self, bias: NDArray[np.int64], shift: int) -> None:
        self._scale = torch.full((self.outputs,), 2.0**-shift)
        quarter = 0.25 if self._type == torch.uint8 else 0.0
        self._bias = torch.zeros(self.outputs)
        self._bias[: len(bias)] = torch.from_numpy((bias + quarter) * 2.0**-shift).float()

    def rescaled(self, bias: NDArray[np.int64], shift: int) -> Int8Convolution:
        """One of float32 outputs with the same weights, other biases and another scale. The caller sees to it that
        sums with those biases stay below 2^24; `shift` may be negative."""
        other = copy(self)
        other._set(bias, shift)
        return other

    def inside(self) -> Int8Convolution:
        """The same, but only where all of a kernel lies on the input: outputs are so much smaller."""
        other = copy(self)
        other._pad = 0
        return other

    def __call__(self, x: Tensor) -> Tensor:
        """(1, outputs, h, w) of `x`, uint8 (1, inputs, h, w), both in channels-last memory."""
        return self._run(x, x, self._scale, self._bias)

    def _run(self, x: Tensor, added: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
        limit = "relu" if self._type == torch.uint8 else "none"
        tail = [1, 1], [self._pad, self._pad], [1, 1], 1, 1.0, 0, self._type
        with exact_kernels():
            weights = 1.0, 0, self._packed, scale, self._zeros
            if not self._adds:
                return torch.ops.onednn.qconv2d_pointwise(x, *weights, bias, *tail, limit, [], "")
            total = added.clone(memory_format=torch.channels_last)  # the result lies in its place
            run = torch.ops.onednn.qconv2d_pointwise.binary
            return run(x, *weights, total, bias, *tail, 1.0, 0, "sum", 1.0, limit, [], "")

    def sums_exactly(self) -> bool:
        """Whether this machine sums the loaded weights without saturating, in any order."""
        return all(self._sums(sign, shape) for sign in (1, -1) for shape in PROBED)

    def _sums(self, sign: int, shape: Sequence[int]) -> bool:
        """Whether all outputs are right where the weights of one sign see PEAK and the others 0."""
        w = self._weight.astype(np.int64)
        side = w.shape[-1]
        wanted = np.where(w * sign > 0, w, 0).sum((1, 2, 3)) * PEAK
        # patch after patch in a row, one for each output: (inputs, side, outputs · side)
        patches = (w * sign > 0).transpose(1, 2, 0, 3).reshape(w.shape[1], side, -1).astype(np.uint8) * np.uint8(PEAK)
        repeats = -(-shape[0] // side), -(-shape[1] // patches.shape[2])
        image = torch.from_numpy(np.tile(patches, (1, *repeats)).transpose(1, 2, 0).copy()).permute(2, 0, 1)[None]
        # the bias takes what is wanted to the middle of what the output holds
        middle = torch.from_numpy(128 - wanted).float()
        added = torch.zeros(1, self.outputs, *image.shape[2:], dtype=torch.uint8)
        found = self._run(image, added, torch.ones(self.outputs), middle)[0, :, side // 2 :: side, side // 2 :: side]
        own = torch.arange(self.outputs).repeat(repeats[1])
        return bool((found[own, :, torch.arange(found.shape[2])] == 128).all())


@cache
def pairs_saturate() -> bool:
    """Whether this machine adds products in pairs that int16 does not hold, as is assumed where it cannot be asked."""
    for outputs, inputs in LARGEST:
        weight = np.full((outputs, inputs, 3, 3), 127, np.int8)
        weight[1::2] = -127
        none = np.zeros(outputs, np.int64)
        try:
            if not Int8Convolution(weight, none, 0, torch.float32, False, inputs).sums_exactly():
                return True
        except _MISSING:
            return True
    return False


def int8_convolution(
    weight: NDArray[np.int8],
    bias: NDArray[np.integer],
    shift: int,
    output: torch.dtype = torch.uint8,
    *,
    adds: bool = False,
    inputs: int | None = None,
) -> Int8Convolution | None:
    """A convolution of stride 1, zeros beyond the edge, of `weight` (outputs, inputs, k, k), k odd; None where it is
    not exact on this machine. `output`: torch.uint8 or torch.float32, see above; `adds`: the input is added to the
    output, which is uint8, before it is limited; `inputs`: channels of the input, where the weights have fewer."""
    if adds and 0 <= shift <= SHIFT_MAX:  # a copy of the input costs more than a weight
        whole = folded(weight, shift)
        if whole is not weight and (
            found := int8_convolution(whole.astype(np.int8), bias, shift, output, inputs=inputs)
        ):
            return found
    inputs = inputs or weight.shape[1]
    bias_peak = int(np.abs(bias.astype(np.int64)).max())
    magnitude = int(np.abs(weight.astype(np.int64)).sum((1, 2, 3)).max()) * PEAK + bias_peak
    if not 0 <= shift <= SHIFT_MAX or 8 * bias_peak > EXACT or magnitude >= EXACT:
        return None
    if not fits_pairs(weight) and pairs_saturate():
        return None
    try:
        found = Int8Convolution(weight, bias.astype(np.int64), shift, output, adds, inputs)
        return found if found.sums_exactly() else None
    except _MISSING:
        return None
