"""Files that are given to a command which reads others: what they are, and which command takes them."""

from __future__ import annotations

from ..errors import InputError
from ..wire import avif
from ..wire.obu import SIGNATURE
from .animations import is_animation
from .files import named, peeked
from .pictures import looks_like_picture

_GAUSSIANS = b"NVS"
_MUCH = 1 << 16  # bytes within which the payload of a still begins, but for large profiles


def is_gaussians(path: str) -> bool:
    """Whether a file, or what stands on standard input, begins like an .nvs file."""
    return peeked(path, avif.PEEK).startswith(_GAUSSIANS)


def kind_of_other(path: str) -> str:
    """What a file is that is no film of this project's, in words that follow its name; empty where that is not seen."""
    if is_gaussians(path):
        return "holds a picture as Gaussians: codec splat decode and codec splat info read it"
    return _not_encoded(path, "codec encode makes a still .nvc of it")


def kind_of_no_gaussians(path: str) -> str:
    """The same for what is no .nvs file."""
    data = peeked(path, _MUCH)
    if is_gaussians(path):
        return ""
    if avif.is_avif(data) and SIGNATURE in data:
        return "is a still .nvc: codec decode and codec info read it"
    return _not_encoded(path, "codec splat encode makes an .nvs of it")


def _not_encoded(path: str, way: str) -> str:
    if is_animation(path):
        return "is an animation that was not encoded yet: codec encode makes an .nvc film of it"
    if looks_like_picture(path):
        return f"is a picture that was not encoded yet: {way}"
    return ""


def refuse_gaussians(path: str) -> None:
    """Raise InputError for an .nvs file where other pictures, or films, are read."""
    if is_gaussians(path):
        raise InputError(
            f"{named(path)} holds a picture as Gaussians: codec splat decode makes one of it that can be encoded"
        )
