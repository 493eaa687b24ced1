"""Which atoms a tile gets: a greedy search through all 87019 rows of the dictionary.

Orthogonal matching pursuit with the order-recursive gain: the next atom is the one that lowers the squared error most
when all atoms chosen so far adapt, less what its bits are worth. Where nothing pays any more the tile is done, which is
also what shares the bits among tiles. A pass correlates the residuals of a block of tiles with the whole dictionary and
keeps the best rows of every group; a few atoms are then chosen among those alone, exactly, before the next pass.

Groups are rows with centres in the same 8x8 pixels and of like extent, held as one matrix over the pixels they touch,
which is 0.36 of the products that whole rows would take. A block is computed by one thread in one order, so the choice
does not depend on the number of threads.

Sources: Pati, Rezaiifar and Krishnaprasad, "Orthogonal matching pursuit", 1993; Mallat and Zhang, "Matching pursuits
with time-frequency dictionaries", 1993; Rebollo-Neira and Lowe, "Optimized orthogonal matching pursuit approach", 2002.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from .atoms import ATOMS_MAX, REACH, SHAPES, TILE, UNIT, Ints, dictionary

PIXELS = TILE * TILE

# Weight of squared errors in the outermost and the second line of a tile, which the seams' softening spreads. With 1.0
# and 1.0 the pixels at seams were 0.5 dB worse than the rest; with these, 0.1 dB, at no loss over all.
SEAM_WEIGHTS = (1.6, 1.2)

REGION = 8  # pixels per side of the square that a group's centres lie in
EXTENTS = (4, 6, 8, 12, REACH)  # pixels from the centre: the classes of extent
COARSE = 2  # index in SCALES from which atoms may serve colour alone: finer ones were hardly ever chosen
ROUND = 12  # atoms chosen among proposals before the first pass
TRUST = 0.2  # of the first one's gain that they must have: with 0 what was left out of the proposals cost 0.3 dB
INDEPENDENT = 0.1  # least share of a row that the atoms already chosen do not explain; below, gains are not trusted


@dataclass(frozen=True)
class Search:
    """How thorough a pursuit is: up to `picks` atoms a pass among the best `keep` rows of every group, as long as they
    gain `share` of the pass's first; up to `passes` of them after proposals, without which there is no limit."""

    picks: int
    share: float
    keep: int
    passes: int = ATOMS_MAX


@dataclass(frozen=True)
class Group:
    """Neighbouring rows `first` .. `last` - 1 as one matrix."""

    first: int
    last: int
    coarse: bool
    pixels: Tensor  # (p,) int64: the tile's pixels where any of the rows is not 0
    matrix: Tensor  # (p, rows) float32: weighted and of norm 1


