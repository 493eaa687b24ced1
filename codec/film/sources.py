"""Which kind of `Source` reads a film that is to be encoded: one that libav reads, an animation, an .nvc film."""

from __future__ import annotations

import os

from ..errors import UsageError
from ..limits import DEFAULT, Limits
from ..media.animated import Animated
from ..media.animations import kind_of_animation
from ..media.demuxed import open_source
from ..media.source import Source
from .reader import is_nvc_film
from .restored import Restored


def source_of(
    path: str | os.PathLike[str],
    threads: int = 0,
    best_effort: bool = False,
    limits: Limits = DEFAULT,
    device: str = "auto",
) -> Source:
    """Open a film of any kind, a picture, or "-" for standard input.

    `threads` is the decoder's, 0 = one a core. With `best_effort` a film ends where it is damaged or becomes another.
    `limits` are for animations and .nvc films, `device` for those. Raises InputError where there is no
    readable first picture.
    """
    path = os.fspath(path)
    if kind_of_animation(path) in ("webp", "png"):
        return Animated(path, best_effort, limits)
    if is_nvc_film(path):
        return Restored(path, threads, best_effort, limits, device)
    if limits != DEFAULT:
        raise UsageError("{} and {} are for pictures, animations and .nvc films", "max_pixels", "max_memory")
    return open_source(path, threads, best_effort)
