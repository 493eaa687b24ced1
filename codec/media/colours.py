"""What the numbers of a picture's samples mean, apart from an ICC profile: code points of ITU-T H.273.

PNG files older than its third edition tell chromaticities and a gamma instead. Where those are what code points name,
the code points are taken; where not, an ICC profile that says the same (ICC.1:2001-04, a matrix and a curve).
"""

from __future__ import annotations

import math
import struct
from typing import NamedTuple

import numpy as np

Chromaticities = tuple[float, ...]  # x and y of white, red, green, blue, as cHRM orders them


class Points(NamedTuple):
    """Code points of primaries and of the transfer function."""

    primaries: int = 1
    transfer: int = 13


SRGB = Points()
UNSPECIFIED = 2
LINEAR = 8
_GAMMA_22, _GAMMA_28, _SRGB_CURVE = 4, 5, 13
_D65, _C = (0.3127, 0.329), (0.31, 0.316)
CHROMATICITIES: dict[int, Chromaticities] = {
    1: (*_D65, 0.64, 0.33, 0.3, 0.6, 0.15, 0.06),
    4: (*_C, 0.67, 0.33, 0.21, 0.71, 0.14, 0.08),
    5: (*_D65, 0.64, 0.33, 0.29, 0.6, 0.15, 0.06),
    6: (*_D65, 0.63, 0.34, 0.31, 0.595, 0.155, 0.07),
    7: (*_D65, 0.63, 0.34, 0.31, 0.595, 0.155, 0.07),
    8: (*_C, 0.681, 0.319, 0.243, 0.692, 0.145, 0.049),
    9: (*_D65, 0.708, 0.292, 0.17, 0.797, 0.131, 0.046),
    10: (1 / 3, 1 / 3, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0),
    11: (0.314, 0.351, 0.68, 0.32, 0.265, 0.69, 0.15, 0.06),
    12: (*_D65, 0.68, 0.32, 0.265, 0.69, 0.15, 0.06),
    22: (*_D65, 0.63, 0.34, 0.295, 0.605, 0.155, 0.077),
}
GAMMAS = {_GAMMA_22: 1 / 2.2, _GAMMA_28: 1 / 2.8, LINEAR: 1.0, _SRGB_CURVE: 1 / 2.2}  # of encoding
_NAMES = {
    1: "BT.709", 4: "BT.470 M", 5: "BT.470 B/G", 6: "BT.601", 7: "SMPTE 240M", 8: "film", 9: "BT.2020", 10: "XYZ",
    11: "DCI-P3", 12: "Display P3", 22: "EBU 3213",
}  # fmt: skip
_CURVES = {
    1: "BT.709", 4: "gamma 2.2", 5: "gamma 2.8", 6: "BT.601", 7: "SMPTE 240M", 8: "linear", 9: "logarithmic",
    10: "logarithmic", 11: "xvYCC", 12: "BT.1361", 13: "sRGB", 14: "BT.2020", 15: "BT.2020", 16: "PQ", 17: "DCI",
    18: "HLG",
}  # fmt: skip
_NEAR, _NEAR_GAMMA = 0.0011, 0.005  # as far as what writers round to three digits, and libpng takes for equal
_D50 = (0.9642, 1.0, 0.8249)
_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])


def points_of(primaries: int, transfer: int) -> Points:
    """Code points as a file gives them; what is unspecified, or means nothing, is as browsers take it: sRGB."""
    return Points(
        primaries if primaries in _NAMES else SRGB.primaries, transfer if transfer in _CURVES else SRGB.transfer
    )


def described(points: Points) -> str:
    """Words for code points, such as "BT.2020, PQ"."""
    return f"{_NAMES[points.primaries]}, {_CURVES[points.transfer]}"


def named(gamma: float | None, chromaticities: Chromaticities | None) -> Points | None:
    """The code points that a gamma (of encoding, such as 1/2.2) and chromaticities are, each None where not told; None
    where there are none. Gamma 2.2 with the primaries of sRGB, or alone, is how PNG writes sRGB."""
    wanted = CHROMATICITIES[1] if chromaticities is None else chromaticities
    primaries = next((n for n, known in CHROMATICITIES.items() if _near(known, wanted)), None)
    if primaries is None:
        return None
    if gamma is None:
        return Points(primaries)
    curves = [curve for curve in (_GAMMA_22, _GAMMA_28, LINEAR) if abs(gamma - GAMMAS[curve]) <= _NEAR_GAMMA]
    if not curves:
        return None
    return SRGB if (primaries, curves[0]) == (1, _GAMMA_22) else Points(primaries, curves[0])


