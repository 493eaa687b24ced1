"""What may change within a film, and then holds for it as its first picture told: each kind is noted once."""

from __future__ import annotations

from typing import Any

from .decoding import Picture
from .libav import display_matrix, side_data


class Changes:
    """Compares pictures with the film's first; sentences go to `notes`."""

    def __init__(self, first: Picture, notes: list[str]):
        self._kept, self._notes = _shape(first), notes

    def look(self, picture: Picture, at: str) -> None:
        """Note what is other than in the first picture; `at` is the picture's time, in words."""
        found = _shape(picture)
        for kind in [kind for kind, value in self._kept.items() if found[kind] != value]:
            self._notes.append(_sentence(kind, self._kept.pop(kind), found[kind], at))


def _shape(picture: Picture) -> dict[str, Any]:
    return {
        "interlacing": bool(picture.frame.interlaced_frame),
        "aspect ratio": picture.tags.sar or 1,
        "rotation": display_matrix(side_data(picture.frame)),
        "colour": picture.tags.colour,
    }


def _sentence(kind: str, before: Any, now: Any, at: str) -> str:
    if kind == "interlacing":
        what = "is interlaced; its pictures are stored as progressive ones" if now else "is no longer interlaced"
        return f"the material {what} from {at} on"
    if kind == "aspect ratio":
        return f"the aspect ratio of samples changes from {before} to {now} at {at}; the first is kept"
    return f"the {'tags of colour change' if kind == 'colour' else 'rotation changes'} at {at}; the first are kept"
