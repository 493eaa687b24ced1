"""Which container a film is written in, by its name's ending, and how libav's muxer is to write it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from fractions import Fraction
from math import lcm

from ..errors import InputError
from ..frames import VideoInfo
from ..media.endings import ending_of
from ..media.libav import open_film

_LARGEST_TIMESCALE = (1 << 31) - 1


@dataclass(frozen=True)
class Container:
    """What a film is written in. `format`: libav's name; `clock`: the only tick that its times have, None where every
    track has its own; `whole_sound`: whether a film is refused whose sound it cannot hold, as most is in WebM."""

    format: str
    clock: Fraction | None = None
    whole_sound: bool = False

    def check(self, film: str, info: VideoInfo) -> None:
        """Raise InputError where the pictures of `film` come faster than the clock ticks."""
        if self.clock and info.rate * self.clock > 1:
            raise InputError(
                f"{film} has {float(info.rate):g} pictures a second, more than {self.format} can tell apart; "
                "let the target end in .nvc"
            )


MP4 = Container("mp4")
_CONTAINERS = {
    ".mkv": Container("matroska", Fraction(1, 1000)),
    ".webm": Container("webm", Fraction(1, 1000), whole_sound=True),
}  # fmt: skip
_OWN = (*_CONTAINERS, ".nvc", ".mp4", ".m4v")
_WRITTEN = "encode writes films as .nvc or .mp4 (both are MP4), .mkv or .webm"


def container_of(path: str) -> Container:
    """The container that a path's ending asks for; MP4 where it asks for none. Raises UsageError for one that is not
    written."""
    return _CONTAINERS.get(ending_of(path, _OWN, _WRITTEN), MP4)


def muxer_options(container: Container, info: VideoInfo, source: str | os.PathLike[str] | None) -> dict[str, str]:
    """Time scales in which every track's times, and the offsets between tracks, are exact."""
    # packets arrive in order, so none need be held back for streams that are silent or over
    options = {"max_interleave_delta": "1000000", "fflags": "+bitexact"}
    if container.format != "mp4":
        return options | {"write_crc32": "0"}  # `describe_pictures` would make them wrong
    movie = info.time_base.denominator
    if source is not None:
        with open_film(source) as film:
            movie = lcm(movie, *(s.codec_context.sample_rate or 1 for s in film.streams.audio if s.codec_context))
    options |= {
        "video_track_timescale": str(info.time_base.denominator),
        # without what no player needs: runs of half a second instead of single packets, no encoder tag, no bit rates
        "chunk_duration": "500000",
        "write_btrt": "0",
    }
    if movie <= _LARGEST_TIMESCALE:
        options["movie_timescale"] = str(movie)
    return options
