"""Pictures for files that hold nothing but samples: turned as they are to be shown, and what else goes with them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..wire.exif import TURNS, orientation, with_orientation
from .colours import described
from .pictures import Picture


def upright(picture: Picture, name: str) -> Picture:
    """The picture with its samples where they are to be seen, so that its orientation is 1; a note where they moved."""
    turns, mirror = TURNS.get(orientation(picture.exif), (0, None))
    if (turns, mirror) == (0, None):
        return picture
    pixels = np.rot90(picture.pixels, turns)
    if mirror is not None:
        pixels = np.flip(pixels, mirror)
    exif = with_orientation(picture.exif, 1)
    notes = (*picture.notes, f"{name}: its samples are turned upright, as its orientation says")
    return replace(picture, pixels=np.ascontiguousarray(pixels), exif=exif, notes=notes)


def bare(picture: Picture, target: str) -> list[str]:
    """Sentences on what `target` does not hold, a file of samples alone."""
    lost = ["colour profile"] if picture.icc else []
    lost += [f"the meaning of colours ({described(picture.points)})"] if picture.unusual else []
    return [f"{target}: .nvs files are written without {what}" for what in lost]
