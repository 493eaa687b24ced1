"""`codec encode --sample` as a function: a few seconds of a film are encoded, to tell what the whole will be.

    source ──looked at──> places, how often segments begin ──> stretches ──Lanes──> segments ──write_film──> a scratch
    film, decoded again and compared with its source

Stretches lie evenly over the film, always in the same places, and are encoded as the film would be: its scale is chosen
on its first segment, sound and container are counted as they will be written. A stretch begins with a key picture and
may bring a head, which the whole has but once a segment: so bytes are those of the first pictures of segments, times
the segments that the film has by what was looked at, and those of other pictures, times their number. Nothing stays on
the disk.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import astuple, dataclass
from fractions import Fraction
from itertools import chain, takewhile
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from ..base.resample import base_size
from ..errors import InputError, UsageError
from ..events import FilmSampled, Listener, Note, ScaleChosen, Share, SourceOpened, silent
from ..frames import Frame
from ..jobs.lanes import Lanes
from ..jobs.progress import Progress
from ..jobs.store import Store
from ..jobs.workers import Here
from ..limits import DEFAULT, Limits
from ..machine import use_threads
from ..media.beside import Beside
from ..media.files import STDIN
from ..media.source import Source
from ..media.xpsnr import Xpsnr
from ..metrics import plane_psnrs, ssim, weighted
from ..segment.effort import Effort
from ..segment.encoder import Segment
from ..segment.rate import RateControl
from ..segment.scenes import Cutter, split
from ..settings import SAMPLE_SECONDS, Settings
from ..wire.obu import inject
from .containers import Container
from .encode import check_options, container_for
from .film import Film
from .scale import choose_scale
from .size import SizeKeeper, bytes_beside
from .sources import source_of
from .writer import SideTracks, check_side, write_film

STRETCH = 2.5  # seconds, about: long enough for a key picture to be a small part, short enough for many of them
LOOKED = 4  # times as long as what is encoded is what is looked at for cuts
SPREAD = 2  # standard errors on either side
_ANY = Limits(1 << 40, 1 << 50)  # of what was just encoded here


@dataclass(frozen=True)
class Stretch:
    """Seconds of the film that are encoded, within those that are looked at."""

    looked: tuple[float, float]
    encoded: tuple[float, float]


def stretches_of(duration: float, seconds: float) -> list[Stretch]:
    """Where a film of that length is sampled for so many seconds: evenly; all of one that is no longer."""
    if duration <= seconds:
        return [Stretch((0.0, math.inf), (0.0, math.inf))]
    count = max(2, round(seconds / STRETCH))
    slot, each = duration / count, seconds / count
    found = []
    for k in range(count):
        middle, looked = (k + 0.5) * slot, min(slot, LOOKED * each)
        end = math.inf if looked == slot and k == count - 1 else middle + looked / 2
        found.append(Stretch((middle - looked / 2, end), (middle - each / 2, middle + each / 2)))
    return found


@dataclass
class _Found:
    """What came of a stretch, or of all: pictures, the segments that they were cut into, their bytes and those of their
    first pictures, and PSNR-YUV, summed up over pictures."""

    pictures: int = 0
    segments: int = 0
    bytes: int = 0
    first_bytes: int = 0
    psnr_sum: float = 0.0

    def add(self, segment: Segment) -> None:
        first = segment.units[0]
        self.pictures += len(segment.units)
        self.segments += 1
        self.bytes += segment.bytes
        self.first_bytes += len(inject(first.data, first.payloads))
        self.psnr_sum += segment.stats.psnr * len(segment.units)

    def each(self, share: float) -> float:
        """Bytes of a picture of a film, `share` of whose pictures begin segments."""
        first, others = self.first_bytes / self.segments, self.pictures - self.segments
        return share * first + (1 - share) * (self.bytes - self.first_bytes) / others if others else first


def sample(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str] | None = None,
    settings: Settings | None = None,
    *,
    seconds: float = SAMPLE_SECONDS,
    best_effort: bool = False,
    limits: Limits = DEFAULT,
    listen: Listener = silent,
) -> FilmSampled:
    """Tell what `encode` would make of the film at `source` with these settings, and how fast, by `seconds` of it.
    `target`, which is not touched, tells the container: MP4 where it is None. Raises as `encode` does."""
    settings, source = settings or Settings(), os.fspath(source)
    if not seconds > 0:
        raise UsageError("{} must be positive", "sample_seconds")
    if source == STDIN:
        raise UsageError("a sample is taken from places all over the film; name its file")
    container = container_for("film.nvc" if target is None else os.fspath(target), settings)
    use_threads(settings.threads)
    with (
        source_of(source, settings.threads, best_effort, limits, settings.device) as film,
        TemporaryDirectory(prefix="nvc-sample-") as folder,
    ):
        check_options(film, settings)
        container.check(film.name, film.info)
        if not film.info.duration:
            raise UsageError("a sample needs a film whose length is known")
        return _Sampling(film, container, settings, seconds, listen, os.path.join(folder, "sample.nvc")).run()


class _Sampling:
    """One sample under way. `path`: in a folder where it keeps what it makes."""

    def __init__(
        self, film: Source, container: Container, settings: Settings, seconds: float, listen: Listener, path: str
    ):
        self._film, self._container, self._settings, self._listen = film, container, settings, listen
        self._info, self._path, self._store = film.info, path, Store(path, "", False)
        self._stretches = stretches_of(float(film.info.duration), seconds)
        self._progress = Progress(round(min(seconds, float(film.info.duration)) * film.info.rate), listen)
        self._owners: list[int] = []  # of each segment, the number of its stretch
        self._on_the_way = 0.0  # seconds that were read from a key picture up to a stretch
        self._notes: list[str] = []

    def run(self) -> FilmSampled:
        info, began = self._info, time.monotonic()
        self._listen(SourceOpened(info.width, info.height, info.format.av_name, float(info.rate), info.frames))
        side = self._checked() if self._film.accompanied else None
        beside = bytes_beside(self._path, info, self._container, side)
        self._tell(*self._film.notes, *(side.notes if side else ()))
        control = RateControl(self._settings, self._settings.start_crf)
        scale = self._begin(control, beside)
        once = time.monotonic() - began  # seconds of what is done but once
        share = self._looked()
        spent = self._encode(scale, control)
        found = self._found()
        if self._settings.bitrate is not None or self._settings.target_size is not None:
            share = sum(one.segments for one in found) / self._progress.frames  # budgets are for all that is sent
        frames = self._progress.frames if len(self._stretches) == 1 else max(info.frames, self._progress.frames)
        estimate = self._estimate(found, share, frames, beside)
        missed = sum(not s.met for s in self._progress.stats.values())
        if missed:
            of = f"{missed} of {len(self._owners)} segments of the sample"
            self._tell(f"{control.wish} cannot be reached in {of}; what follows is of the nearest")
        each = spent / self._progress.frames
        done = FilmSampled(
            path=self._film.path,
            frames=frames,
            sampled=self._progress.frames,
            stretches=len(found),
            scale=float(scale),
            **estimate,
            **self._quality(scale),
            fps=round(1 / each, 3),
            seconds=round(once + each * frames, 1),
            elapsed=round(time.monotonic() - began, 1),
            notes=self._notes,
        )
        self._store.remove()
        self._listen(done)
        return done

    def _tell(self, *texts: str) -> None:
        for text in texts:
            if text not in self._notes:
                self._notes.append(text)
                self._listen(Note(text))

    # --- as `encode` begins ---------------------------------------------------------------------------------------

    def _checked(self) -> SideTracks:
        """What accompanies the pictures."""
        film, settings = self._film, self._settings
        beside = Beside(film.path, film.clock, film.until, settings.audio, settings.subtitles)
        return check_side(beside, self._info, self._container, self._path, self._listen)

    def _begin(self, control: RateControl, beside: int) -> Fraction:
        """The base's scale, and where rate control starts, by the film's first segment."""
        info, settings = self._info, self._settings
        first = next(split(self._film.since(Fraction(0)), info), None)
        if first is None:
            raise InputError(f"{self._film.name} holds no pictures")
        if settings.target_size is not None:
            keeper = SizeKeeper(settings, info, self._store, self._progress, beside)
            control.share(keeper.room, float(info.duration))
        scale, control.crf = choose_scale(first, info, settings, control.bytes_per_second, silent)
        self._listen(ScaleChosen(float(scale), control.crf))
        return scale

    # --- reading ------------------------------------------------------------------------------------------------

    def _read(self, start: float, end: float) -> Iterator[Frame]:
        tick = self._info.time_base
        yield from takewhile(lambda frame: frame.pts * tick < end, self._film.since(Fraction(start)))

    def _looked(self) -> float:
        """The share of pictures that begin a segment."""
        cutter, begun, pictures = Cutter(self._info), 0, 0
        for number, stretch in enumerate(self._stretches):
            cutter.leap()
            for frame in self._read(*stretch.looked):
                begun += cutter.begins(frame)
                pictures += 1
            self._listen(Share("looking", (number + 1) / len(self._stretches)))
        return begun / max(pictures, 1)

    def _segments(self) -> Iterator[list[Frame]]:
        """Of all stretches, each cut as the film would be."""
        for number, stretch in enumerate(self._stretches):
            began = time.monotonic()
            frames = self._read(*stretch.encoded)
            first = next(frames, None)
            self._on_the_way += time.monotonic() - began
            for segment in split(chain([first], frames), self._info) if first else ():
                self._owners.append(number)
                yield segment
                del segment

    # --- encoding -----------------------------------------------------------------------------------------------

    def _encode(self, scale: Fraction, control: RateControl) -> float:
        """Encode the stretches; the seconds that it took."""
        progress, settings = self._progress, self._settings
        progress.expected = lambda frames, first: Effort(settings, self._info, scale, frames).stages()
        began = time.monotonic()
        with closing(Here()) as workers:
            Lanes(self._film, settings, scale, control, self._store, workers, progress).run(self._segments())
        if not progress.frames:
            raise InputError(f"{self._film.name} holds no pictures where it is sampled")
        return time.monotonic() - began - self._on_the_way

    def _found(self) -> list[_Found]:
        """What came of each stretch that has pictures."""
        found: dict[int, _Found] = {}
        for index, owner in enumerate(self._owners):
            segment = self._store.get(index)
            assert segment is not None
            found.setdefault(owner, _Found()).add(segment)
        return list(found.values())

    # --- what is told of it ---------------------------------------------------------------------------------------

    def _estimate(self, found: list[_Found], share: float, frames: int, beside: int) -> dict[str, Any]:
        """Sizes of the whole, of so many `frames`, and the range of what stretches hint at."""
        total = _Found(*(sum(part) for part in zip(*map(astuple, found), strict=True)))
        hints = np.array([one.each(share) for one in found]) * frames
        video = total.each(share) * frames
        unsure = 0.0
        if len(found) > 1:
            unsure = SPREAD * float(hints.std(ddof=1)) * math.sqrt((1 - total.pictures / frames) / len(found))
        to_rate = 8 / 1000 / float(self._info.duration)
        psnrs = [one.psnr_sum / one.pictures for one in found]
        return {
            "bytes": round(beside + video),
            "bytes_low": round(beside + max(video - unsure, 0)),
            "bytes_high": round(beside + video + unsure),
            "beside_bytes": beside,
            "kbps": round(video * to_rate, 1),
            "kbps_low": round(float(hints.min()) * to_rate, 1),
            "kbps_high": round(float(hints.max()) * to_rate, 1),
            "psnr_low": round(min(psnrs), 3),
            "psnr_high": round(max(psnrs), 3),
        }

    def _quality(self, scale: Fraction) -> dict[str, Any]:
        """Of the sampled pictures, decoded from a file that holds them alone, on the source's own samples."""
        info = self._info
        size = base_size(info.width, info.height, scale)
        write_film(self._path, self._store.units(len(self._owners)), info, size)
        settings = self._settings
        film = Film(self._path, device=settings.device, threads=settings.threads, limits=_ANY)
        psnrs, ssims, xpsnr = [], [], Xpsnr(info)
        source = chain.from_iterable(self._read(*stretch.encoded) for stretch in self._stretches)
        for frame, shown in zip(source, film.frames(), strict=True):
            psnrs.append(plane_psnrs(shown.planes, frame.planes, info.format.peak))
            ssims.append(ssim(frame.planes[0], shown.planes[0], info.format.peak))
            xpsnr.add(frame.planes, shown.planes)
            if len(psnrs) % 8 == 0:
                self._listen(Share("measuring", len(psnrs) / self._progress.frames))
        psnr_y, psnr_u, psnr_v = (*(round(float(p), 3) for p in np.mean(psnrs, 0)), None, None)[:3]
        likeness, seen = float(np.mean(ssims)), xpsnr.value()
        return {
            "psnr": round(weighted(np.array(psnrs)), 3),
            "psnr_y": psnr_y,
            "psnr_u": psnr_u,
            "psnr_v": psnr_v,
            "ssim": None if math.isnan(likeness) else round(likeness, 5),
            "xpsnr": None if seen is None else round(seen, 3),
        }
