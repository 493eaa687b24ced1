"""`codec encode` as a function: a film's pictures into an .nvc file; the mirror of `codec.film.decode`.

    source ──check_side──> other tracks ─────────────────────────────────────────────────────┐
       └─────split──> segments ──Lanes, Workers──> temporal units + payloads ──Store──> write_film ──> out.nvc

What the other tracks will be is known before the first segment is encoded, and the source must stay what it was then.
Memory is bounded by one segment for each lane. The target appears whole or not at all.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import islice

from ..base.resample import base_size
from ..errors import (
    FormatError,
    InputError,
    NoRoom,
    NvcError,
    OutputError,
    Refused,
    SourceChanged,
    SourceDamaged,
    TargetExists,
    Unsteady,
    UsageError,
    unwritable,
)
from ..events import Event, FilmEncoded, Kernels, Listener, Note, ScaleChosen, SegmentStats, SourceOpened, Stage, silent
from ..frames import Frame, VideoInfo
from ..jobs.lanes import Lanes
from ..jobs.progress import Progress
from ..jobs.store import Store, store_key
from ..jobs.workers import Here, Processes, Workers
from ..limits import DEFAULT, Limits
from ..machine import device_of, use_threads
from ..media.beside import Beside
from ..media.files import STDOUT, check_not_same, is_pipe
from ..media.parts import Part, check_target
from ..media.room import short_of_room
from ..media.source import Source
from ..segment.effort import Effort
from ..segment.payload import check_film
from ..segment.rate import RateControl
from ..segment.scenes import split
from ..segment.target import Target, quality_of
from ..settings import FLAC, JOBS_MAX, Settings
from ..wire.obu import TemporalUnit
from .containers import Container, container_of
from .scale import choose_scale
from .size import SizeKeeper, TooLarge, bytes_beside, room_needed
from .sources import source_of
from .writer import SideTracks, check_side, write_film


@dataclass(frozen=True)
class Encoded:
    """What was encoded. `psnr`: dB, PSNR-YUV as measured by the encoder, mean over pictures; `quality`: as in
    `FilmEncoded`; `notes`: sentences about what was not kept or not reached."""

    path: str
    bytes: int
    frames: int
    seconds: float
    psnr: float
    scale: float
    segments: list[SegmentStats]
    notes: list[str]
    quality: float | None = None


def encode(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    settings: Settings | None = None,
    *,
    overwrite: bool = False,
    resume: bool = False,
    best_effort: bool = False,
    jobs: int | None = None,
    cluster: str | None = None,
    limits: Limits = DEFAULT,
    patience: float | Fraction | None = None,
    listen: Listener = silent,
) -> Encoded:
    """Encode the film at `source` (see `source_of`; "-": standard input) to the .nvc file `target`: Matroska where that
    ends in .mkv, WebM where it ends in .webm, else MP4.

    `best_effort`: pictures of a source that are damaged are left out, and one that changes its size ends there; notes
    say so.
    `jobs`: segments encoded at a time, each by a process of its own (default: one, by this process); `cluster`: the
    address of a Dask scheduler whose workers do it instead, `jobs` or as many as there are at a time. On like machines
    the bytes are the same in any case. `patience`: seconds that a cluster may be without workers, 1800 by default; that
    is told at once and every minute. `limits`: of what is decoded by this project, animations and .nvc films.

    Raises InputError, OutputError, UsageError or WorkerError; then nothing is at `target` that was not there before.
    Finished segments stay beside it and `resume` takes them up where source and settings are the same.
    """
    settings = settings or Settings()
    source, target = os.fspath(source), os.fspath(target)
    if target == STDOUT:
        raise UsageError("a film is not written to standard output: its index, which comes last, begins the file")
    check_not_same(source, target)
    container = container_for(target, settings)
    check_target(target, overwrite)
    if is_pipe(source) and (resume or cluster or jobs not in (None, 1)):
        raise UsageError("standard input can be read only once: {}, {} and {} need a file", "resume", "jobs", "cluster")
    if jobs is not None and not 1 <= jobs <= JOBS_MAX:
        raise UsageError(f"{{}} must lie in 1..{JOBS_MAX}", "jobs")
    if patience is not None and (cluster is None or not 0 <= patience < math.inf):
        raise UsageError("{} goes with {}, and is not negative", "patience", "cluster")
    use_threads(settings.threads)
    with source_of(source, settings.threads, best_effort, limits, settings.device) as film:
        check_options(film, settings)
        workers, settings = _workers(jobs, cluster, patience, settings, listen)
        with closing(workers):
            work = _Work(film, target, container, settings, overwrite, resume, listen, workers)
            try:
                return work.run()
            except BaseException as error:
                kept = work.store.leave(keep=not is_pipe(source) and not isinstance(error, TooLarge | Unsteady))
                if kept and isinstance(error, KeyboardInterrupt | MemoryError):
                    error.add_note(_advice(kept, error))
                if kept and isinstance(error, NvcError) and work.encoding:
                    raise type(error)(f"{error}; {_advice(kept, error)}") from None
                raise


def container_for(target: str, settings: Settings) -> Container:
    """What `target` is written in. Raises UsageError where that does not hold what the settings ask for."""
    container = container_of(target)
    if container.whole_sound and settings.audio == FLAC:
        raise UsageError(
            f"{container.format} holds no FLAC: let the target end in .mkv or .nvc, or ask for {{}} opus", "audio"
        )
    return container


def _advice(kept: int, error: BaseException) -> str:
    """What to do with so many finished segments, where `error` ended the work."""
    them = "it" if kept == 1 else "them"
    what = "1 finished segment is kept" if kept == 1 else f"{kept} finished segments are kept"
    if isinstance(error, SourceDamaged):
        return f"{what}, --resume --best-effort goes on behind the damage, or ends the film there"
    if isinstance(error, SourceChanged):
        return f"{what}, --resume goes on from {them} where the film is again what it was"
    if isinstance(error, NoRoom):
        return f"{what}, --resume goes on from {them} once there is room"
    if isinstance(error, TargetExists):
        return f"{what}, --resume --overwrite goes on from {them}"
    if isinstance(error, InputError | FormatError | Refused):
        return f"{what}, but --resume would end alike"
    return f"{what}, --resume goes on from {them}"


def _workers(
    jobs: int | None, cluster: str | None, patience: float | Fraction | None, settings: Settings, listen: Listener
) -> tuple[Workers, Settings]:
    """Who encodes, and with which settings: processes on one machine share its cores."""
    if cluster is not None:
        from ..jobs.cluster import PATIENCE, Cluster  # brings Dask, which nothing else needs

        longest = PATIENCE if patience is None else float(patience)
        return Cluster(cluster, jobs, longest, lambda text: listen(Note(text))), settings
    if jobs is None or jobs == 1:
        return Here(), settings
    cores = settings.threads or os.cpu_count() or 1
    return Processes(jobs), replace(settings, threads=max(1, cores // jobs))


def check_options(film: Source, settings: Settings) -> None:
    """Raise InputError or UsageError where a film cannot be encoded with such settings."""
    _check_exact(film, settings)
    if settings.target_size is not None and not (film.info.duration and not is_pipe(film.path)):
        raise UsageError("{} needs a film whose length is known", "target_size")
    if target := Target.of(settings):
        target.check(film.info, film.name)
    device_of(settings.device)


def _check_exact(film: Source, settings: Settings) -> None:
    if settings.max_error == 0 and not film.exact:
        raise InputError(f"{film.name} cannot be stored losslessly: {'; '.join(film.notes)}")


class _Work:
    """One encode under way."""

    def __init__(
        self,
        film: Source,
        target: str,
        container: Container,
        settings: Settings,
        overwrite: bool,
        resume: bool,
        listen: Listener,
        workers: Workers,
    ):
        self.film, self.target, self.settings, self.workers = film, target, settings, workers
        self.overwrite = overwrite
        self.info: VideoInfo = film.info
        self.container = container
        self.container.check(film.name, film.info)
        self.store = Store(target, store_key(film.identity.content(), settings.key()), resume)
        self.progress = Progress(film.info.frames, listen, self._expected(settings.scale or Fraction(1)))
        self.notes: list[str] = []
        self.side: SideTracks | None = None  # what accompanies the pictures; of a pipe nothing does
        self.encoding = False  # whether segments are
        self.keeper: SizeKeeper | None = None

    def _expected(self, scale: Fraction) -> Callable[[int, bool], Mapping[str, float]]:
        """What the stages of a segment are expected to take."""
        return lambda frames, first: Effort(self.settings, self.info, scale, frames).stages(first)

    def run(self) -> Encoded:
        info = self.info
        opened = SourceOpened(info.width, info.height, info.format.av_name, float(info.rate), info.frames)
        self.progress.tell(opened)
        if self.film.accompanied:
            self.side = self._checked()
        self._tell_notes()
        self._tell_room()
        self.encoding = True
        segments = self._segments()
        first = list(islice(segments, 1))
        if not first:
            raise InputError(f"{self.film.name} holds no pictures")
        scale, control = self._begin(first[0])
        watcher = self.keeper or self.progress
        lanes = Lanes(self.film, self.settings, scale, control, self.store, self.workers, watcher)
        lanes.run(_emptied(first, segments))
        return self._write(scale, control, lanes)

    def _checked(self) -> SideTracks:
        """What accompanies the pictures, as far as is known of where they end."""
        film, settings = self.film, self.settings
        beside = Beside(film.path, film.clock, film.until, settings.audio, settings.subtitles)
        side = check_side(beside, self.info, self.container, self.target, self.progress.tell)
        film.identity.check()
        return side

    def _segments(self) -> Iterator[list[Frame]]:
        """The film's segments, as long as it stays what it was: its sound is read when all are encoded."""
        for frames in split(self.film.frames(), self.info):
            self.film.identity.check()
            _check_exact(self.film, self.settings)  # which damage may end
            yield frames
            del frames  # while the next one is read

    def _begin(self, frames: list[Frame]) -> tuple[Fraction, RateControl]:
        """What the film's first segment decides for all of it: the base's scale, and where rate control starts."""
        info, settings = self.info, self.settings
        control = RateControl(settings, settings.start_crf)
        if settings.target_size is not None:
            with self._part() as part:
                beside = bytes_beside(part.path, info, self.container, self.side)
            self.keeper = SizeKeeper(settings, info, self.store, self.progress, beside)
            control.share(self.keeper.room, float(info.duration))

        def listen(event: Event) -> None:
            if isinstance(event, Stage):
                self.progress.under_way(0, len(frames), event)

        scale, control.crf = choose_scale(frames, info, settings, control.bytes_per_second, listen)
        self.progress.expected = self._expected(scale)
        self.progress.tell(ScaleChosen(float(scale), control.crf))
        return scale, control

    def _write(self, scale: Fraction, control: RateControl, lanes: Lanes) -> Encoded:
        size = base_size(self.info.width, self.info.height, scale)
        stats = self.progress.stats
        if self.side is not None and self.side.beside.until != self.film.until:  # told by the pictures' end
            self.side = self._checked()
        with self._part() as part:

            def write(units: Iterator[TemporalUnit]) -> list[str]:
                return write_film(part.path, units, self.info, size, self.side, self.container)

            self.film.identity.check()
            if self.keeper is None:
                self.progress.writing()
                lost = write(self.store.units(len(stats)))
            else:
                lost = self.keeper.write(part.path, lanes, write)
            self.film.identity.check()
            part.finish()
        self.store.remove()
        self._tell_notes(lost)
        frames = self.progress.frames
        segments = [found for _, found in sorted(stats.items())]
        psnr = sum(s.psnr * s.frames for s in segments) / frames
        quality = quality_of(segments, self.settings.worst)
        size_written = os.path.getsize(self.target)
        self._note_missed(control, segments)
        self._note_limits()
        seconds = self.progress.seconds
        if kernels := sorted({s.kernel for s in segments if s.kernel}):
            self.progress.tell(Kernels(kernels))
        done = FilmEncoded(self.target, size_written, frames, round(seconds, 2), round(psnr, 3), float(scale), quality)
        self.progress.tell(done)
        return Encoded(self.target, size_written, frames, seconds, psnr, float(scale), segments, self.notes, quality)

    @contextmanager
    def _part(self) -> Iterator[Part]:
        """Where the film is written before it takes its place; what is left there is removed, and errors name the
        target."""
        try:
            part = Part(self.target, self.overwrite)
            try:
                yield part
            except OutputError as error:
                raise type(error)(str(error).replace(part.path, self.target)) from None
            finally:
                part.discard()
        except OSError as error:
            raise unwritable(f"{self.target} cannot be written", error) from None

    def _note(self, text: str) -> None:
        self.notes.append(text)
        self.progress.tell(Note(text))

    def _tell_notes(self, lost: Sequence[str] = ()) -> None:
        """Tell what was not told yet of the source, its other tracks, and what the file has `lost`."""
        for text in (*self.film.notes, *(self.side.notes if self.side else ()), *lost):
            if text not in self.notes:
                self._note(text)

    def _tell_room(self) -> None:
        """Tell where the disk looks too small for what is still to be written."""
        needed = room_needed(self.settings, self.info, self.side.bytes if self.side else 0) - self.store.bytes
        if short := short_of_room(self.target, needed, "the film"):
            self.progress.tell(Note(short))

    def _note_limits(self) -> None:
        """Tell where decoding needs more than what is allowed unless a user says so."""
        assert self.progress.hardest is not None
        try:
            check_film(self.progress.hardest, DEFAULT)
        except FormatError as error:
            self._note(f"decoding will ask for options: {error}")

    def _note_missed(self, control: RateControl, stats: list[SegmentStats]) -> None:
        missed = sum(not s.met for s in stats)
        if missed and self.keeper is None:  # a size is kept by the film as a whole
            of = f"{missed} of {len(stats)} segments"
            self._note(f"{control.wish} could not be reached in {of}; the nearest was kept")


def _emptied(first: list[list[Frame]], rest: Iterator[list[Frame]]) -> Iterator[list[Frame]]:
    """What is in `first`, which is not held on to, and then the rest."""
    yield first.pop()
    yield from rest
