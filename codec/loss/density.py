"""The loss-stream's density mode: every sample within N of the source, as density heads (`heads.density.spec`) expect
it.

Each plane's error e = source - predicted is coded in the picture domain, in the interleaved passes of
`codec.loss.grid`. Of every sample of a pass a head tells the mean and the spread, from the neighbours decoded so far,
the prediction, the last picture moved into place and the errors of the planes before; the sample is coded against the
table of its spread, and tables adapt (`codec.loss.samples`).

The heads are pretrained, one for each phase of the grid, for the first plane and for the others. A segment of
a film may change some of them: its first payload says how (`codec.loss.changes`). One routine describes both directions
(see `SymbolCoder`), and all of it is integer arithmetic, so encoder and decoder cannot drift apart.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from heads.density.loaded import density_head
from heads.density.spec import Rules, Shorts
from heads.density.store import Family

from ..frames import Plane, PlaneFormat, Planes
from .changes import heads_of, join_changes, layers_of, split_changes
from .entropy import CountTables, Ints, SymbolCoder
from .grid import LAST, PASSES, PlaneHeads, to_chroma, whole_cells
from .modes import PictureCoder
from .motion import LastPicture, MotionTables, temporal_terms
from .samples import SampleBand, SampleCoder

# of the class of magnitude: 3 for each doubling of the spread, which is in 1/16 of that; a logistic's scale s has a
# mean magnitude of 1.386 s, and class 0 stands for 10/64
CLASS_SHARE, CLASS_OFFSET, CLASS_BITS = 3, 159, 4


@dataclass
class DensityState:
    """What a segment carries from picture to picture; `begun`: whether its changes of heads have been coded."""

    tables: list[CountTables]
    motion: MotionTables
    last: LastPicture | None = None
    begun: bool = False


class DensityCoder(PictureCoder):
    """Codes the pictures of one segment so that every decoded sample lies within `max_error`.
    `changes`: what the encoder has found to change of the pretrained heads, coded, by their numbers; `family` and
    `rules` of the heads are all that the modes differ in."""

    def __init__(
        self,
        fmt: PlaneFormat,
        width: int,
        height: int,
        max_error: int,
        changes: Mapping[int, bytes] | None,
        family: Family,
        rules: Rules,
    ):
        self.fmt, self._family, self._rules = fmt, family, rules
        self.samples = SampleCoder(fmt.depth, max_error)
        shapes = fmt.shapes(width, height)
        # the spread of what is coded is that of the error over the quantiser's step
        self._step_log = ((2 * max_error + 1) ** 16).bit_length() - 1
        self.state = DensityState([self.samples.tables() for _ in shapes], MotionTables(*shapes[0]))
        self.heads = heads_of(family, rules)
        self._changes = dict(changes or {})

    def opening(self) -> bytes:
        """The changes of heads, ahead of the first picture's symbols."""
        if self.state.begun:
            return b""
        self.state.begun = True
        self._change(self._changes)
        return join_changes(self._changes)

    def open(self, data: bytes) -> bytes:
        if self.state.begun:
            return data
        self.state.begun = True
        changes, rest = split_changes(data)
        self._change(changes)
        return rest

    def _change(self, changes: Mapping[int, bytes]) -> None:
        heads = heads_of(self._family, self._rules)
        for number, data in changes.items():
            heads[number] = density_head(heads[number].spec, layers_of(self._family, number, data), self._rules)
        self.heads = heads

    def code(
        self, coder: SymbolCoder, predicted: Planes, source: Planes | None = None, lam: float | None = None
    ) -> Planes:
        return self.begin(coder, predicted, source, lam)()

    def begin(
        self, coder: SymbolCoder, predicted: Planes, source: Planes | None = None, lam: float | None = None
    ) -> Callable[[], Planes]:
        """Codes motion and the first plane, all that the next picture's need of this one; what is returned codes the
        others, which need those of the picture before."""
        state, last = self.state, self.state.last
        motion = state.motion.follow(coder, last, source, self.fmt.depth)
        decoded: list[Plane] = []
        errors: list[Ints] = []

        def plane(p: int) -> None:
            base = predicted[p].astype(np.int32)
            heads = PlaneHeads(
                self.heads,
                self._rules,
                LAST if last is not None else 0,
                base,
                [to_chroma(e, self.fmt) if k == 0 else e for k, e in enumerate(errors)],
                self._temporal(last, p, base, motion),
            )
            wanted = None if source is None else source[p].astype(np.int32)
            out = self._plane(coder, state.tables[p], heads, base.shape, wanted)
            errors.append(out - base)
            decoded.append(out.astype(predicted[p].dtype))

        def rest() -> Planes:
            for p in range(1, len(predicted)):
                plane(p)
            return tuple(decoded)

        plane(0)
        state.last = LastPicture(decoded, predicted)
        return rest

    def _temporal(self, last: LastPicture | None, p: int, base: Ints, motion: Ints | None) -> list[NDArray[np.int16]]:
        """The last picture less the prediction, and that picture's error; zeros where there is none."""
        if last is None:
            return [np.zeros_like(whole_cells(base))] * 2
        error, difference = temporal_terms(last, p, base, motion, self.fmt)
        return [whole_cells(difference), whole_cells(error)]

    def _plane(
        self,
        coder: SymbolCoder,
        tables: CountTables,
        heads: PlaneHeads,
        shape: tuple[int, ...],
        source: Ints | None,
    ) -> Ints:
        """One plane's decoded samples, int32."""
        out = np.empty(shape, np.int32)
        for number, part in enumerate(PASSES):
            if not out[part.samples].size:
                continue
            wanted = None if source is None else source[part.samples]
            self._pass(coder, tables, number, heads, out, wanted)
        return out

    def _pass(
        self,
        coder: SymbolCoder,
        tables: CountTables,
        number: int,
        heads: PlaneHeads,
        out: Ints,
        source: Ints | None,
    ) -> None:
        """The samples of one pass, into `out`."""
        rows, here = heads.ready(number, out), out[PASSES[number].samples]

        def begin(k: int) -> SampleBand:
            value, spread = heads.band(number, rows[k])
            np.clip(value, 0, 16 * self.samples.peak, out=value)
            wanted = None if source is None else source[rows[k].start : rows[k].stop]
            return self.samples.begin(value, self._class(spread), wanted)

        def end(k: int, samples: Ints) -> None:
            here[rows[k].start : rows[k].stop] = samples

        self.samples.code_bands(coder, tables, len(rows), begin, end)

    def _class(self, spread: Shorts) -> NDArray[np.uint8]:
        """Class of magnitude of a spread in 1/16 of an octave."""
        k = (CLASS_SHARE * (spread - np.int16(self._step_log)) + CLASS_OFFSET) >> CLASS_BITS
        return np.clip(k, 0, self.samples.classes - 1).astype(np.uint8)
