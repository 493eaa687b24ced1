"""The times of a film's pictures: repaired where they are missing, refused where no file can hold them."""

from __future__ import annotations

from fractions import Fraction

LONGEST_STEP = (1 << 31) - 1  # from a picture to the next, in ticks of an MP4's clock
LATE = Fraction(3, 2)  # times the usual step: then a picture may be missing. Matroska's demuxer skips damage in silence
RARE = 25  # pictures for each that is late; where they are more frequent, the rate varies
