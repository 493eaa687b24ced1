"""What an .nvc file is made of, for `codec info`: sizes by part, and each segment as its header tells."""

from __future__ import annotations

import os
from typing import Any

from ..limits import DEFAULT, Limits
from ..loss.coder import LossKind
from ..segment import payload
from .film import Film

_HEAD = {payload.NO_HEAD: "none", payload.WHOLE_HEAD: "whole", payload.HEAD_DIFFERENCE: "difference",
         payload.PRETRAINED_HEAD: "shipped"}  # fmt: skip


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
            "loss": LossKind(s.header.loss_kind).name.lower(),
            "loss_step": s.header.loss_step or None,
            "max_error": s.header.max_error if LossKind(s.header.loss_kind).bounds else None,
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
