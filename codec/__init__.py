"""NVC: films as a downscaled AV1 stream, a convolution head trained on the film, and a coded remainder.

    import codec
    codec.encode("in.mp4", "out.nvc", codec.Settings(crf=30))
    codec.decode("out.nvc", "out.mkv")
    for frame in codec.open("out.nvc").frames():
        frame.planes, frame.pts        # uint8 or uint16 arrays (rows, columns), luma first
"""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # before torch: spinning threads starve the AV1 coder beside them

from .decode import Film
from .encode import Encoded, Event, encode
from .errors import DamageError, FormatError, InputError, NvcError, OutputError, UsageError
from .frames import Colour, Frame, PlaneFormat, VideoInfo
from .settings import Settings
from .transcode import Decoded, decode, verify

open = Film

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
    "NvcError",
    "OutputError",
    "PlaneFormat",
    "Settings",
    "UsageError",
    "VideoInfo",
    "decode",
    "encode",
    "open",
    "verify",
]
