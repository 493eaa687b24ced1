"""The modes of the loss-stream, one row each: wire numbers, legal settings, memory, and how a coder is made.

Which one? `transform` corrects where that pays, for a bitrate; `linear`, `density` and `guided` bring every sample
within a bound of the source, 0 = lossless. `linear` fits its forms to any samples; `whole` asks networks that know
pictures, and changes them where a film is long enough; `light` asks smaller ones, which take a third of the products
(which of the two is the preset's affair); `density` is how it was before their sums were rounded in one step (it is
read, and no longer written); `guided` lets such networks advise linear forms, which suits single pictures; `palette`
needs no prediction: it is for pictures of few colours, and coded by `codec.still.palette`.

The table is all that a header's reader needs: a mode's coder is imported where the first one is made.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Protocol

from ..settings import MAX_ERROR, MAX_STEP

if TYPE_CHECKING:
    from ..frames import PlaneFormat, Planes
    from .entropy import SymbolCoder

ABSENT = -1  # instead of a wire number, where there is no such mode
MOVED = 60  # bytes a luma sample of the displaced pictures of a film: blocks with what their filters reach, in float32


class PictureCoder(Protocol):
    """What the coders of all modes have in common: one codes the pictures of a segment, in coding order."""

    def opening(self) -> bytes:
        """What goes before the symbols of a picture; to be asked once for each."""
        return b""

    def open(self, data: bytes) -> bytes:
        """Mirror of `opening`: takes what it wrote off `data` and returns the rest. Raises FormatError."""
        return data

    def code(
        self, coder: SymbolCoder, predicted: Planes, source: Planes | None = None, lam: float | None = None
    ) -> Planes:
        """The decoded planes. `source` is given to a writer and None to a reader; `lam` see `LossCoder.encode`."""
        ...

    def begin(
        self, coder: SymbolCoder, predicted: Planes, source: Planes | None = None, lam: float | None = None
    ) -> Callable[[], Planes]:
        """`code` in two parts: codes all that the next picture's first part needs, and returns what codes the rest.
        The rest of one picture may run beside the first part of the next; else they keep their order."""
        decoded = self.code(coder, predicted, source, lam)
        return lambda: decoded


@dataclass(frozen=True)
class CoderPlan:
    """What a coder is made from. `step`, `max_error`: see `LossSettings`; `rgb`, `changes`: see `LossCoder`; `heads`:
    see `Mode`."""

    fmt: PlaneFormat
    width: int
    height: int
    step: int
    max_error: int
    rgb: bool
    changes: Mapping[int, bytes] | None
    heads: str


@dataclass(frozen=True)
class Mode:
    """A row. `film`, `still`: wire numbers, never given a second meaning; `memory`: bytes that decoding a picture of a
    film takes, for each sample of luma and of any plane; `still_memory`: that decoding a still takes, for each of its
    samples (both measured by `bench check memory`); `steps`, `errors`: the legal quantiser steps and bounds; `heads`:
    the family of its density heads, by its name in `heads.density.store`."""

    name: str
    film: int
    memory: tuple[int, int]
    still: int
    still_memory: int
    make: Callable[[CoderPlan], PictureCoder]
    steps: range = range(1)
    errors: range = range(1)
    heads: str = ""

    @property
    def bounds(self) -> bool:
        """Whether it keeps every sample within a distance of the source."""
        return len(self.errors) > 1

    def __bool__(self) -> bool:
        """Whether there is a loss-stream."""
        return self.name != "off"


def _no_coder(plan: CoderPlan) -> PictureCoder:
    raise ValueError("without a loss-stream there is nothing to code: the prediction is the result")


def _transform_coder(plan: CoderPlan) -> PictureCoder:
    from .transform import TransformCoder

    return TransformCoder(plan.fmt, plan.width, plan.height, plan.step)


def _linear_coder(plan: CoderPlan) -> PictureCoder:
    from .linear import LinearCoder

    return LinearCoder(plan.fmt, plan.width, plan.height, plan.max_error)


def _guided_coder(plan: CoderPlan) -> PictureCoder:
    from .grid import BOTH
    from .linear import LinearCoder

    return LinearCoder(plan.fmt, plan.width, plan.height, plan.max_error, BOTH if plan.rgb else 0)


def _density_coder(plan: CoderPlan, rules: str = "WHOLE") -> PictureCoder:
    from .density import DensityCoder, Family, Rules

    kind = Family(plan.heads), Rules[rules]
    return DensityCoder(plan.fmt, plan.width, plan.height, plan.max_error, plan.changes, *kind)


def _no_planes(plan: CoderPlan) -> PictureCoder:
    raise ValueError("a palette codes pixels, not planes")


_STEPS, _ERRORS = range(1, MAX_STEP + 1), range(MAX_ERROR + 1)
MODES = (
    Mode("off", 0, (0, 0), 0, 0, _no_coder),
    Mode("transform", 1, (MOVED, 14), ABSENT, 0, _transform_coder, steps=_STEPS),
    Mode("linear", 2, (MOVED + 34, 26), 1, 56, _linear_coder, errors=_ERRORS),
    Mode(
        "density", 3, (MOVED, 45), ABSENT, 0, partial(_density_coder, rules="SIGNIFICANT"), errors=_ERRORS, heads="film"
    ),
    Mode("whole", 4, (MOVED, 45), ABSENT, 0, _density_coder, errors=_ERRORS, heads="film"),
    Mode("light", 5, (MOVED, 45), ABSENT, 0, _density_coder, errors=_ERRORS, heads="light"),
    Mode("guided", ABSENT, (0, 0), 2, 70, _guided_coder, errors=_ERRORS),
    Mode("palette", ABSENT, (0, 0), 3, 40, _no_planes),
)
OFF, TRANSFORM, LINEAR, DENSITY, WHOLE, LIGHT, GUIDED, PALETTE = MODES
FILM_MODES = {mode.film: mode for mode in MODES if mode.film != ABSENT}
STILL_MODES = {mode.still: mode for mode in MODES if mode.still != ABSENT}
