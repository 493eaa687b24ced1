"""The loss-stream's learned mode: every sample within N of the source, as density heads (`heads.density.head`) expect
it.

Each plane's error e = source - predicted is coded in the picture domain, in interleaved passes: a coarse grid first,
then the samples between, each pass with its decoded neighbours around it. Of every sample of a pass a head tells the
mean and the spread, from the neighbours decoded so far, the prediction, the last picture moved into place and the
errors of the planes before; the sample is coded against the table of its spread, and tables adapt
(`codec.loss.samples`).

The heads are those of the package, one for each phase of the grid, for the first plane and for the others. A segment of
a film may change some of them: its first payload says how. One routine describes both directions (see `SymbolCoder`),
and all of it is integer arithmetic, so encoder and decoder cannot drift apart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from heads.density.head import DensityHead, context_of
from heads.density.store import Family

from ..frames import Plane, PlaneFormat
from .changes import heads_of, join_changes, layers_of, split_changes
from .entropy import CountTables, Ints, SymbolCoder
from .grid import COARSE, LAST, PASSES, THIRD, Shorts, samples_of, to_chroma, whole_cells
from .motion import MotionTables, displaced
from .samples import SampleCoder

Planes = tuple[Plane, ...]
# of the class of magnitude: 3 for each doubling of the spread, which is in 1/16 of that; a logistic's scale s has a
# mean magnitude of 1.386 s, and class 0 stands for 10/64
CLASS_SHARE, CLASS_OFFSET, CLASS_BITS = 3, 159, 4


@dataclass
class DensityState:
    tables: list[CountTables]
    motion: MotionTables
    last: tuple[Planes, Planes] | None = None  # last frame: (as decoded, as predicted)
    begun: bool = False

    def copy(self) -> DensityState:
        return DensityState([t.copy() for t in self.tables], self.motion.copy(), self.last, self.begun)


class DensityCoder:
    """Codes the frames of one segment so that every decoded sample lies within `max_error`.
    `changes`: what the encoder has found to change of the package's heads, coded, by their numbers."""

    def __init__(
        self,
        fmt: PlaneFormat,
        width: int,
        height: int,
        max_error: int,
        changes: Mapping[int, bytes] | None = None,
    ):
        self.fmt = fmt
        self.samples = SampleCoder(fmt.depth, max_error)
        shapes = fmt.shapes(width, height)
        # the spread of what is coded is that of the error over the quantiser's step
        self._step_log = ((2 * max_error + 1) ** 16).bit_length() - 1
        self.state = DensityState([self.samples.tables() for _ in shapes], MotionTables(*shapes[0]))
        self.heads = heads_of(Family.FILM)
        self._changes = dict(changes or {})

    # --- changes of the heads: ahead of the first frame's symbols -----------------------------------------------------

    def opening(self) -> bytes:
        """What goes before the symbols of a frame; to be asked once for each."""
        if self.state.begun:
            return b""
        self.state.begun = True
        self._change(self._changes)
        return join_changes(self._changes)

    def open(self, data: bytes) -> bytes:
        """Mirror of `opening`: takes what it wrote off `data` and returns the rest. Raises FormatError."""
        if self.state.begun:
            return data
        self.state.begun = True
        changes, rest = split_changes(data)
        self._change(changes)
        return rest

    def _change(self, changes: Mapping[int, bytes]) -> None:
        heads = dict(heads_of(Family.FILM))
        for number, data in changes.items():
            heads[number] = DensityHead(heads[number].spec, layers_of(number, data))
        self.heads = heads

    # --- frames -------------------------------------------------------------------------------------------------------

    def skip(self, predicted: Planes) -> Planes:
        self.state.last = (predicted, predicted)
        return predicted

    def code(self, coder: SymbolCoder, predicted: Planes, source: Planes | None) -> Planes:
        """The decoded planes. `source` is given to a writer and None to a reader."""
        state = self.state
        motion = None
        if state.last is not None:
            motion = state.motion.follow(coder, state.last[0], source, self.fmt.depth)
        decoded: list[Plane] = []
        errors: list[Ints] = []
        for p, plane in enumerate(predicted):
            base = plane.astype(np.int32)
            coded = self._plane(
                coder,
                p,
                base,
                self._temporal(p, base, motion),
                errors,
                None if source is None else source[p].astype(np.int32),
            )
            errors.append(coded - base)
            decoded.append(coded.astype(plane.dtype))
        state.last = (tuple(decoded), predicted)
        return tuple(decoded)

    def _temporal(self, p: int, base: Ints, motion: Ints | None) -> list[Shorts]:
        """The last picture less the prediction, and that picture's error, fetched from where the blocks point."""
        if self.state.last is None:
            return [np.zeros_like(whole_cells(base))] * 2
        decoded, predicted = displaced(self.state.last, p, motion, self.fmt)
        return [whole_cells(decoded - base), whole_cells(decoded - predicted)]

    def _plane(
        self,
        coder: SymbolCoder,
        p: int,
        base: Ints,
        temporal: Sequence[Shorts],
        errors: Sequence[Ints],
        source: Ints | None,
    ) -> Ints:
        """One plane's decoded samples, int32."""
        rows, columns = base.shape
        cells = whole_cells(base)
        error = np.zeros_like(cells)
        others = []
        if p:
            others = [whole_cells(to_chroma(errors[0], self.fmt)), whole_cells(errors[1]) if p == 2 else error * 0]
        flags = (LAST if self.state.last is not None else 0) | (THIRD if p == 2 else 0)
        out = np.empty_like(base)
        contexts = {unit: context_of(unit, error, cells, temporal, others) for unit in (1, 2)}
        for unit, phase in PASSES:
            grid = samples_of(unit, phase)
            here = out[grid]
            if not here.size:
                continue
            head = self.heads[phase + 4 * (p > 0)]
            mean, spread = head.run(contexts[unit], flags | (COARSE if unit == 2 else 0))
            inner = tuple(slice(n) for n in here.shape)
            value = np.clip(16 * base[grid] + mean[inner], 0, 16 * self.samples.peak)
            here[...] = self.samples.code(
                coder, self.state.tables[p], value, self._class(spread[inner]), None if source is None else source[grid]
            )
            error[:rows, :columns][grid] = here - base[grid]
        return out

    def _class(self, spread: Ints) -> NDArray[np.uint8]:
        """Class of magnitude of a spread in 1/16 of an octave."""
        k = (CLASS_SHARE * (spread - self._step_log) + CLASS_OFFSET) >> CLASS_BITS
        return np.clip(k, 0, self.samples.classes - 1).astype(np.uint8)
