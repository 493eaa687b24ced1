"""The loss-stream: what the prediction of a frame lacks, as bytes.

A `LossCoder` is made at the start of a segment (a closed group of pictures) on both sides and sees every frame of it
in coding order; its tables adapt alike on both sides, so nothing but the symbols is sent. Three ways to code:
`transform` corrects where that pays (lossy), `bounded` and `learned` bring every sample within a distance of the source
(0 = lossless): by linear forms that suit any samples, or by density heads that know pictures; stills also by forms that
heads guide. FORMAT.md specifies the bytes.

Invariant: encode, decode and skip leave encoder and decoder in the same state and return the same planes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum

from ..frames import Plane, PlaneFormat
from .density import DensityCoder, DensityState
from .entropy import SymbolReader, SymbolWriter
from .grid import BOTH
from .linear import LinearCoder, LinearState
from .transform import TransformCoder, TransformState

Planes = tuple[Plane, ...]
LossState = LinearState | DensityState | TransformState | None

MAX_STEP = 255
MAX_ERROR = 255


class LossKind(IntEnum):
    """The loss-stream's modes, by their wire numbers in films; GUIDED is of stills, which count by themselves. A number
    is never given a second meaning."""

    OFF = 0
    TRANSFORM = 1
    LINEAR = 2
    DENSITY = 3
    GUIDED = 4  # of stills alone

    @property
    def bounds(self) -> bool:
        """Whether it keeps every sample within a distance of the source."""
        return self >= LossKind.LINEAR


@dataclass(frozen=True)
class LossSettings:
    """How a segment's loss-stream is coded. Raises ValueError on values out of range.

    step: TRANSFORM only: quantiser step 1 .. 255 of the orthonormal transform, in quarters of a code value of an 8-bit
        sample (in whole code values of a 10-bit one); else 0.
    max_error: BOUNDED, LEARNED and GUIDED only: largest deviation 0 .. 255 of a decoded sample in its own code values;
        else 0.
    """

    kind: LossKind = LossKind.OFF
    step: int = 0
    max_error: int = 0

    def __post_init__(self) -> None:
        if not (1 <= self.step <= MAX_STEP if self.kind == LossKind.TRANSFORM else self.step == 0):
            raise ValueError(f"a {self.kind.name} loss-stream has no step {self.step}")
        if not (0 <= self.max_error <= MAX_ERROR if self.kind.bounds else self.max_error == 0):
            raise ValueError(f"a {self.kind.name} loss-stream has no error bound {self.max_error}")


class LossCoder:
    """Codes the frames of one segment; one on each side, fed the same sequence of calls.

    Planes are those of `fmt` for a width x height picture, uint8 or uint16 by its depth. They are never modified, but
    kept until the next frame: the caller must not modify them either.

    GUIDED only: `rgb`, whether the planes are green, red and blue. LEARNED only: `changes` that the encoder has found
    for its heads (codec.loss.density).
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
        self._coder: LinearCoder | DensityCoder | TransformCoder | None = None
        if settings.kind == LossKind.TRANSFORM:
            self._coder = TransformCoder(fmt, width, height, settings.step)
        elif settings.kind == LossKind.LINEAR:
            self._coder = LinearCoder(fmt, width, height, settings.max_error)
        elif settings.kind == LossKind.GUIDED:
            self._coder = LinearCoder(fmt, width, height, settings.max_error, BOTH if rgb else 0)
        elif settings.kind == LossKind.DENSITY:
            self._coder = DensityCoder(fmt, width, height, settings.max_error, changes)

    def encode(
        self, source: Sequence[Plane], predicted: Sequence[Plane], lam: float | None = None
    ) -> tuple[bytes, Planes]:
        """(payload, planes as the decoder will have them). An empty payload is a payload too: it goes to `decode`.
        `lam`: squared error (code values) that one bit must save; TRANSFORM only, None for the value that
        suits the step.
        """
        self._check(source)
        self._check(predicted)
        if self._coder is None:
            return b"", tuple(predicted)
        writer = SymbolWriter()
        opening = self._coder.opening() if isinstance(self._coder, DensityCoder) else b""
        if isinstance(self._coder, TransformCoder):
            decoded = self._coder.code(writer, tuple(predicted), tuple(source), lam)
        else:
            decoded = self._coder.code(writer, tuple(predicted), tuple(source))
        return opening + writer.finish(), decoded

    def decode(self, data: bytes, predicted: Sequence[Plane]) -> Planes:
        """The planes that `encode` returned. Raises FormatError where `data` cannot be its payload; work and memory
        depend on the picture's size alone. After an error the coder's state is undefined."""
        self._check(predicted)
        if isinstance(self._coder, DensityCoder):
            data = self._coder.open(data)
        reader = SymbolReader(data)
        if self._coder is None:
            decoded = tuple(predicted)
        elif isinstance(self._coder, TransformCoder):
            decoded = self._coder.code(reader, tuple(predicted), None, None)
        else:
            decoded = self._coder.code(reader, tuple(predicted), None)
        reader.finish()
        return decoded

    def skip(self, predicted: Sequence[Plane]) -> Planes:
        """A frame without a payload: the prediction is the result. To be called on both sides."""
        self._check(predicted)
        return tuple(predicted) if self._coder is None else self._coder.skip(tuple(predicted))

    def snapshot(self) -> LossState:
        """The state, to be given to `restore` after a trial. Cheap: tables are copied, planes are shared."""
        return None if self._coder is None else self._coder.state.copy()

    def restore(self, state: LossState) -> None:
        """Return to a `snapshot` of this coder, which may be used again later."""
        if self._coder is not None and state is not None:
            self._coder.state = state.copy()  # type: ignore[assignment]

    def _check(self, planes: Sequence[Plane]) -> None:
        if [p.shape for p in planes] != self._shapes or any(p.dtype != self._dtype for p in planes):
            raise ValueError(f"planes {[(p.shape, p.dtype) for p in planes]} where {self._shapes} {self._dtype} belong")
