"""From pixels to a code at a given step: which atoms, and which integers they get.

`Fit.choose` is slow and picks atoms (`splat.pursuit`) for about the rate that a step stands for. `Fit.quantise` is fast
and gives the atoms chosen their integers for that step or one near it; atoms that do not pay there are left out. Both
weigh squared errors against bits with lambda = price * step^2, where the price is KAPPA unless said otherwise.

Colour: luma chooses first. The two other channels use luma's atoms where that pays, and choose more for themselves.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .atoms import AMPLITUDE_MAX, ATOMS_MAX, BASE_MAX, TILE, UNIT, Code, Ints, canonical
from .pursuit import PIXELS, Prices, Rows, Search, pursue, rows
from .render import COLOURS, ramps
from .tables import MAGNITUDES, Prior, load

KAPPA = 0.12  # lambda in squared steps: of .08, .12, .17, .25 at equal rates the best (0.08 dB to the next)
BLOCK = 64  # tiles that a pursuit holds at once: what a thread does
PART = 512  # tiles that are quantised at once: bounds the memory
COLOUR_ATOMS = 40  # of a tile, at most, that colour may add to those of luma
SWEEPS = 6  # of the descent over amplitudes, at most

# Bits that the greedy choice reckons with; what the tables say later decides whether the atom stays.
ORDER_BITS = 2.7  # a place costs so much less than log2(places), because its tile's atoms have no order
LUMA_BITS = 3.5  # an amplitude of luma
COLOUR_BITS = 4.0  # an amplitude of another channel, if not 0
COLOUR_ONLY_BITS = 5.0  # zeros for luma and colour of an atom that is there for colour alone

Listener = Callable[[float], None]  # told the share done


def channels_of(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(tiles, channels, PIXELS): the values that a Code speaks of, from uint8 (h, w, 1 or 3).

    Tiles that stick out of the picture repeat its last row and column.
    """
    height, width, channels = pixels.shape
    pad = ((0, -height % TILE), (0, -width % TILE), (0, 0))
    values = np.pad(pixels, pad, mode="edge").astype(np.float32) - 128
    if channels == 3:
        values = values @ COLOURS.astype(np.float32)  # orthonormal, so its transpose is its inverse
    down, across = values.shape[0] // TILE, values.shape[1] // TILE
    tiles = values.reshape(down, TILE, across, TILE, channels).transpose(0, 2, 4, 1, 3)
    return np.ascontiguousarray(tiles).reshape(down * across, channels, PIXELS)


def planes() -> Tensor:
    """(3, PIXELS) float32: the constant and the two gradients of a tile, norm 1."""
    return torch.from_numpy(ramps().astype(np.float32) / UNIT)


@dataclass(frozen=True)
class Costs:
    """Bits, as the prior has them."""

    row: Tensor  # (rows,) an atom without its amplitudes
    magnitude: Tensor  # (3, scales, AMPLITUDE_MAX + 1): an amplitude with its sign, per channel
    scale: Tensor  # (rows,) int64

    @classmethod
    def of(cls, prior: Prior, known: Rows) -> Costs:
        shape = -np.log2(prior.shape / prior.shape.sum())
        places = np.bincount(known.shape)
        row = (shape + np.log2(places))[known.shape] - ORDER_BITS
        tables = np.stack([prior.luma, *prior.chroma])
        bits = -np.log2(tables / tables.sum(axis=2, keepdims=True))
        escaped = np.repeat(bits[:, :, -1:] + 8, AMPLITUDE_MAX + 1 - MAGNITUDES, axis=2)
        magnitude = np.concatenate([bits, escaped], axis=2)
        magnitude[:, :, MAGNITUDES - 1] += 8
        magnitude[:, :, 1:] += 1
        return cls(
            torch.from_numpy(row.astype(np.float32)),
            torch.from_numpy(magnitude.astype(np.float32)),
            torch.from_numpy(known.scale),
        )


@cache
def costs() -> Costs:
    """The costs of the format's own tables."""
    return Costs.of(load(), rows())


