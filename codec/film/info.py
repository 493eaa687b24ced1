"""What an .nvc file is made of, for `codec info`: sizes by part, and each segment as its header tells."""

from __future__ import annotations

import os
from dataclasses import asdict
from typing import Any

from ..errors import DamageError
from ..limits import DEFAULT, Limits
from ..loss.modes import FILM_MODES
from ..segment import payload
from .contents import Contents, SegmentInfo

_HEAD = {payload.NO_HEAD: "none", payload.WHOLE_HEAD: "whole", payload.HEAD_DIFFERENCE: "difference",
         payload.PRETRAINED_HEAD: "pretrained"}  # fmt: skip


def describe(path: str | os.PathLike[str], limits: Limits = DEFAULT) -> dict[str, Any]:
    """JSON-like description; no picture is decoded. Raises as `Film` does, but for damage of what tells of the other
    tracks: there are none then, and `tracks_damage` is a sentence on it."""
    film = Contents(path, limits)
    info, sizes = film.info, film.sizes()
    segments = [_segment(found, float(found.pts * info.time_base)) for found in film.segments()]
    tracks, damage = _tracks(film)
    heads, loss = (sum(s[part] for s in segments) for part in ("head_bytes", "loss_bytes"))
    return {
        "path": os.fspath(path),
        "width": info.width,
        "height": info.height,
        "format": info.format.av_name,
        "chroma_place": info.chroma_place,
        "rate": str(info.rate),
        "frames": sum(s["frames"] for s in segments),
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
        "tracks": tracks,
        "tracks_damage": damage,
        "segments": segments,
    }


def _tracks(film: Contents) -> tuple[list[dict[str, Any]], str | None]:
    try:
        return [asdict(track) for track in film.tracks() or ()], None
    except DamageError as error:
        return [], str(error)


def _segment(found: SegmentInfo, start: float) -> dict[str, Any]:
    header = found.header
    loss = FILM_MODES[header.loss_kind]
    return {
        "start": start,
        "frames": found.frames,
        "scale": float(header.scale),
        "head": _HEAD[header.head_sent],
        "steered": header.steered,
        "head_shape": f"{header.layers}x{header.head_width}" if header.layers else None,
        "head_frames": sum(header.uses_head(k) for k in range(header.frames)),
        "history": header.history,
        "loss": loss.name,
        "loss_step": header.loss_step or None,
        "max_error": header.max_error if loss.bounds else None,
        "base_bytes": found.base_bytes,
        "head_bytes": len(header.head),
        "loss_bytes": found.loss_bytes,
        "psnr": header.psnr,
    }
