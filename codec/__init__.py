"""NVC: films and pictures as a small AV1 stream, a convolution head that restores the rest, and a coded remainder.

    import codec
    codec.encode("in.mp4", "out.nvc", codec.Settings(crf=30))
    codec.decode("out.nvc", "out.mkv")
    for frame in codec.open("out.nvc").frames():
        frame.planes, frame.pts        # uint8 or uint16 arrays (rows, columns), luma first

    codec.encode_picture("in.png", "out.nvc", codec.StillSettings(crf=30))
    codec.decode_picture("out.nvc", "back.png")
    data = codec.encode_still(codec.Picture(pixels)).data    # (rows, columns, channels), uint8 or uint16
    codec.decode_still(data).pixels
"""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # before torch: spinning threads starve the AV1 coder beside them

from .decode import Film
from .encode import Encoded, encode
from .errors import DamageError, FormatError, InputError, NvcError, OutputError, UsageError, WorkerError
from .events import Event
from .frames import Colour, Frame, PlaneFormat, VideoInfo
from .limits import Limits
from .pictures import Picture
from .settings import Settings
from .still import decode_still, encode_still
from .still_settings import StillSettings
from .stills import decode_picture, encode_picture
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
    "encode",
    "encode_picture",
    "encode_still",
    "open",
    "verify",
]