class Rows:
    """The dictionary as the encoder sees it: one row per shape and place, in the order of the groups."""

    def __init__(self) -> None:
        places = dictionary()
        shape = np.repeat(np.arange(len(SHAPES)), places.npos)
        inside = np.clip(places.centres, 0, TILE - 1) // REGION
        region = inside[:, 0] * (TILE // REGION) + inside[:, 1]
        reach = np.abs(np.arange(-REACH, REACH + 1))
        drawn = places.kernels != 0
        extent = np.maximum((drawn.any(1) * reach).max(1), (drawn.any(2) * reach).max(1))
        kind = np.searchsorted(EXTENTS, extent)[shape] * 2 + (places.scale[shape] >= COARSE)
        key = region * 2 * len(EXTENTS) + kind
        order = np.argsort(key, kind="stable")

        self.count = len(order)
        self.shape: Ints = shape[order]
        self.place: Ints = (np.arange(len(order)) - places.first[shape])[order]
        self.scale: Ints = places.scale[self.shape]
        self.coarse = torch.from_numpy(self.scale >= COARSE)
        self.number = np.argsort(order)  # row of entry `first[shape] + place` of the dictionary
        self._shape = torch.from_numpy(self.shape)
        self._corner = torch.from_numpy(REACH - places.centres[order])
        kernels = torch.from_numpy(places.kernels.astype(np.float32) / UNIT)
        plane, line, one = kernels.stride()
        side = kernels.shape[1] - TILE + 1
        self._windows = kernels.as_strided((len(SHAPES), side, side, TILE, TILE), (plane, line, one, line, one))
        lines = torch.ones(TILE)
        for k, weight in enumerate(SEAM_WEIGHTS):
            lines[[k, TILE - 1 - k]] = weight
        self.weight = torch.maximum(lines[:, None], lines[None, :]).sqrt().reshape(-1)  # (PIXELS,) of an error

        self.norm = torch.empty(self.count)  # of the weighted rows, by which `groups` are divided
        self.groups: list[Group] = []
        bounds = np.flatnonzero(np.diff(key[order], prepend=-1, append=-1)).tolist()
        for first, last in pairwise(bounds):
            values = self.draw(torch.arange(first, last))
            self.norm[first:last] = values.norm(dim=1)
            pixels = (values != 0).any(0).nonzero()[:, 0]
            matrix = (values[:, pixels] / self.norm[first:last, None]).T.contiguous()
            self.groups.append(Group(first, last, bool(self.scale[first] >= COARSE), pixels, matrix))

    def draw(self, rows: Tensor) -> Tensor:
        """(*rows.shape, PIXELS) float32: weighted atoms of amplitude 1; zeros for rows below 0."""
        flat = rows.reshape(-1).clamp(min=0)
        corner = self._corner[flat]
        values = self._windows[self._shape[flat], corner[:, 0], corner[:, 1]].reshape(*rows.shape, PIXELS)
        values.mul_(self.weight)
        return values if not rows.numel() or int(rows.min()) >= 0 else values.mul_((rows >= 0)[..., None])


@cache
def rows() -> Rows:
    """The one set of rows: about 140 MB, made in a second."""
    return Rows()


@dataclass(frozen=True)
class Prices:
    """What the pursuit weighs errors against, in squared pixel values: `row` (rows,) float32 of an atom with all its
    channels 0, and `plane` (planes,) float32 more for each plane in which it is not."""

    row: Tensor
    plane: Tensor


class _Block:
    """A block of tiles under way."""

    def __init__(self, target: Tensor, prices: Prices, limit: int, taken: Tensor | None):
        self.rows, self.prices = rows(), prices
        self.residual = target.clone()  # (n, planes, PIXELS)
        self.basis = torch.zeros(len(target), 0, PIXELS)  # orthonormal, spans the atoms chosen; filled up with zeros
        self.chosen = torch.full((len(target), limit), -1)
        self.spanned = torch.zeros(len(target), dtype=torch.int64)  # directions in each tile's basis
        self.number = torch.zeros(len(target), dtype=torch.int64)  # atoms chosen in each tile
        if taken is not None:
            for column in taken.T:
                self._deflate(self.rows.draw(column))

    def _deflate(self, drawn: Tensor) -> None:
        """Take one atom a tile (n, PIXELS) out of the planes where that pays its amplitude, without choosing it."""
        unit = drawn / drawn.norm(dim=1, keepdim=True).clamp(min=1e-6)
        coefficient = (self.residual * unit[:, None]).sum(2)
        coefficient = torch.where(coefficient.square() > self.prices.plane, coefficient, torch.zeros(()))
        self.residual -= coefficient[:, :, None] * unit[:, None]

    def _add(self, tiles: Tensor, drawn: Tensor, used: Tensor) -> tuple[Tensor, Tensor]:
        """Add the atoms `drawn` (t, PIXELS) to the basis of `tiles` where `used` and take them out of the residual.

        Returns the new directions (t, PIXELS), zeros where unused, and the residual's coefficients (t, planes).
        """
        width = self.basis.shape[1]
        fresh = drawn
        if width:
            basis = self.basis[tiles]
            for _ in range(2):  # the second time removes what rounding left
                fresh = fresh - torch.bmm(torch.bmm(fresh[:, None], basis.transpose(1, 2)), basis)[:, 0]
        fresh = fresh * (used / fresh.norm(dim=1).clamp(min=1e-6))[:, None]
        slot = self.spanned[tiles]
        if int(slot.max()) >= width:
            self.basis = torch.cat([self.basis, torch.zeros(len(self.basis), max(8, width // 2), PIXELS)], dim=1)
        self.basis[tiles[used], slot[used]] = fresh[used]
        self.spanned[tiles] += used
        coefficient = (self.residual[tiles] * fresh[:, None]).sum(2)
        coefficient = torch.where(coefficient.square() > self.prices.plane, coefficient, torch.zeros(()))
        self.residual[tiles] -= coefficient[:, :, None] * fresh[:, None]
        return fresh, coefficient

    def _gain(self, correlation: Tensor, price: Tensor, left: Tensor | None = None) -> Tensor:
        """(t, r) from correlations (t, planes, r) and prices (r,) or (t, r); `left`: see INDEPENDENT."""
        gain = correlation.square()
        if left is not None:
            gain = gain / left[:, None].clamp(min=INDEPENDENT)
        if gain.shape[1] == 1:
            return gain[:, 0] - (price + self.prices.plane[0])
        return gain.sub_(self.prices.plane[None, :, None]).clamp_(min=0).sum(1).sub_(price)

    def best(self, tiles: Tensor, keep: int, coarse: bool) -> Tensor:
        """(t, r) the rows that promise most, `keep` of every group."""
        found = []
        residual = self.residual[tiles]
        for group in self.rows.groups:
            if coarse and not group.coarse:
                continue
            part = residual[:, :, group.pixels]
            products = (part.reshape(-1, part.shape[2]) @ group.matrix).reshape(*part.shape[:2], -1)
            gain = self._gain(products, self.prices.row[group.first : group.last])
            found.append(gain.topk(min(keep, gain.shape[1]), dim=1, sorted=False).indices + group.first)
        return torch.cat(found, dim=1)

    def choose(self, tiles: Tensor, candidates: Tensor, picks: int, share: float) -> Tensor:
        """Choose up to `picks` atoms of `candidates` (t, r) in each of `tiles`. Returns (t,): whether there was one."""
        known = candidates >= 0
        drawn = self.rows.draw(candidates)
        drawn /= self.rows.norm[candidates.clamp(min=0)][:, :, None]
        price = torch.where(known, self.prices.row[candidates.clamp(min=0)], torch.tensor(torch.inf))
        correlation = torch.bmm(self.residual[tiles], drawn.transpose(1, 2))
        left = torch.ones(candidates.shape)
        if self.basis.shape[1]:
            left -= torch.bmm(drawn, self.basis[tiles].transpose(1, 2)).square().sum(2)
        least = torch.zeros(len(tiles))
        found = torch.zeros(len(tiles), dtype=torch.bool)
        each = torch.arange(len(tiles))
        for pick in range(picks):
            gain, at = self._gain(correlation, price, left).max(1)
            used = (gain > least) & (self.number[tiles] < self.chosen.shape[1])
            if not bool(used.any()):
                break
            if pick == 0:
                found, least = used, gain * share
            least = torch.where(used, least, torch.tensor(torch.inf))
            self.chosen[tiles[used], self.number[tiles[used]]] = candidates[each, at][used]
            self.number[tiles] += used
            fresh, coefficient = self._add(tiles, drawn[each, at], used)
            product = torch.bmm(drawn, fresh[:, :, None])[:, :, 0]
            correlation -= coefficient[:, :, None] * product[:, None]
            left -= product.square()
        return found


def pursue(
    target: Tensor,
    prices: Prices,
    search: Search,
    *,
    limit: int = ATOMS_MAX,
    coarse: bool = False,
    taken: Tensor | None = None,
    proposals: Tensor | None = None,
) -> Tensor:
    """(n, k) int64: the rows chosen for each of a block of tiles, in order of choice, then -1; k <= `limit`.

    target: (n, planes, PIXELS) float32, weighted. coarse: choose among rows from scale COARSE on. taken: (n, t), rows
    that are there already, for other planes. proposals: (n, r) int64, -1 for none: rows to choose from first: up
    to ROUND as long as they gain TRUST of the first, or, where the search has no passes, as long as they pay.
    """
    block = _Block(target, prices, limit, taken)
    tiles, passes = torch.arange(len(target)), limit
    if proposals is not None:
        passes = search.passes
        if coarse:
            proposals = torch.where(block.rows.coarse[proposals.clamp(min=0)], proposals, -1)
        if passes:
            block.choose(tiles, proposals, ROUND, TRUST)
        while len(tiles) and not passes:  # by and by, because some tiles are done soon
            found = block.choose(tiles, proposals[tiles], ROUND, 0.0)
            tiles = tiles[found & (block.number[tiles] < limit)]
    tiles = tiles[block.number[tiles] < limit]
    while len(tiles) and passes:
        found = block.choose(tiles, block.best(tiles, search.keep, coarse), search.picks, search.share)
        tiles = tiles[found & (block.number[tiles] < limit)]
        passes -= 1
    return block.chosen[:, : int((block.chosen >= 0).sum(1).max())]
