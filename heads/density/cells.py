"""The context of a plane on one grid, packed for kernels of 8 bits: cells in raster order, the channels of a cell side by
side.

A channel is an integer within +-LIMIT. It is kept as two bytes, its positive and its negative part; one of them is 0.
With weights w and -w the pair gives the channel's product, and no pair of products saturates in 16 bits. All heads of
a plane share the channels, those that they do not use have weights of 0:

    errors at phases 0 .. 2 | the prediction at the other three phases less that at the phase to come | what else there is
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .spec import LIMIT, PHASES, DensitySpec, Shorts, phases

KNOWN = len(PHASES) - 1  # channels of errors, and of predictions
Pairs = NDArray[np.int16]  # of bytes


def paired(values: Shorts) -> Pairs:
    """The two parts of values, limited: the positive one in the lower byte."""
    limited = np.clip(values, -LIMIT, LIMIT)
    pairs = np.minimum(limited, 0)
    pairs *= np.int16(-256)  # modulo 2^16
    pairs += np.maximum(limited, 0, out=limited)
    return pairs


def channels(spec: DensitySpec) -> int:
    """That the cells of a head's planes have."""
    return 2 * KNOWN + spec.inputs - (spec.known + KNOWN)


def places(spec: DensitySpec) -> NDArray[np.intp]:
    """Where the inputs of a head stand among the channels."""
    own = [*range(spec.known), *range(KNOWN, 2 * KNOWN)]
    return np.array([*own, *range(2 * KNOWN, channels(spec))])


class Cells:
    """The cells of one plane. `unit`: see `phases`; `base`: the prediction; `rest`: planes whose pairs are known from the
    start, in the heads' order; all of whole cells."""

    def __init__(self, unit: int, base: Shorts, rest: Sequence[Pairs]):
        self._base = [np.ascontiguousarray(phase) for phase in phases(base, unit)]
        self.shape: tuple[int, int] = self._base[0].shape  # type: ignore[assignment]
        self._pairs = np.zeros((*self.shape, 2 * KNOWN + len(PHASES) * len(rest)), "<i2")
        for k, plane in enumerate(rest):
            for j, phase in enumerate(phases(plane, unit)):
                self._pairs[..., 2 * KNOWN + len(PHASES) * k + j] = phase

    def learn(self, phase: int, errors: Shorts) -> None:
        """The errors at one of the first three phases are known."""
        self._pairs[..., phase] = paired(errors)

    def aim(self, phase: int) -> None:
        """The samples of this phase come next."""
        others = (base for j, base in enumerate(self._base) if j != phase)
        for place, base in enumerate(others, KNOWN):
            self._pairs[..., place] = paired(base - self._base[phase])

    def inputs(self, first: int, end: int) -> Tensor:
        """Some rows: uint8 (1, 2 * channels, rows, columns) in channels-last memory."""
        return torch.from_numpy(self._pairs[first:end].view(np.uint8)).permute(2, 0, 1)[None]
