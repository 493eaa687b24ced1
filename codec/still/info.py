"""What a still .nvc file is made of, for `codec info`: sizes by part, and what its header tells."""

from __future__ import annotations

from typing import Any

from ..errors import naming
from ..limits import DEFAULT, Limits
from ..loss.modes import STILL_MODES
from ..media.colours import described, points_of
from ..media.files import read_bytes
from .payload import ALPHA, NO_ALPHA, NO_HEAD, check_still, header_of


def describe_still(path: str, limits: Limits = DEFAULT) -> dict[str, Any]:
    """What a still .nvc file is made of; no picture is decoded. Raises FormatError, also beyond `limits`."""
    data = read_bytes(path)
    with naming(path):
        still, header = header_of(data)
        check_still(header, limits)
    loss = len(header.loss) + len(header.loss_low)
    alpha = len(still.alpha) + len(header.alpha_loss) + len(header.alpha_low)
    parts = {"head": len(header.delta), "loss_stream": loss, "alpha": alpha, "icc": len(still.icc)}
    parts["exif"] = len(still.exif)
    mode = STILL_MODES[header.bounded]
    exact = bool(mode) and header.max_error == 0
    inside = sum(len(p) for p in (header.delta, header.loss, header.loss_low, header.alpha_loss, header.alpha_low))
    base = len(still.base) - inside
    return {
        "path": path,
        "width": header.width,
        "height": header.height,
        "channels": header.channels + (header.alpha != NO_ALPHA),
        "depth": header.depth,
        "alpha": header.alpha == ALPHA,
        "colour": "its profile" if still.icc else described(points_of(still.colour.primaries, still.colour.transfer)),
        "head": None if header.head == NO_HEAD else header.head,
        "base_q": None if header.head == NO_HEAD else header.base_q,
        "loss": mode.name,
        "lossless": exact,
        "max_error": header.max_error if mode else None,
        "psnr": None if exact else header.psnr,
        "bpp": len(data) * 8 / (header.width * header.height),
        "bytes": {"file": len(data), "base": base, **parts, "container": len(data) - base - sum(parts.values())},
    }
