"""A film that is to be no larger than asked for.

Before the first segment, a film without pictures is written: what is left of the size is what the pictures may take.
Each chunk of segments keeps within its share of that as far as the quantiser reaches. What the file takes in the end is
known when it is written; where it is too large, segments are coded again, a little coarser and as few as will do, in
rounds. What a round does follows from what the one before left, and each keeps its segments as versions of their own:
an encode that is resumed, or made by many, decides the same.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from ..base.av1 import BaseSettings, encode_base
from ..base.resample import BASE_FORMAT
from ..errors import InputError
from ..events import Note, SegmentStats, Stage
from ..frames import VideoInfo
from ..jobs.lanes import Lanes
from ..jobs.progress import Progress
from ..jobs.store import Store
from ..jobs.task import CHUNK, Smaller
from ..loss.modes import OFF
from ..media.beside import Beside
from ..segment.encoder import Segment
from ..segment.payload import HEAD_DIFFERENCE, NO_HEAD
from ..settings import CRF_MAX, DEFAULT_CRF, SCALES, Settings
from ..wire.obu import METADATA, TEMPORAL_DELIMITER, TemporalUnit
from .containers import Container
from .scale import SMALLEST
from .writer import SideTracks, write_film

ROUNDS = 4  # in which segments are coded again; in the last one as coarsely as can be
SHARE = 0.1  # of a segment's bytes: what it loses in a round, unless all must lose more
PICTURES = 1 << 16  # of the film that is written without pictures; longer ones are taken to go on like that
PICTURE_BYTES = 8  # of an MP4's tables for each picture, about, in what is longer
KEYFRAME_BYTES, KEYFRAME_SECONDS = 4, 2  # of an MP4's tables for each segment, and how often one is expected

# for a guess at what a film will take, below what most take (bench/NOTES.md, "Room on the disk")
BITS, BITS_LOSSLESS = 0.02, 0.5  # for each sample of luma, at the usual quality and without loss
CRF_OCTAVE = 10  # of crf, which halve that
LEAN_CRF = 45.0  # what is taken for a PSNR that is asked for

Write = Callable[[Iterator[TemporalUnit]], list[str]]


class TooLarge(InputError):
    """No file of the size asked for can be made: what is finished is of no use."""


@dataclass(frozen=True)
class _Kept:
    """What is known of the newest version of a segment."""

    bytes: int
    stats: SegmentStats
    refers: bool  # to the head of the segment before
    bare: bool  # there is nothing beside its base that could be left out

    @property
    def least(self) -> bool:
        """Whether it is as small as can be."""
        return self.stats.crf >= CRF_MAX and self.bare


class SizeKeeper:
    """Keeps a film within the size that `settings` ask for. It watches the lanes (codec.jobs.lanes.Watcher) for
    `progress`, and raises TooLarge as soon as the size is known to be out of reach."""

    def __init__(self, settings: Settings, info: VideoInfo, store: Store, progress: Progress, beside: int):
        """`beside`: bytes of the file that are not those of segments, see `bytes_beside`."""
        assert settings.target_size is not None
        self._settings, self._info, self._store, self._progress = settings, info, store, progress
        self._most = int(settings.target_size * 1e6)
        self._beside = beside
        self._kept: dict[int, _Kept] = {}
        self._versions: dict[int, int] = {}
        self._lock = threading.Lock()
        if self.room <= 0:
            raise TooLarge(f"{self._wish} cannot be reached: sound and container alone take {_megabytes(beside)}")

    @property
    def _wish(self) -> str:
        return f"{self._settings.target_size:g} MB"

    @property
    def room(self) -> int:
        """Bytes that the pictures may take."""
        return self._most - self._beside

    # --- what lanes tell ----------------------------------------------------------------------------------------

    def under_way(self, index: int, frames: int, stage: Stage) -> None:
        self._progress.under_way(index, frames, stage)

    def lost(self, text: str) -> None:
        self._progress.lost(text)

    def finished(self, index: int, segment: Segment) -> None:
        header = segment.header
        spare = header.head_kind != NO_HEAD or (header.loss_kind != OFF.film and self._settings.loss == "auto")
        kept = _Kept(segment.bytes, segment.stats, header.head_sent == HEAD_DIFFERENCE, not spare)
        with self._lock:
            self._kept[index] = kept
            least = [known for known in self._kept.values() if known.least]
        self._progress.finished(index, segment)
        if sum(known.bytes for known in least) > self.room:
            raise TooLarge(f"{self._wish} cannot be reached: {self._told(least)}{self._advice()}")

    def _told(self, least: list[_Kept]) -> str:
        """How large segments are that are as small as can be, and thus the film, about."""
        size, frames = sum(known.bytes for known in least), sum(known.stats.frames for known in least)
        film = size * max(self._info.frames, frames) // frames + self._beside
        return (
            f"{frames} of its pictures take {_megabytes(size + self._beside)} at their coarsest, sound and container "
            f"included, and all about {_megabytes(film)}"
        )

    # --- what is done at the end --------------------------------------------------------------------------------

    def write(self, path: str, lanes: Lanes, write: Write) -> list[str]:
        """Have `write` write the film to `path` until it is no larger than asked for, and return what it does. Raises
        TooLarge."""
        version = 0
        while True:
            self._progress.writing()
            lost = write(self._store.units(len(self._kept), self._versions))
            self._beside = os.path.getsize(path) - self._bytes
            while self._bytes > self.room:
                version += 1
                plan = self._plan(version == ROUNDS) if version <= ROUNDS else {}
                if not plan:
                    size = f"{_megabytes(self._bytes + self._beside)}{self._advice()}"
                    raise TooLarge(f"{self._wish} cannot be reached: at its coarsest the film takes {size}")
                self._again(lanes, plan, version)
            if os.path.getsize(path) <= self._most:
                return lost

    @property
    def _bytes(self) -> int:
        return sum(kept.bytes for kept in self._kept.values())

    def _again(self, lanes: Lanes, plan: Mapping[int, Smaller], version: int) -> None:
        over = self._bytes - self.room
        what = f"segment {next(iter(plan))} is" if len(plan) == 1 else f"{len(plan)} segments are"
        self._progress.tell(Note(f"the file would be {over:,} bytes larger than asked for; {what} coded again"))
        self._progress.again(plan)
        lanes.again(plan, self._versions, version)
        self._versions |= dict.fromkeys(plan, version)

    def _plan(self, last: bool) -> dict[int, Smaller]:
        """What is to be coded again: as few pictures as will do where each segment loses SHARE of its bytes, those with
        most bytes first; in the `last` round all, as coarsely as can be."""
        able = {index: kept for index, kept in self._kept.items() if not kept.least}
        if last:
            return {index: Smaller(0, True) for index in able}
        over, total = self._bytes - self.room, sum(kept.bytes for kept in able.values())
        share = max(SHARE, over / max(total, 1))
        chosen: dict[int, _Kept] = {}
        for index in sorted(able, key=lambda k: (-able[k].bytes / able[k].stats.frames, k)):
            if share * sum(kept.bytes for kept in chosen.values()) >= over:
                break
            chosen[index] = able[index]
        total = sum(kept.bytes for kept in chosen.values())
        plan = {}
        for index, kept in sorted(chosen.items()):
            least = kept.bytes - -(-over * kept.bytes // total)
            plan[index] = Smaller(max(0, least), not self._is_referred_to(index))
        return plan

    def _is_referred_to(self, index: int) -> bool:
        """Whether the segment after it needs its head."""
        following = self._kept.get(index + 1)
        return following is not None and following.refers and (index + 1) % CHUNK != 0

    def _advice(self) -> str:
        """What would make the film smaller still."""
        scale = self._progress.stats[min(self._progress.stats)].scale if self._progress.stats else 1.0
        side = min(self._info.width, self._info.height)
        coarser = [float(s) for s in SCALES if s > scale and side / s >= SMALLEST]
        return f"; --scale {coarser[0]:g} makes it smaller" if coarser else ""


def bytes_beside(path: str, info: VideoInfo, container: Container, side: SideTracks | Beside | None) -> int:
    """Bytes that a film takes beside its segments: sound, subtitles, tags and the container's tables, as many as there
    are when it is written to `path`, which is left, without pictures. Raises what `write_film` raises."""
    planes = [np.full(shape, 512, BASE_FORMAT.dtype) for shape in BASE_FORMAT.shapes(info.width, info.height)]
    (packet,) = encode_base([planes], [0], info.time_base, info.rate, BaseSettings(CRF_MAX, 12, 1))
    step = max(1, round(1 / (info.rate * info.time_base)))
    first = TemporalUnit(packet.data, 0, step, True)
    empty = bytes([TEMPORAL_DELIMITER << 3 | 2, 0, METADATA << 3 | 2, 1, 0x80])
    frames = max(1, info.frames or round(info.duration * info.rate))
    times = range(step, min(frames, PICTURES) * step, step)
    units = [first, *(TemporalUnit(empty, pts, step, False) for pts in times)]
    write_film(path, iter(units), info, (info.width, info.height), side, container)
    pictures = sum(len(unit.data) for unit in units)
    keyframes = Fraction(info.duration) / KEYFRAME_SECONDS * KEYFRAME_BYTES
    longer = max(0, frames - len(units)) * PICTURE_BYTES
    return os.path.getsize(path) - pictures + longer + round(keyframes)


def room_needed(settings: Settings, info: VideoInfo, beside: int) -> int:
    """Bytes that an encode takes on the disk, about and rather too few: its finished segments, and then the film with
    `beside` bytes of other tracks. 0 where the film's length is not known."""
    frames = info.frames or info.duration * info.rate
    if settings.target_size is not None:
        pictures = max(settings.target_size * 1e6 - beside, 0)
    elif settings.bitrate is not None:
        pictures = settings.bitrate * 125 * float(info.duration or frames / info.rate)
    else:
        pictures = float(frames) * info.width * info.height * _bits_at_least(settings) / 8
    return round(2 * pictures) + beside if frames else 0


def _bits_at_least(settings: Settings) -> float:
    """Bits for each sample of luma that hardly any film does without."""
    if settings.max_error is not None:
        return BITS_LOSSLESS / (settings.max_error + 1)
    crf = LEAN_CRF if settings.target_psnr is not None else settings.start_crf
    return BITS * 2 ** ((DEFAULT_CRF - crf) / CRF_OCTAVE)


def _megabytes(size: int) -> str:
    """Bytes in MB, never fewer than there are."""
    return f"{-(-size // 10) / 1e5:.5f}".rstrip("0").rstrip(".") + " MB"
