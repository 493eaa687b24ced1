"""NVC itself, as `codec.encode` and `codec.open` give it to everyone.

They are named here, not at their calls: `codec` imports what is asked for, and no clock shall charge a method for that.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from fractions import Fraction
from typing import Any, ClassVar, Self

from codec import Film, NvcError, Settings
from codec import encode as encode_film

from ..method import Kind, Knob, Method, Picture, Source, film_of
from ..process import BenchError

NVC_KNOB = Knob(best=22, worst=58, low=1, high=63, step=0.25)
RATE_KNOB = Knob(best=4000, worst=100, low=1, high=1e6, step=0.1, ratios=True, is_rate=True)
WORDS = {"on": True, "off": False}
_TYPES: dict[str, Any] = {
    "device": str,
    "head": WORDS.__getitem__,
    "history": int,
    "loss": lambda text: int(text) if text.isdigit() else text,
    "max_error": int,
    "preset": str,
    "scale": Fraction,
    "threads": int,
}


def chosen(
    name: str, options: Mapping[str, str], types: Mapping[str, Any], known: Mapping[str, Any], settings: Any
) -> tuple[str, dict[str, Any]]:
    """(name of a variant, its settings): `known` and what `options` say, read as `types` have it. Raises BenchError for
    what `settings` refuses."""
    full = ":".join((name, *(f"{k}={v}" for k, v in options.items())))
    if unknown := options.keys() - types.keys():
        raise BenchError(f"{full}: nvc has no option {', '.join(sorted(unknown))}; it has {', '.join(types)}")
    try:
        found = {**known, **{key: types[key](text) for key, text in options.items()}}
        settings(**found)
    except (KeyError, ValueError, ZeroDivisionError, NvcError) as error:
        raise BenchError(f"{full}: {error}") from None
    return full, found


@dataclass(frozen=True)
class Nvc(Method):
    """`codec.encode` with `options` of `codec.Settings`; the setting, where there is one to choose, is the crf or the
    other `wish` of `codec.Settings`."""

    kind: ClassVar[Kind] = "video"

    name: str
    options: Mapping[str, Any] = field(default_factory=dict, hash=False)
    knob: Knob | None = NVC_KNOB
    wish: str = "crf"
    lossless: float | None = None
    libraries: tuple[str, ...] = ("av", "constriction", "numpy", "opencv-python-headless", "torch")
    modules: tuple[str, ...] = ("codec", "heads", "bench/methods/nvc.py")
    settings: str = field(init=False)

    def __post_init__(self) -> None:
        known = {"preset": Settings.preset, **self.options}
        object.__setattr__(self, "settings", ", ".join(f"{k}={v}" for k, v in known.items()))

    def variant(self, options: Mapping[str, str]) -> Self:
        """Options are fields of `codec.Settings`: preset, scale, history, loss, head (on, off), max_error, device and
        threads."""
        name, known = chosen(self.name, options, _TYPES, self.options, Settings)
        return replace(self, name=name, options=known)

    def encode(self, source: Source, quality: float) -> bytes:
        film = film_of(source)
        wish = {self.wish: quality} if self.knob is not None else {}
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            target = os.path.join(folder, "a.nvc")
            try:
                encode_film(film.path, target, Settings(**{**wish, **self.options}))
            except NvcError as error:
                raise BenchError(str(error)) from None
            with open(target, "rb") as file:
                return file.read()

    def decode(self, data: bytes) -> Iterator[Picture]:
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            path = os.path.join(folder, "a.nvc")
            with open(path, "wb") as file:
                file.write(data)
            try:
                film = Film(
                    path, **{name: self.options[name] for name in ("device", "threads") if name in self.options}
                )
                first = None
                for frame in film.frames():
                    first = frame.pts if first is None else first
                    time = (frame.pts - first) * film.info.time_base
                    yield Picture(frame.planes, film.info.format.depth, time)
            except NvcError as error:
                raise BenchError(str(error)) from None


NVC = (
    Nvc("nvc"),
    Nvc("nvc-rate", knob=RATE_KNOB, wish="bitrate"),  # the only one whose scale is measured at any rate
    Nvc("nvc-lossless", {"max_error": 0}, knob=None, lossless=0.0),
)
assert _TYPES.keys() <= {f.name for f in fields(Settings)}
