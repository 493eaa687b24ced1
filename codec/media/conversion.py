"""How pictures of any of libav's pixel formats become planes of ours, and what that costs."""

from __future__ import annotations

from typing import Any

import av
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter

from ..errors import InputError
from ..frames import Colour, Plane, PlaneFormat
from .libav import planes_from_av

# formats that hold the samples of a PlaneFormat in another order of bytes; swscale moves them without arithmetic
REPACKED: dict[str, PlaneFormat] = {
    **dict.fromkeys(("nv12", "nv21"), PlaneFormat("420", 8)),
    **dict.fromkeys(("nv16", "yuyv422", "uyvy422", "yvyu422"), PlaneFormat("422", 8)),
    **dict.fromkeys(("nv24", "nv42"), PlaneFormat("444", 8)),
    **dict.fromkeys(("p010le", "p010be", "yuv420p10be"), PlaneFormat("420", 10)),
    **dict.fromkeys(("p210le", "p210be", "nv20le", "nv20be", "y210le", "yuv422p10be"), PlaneFormat("422", 10)),
    **dict.fromkeys(("p410le", "p410be", "yuv444p10be", "xv30le"), PlaneFormat("444", 10)),
    "gray10be": PlaneFormat("400", 10),
}
_CODE_MAX = 255  # of a code point of H.273
_REFUSED = ("yaf32le", "yaf32be")  # with which swscale ends the process


class Conversion:
    """How frames of one libav pixel format become planes, and what that costs.

    Attributes: `given`, libav's name of the frames' format; `format` of the planes, whether they are `exact`, the
    `colour` that holds for them, and `notes`.
    """

    def __init__(self, frame: av.VideoFrame, colour: Colour):
        given = frame.format
        self.given: str = given.name
        self.notes: list[str] = []
        self.exact = True
        self.colour = self._sayable(given, colour)
        self._reformat: dict[str, Any] | None = None
        self._reformatter = VideoReformatter()
        if given.name in _REFUSED:
            raise InputError(f"pictures of the pixel format {given.name} cannot be converted")
        has_alpha = any(c.is_alpha for c in given.components)
        direct = PlaneFormat.from_av_name(given.name.replace("yuva", "yuv"))
        fmt = direct or REPACKED.get(given.name)
        if fmt is None:
            fmt, self.exact = self._nearest(given), False
        self.format = fmt
        if direct is None:
            self._reformat = {"format": fmt.av_name, "interpolation": Interpolation.POINT | Interpolation.ACCURATE_RND}
        if not self.exact:
            self._note_losses(given)
        if has_alpha:
            self.exact = False
            self.notes.append(f"the alpha plane of {given.name} is dropped")

    def _sayable(self, given: av.VideoFormat, colour: Colour) -> Colour:
        """The code points that AV1 can hold."""
        if max(colour) > _CODE_MAX:
            self.notes.append("the film's colours have code points of libav's own, which are not kept")
            primaries, transfer, matrix = (2 if point > _CODE_MAX else point for point in colour[:3])
            colour = Colour(primaries, transfer, matrix, colour.range)
        if colour.matrix == 0 and not self._is_rgb(given):
            self.notes.append(f"the matrix of RGB is not kept: it is not that of {given.name}")
            colour = colour._replace(matrix=2)
        return colour

    @staticmethod
    def _is_rgb(given: av.VideoFormat) -> bool:
        """Whether there is no luma; swscale reads XYZ as RGB, too."""
        return given.is_rgb or given.has_palette or given.is_bayer or given.name.startswith("xyz")

    @staticmethod
    def _nearest(given: av.VideoFormat) -> PlaneFormat:
        """The smallest PlaneFormat that loses least of a format of RGB, odd subsampling or other depth."""
        components = [c for c in given.components if not c.is_alpha]
        depth = 8 if max(c.bits for c in components) <= 8 and "f" not in given.name[-5:-2] else 10
        if Conversion._is_rgb(given):
            return PlaneFormat("444", depth)
        if len(components) == 1:
            return PlaneFormat("400", depth)
        across, down = 64 // given.chroma_width(64), 64 // given.chroma_height(64)
        return PlaneFormat("444" if across == 1 else "422" if down == 1 else "420", depth)

    def _note_losses(self, given: av.VideoFormat) -> None:
        assert self._reformat is not None
        depth = max(c.bits for c in given.components)
        self.notes.append(f"{given.name} is converted to {self.format.av_name}; the samples are not the source's own")
        if depth > self.format.depth:
            self.notes.append(f"{depth} bits a sample are reduced to {self.format.depth}")
        if self._is_rgb(given):
            # RGB carries no matrix of its own: BT.709 at full range wastes the fewest code values
            self._reformat |= {"dst_colorspace": Colorspace.ITU709, "dst_color_range": ColorRange.JPEG}
            self.colour = self.colour._replace(matrix=1, range=2)
            if given.name.startswith("xyz"):
                self.colour = self.colour._replace(primaries=1, transfer=4)  # as swscale writes it
            self.notes.append("RGB becomes YUV 4:4:4 with the BT.709 matrix at full range")

    def planes(self, frame: av.VideoFrame) -> tuple[Plane, ...]:
        """The planes of a frame of the format `given`."""
        if self._reformat is not None:
            frame = self._reformatter.reformat(frame, **self._reformat)
        return planes_from_av(frame, self.format)
