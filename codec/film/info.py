"""What an .nvc file is made of, for `codec info`: sizes by part, and each segment as its header tells."""

from __future__ import annotations

import os
from typing import Any

from ..limits import DEFAULT, Limits
from ..loss.modes import FILM_MODES
from ..segment import payload
from .film import Film

_HEAD = {payload.NO_HEAD: "none", payload.WHOLE_HEAD: "whole", payload.HEAD_DIFFERENCE: "difference",
         payload.PRETRAINED_HEAD: "shipped"}  # fmt: skip
COLUMNS = ("start", "frames", "scale", "head", "shape", "history", "loss", "base B", "head B", "loss B", "PSNR")


def describe(path: str | os.PathLike[str], limits: Limits = DEFAULT) -> dict[str, Any]:
    """JSON-like description; no picture is decoded. Raises as `Film` does."""
    film = Film(path, limits=limits)
    info, sizes = film.info, film.sizes()
    segments = [
        {
            "start": float(s.pts * info.time_base),
            "frames": s.frames,
            "scale": float(s.header.scale),
            "head": _HEAD[s.header.head_kind],
            "head_shape": f"{s.header.layers}x{s.header.head_width}" if s.header.layers else None,
            "head_frames": sum(s.header.uses_head(k) for k in range(s.header.frames)),
            "history": s.header.history,
            "loss": FILM_MODES[s.header.loss_kind].name,
            "loss_step": s.header.loss_step or None,
            "max_error": s.header.max_error if FILM_MODES[s.header.loss_kind].bounds else None,
            "base_bytes": s.base_bytes,
            "head_bytes": len(s.header.head),
            "loss_bytes": s.loss_bytes,
            "psnr": s.header.psnr,
        }
        for s in film.segments()
    ]
    heads, loss = (sum(int(str(s[k])) for s in segments) for k in ("head_bytes", "loss_bytes"))
    return {
        "path": os.fspath(path),
        "width": info.width,
        "height": info.height,
        "format": info.format.av_name,
        "rate": str(info.rate),
        "frames": sum(int(str(s["frames"])) for s in segments),
        "duration": float(info.duration),
        "bytes": {
            "file": sizes["file"],
            "base": sizes["base"],
            "heads": heads,
            "loss_stream": loss,
            "headers": sizes["payload"] - heads - loss,
            "audio": sizes["audio"],
            "subtitle": sizes["subtitle"],
            "other": sizes["other"],
            "container": sizes["container"],
        },
        "segments": segments,
    }


def table(found: dict[str, Any]) -> str:
    """The description as text for a person."""
    duration = found["duration"] or 1.0
    lines = [
        f"{found['path']}: {found['width']}x{found['height']} {found['format']}, {found['rate']} fps, "
        f"{found['frames']} frames, {found['duration']:.3f} s",
        "",
    ]
    for name, size in found["bytes"].items():
        if size or name in ("file", "base"):
            lines.append(f"  {name.replace('_', '-'):12} {size:>12,} B {size * 8 / duration / 1000:10.1f} kbit/s")
    row = "  {:>9} {:>6} {:>5} {:>10} {:>7} {:>7} {:>9} {:>10} {:>8} {:>10} {:>7}"
    lines += ["", row.format(*COLUMNS)]
    for s in found["segments"]:
        loss = s["loss"]
        if s["loss_step"]:
            loss = f"step {s['loss_step']}"
        elif s["max_error"] is not None:
            loss = "lossless" if s["max_error"] == 0 else f"±{s['max_error']}"
        lines.append(
            row.format(
                f"{s['start']:.3f}",
                s["frames"],
                f"{s['scale']:g}",
                s["head"],
                s["head_shape"] or "-",
                s["history"],
                loss,
                f"{s['base_bytes']:,}",
                f"{s['head_bytes']:,}",
                f"{s['loss_bytes']:,}",
                f"{s['psnr']:.2f}",
            )
        )
    return "\n".join(lines)
