"""What a picture file says beside its samples."""

from __future__ import annotations

from dataclasses import dataclass, field

from .colours import SRGB, Points

COLOUR_SPACE = "its colour profile, which is of another colour space than the samples"
BROKEN_PROFILE = "its colour profile, of which parts are missing"


@dataclass
class Attributes:
    """`icc` profile, `exif` (a TIFF structure), code points of colour; `lost`: names of what is not kept, such as "its
    XMP"; `notes`: sentences on what was done to samples; `inexact`: why they are not the file's own, empty where they
    are."""

    icc: bytes = b""
    exif: bytes = b""
    points: Points = SRGB
    lost: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    inexact: str = ""

    def lose(self, what: str) -> None:
        """Something is not kept; said once."""
        if what not in self.lost:
            self.lost.append(what)

    def convert(self, how: str) -> None:
        """Samples were made of the file's own in a way that cannot be undone."""
        self.inexact = how
        self.notes.append(f"{how}; the samples are not the file's own")
