"""The order in which the samples of a plane are coded where every one is sent: interleaved passes.

A coarse grid first, then the samples between, each pass with its decoded neighbours around it (P. G. Howard and
J. S. Vitter, "MLP", DCC 1991). Cells, phases and passes are the same for linear forms and for density heads, and
`PlaneHeads` is what heads have to say of a plane in either mode.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from heads.density.cells import Cells, packed
from heads.density.head import DensityHead
from heads.density.spec import BAND, PHASES, Rules, Shorts, phases
from heads.threads import for_all

from ..frames import SUBSAMPLING, PlaneFormat
from .entropy import Ints

COARSE, LAST, BOTH, THIRD = 1, 2, 2, 4  # flags of heads: coarse grid; last picture known; samples of RGB; third plane


class Pass(NamedTuple):
    """One phase of the grid whose cells have 2 * unit samples a side; its decoded neighbours lie `unit` samples off, or
    multiples of that."""

    unit: int
    phase: int

    @property
    def first(self) -> tuple[int, int]:
        """Row and column of the first sample."""
        y, x = PHASES[self.phase]
        return self.unit * y, self.unit * x

    @property
    def samples(self) -> tuple[slice, slice]:
        """Rows and columns of the samples in a plane."""
        y, x = self.first
        return slice(y, None, 2 * self.unit), slice(x, None, 2 * self.unit)


PASSES = tuple(Pass(*p) for p in ((2, 0), (2, 1), (2, 2), (2, 3), (1, 1), (1, 2), (1, 3)))
UNITS = (1, 2)


def whole_cells(plane: NDArray, mode: Literal["edge", "constant"] = "edge") -> Shorts:
    """The plane continued by its edge (or by zeros) to a multiple of four samples a side: whole cells of the coarse
    grid."""
    h, w = plane.shape
    clipped = np.clip(plane, -(1 << 14), 1 << 14).astype(np.int16)
    return np.pad(clipped, ((0, -h % 4), (0, -w % 4)), mode=mode) if h % 4 or w % 4 else clipped


def under_chroma(luma: Ints, fmt: PlaneFormat) -> Ints:
    """Four times the mean of the luma samples that lie under each chroma sample."""
    sx, sy = SUBSAMPLING[fmt.chroma] or (1, 1)
    h, w = luma.shape
    if sy == 2:
        luma = np.pad(luma, ((0, h % 2), (0, 0)), mode="edge")
        luma = luma[::2] + luma[1::2]
    else:
        luma = 2 * luma
    if sx == 2:
        luma = np.pad(luma, ((0, 0), (0, w % 2)), mode="edge")
        return luma[:, ::2] + luma[:, 1::2]
    return 2 * luma


def to_chroma(luma: Ints, fmt: PlaneFormat) -> Ints:
    """Twice the mean of the luma samples that lie under each chroma sample, rounded down; in 4:4:4 the samples."""
    return under_chroma(luma, fmt) >> (2 if fmt.chroma == "444" else 1)


class PlaneHeads:
    """What density heads say of the samples of one plane, pass by pass."""

    def __init__(
        self,
        heads: Mapping[int, DensityHead],
        rules: Rules,
        flags: int,
        base: Ints,
        others: Sequence[Ints] = (),
        temporal: Sequence[Shorts] = (),
    ):
        """`heads`: by the phase, plus 4 for planes after the first, of those `rules`; `flags`: but COARSE and THIRD;
        `others`: errors of the planes before this one, of its size; `temporal`: whole cells of the last picture less
        the prediction, and of that picture's error, where the heads' context has such."""
        number = len(others)
        self._heads, self._offset = heads, 4 if number else 0
        self._flags = flags | (THIRD if number == 2 else 0)
        self._base, self._recorded = base, 0
        cells = whole_cells(base)
        self.error = np.zeros_like(cells)
        rest = [*temporal, *(whole_cells(plane) for plane in others)]
        if number == 1:
            rest.append(np.zeros_like(cells))  # heads of chroma take two planes
        known = [packed(plane, rules) for plane in rest]
        light = any(head.spec.light for head in heads.values())
        self._cells = {unit: Cells(unit, cells, known, rules, light) for unit in UNITS}
        self._known = dict.fromkeys(UNITS, 0)  # phases whose errors the cells have

    def ready(self, number: int, decoded: Ints) -> list[range]:
        """Prepare for pass `number`; `decoded` holds the samples of those before. Returns bands: rows of samples of the
        pass that `band` takes."""
        rows, columns = decoded.shape
        recorded = PASSES[self._recorded : number]  # passes without samples are never asked for
        unit, phase = PASSES[number]
        cells, error = self._cells[unit], phases(self.error, unit)
        self._heads[phase + self._offset].prepare(self._flags_of(unit))

        def update(first: int) -> None:
            """Rows of cells."""
            some = slice(first, min(first + BAND, cells.shape[0]))
            own = slice(2 * unit * some.start, min(2 * unit * some.stop, rows))
            to, base, now = (plane[own] for plane in (self.error[:, :columns], self._base, decoded))
            for done in recorded:
                np.subtract(now[done.samples], base[done.samples], out=to[done.samples], casting="unsafe")
            for known in range(self._known[unit], phase):
                cells.learn(known, error[known][some], some)
            cells.aim(phase, some)

        starts = range(0, cells.shape[0], BAND)
        for_all(update, starts)
        self._recorded, self._known[unit] = number, phase
        end = len(self._base[PASSES[number].samples])
        return [range(first, min(first + BAND, end)) for first in starts if first < end]

    def band(self, number: int, rows: range) -> tuple[Shorts, Shorts]:
        """(expected values in 1/16 of a sample, log2 of their spreads in 1/16) of a band, in any thread."""
        unit, phase = PASSES[number]
        base = self._base[PASSES[number].samples][rows.start : rows.stop]
        head = self._heads[phase + self._offset]
        value, spread = head.band(self._cells[unit], self._flags_of(unit), rows.start, rows.stop)[..., : base.shape[1]]
        value += 16 * base.astype(np.int16)  # of 10 bits: 16 * 1023 + 4080 < 2^15
        return value, spread

    def predict(self, number: int, decoded: Ints) -> tuple[Ints, Shorts]:
        """`band` of all samples of pass `number`; `decoded` holds the samples of those before."""
        rows = self.ready(number, decoded)
        found: list[tuple[Shorts, Shorts]] = [()] * len(rows)  # type: ignore[list-item]

        def band(k: int) -> None:
            found[k] = self.band(number, rows[k])

        for_all(band, range(len(rows)))
        value, spread = (np.concatenate(parts) for parts in zip(*found, strict=True))
        return value.astype(np.int32), spread

    def _flags_of(self, unit: int) -> int:
        return self._flags | (COARSE if unit == 2 else 0)