def _near(a: Chromaticities, b: Chromaticities) -> bool:
    return all(abs(x - y) <= _NEAR for x, y in zip(a, b, strict=True))


def profile(gamma: float | None, chromaticities: Chromaticities | None, grey: bool) -> bytes:
    """An ICC profile of a gamma and chromaticities, those of sRGB where not told; empty where they are none of light.
    `grey`: for samples of one channel."""
    curve = _curve(gamma)
    if curve is None:
        return b""
    tags = [(b"desc", _text("gamma and chromaticities of a PNG file")), (b"cprt", b"text" + bytes(4) + b"none\0")]
    tags.append((b"wtpt", _xyz(_D50)))
    if grey:
        tags.append((b"kTRC", curve))
    else:
        columns = _columns(CHROMATICITIES[1] if chromaticities is None else chromaticities)
        if columns is None:
            return b""
        tags += [(b"%cXYZ" % name, _xyz(column)) for name, column in zip(b"rgb", columns, strict=True)]
        tags += [(b"%cTRC" % name, curve) for name in b"rgb"]
    return _profile(tags, b"GRAY" if grey else b"RGB ")


def _curve(gamma: float | None) -> bytes | None:
    """A `curv` that decodes samples; without gamma, sRGB's. None where it cannot be told."""
    if gamma is not None:
        exponent = round(256 / gamma) if gamma > 0 else 0
        return b"curv" + struct.pack(">IIH", 0, 1, exponent) if 0 < exponent <= 0xFFFF else None
    x = np.arange(1024) / 1023
    y = np.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4)
    return b"curv" + struct.pack(">II", 0, 1024) + np.rint(y * 65535).astype(">u2").tobytes()


def _columns(chromaticities: Chromaticities) -> list[tuple[float, ...]] | None:
    """XYZ of red, green and blue, adapted to D50 by Bradford's matrix; None where they span no colours."""
    points = np.array(chromaticities, np.float64).reshape(4, 2)
    if (points[:, 1] <= 0).any():
        return None
    xyz = np.stack([points[:, 0] / points[:, 1], np.ones(4), (1 - points.sum(axis=1)) / points[:, 1]])
    try:
        scales = np.linalg.solve(xyz[:, 1:], xyz[:, 0])
    except np.linalg.LinAlgError:
        return None
    cones = (_BRADFORD @ np.array(_D50)) / (_BRADFORD @ xyz[:, 0])
    adapted = np.linalg.inv(_BRADFORD) @ np.diag(cones) @ _BRADFORD @ (xyz[:, 1:] * scales)
    if not np.isfinite(adapted).all() or np.abs(adapted).max() > 2:
        return None
    return [tuple(map(float, column)) for column in adapted.T]


def _xyz(values: tuple[float, ...]) -> bytes:
    return b"XYZ " + bytes(4) + struct.pack(">3i", *(math.floor(v * 65536 + 0.5) for v in values))


def _text(words: str) -> bytes:
    """A textDescriptionType, in ASCII alone."""
    return b"desc" + struct.pack(">II", 0, len(words) + 1) + words.encode() + bytes(1 + 4 + 4 + 2 + 1 + 67)


def _profile(tags: list[tuple[bytes, bytes]], space: bytes) -> bytes:
    """A display profile of version 2.1."""
    at, table, data = 128 + 4 + 12 * len(tags), b"", b""
    places: dict[bytes, int] = {}
    for name, body in tags:
        if body not in places:  # equal curves are stored once
            places[body] = at + len(data)
            data += body + bytes(-len(body) % 4)
        table += name + struct.pack(">II", places[body], len(body))
    size = at + len(data)
    created = struct.pack(">6H", 2026, 1, 1, 0, 0, 0)
    head = struct.pack(">I4sI4s4s4s", size, bytes(4), 0x02100000, b"mntr", space, b"XYZ ") + created + b"acsp"
    head += bytes(28) + struct.pack(">3i", *(round(v * 65536) for v in _D50))
    return head.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + data
