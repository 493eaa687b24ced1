"""The loss-stream: what the prediction of a picture lacks, as bytes.

A `LossCoder` is made at the start of a segment (a closed group of pictures) on both sides and codes every picture of it
in coding order; its tables adapt alike on both sides, so nothing but the symbols is sent. How, and when to prefer
which, is the table of `codec.loss.modes`; FORMAT.md specifies the bytes.

Invariant: encode and decode leave encoder and decoder in the same state and return the same planes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ..frames import Plane, PlaneFormat, Planes
from .entropy import SymbolReader, SymbolWriter
from .modes import OFF, CoderPlan, Mode


@dataclass(frozen=True)
class LossSettings:
    """How a segment's loss-stream is coded. Raises ValueError on values that its mode does not have.

    step: quantiser step 1 .. 255 of the orthonormal transform, in quarters of a code value of an 8-bit sample (in whole
        code values of a 10-bit one); 0 for modes without one.
    max_error: largest deviation 0 .. 127 of a decoded sample in its own code values; 0 for modes without a bound.
    """

    mode: Mode = OFF
    step: int = 0
    max_error: int = 0

    def __post_init__(self) -> None:
        if self.step not in self.mode.steps:
            raise ValueError(f"loss mode {self.mode.name} has no step {self.step}")
        if self.max_error not in self.mode.errors:
            raise ValueError(f"loss mode {self.mode.name} has no error bound {self.max_error}")


class LossCoder:
    """Codes the pictures of one segment; one on each side, fed the same sequence of calls.

    Planes are those of `fmt` for a width x height picture, uint8 or uint16 by its depth. They are never modified, but
    kept until the next picture: the caller must not modify them either.

    `guided` only: `rgb`, whether the planes are green, red and blue. `density` only: `changes` that the encoder has
    found for its heads (codec.loss.changes). `coder`: the mode's.
    """

    def __init__(
        self,
        fmt: PlaneFormat,
        width: int,
        height: int,
        settings: LossSettings,
        *,
        rgb: bool = False,
        changes: Mapping[int, bytes] | None = None,
    ):
        self._shapes, self._dtype = fmt.shapes(width, height), fmt.dtype
        self.coder = settings.mode.make(
            CoderPlan(fmt, width, height, settings.step, settings.max_error, rgb, changes, settings.mode.heads),
        )

    def encode(
        self, source: Sequence[Plane], predicted: Sequence[Plane], lam: float | None = None
    ) -> tuple[bytes, Planes]:
        """(payload, planes as the decoder will have them). An empty payload is a payload too: it goes to `decode`.
        `lam`: squared error (code values) that one bit must save, None for the value that suits the step; `transform`
        only.
        """
        self._check(source)
        self._check(predicted)
        writer = SymbolWriter()
        opening = self.coder.opening()
        decoded = self.coder.code(writer, tuple(predicted), tuple(source), lam)
        return opening + writer.finish(), decoded

    def decode(self, data: bytes, predicted: Sequence[Plane]) -> Planes:
        """The planes that `encode` returned. Raises FormatError where `data` cannot be its payload; work and memory
        depend on the picture's size alone. After an error the coder's state is undefined."""
        return self.begin_decode(data, predicted)()

    def begin_decode(self, data: bytes, predicted: Sequence[Plane]) -> Callable[[], Planes]:
        """`decode` in two parts: what is returned does the second. That of one picture may run beside the first part of
        the next one, in another thread; the first parts keep their order, and so do the second."""
        self._check(predicted)
        reader = SymbolReader(self.coder.open(data))
        rest = self.coder.begin(reader, tuple(predicted))

        def finish() -> Planes:
            decoded = rest()
            reader.finish()
            return decoded

        return finish

    def _check(self, planes: Sequence[Plane]) -> None:
        if [p.shape for p in planes] != self._shapes or any(p.dtype != self._dtype for p in planes):
            raise ValueError(f"planes {[(p.shape, p.dtype) for p in planes]} where {self._shapes} {self._dtype} belong")
