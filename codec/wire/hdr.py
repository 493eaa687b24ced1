"""HDR metadata (SMPTE ST 2086 mastering display, CTA-861.3 content light level): read from libav's structures, written
as the boxes of an MP4 and in the words of encoders.

What a film does not have stays empty. A ratio whose denominator is zero counts as zero; boxes hold the nearest values
that their fields can.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from fractions import Fraction
from typing import NamedTuple

_MASTERING = struct.Struct("=20i2i")  # AVMasteringDisplayMetadata: ten ratios, two flags
_PLACE, _LUMINANCE = 50000, 10000  # units of a point's coordinates, and of one cd/m²
_LIGHT = struct.Struct("=2I")  # AVContentLightMetadata

Point = tuple[Fraction, Fraction]  # x and y of CIE 1931


class MasteringDisplay(NamedTuple):
    """The display that a film was graded on: its primaries, its white point, and its luminance in cd/m²."""

    red: Point
    green: Point
    blue: Point
    white: Point
    darkest: Fraction
    brightest: Fraction


class ContentLight(NamedTuple):
    """The brightest sample and the brightest average of a picture, in cd/m²."""

    most: int
    average: int


def mastering_of(side_data: Mapping[str, bytes]) -> MasteringDisplay | None:
    """Of `VideoInfo.side_data`; None where it has none. Numbers are in the units of SEI messages and boxes: those of
    AV1 are finer, so these come back from it as they were."""
    if len(data := side_data.get("mastering", b"")) < _MASTERING.size:
        return None
    numbers = _MASTERING.unpack_from(data)
    v = [Fraction(n, d) if d else Fraction(0) for n, d in zip(numbers[0:20:2], numbers[1:20:2], strict=True)]
    v = [Fraction(round(x * unit), unit) for x, unit in zip(v, [_PLACE] * 8 + [_LUMINANCE] * 2, strict=True)]
    return MasteringDisplay((v[0], v[1]), (v[2], v[3]), (v[4], v[5]), (v[6], v[7]), v[8], v[9])


def content_light_of(side_data: Mapping[str, bytes]) -> ContentLight | None:
    """Of `VideoInfo.side_data`; None where it has none."""
    if len(data := side_data.get("content_light", b"")) < _LIGHT.size:
        return None
    return ContentLight(*_LIGHT.unpack_from(data))


def svt_hdr(side_data: Mapping[str, bytes]) -> tuple[str, str]:
    """("G(x,y)B(x,y)R(x,y)WP(x,y)L(max,min)", "max,average"), each empty where the film has no such data."""
    mastering = light = ""
    if display := mastering_of(side_data):
        red, green, blue, white = (f"({float(x):.5f},{float(y):.5f})" for x, y in display[:4])
        mastering = f"G{green}B{blue}R{red}WP{white}L({float(display.brightest):.4f},{float(display.darkest):.4f})"
    if level := content_light_of(side_data):
        light = f"{level.most},{level.average}"
    return mastering, light


def x26x_hdr(side_data: Mapping[str, bytes]) -> tuple[str, str]:
    """`svt_hdr` in the words of x264 and x265, which count in the units of an MP4's boxes."""
    mastering = light = ""
    if display := mastering_of(side_data):
        red, green, blue, white = (f"({_field(x * _PLACE, 16)},{_field(y * _PLACE, 16)})" for x, y in display[:4])
        brightest, darkest = (_field(value * _LUMINANCE, 32) for value in (display.brightest, display.darkest))
        mastering = f"G{green}B{blue}R{red}WP{white}L({brightest},{darkest})"
    if level := content_light_of(side_data):
        light = ",".join(str(_field(value, 16)) for value in level)
    return mastering, light


def hdr_boxes(side_data: Mapping[str, bytes]) -> bytes:
    """The `mdcv` and `clli` boxes (ISO/IEC 14496-12, section 12.1.5) of what there is."""
    boxes = b""
    if display := mastering_of(side_data):
        points = (display.green, display.blue, display.red, display.white)
        places = [_field(value * _PLACE, 16) for point in points for value in point]
        luminance = [_field(value * _LUMINANCE, 32) for value in (display.brightest, display.darkest)]
        boxes += struct.pack(">I4s8H2I", 32, b"mdcv", *places, *luminance)
    if level := content_light_of(side_data):
        boxes += struct.pack(">I4s2H", 12, b"clli", *(_field(value, 16) for value in level))
    return boxes


def _field(value: Fraction | int, bits: int) -> int:
    """The value that an unsigned field of so many bits holds."""
    return min(max(round(value), 0), (1 << bits) - 1)