class _Part:
    """Up to PART tiles of a picture with the atoms chosen for them, and the products that their integers depend on."""

    def __init__(self, values: Tensor, costs: Costs):
        self.values, self.costs = values, costs  # (n, channels, PIXELS), not weighted
        self._ramps = planes()
        self.chosen = torch.full((len(values), 0), -1)

    def base(self, step: float) -> Tensor:
        """(n, channels, 3) integers as float32."""
        return (self.values @ self._ramps.T / step).round_().clamp_(-BASE_MAX, BASE_MAX)

    def target(self, tiles: slice, base: Tensor, step: float) -> Tensor:
        """(t, channels, PIXELS): what the plane leaves, weighted as the pursuit wants it."""
        return (self.values[tiles] - step * (base[tiles] @ self._ramps)) * rows().weight

    def choose(
        self, tiles: slice, step: float, price: float, search: Search, propose: Callable[[], Tensor] | None = None
    ) -> tuple[Tensor, Tensor]:
        """Rows for some of the tiles: (t, k) for luma, or grey, and (t, c) for colour alone, -1 for none."""
        proposals = propose() if propose else None
        price *= step * step
        target = self.target(tiles, self.base(step), step)
        colour = target.shape[1] == 3
        zeros = self.costs.magnitude[1:, :, 0].sum(0)[self.costs.scale] if colour else 0.0
        prices = Prices(price * (self.costs.row + zeros + LUMA_BITS), torch.zeros(1))
        found = pursue(target[:, :1], prices, search, limit=ATOMS_MAX - COLOUR_ATOMS, proposals=proposals)
        if not colour:
            return found, found[:, :0]
        prices = Prices(price * (self.costs.row + COLOUR_ONLY_BITS), torch.full((2,), price * COLOUR_BITS))
        more = pursue(target[:, 1:], prices, search, limit=COLOUR_ATOMS, coarse=True, taken=found, proposals=proposals)
        return found, more

    def take(self, chosen: Tensor) -> None:
        """Keep those atoms (n, k), -1 for none, and prepare `quantise`. Tiles with many atoms come first."""
        filled = chosen >= 0
        chosen = chosen.gather(1, torch.argsort(filled.int(), dim=1, descending=True, stable=True))
        self.order = torch.argsort(filled.sum(1), descending=True, stable=True)
        self.chosen = chosen[self.order, : max(1, int(filled.sum(1).max()))]
        self.filled = self.chosen >= 0
        count, weight = len(chosen), rows().weight
        wide = self.chosen.shape[1]
        self.gram = torch.zeros(count, wide, wide)
        self.on_values = torch.zeros(count, wide, self.values.shape[1])
        self.on_ramps = torch.zeros(count, wide, 3)
        for first in range(0, count, BLOCK):
            some = slice(first, first + BLOCK)
            deep = int(self.filled[some].sum(1).max())
            drawn = rows().draw(self.chosen[some, :deep])
            self.gram[some, :deep, :deep] = torch.bmm(drawn, drawn.transpose(1, 2))
            values = self.values[self.order[some]] * weight
            self.on_values[some, :deep] = torch.bmm(drawn, values.transpose(1, 2))
            self.on_ramps[some, :deep] = drawn @ (self._ramps * weight).T
        self.scale = self.costs.scale[self.chosen.clamp(min=0)]
        self.row = self.costs.row[self.chosen.clamp(min=0)]

    def quantise(self, step: float, price: float) -> tuple[Ints, Ints]:
        """Base (n, channels, 3) and atoms (m, 3 + channels), tiles counted from the part's first."""
        base = self.base(step)
        sought = self.on_values / step - self.on_ramps @ base[self.order].transpose(1, 2)
        channels = sought.shape[2]
        found = [self._descend(sought[:, :, c], c, price, None) for c in range(1, channels)]
        zeros = self.costs.magnitude[1:channels, :, 0].sum(0)[self.scale]
        alone = torch.ones_like(self.filled)
        for amplitude in found:
            alone &= amplitude == 0
        found.insert(0, self._descend(sought[:, :, 0], 0, price, torch.where(alone, self.row + zeros, torch.zeros(()))))
        kept = self.filled & ((found[0] != 0) | ~alone)
        tile, slot = kept.nonzero(as_tuple=True)
        row = self.chosen[tile, slot].numpy()
        amplitudes = [amplitude[tile, slot].long().numpy() for amplitude in found]
        atoms = np.stack([self.order[tile].numpy(), rows().shape[row], rows().place[row], *amplitudes], axis=1)
        return base.long().numpy(), atoms

    def _descend(self, sought: Tensor, channel: int, price: float, saved: Tensor | None) -> Tensor:
        """(n, k) integers q, as float32, that lower |x - A q|^2 + price bits(q), one after the other.

        sought: (n, k), the products of the atoms with x in steps. saved: bits that are saved where q is 0.
        """
        wide = sought.shape[1]
        bits = self.costs.magnitude[channel] * price  # (scales, magnitudes)
        zero = bits[:, 0][self.scale] - (0.0 if saved is None else price * saved)
        solid = torch.eye(wide) * 1e-2 + torch.diag_embed((~self.filled).float())
        q = torch.linalg.solve(self.gram + solid, sought).round_().clamp_(-AMPLITUDE_MAX, AMPLITUDE_MAX) * self.filled
        energy = torch.diagonal(self.gram, dim1=1, dim2=2)
        deep = self.filled.sum(0).tolist()  # tiles that have a j-th atom: the first ones
        for _ in range(SWEEPS):
            before = q.clone()
            for j, tiles in enumerate(deep):
                own = energy[:tiles, j]
                rest = sought[:tiles, j] - (self.gram[:tiles, j] * q[:tiles]).sum(1) + own * q[:tiles, j]
                best = rest / own.clamp(min=1e-6)
                low, sign = best.trunc(), best.sign()
                tries = torch.stack([low - sign, low, low + sign, low + 2 * sign])  # small ones may be dearer
                tries.clamp_(-AMPLITUDE_MAX, AMPLITUDE_MAX)
                cost = own * tries * tries - 2 * rest * tries + bits[self.scale[:tiles, j], tries.abs().long()]
                cost = torch.cat([cost.masked_fill_(tries == 0, torch.inf), zero[None, :tiles, j]])
                at = cost.argmin(0)
                chosen = tries.gather(0, at.clamp(max=3)[None])[0]
                q[:tiles, j] = torch.where(at == 4, torch.zeros(()), chosen)
            if torch.equal(before, q):
                break
        return q


