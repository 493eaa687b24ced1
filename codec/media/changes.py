"""What may change within a film, and then holds for it as its first picture told: each kind is noted once."""

from __future__ import annotations

from typing import Any

import av

from .libav import colour_of, display_matrix, side_data


class Changes:
    """Compares pictures with the film's first. `stream` is theirs; sentences go to `notes`."""

    def __init__(self, first: av.VideoFrame, stream: Any, notes: list[str]):
        self._stream, self._notes = stream, notes
        self._kept = self._of(first)

    def look(self, frame: av.VideoFrame, at: str) -> None:
        """Note what is other than in the first picture; `at` is the picture's time, in words."""
        found = self._of(frame)
        if not frame.key_frame and "aspect ratio" in self._kept:
            # of that only the decoder knows, which is ahead of its pictures; it changes where a key is
            found["aspect ratio"] = self._kept["aspect ratio"]
        for kind in [kind for kind, value in self._kept.items() if found[kind] != value]:
            self._notes.append(_sentence(kind, self._kept.pop(kind), found[kind], at))

    def _of(self, frame: av.VideoFrame) -> dict[str, Any]:
        return {
            "interlacing": bool(frame.interlaced_frame),
            "aspect ratio": self._stream.codec_context.sample_aspect_ratio or None,
            "rotation": display_matrix(side_data(frame)),
            "colour": tuple(colour_of(frame, self._stream)),
        }


def _sentence(kind: str, before: Any, now: Any, at: str) -> str:
    if kind == "interlacing":
        what = "is interlaced; its pictures are stored as progressive ones" if now else "is no longer interlaced"
        return f"the material {what} from {at} on"
    if kind == "aspect ratio":
        return f"the aspect ratio of samples changes from {before or 1} to {now or 1} at {at}; the first is kept"
    return f"the {'tags of colour change' if kind == 'colour' else 'rotation changes'} at {at}; the first are kept"
