"""What a still .nvc file is made of, for `codec info`."""

from __future__ import annotations

from typing import Any

from ..limits import DEFAULT, Limits
from ..loss.modes import STILL_MODES
from ..media.files import read_bytes
from .files import named
from .payload import ALPHA, NO_ALPHA, NO_HEAD, check_still, header_of


def describe_still(path: str, limits: Limits = DEFAULT) -> dict[str, Any]:
    """What a still .nvc file is made of; no picture is decoded. Raises FormatError, also beyond `limits`."""
    data = read_bytes(path)
    still, header = named(path, lambda: header_of(data))
    named(path, lambda: check_still(header, limits))
    loss = len(header.loss) + len(header.loss_low)
    alpha = len(still.alpha) + len(header.alpha_loss) + len(header.alpha_low)
    parts = {"head": len(header.delta), "loss_stream": loss, "alpha": alpha, "icc": len(still.icc)}
    parts["exif"] = len(still.exif)
    bounds = STILL_MODES[header.bounded].bounds
    exact = bounds and header.max_error == 0
    inside = sum(len(p) for p in (header.delta, header.loss, header.loss_low, header.alpha_loss, header.alpha_low))
    base = len(still.base) - inside
    return {
        "path": path,
        "width": header.width,
        "height": header.height,
        "channels": header.channels + (header.alpha != NO_ALPHA),
        "depth": header.depth,
        "alpha": header.alpha == ALPHA,
        "head": None if header.head == NO_HEAD else header.head,
        "told": None if header.head == NO_HEAD else header.base_q,
        "lossless": exact,
        "max_error": header.max_error if bounds else None,
        "psnr": None if exact else header.psnr,
        "bpp": len(data) * 8 / (header.width * header.height),
        "bytes": {"file": len(data), "base": base, **parts, "container": len(data) - base - sum(parts.values())},
    }


def still_table(found: dict[str, Any]) -> str:
    """The description as text for a person."""
    kind = {1: "grey", 2: "grey with alpha", 3: "colour", 4: "colour with alpha"}[found["channels"]]
    quality = "lossless" if found["lossless"] else f"{found['psnr']:.2f} dB"
    if found["max_error"]:
        quality += f", every sample within {found['max_error']}"
    head = "no head" if found["head"] is None else f"head {found['head']}, told {found['told']}"
    lines = [
        f"{found['path']}: {found['width']}x{found['height']}, {kind}, {found['depth']} bits; {quality}, "
        f"{found['bpp']:.4f} bpp, {head}",
        "",
    ]
    for name, size in found["bytes"].items():
        if size or name in ("file", "base"):
            lines.append(f"  {name.replace('_', '-'):12} {size:>12,} B")
    return "\n".join(lines)