class Fit:
    """A grey or colour picture under way, uint8 (h, w, 1 or 3)."""

    def __init__(self, pixels: NDArray[np.uint8], costs: Costs):
        self.height, self.width, self.channels = pixels.shape
        values = torch.from_numpy(channels_of(pixels))
        self.parts = [_Part(part, costs) for part in values.split(PART)]

    def choose(
        self,
        step: int,
        price: float,
        search: Search,
        pool: ThreadPoolExecutor,
        listen: Listener | None = None,
        propose: Callable[[slice], Tensor] | None = None,
    ) -> None:
        """Choose the atoms for about that step (1/64), block by block in the pool's threads.

        propose: rows (t, r) for the tiles of a slice of all tiles, -1 for none.
        """
        jobs, first = [], 0
        for part in self.parts:
            count = len(part.values)
            for at in range(0, count, BLOCK):
                tiles = slice(at, min(at + BLOCK, count))
                own = propose and partial(propose, slice(first + tiles.start, first + tiles.stop))
                jobs.append((part, pool.submit(_quiet(part.choose), tiles, step / 64, price, search, own)))
            first += count
        found: dict[int, list[Tensor]] = {}
        for number, (part, job) in enumerate(jobs):
            found.setdefault(id(part), []).append(torch.cat(job.result(), dim=1))
            if listen:
                listen((number + 1) / len(jobs))
        for part in self.parts:
            blocks = found[id(part)]
            wide = max(block.shape[1] for block in blocks)
            part.take(torch.cat([torch.nn.functional.pad(b, (0, wide - b.shape[1]), value=-1) for b in blocks]))

    def quantise(self, step: int, price: float = KAPPA) -> Code:
        """The code with that step (1/64). `choose` comes first."""
        bases, atoms, first = [], [], 0
        for part in self.parts:
            base, some = part.quantise(step / 64, price)
            some[:, 0] += first
            first += len(base)
            bases.append(base)
            atoms.append(some)
        ordered = canonical(np.concatenate(atoms))
        return Code(self.height, self.width, self.channels, step, np.concatenate(bases), ordered)


def chosen(values: Tensor, step: float, search: Search) -> tuple[Tensor, Tensor]:
    """Rows (n, k) for luma and (n, c) for colour alone, -1 for none, of tiles as `channels_of` gives them.

    step: in pixel values.
    """
    return _Part(values, costs()).choose(slice(0, len(values)), step, KAPPA, search)


def _quiet(work: Callable[..., tuple[Tensor, Tensor]]) -> Callable[..., tuple[Tensor, Tensor]]:
    """The same without gradients, and with numbers too small to matter taken as 0: they cost 75 times the time."""

    def run(*args: object) -> tuple[Tensor, Tensor]:
        torch.set_flush_denormal(True)  # of this thread
        with torch.inference_mode():
            return work(*args)

    return run
