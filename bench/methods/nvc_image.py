"""NVC's still pictures, as `codec encode` and `codec decode` give them to everyone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Self

from codec import NvcError, StillSettings, decode_still, encode_still
from codec import Picture as Still

from ..method import Kind, Knob, Method, Picture, Source, still_of
from ..process import BenchError
from .nvc import WORDS, chosen
from .stills import picture_of

_TYPES: dict[str, Any] = {"head": WORDS.__getitem__, "max_error": int, "preset": str, "tune": str}


@dataclass(frozen=True)
class NvcImage(Method):
    """`codec.encode_still` with `options` of `codec.StillSettings`; the setting is the crf, where there is one."""

    kind: ClassVar[Kind] = "image"

    name: str
    options: Mapping[str, Any] = field(default_factory=dict, hash=False)
    knob: Knob | None = Knob(best=18, worst=50, low=1, high=63, step=0.25)
    lossless: float | None = None
    libraries: tuple[str, ...] = ("av", "constriction", "numpy", "opencv-python-headless", "torch")
    modules: tuple[str, ...] = ("codec", "heads", "bench/methods/nvc.py", "bench/methods/nvc_image.py")
    settings: str = field(init=False)

    def __post_init__(self) -> None:
        known = {"preset": StillSettings.preset, **self.options}
        object.__setattr__(self, "settings", ", ".join(f"{k}={v}" for k, v in known.items()))

    def variant(self, options: Mapping[str, str]) -> Self:
        """Options are fields of `StillSettings`: preset, tune, head (on, off), max_error."""
        name, known = chosen(self.name, options, _TYPES, self.options, StillSettings)
        return replace(self, name=name, options=known)

    def encode(self, source: Source, quality: float) -> bytes:
        wish = {"crf": quality} if self.knob is not None else {}
        try:
            return encode_still(Still(still_of(source).pixels), StillSettings(**{**wish, **self.options})).data
        except NvcError as error:
            raise BenchError(f"{self.name} does not encode {source.path}: {error}") from None

    def decode(self, data: bytes) -> Iterator[Picture]:
        try:
            yield picture_of(decode_still(data).pixels)
        except NvcError as error:
            raise BenchError(f"{self.name} does not decode: {error}") from None


NVC_IMAGE = (NvcImage("nvc-image"), NvcImage("nvc-image-lossless", {"max_error": 0}, knob=None, lossless=0.0))
