"""The registry: every method by name. One adapter a file; rows of a table rather than copies.

A method is named in commands by `NAME`, `NAME:key=value:key=value` (with options of its own) or either with `@SETTING`
behind it; `NAME@INSTALLATION[:key=value]...` is that of another installation of NVC.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..installation import Installation
from ..method import Kind, Method
from ..process import BenchError
from .beside import BESIDE
from .libav import LIBAV
from .lzma import Lzma, StillLzma
from .nvc import NVC
from .nvc_image import NVC_IMAGE
from .scaled import SCALED
from .splat import Splat
from .stills import STILLS

METHODS: dict[Kind, dict[str, Method]] = {
    "video": {method.name: method for method in (*NVC, *LIBAV, *SCALED, Lzma())},
    "image": {method.name: method for method in (*NVC_IMAGE, Splat(), *STILLS, StillLzma())},
}


def find(kind: Kind, text: str, beside: Mapping[str, Installation] | None = None) -> Method:
    """The method that `NAME[@INSTALLATION][:key=value]...` stands for, the installation one of `beside`. Raises
    BenchError where there is none."""
    name, *options = text.split(":")
    name, at, place = name.partition("@")
    if at:
        if place not in (beside or {}):
            raise BenchError(f"{text}: there is no installation {place!r} beside this one")
        return BESIDE[kind](text, ":".join((name, *options)), (beside or {})[place])
    if name not in METHODS[kind]:
        raise BenchError(f"there is no {kind} method {name!r}; there are {', '.join(METHODS[kind])}")
    method = METHODS[kind][name]
    pairs = dict(option.partition("=")[::2] for option in options)
    return method.variant(pairs) if pairs else method


def find_all(kind: Kind, text: str, beside: Mapping[str, Installation] | None = None) -> list[Method]:
    """The methods of a list parted by commas, each once."""
    return list({name: find(kind, name, beside) for name in text.split(",") if name}.values())


def lossless(kind: Kind) -> list[str]:
    """Names of the methods that can give back every sample."""
    return [name for name, method in METHODS[kind].items() if method.lossless is not None]
