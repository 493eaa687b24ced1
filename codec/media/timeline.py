"""The times of a film's pictures: repaired where they are missing, refused where no file can hold them, and watched for
gaps, where pictures are damaged or may be missing.

Times increase strictly from picture to picture, in ticks of the film's time base.
"""

from __future__ import annotations

from fractions import Fraction

from ..errors import InputError
from ..frames import VideoInfo

LONGEST_STEP = (1 << 31) - 1  # from a picture to the next, in ticks of an MP4's clock
LATE = Fraction(3, 2)  # times the usual step: then a picture may be missing. Matroska's demuxer skips damage in silence
RARE = 25  # pictures for each that is late; where they are more frequent, the rate varies
NAMED = 8  # places that are named; further ones of the kind are counted


def clock(pts: int | None, time_base: Fraction) -> str:
    """A time as sentences give it, in seconds."""
    return "an unknown time" if pts is None else f"{float(pts * time_base):.3f} s"


class Timeline:
    """Follows the pictures of the film `name` in order: each is given to `time_of`, then to `advance`, all to `end`.

    `start` is the first picture's time as the file has it, `origin` the seconds of the file's clock where the film
    begins; sentences on what was repaired or is missing go to `notes`.
    """

    def __init__(self, name: str, info: VideoInfo, start: int, notes: list[str], origin: Fraction = Fraction(0)):
        self._name, self._info, self._start, self._notes = name, info, start, notes
        self._origin = origin
        self._step = max(1, round(1 / (info.rate * info.time_base)))
        self._last: int | None = None
        self._filled: int | None = None  # the first time of those just before that were missing
        self._told = self._halved = False
        self._late = 0
        self._missed = 0  # when the first picture that may be missing was expected
        self._gaps, self._lost = 0, 0  # how many there are, and ticks in those that are not named
        self._excused = False  # the next picture is late, and it is known why

    def time_of(self, pts: int | None) -> int:
        """The next picture's time: its own, or a step after the one before where that is missing. Where it is repeated,
        the first time by half a step, so that those that follow stay on time."""
        if pts is None:
            pts = 0 if self._last is None else self._last + self._step
            if self._last is None:
                self._note_repair(pts)
            self._filled = pts if self._filled is None else self._filled
            return pts
        if self._last is None or pts > self._last:
            # files of some kinds tell the time of some pictures only; what fits those between needs no word
            if self._filled is not None and self._last is not None and pts != self._last + self._step:
                self._note_repair(self._filled)
            self._filled, self._halved = None, False
            return pts
        pts = self._last + (self._step if self._halved else max(1, self._step // 2))
        self._halved = True
        self._note_repair(pts)
        return pts

    def _note_repair(self, pts: int) -> None:
        if not self._told:
            self._notes.append(
                f"time stamps are missing or repeated from {self._clock(pts)} on; they are replaced by "
                f"{float(1 / (self._step * self._info.time_base)):g} pictures a second"
            )
        self._told = True

    def gap(self, pts: int) -> None:
        """Before `advance`: pictures just before the one at `pts` are damaged and left out."""
        self._gaps += 1
        since = self._start if self._last is None else self._last + self._step
        if self._gaps > NAMED:
            self._lost += max(pts - since, 0)
        elif self._last is None:
            self._notes.append(f"the first pictures, before {self._clock(pts)}, are damaged and left out")
        else:
            self._notes.append(
                f"the pictures from {self._clock(since)} to {self._clock(pts)} are damaged and left out "
                f"({float((pts - since) * self._info.time_base):.3f} s)"
            )
        self._excused = True

    def advance(self, pts: int, duration: int) -> None:
        """Take a picture's time and duration (0 = unknown). Raises InputError where the times leap."""
        if self._last is not None:
            step, tick = pts - self._last, self._info.time_base
            if step * tick.numerator > LONGEST_STEP:
                raise InputError(
                    f"{self._name}: the time stamps leap from {self._clock(self._last)} to {self._clock(pts)}, "
                    "which no MP4 can hold; cut it there"
                )
            if step * tick * self._info.rate > LATE and not self._excused:
                self._late += 1
                if self._late == 1:
                    self._missed = self._last + self._step
        self._last, self._step, self._excused = pts, duration or self._step, False

    def end(self) -> None:
        """After the last picture: tell of gaps between pictures, and of a film that ends before it should."""
        rate, claimed = self._info.rate, self._info.duration
        if self._gaps > NAMED:
            self._notes.append(
                f"{self._gaps - NAMED} further gaps, {float(self._lost * self._info.time_base):.3f} s of pictures "
                "that are damaged and left out"
            )
        length = Fraction(0)
        if self._last is not None:
            length = (self._last + self._step - self._start) * self._info.time_base
        if 0 < self._late * RARE <= length * rate:
            others = f" and {self._late - 1} other times" if self._late > 1 else ""
            self._notes.append(
                f"there is no picture at {self._clock(self._missed)}{others}, "
                "where the film's rate lets one be expected; if that does not vary, the film is damaged there"
            )
        # some muxers count a film's length from the 0 of its clock
        claimed -= max(self._origin, Fraction(0))
        if claimed - length > 1:
            self._notes.append(
                f"the pictures end after {float(length):.1f} s, but the film claims to last "
                f"{float(claimed):.1f} s; it may be cut off"
            )

    def _clock(self, pts: int) -> str:
        return clock(pts, self._info.time_base)
