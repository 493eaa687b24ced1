"""NVC: films and pictures as a small AV1 stream, a convolution head that restores the rest, and a coded remainder.

    import codec
    codec.encode("in.mp4", "out.nvc", codec.Settings(crf=30))
    codec.decode("out.nvc", "out.mkv")
    for frame in codec.open("out.nvc").frames():
        frame.planes, frame.pts        # uint8 or uint16 arrays (rows, columns), luma first
    codec.verify("out.nvc")
    codec.sample("in.mp4", settings=codec.Settings(crf=30))    # what encode would make of it, by a few seconds
    codec.describe("out.nvc")          # what it is made of, without decoding a picture

    codec.encode_picture("in.png", "out.nvc", codec.StillSettings(crf=30))
    codec.decode_picture("out.nvc", "back.png")
    data = codec.encode_still(codec.Picture(pixels)).data    # (rows, columns, channels), uint8 or uint16
    codec.decode_still(data).pixels

Names are imported when they are first asked for: who describes a file or prints a help text does not wait for torch.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # before torch: spinning threads starve the AV1 coder beside them

if TYPE_CHECKING:
    from .errors import DamageError, FormatError, InputError, NvcError, OutputError, UsageError, WorkerError
    from .events import Event
    from .film.decode import Decoded, decode, verify
    from .film.encode import Encoded, encode
    from .film.film import Film
    from .film.film import Film as open
    from .film.info import describe
    from .film.sample import sample
    from .frames import Colour, Frame, PlaneFormat, VideoInfo
    from .limits import Limits
    from .media.pictures import Picture
    from .settings import Settings, StillSettings
    from .still.decode import decode_still
    from .still.encode import encode_still
    from .still.files import decode_picture, encode_picture

_HOMES = {
    "errors": ("DamageError", "FormatError", "InputError", "NvcError", "OutputError", "UsageError", "WorkerError"),
    "events": ("Event",),
    "film.decode": ("Decoded", "decode", "verify"),
    "film.encode": ("Encoded", "encode"),
    "film.film": ("Film",),
    "film.info": ("describe",),
    "film.sample": ("sample",),
    "frames": ("Colour", "Frame", "PlaneFormat", "VideoInfo"),
    "limits": ("Limits",),
    "media.pictures": ("Picture",),
    "settings": ("Settings", "StillSettings"),
    "still.decode": ("decode_still",),
    "still.encode": ("encode_still",),
    "still.files": ("decode_picture", "encode_picture"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "Colour",
    "DamageError",
    "Decoded",
    "Encoded",
    "Event",
    "Film",
    "FormatError",
    "Frame",
    "InputError",
    "Limits",
    "NvcError",
    "OutputError",
    "Picture",
    "PlaneFormat",
    "Settings",
    "StillSettings",
    "UsageError",
    "VideoInfo",
    "WorkerError",
    "decode",
    "decode_picture",
    "decode_still",
    "describe",
    "encode",
    "encode_picture",
    "encode_still",
    "open",
    "sample",
    "verify",
]


def __getattr__(name: str) -> object:
    own = "Film" if name == "open" else name
    if own not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(import_module(f".{_HOME_OF[own]}", __name__), own)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
