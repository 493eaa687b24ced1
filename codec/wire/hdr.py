"""HDR side data as SVT-AV1 spells it (SMPTE ST 2086 mastering display, CTA-861.3 content light level)."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from fractions import Fraction

_MASTERING = struct.Struct("=20i2i")  # libav's AVMasteringDisplayMetadata: ten rationals, two flags
_LIGHT = struct.Struct("=2I")


def svt_hdr(side_data: Mapping[str, bytes]) -> tuple[str, str]:
    """("G(x,y)B(x,y)R(x,y)WP(x,y)L(max,min)", "max,average"), each empty where the film has no such data."""
    mastering = light = ""
    if len(data := side_data.get("mastering", b"")) >= _MASTERING.size:
        numbers = _MASTERING.unpack_from(data)
        v = [n / d if d else 0.0 for n, d in zip(numbers[0:20:2], numbers[1:20:2], strict=True)]
        r, g, b, white = (f"({v[k]:.5f},{v[k + 1]:.5f})" for k in (0, 2, 4, 6))
        mastering = f"G{g}B{b}R{r}WP{white}L({v[9]:.4f},{v[8]:.4f})"
    if len(data := side_data.get("content_light", b"")) >= _LIGHT.size:
        light = "{},{}".format(*_LIGHT.unpack_from(data))
    return mastering, light


def hdr_boxes(data: dict[str, bytes]) -> bytes:
    """The `mdcv` and `clli` boxes (ISO/IEC 14496-12, section 12.1.5) of libav's HDR structures."""
    boxes = b""
    if len(mastering := data.get("mastering", b"")) >= 88:
        ratios = struct.unpack_from("=20i2i", mastering)
        value = [Fraction(n, d) if d else Fraction(0) for n, d in zip(ratios[0:20:2], ratios[1:20:2], strict=True)]
        red, green, blue, white, (low, high) = (value[k : k + 2] for k in range(0, 10, 2))
        points = [round(v * 50000) for v in (*green, *blue, *red, *white)]
        boxes += struct.pack(">I4s8H2I", 32, b"mdcv", *points, round(high * 10000), round(low * 10000))
    if len(light := data.get("content_light", b"")) >= 8:
        boxes += struct.pack(">I4s2H", 12, b"clli", *(min(v, 0xFFFF) for v in struct.unpack_from("=2I", light)))
    return boxes
