"""Pillow reads and writes still .nvc files once this module is imported.

    import codec.pillow
    from PIL import Image
    Image.open("a.nvc").save("b.nvc", crf=30)

`save` takes what `codec.StillSettings` takes, by name, and what Pillow's AVIF and WebP plug-ins take: `quality`,
`lossless=True`, `icc_profile` (without it, the image's own) and `exif` (without it, none). Where there is no profile,
what the image tells of its colours is kept: `gamma` and `chromaticity`, as Pillow reads them of PNG, or `cicp`, code
points of H.273, which this reader tells where they are not those of sRGB. `quality` is 0..100 on the scale of libavif,
hence of Pillow's AVIF: crf = 63 (100 - quality) / 100, at least 1. So 100 is the best lossy file, 75 is crf 15.75, and
50 is 31.5, near the default; with `lossless` it is ignored, as options of other formats are.
An AVIF file that is not ours is left to Pillow's own reader.
"""

from __future__ import annotations

from dataclasses import fields
from typing import IO, Any

import numpy as np

from .errors import FormatError, NvcError
from .limits import DEFAULT
from .media.colours import SRGB, Points, named, points_of, profile
from .media.pictures import EXIF_PREFIX, Picture, to_eight
from .settings import CRF_MAX, CRF_STEP, STILL_QUALITIES, StillSettings
from .still.decode import decode_still
from .still.encode import encode_still
from .still.payload import NO_ALPHA, check_still, header_of
from .wire.avif import is_avif
from .wire.obu import SIGNATURE

try:
    from PIL import Image, ImageFile
except ImportError as error:  # an option of ours, not a need
    raise ImportError("codec.pillow needs Pillow: pip install Pillow") from error

FORMAT = "NVC"
LIMITS = DEFAULT  # of what is opened; may be replaced, as Image.MAX_IMAGE_PIXELS
_MODES = {(1, 8, False): "L", (1, 8, True): "LA", (3, 8, False): "RGB", (3, 8, True): "RGBA", (1, 16, False): "I;16"}


def _accept(head: bytes) -> bool:
    return is_avif(head)


class NvcImageFile(ImageFile.ImageFile):
    """A still .nvc file as Pillow sees it. Its 16-bit colour is opened with 8 bits, which is all that Pillow has."""

    format = FORMAT
    format_description = "NVC still picture"

    def _open(self) -> None:
        assert self.fp is not None
        data = self.fp.read()
        try:
            still, header = header_of(data)
            check_still(header, LIMITS)
        except FormatError as error:
            # at a SyntaxError Pillow tries its other readers, which would show the base as if it were the picture
            raise (OSError if SIGNATURE in data else SyntaxError)(str(error)) from None
        self._nvc: bytes | None = data
        self._size = header.width, header.height
        deep = (header.channels, header.depth, header.alpha != NO_ALPHA)
        self._mode = _MODES.get(deep) or _MODES[deep[0], 8, deep[2]]
        if still.icc:
            self.info["icc_profile"] = still.icc
        points = points_of(still.colour.primaries, still.colour.transfer)
        if points != SRGB and not still.icc:
            self.info["cicp"] = tuple(points)
        if still.exif:
            self.info["exif"] = EXIF_PREFIX + still.exif
        self.tile = []

    def load(self) -> Any:
        """Decode once. Raises OSError for a file that is damaged."""
        if self._nvc is not None:
            try:
                picture = decode_still(self._nvc, limits=LIMITS)
            except NvcError as error:
                raise OSError(str(error)) from None
            pixels = picture.pixels
            if pixels.dtype == np.uint16 and self._mode != "I;16":
                pixels = to_eight(pixels)
            self._nvc = None
            if self._exclusive_fp and self.fp is not None:
                self.fp.close()
            self.fp = None
            self.im = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels).im
        return super().load()


def _settings(wishes: dict[str, Any]) -> dict[str, Any]:
    """The fields of StillSettings that the options of a `save` stand for. Raises ValueError for a wrong `quality`."""
    known = {f.name for f in fields(StillSettings)}
    found = {key: value for key, value in wishes.items() if key in known}
    if wishes.get("lossless"):
        found["max_error"] = 0
    quality = wishes.get("quality")
    if quality is None:
        return found
    if not isinstance(quality, int) or not 0 <= quality <= 100:
        raise ValueError(f"quality must be a whole number in 0..100, not {quality!r}")
    others = [name for name in STILL_QUALITIES if found.get(name) is not None]
    if others:
        raise ValueError(f"quality and {' and '.join(others)} contradict each other: ask for one quality")
    if found.get("max_error") is None:
        found["crf"] = max(1.0, round(CRF_MAX * (100 - quality) / 100 / CRF_STEP) * CRF_STEP)
    return found


def _colours(info: dict[Any, Any], grey: bool) -> tuple[bytes, Points]:
    """(profile, code points) of an image without a profile."""
    if "cicp" in info:
        return b"", points_of(*info["cicp"][:2])
    gamma, chromaticities = info.get("gamma"), info.get("chromaticity")
    if "srgb" in info or (gamma is None and chromaticities is None):
        return b"", SRGB
    points = named(gamma, chromaticities)
    return (b"", points) if points else (profile(gamma, chromaticities, grey), SRGB)


def _save(image: Image.Image, file: IO[bytes], name: str | bytes) -> None:
    wishes = dict(image.encoderinfo)
    settings = _settings(wishes)
    icc = wishes.get("icc_profile", image.info.get("icc_profile")) or b""
    exif = wishes.get("exif") or b""
    if isinstance(exif, Image.Exif):
        exif = exif.tobytes()
    points = SRGB
    if not icc:
        icc, points = _colours(image.info, image.mode in ("1", "L", "LA", "I;16"))
    clear = "transparency" in image.info
    if image.mode == "P" or (image.mode == "RGB" and clear):
        image = image.convert("RGBA" if clear else "RGB")
    elif image.mode in ("1", "L") and clear:
        image = image.convert("LA")
    elif image.mode == "1":
        image = image.convert("L")
    elif image.mode not in ("L", "LA", "RGB", "RGBA", "I;16"):
        raise OSError(f"cannot write mode {image.mode} as NVC")
    pixels = np.atleast_3d(np.asarray(image))
    try:
        picture = Picture(pixels, icc, exif.removeprefix(EXIF_PREFIX), points)
        coded = encode_still(picture, StillSettings(**settings))
    except (NvcError, TypeError, ValueError) as error:
        raise OSError(f"cannot write as NVC: {error}") from None
    file.write(coded.data)


def _register() -> None:
    """Before Pillow's AVIF reader, which would open the base as an ordinary picture."""
    Image.preinit()
    Image.init()
    Image.register_open(FORMAT, NvcImageFile, _accept)
    Image.register_save(FORMAT, _save)
    Image.register_extension(FORMAT, ".nvc")
    Image.ID.remove(FORMAT)
    Image.ID.insert(0, FORMAT)


_register()
