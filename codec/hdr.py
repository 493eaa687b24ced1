"""HDR side data as SVT-AV1 spells it (SMPTE ST 2086 mastering display, CTA-861.3 content light level)."""

from __future__ import annotations

import struct
from collections.abc import Mapping

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
