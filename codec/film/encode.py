"""`codec encode` as a function: a film's pictures into an .nvc file; the mirror of `codec.film.decode`.

    source ──split──> segments ──Lanes, Workers──> temporal units + payloads ──Store──> write_film ──> out.nvc

Memory is bounded by one segment for each lane. The target appears whole or not at all.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import islice

from ..base.resample import base_size
from ..errors import FormatError, InputError, NvcError, OutputError, UsageError
from ..events import Event, FilmEncoded, Listener, Note, ScaleChosen, SegmentStats, SourceOpened, Stage, silent
from ..frames import Frame, VideoInfo
from ..jobs.lanes import Lanes
from ..jobs.progress import Progress
from ..jobs.store import Store, store_key
from ..jobs.workers import Here, Processes, Workers
from ..limits import DEFAULT
from ..machine import device_of, use_threads
from ..media.files import STDIN, check_not_same, check_target, content_key, part_path, put_in_place
from ..media.side_streams import sound_bytes
from ..media.source import Source, open_source
from ..segment.effort import Effort
from ..segment.payload import check_film
from ..segment.rate import RateControl
from ..segment.scenes import split
from ..settings import JOBS_MAX, Settings
from .scale import choose_scale
from .writer import write_film


@dataclass(frozen=True)
class Encoded:
    """What was encoded. `psnr`: dB, PSNR-YUV as measured by the encoder, mean over pictures; `notes`: sentences about
    what was not kept or not reached."""

    path: str
    bytes: int
    frames: int
    seconds: float
    psnr: float
    scale: float
    segments: list[SegmentStats]
    notes: list[str]


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
    listen: Listener = silent,
) -> Encoded:
    """Encode the film at `source` ("-": y4m on standard input) to the .nvc file `target`.

    `best_effort`: a source that is damaged, or changes its size, is encoded up to there, and a note says so.
    `jobs`: segments encoded at a time, each by a process of its own (default: one, by this process); `cluster`: the
    address of a Dask scheduler whose workers do it instead, `jobs` or as many as there are at a time. On like machines
    the bytes are the same in any case.

    Raises InputError, OutputError, UsageError or WorkerError; then nothing is at `target` that was not there before.
    Finished segments stay beside it and `resume` takes them up where source and settings are the same.
    """
    settings = settings or Settings()
    source, target = os.fspath(source), os.fspath(target)
    check_not_same(source, target)
    check_target(target, overwrite)
    if source == STDIN and (resume or cluster or jobs not in (None, 1)):
        raise UsageError("standard input can be read only once: --resume, --jobs and --cluster need a file")
    if jobs is not None and not 1 <= jobs <= JOBS_MAX:
        raise UsageError(f"jobs must lie in 1..{JOBS_MAX}")
    use_threads(settings.threads)
    with open_source(source, settings.threads, best_effort) as film:
        _check_options(film, settings)
        workers, settings = _workers(jobs, cluster, settings)
        with closing(workers):
            work = _Work(film, target, settings, resume, listen, workers)
            try:
                return work.run()
            except BaseException as error:
                kept = work.store.leave(keep=source != STDIN)
                if kept and isinstance(error, NvcError):
                    how = "--resume goes on from them"
                    if isinstance(error, InputError) and not best_effort:
                        how = "--resume --best-effort writes the film up to there"
                    raise type(error)(f"{error}; {kept} finished segments are kept, {how}") from None
                raise


def _workers(jobs: int | None, cluster: str | None, settings: Settings) -> tuple[Workers, Settings]:
    """Who encodes, and with which settings: processes on one machine share its cores."""
    if cluster is not None:
        from ..jobs.cluster import Cluster  # brings Dask, which nothing else needs

        return Cluster(cluster, jobs), settings
    if jobs is None or jobs == 1:
        return Here(), settings
    cores = settings.threads or os.cpu_count() or 1
    return Processes(jobs), replace(settings, threads=max(1, cores // jobs))


def _check_options(film: Source, settings: Settings) -> None:
    if settings.max_error == 0 and not film.exact:
        raise InputError(f"{film.name} cannot be stored losslessly: {'; '.join(film.notes)}")
    if settings.target_size is not None and not (film.info.duration and film.path != STDIN):
        raise UsageError("a target size needs a film whose length is known")
    device_of(settings.device)


class _Work:
    """One encode under way."""

    def __init__(self, film: Source, target: str, settings: Settings, resume: bool, listen: Listener, workers: Workers):
        self.film, self.target, self.settings, self.workers = film, target, settings, workers
        self.info: VideoInfo = film.info
        content = content_key(film.path) if film.path != STDIN else b"standard input"
        self.store = Store(target, store_key(content, settings.key()), resume)
        self.progress = Progress(film.info.frames, listen, self._expected(settings.scale or Fraction(1)))
        self.notes: list[str] = []

    def _expected(self, scale: Fraction) -> Callable[[int, bool], Mapping[str, float]]:
        """What the stages of a segment are expected to take."""
        return lambda frames, first: Effort(self.settings, self.info, scale, frames).stages(first)

    def run(self) -> Encoded:
        info = self.info
        opened = SourceOpened(info.width, info.height, info.format.av_name, float(info.rate), info.frames)
        self.progress.tell(opened)
        segments = split(self.film.frames(), info)
        first = list(islice(segments, 1))
        if not first:
            raise InputError(f"{self.film.name} holds no pictures")
        scale, control = self._begin(first[0])
        lanes = Lanes(self.film, self.settings, scale, control, self.store, self.workers, self.progress)
        lanes.run(_emptied(first, segments))
        return self._write(scale, control)

    def _begin(self, frames: list[Frame]) -> tuple[Fraction, RateControl]:
        """What the film's first segment decides for all of it: the base's scale, and where rate control starts."""
        info, settings = self.info, self.settings
        control = RateControl(settings, settings.start_crf)
        if settings.target_size is not None:
            control.share_size(sound_bytes(self.film.path), info.frames, info.duration)

        def listen(event: Event) -> None:
            if isinstance(event, Stage):
                self.progress.under_way(0, len(frames), event)

        scale, control.crf = choose_scale(frames, info, settings, control.bytes_per_second, listen)
        self.progress.expected = self._expected(scale)
        self.progress.tell(ScaleChosen(float(scale), control.crf))
        return scale, control

    def _write(self, scale: Fraction, control: RateControl) -> Encoded:
        size = base_size(self.info.width, self.info.height, scale)
        part = part_path(self.target)
        sound = self.film.path if self.film.path != STDIN else None
        stats = [found for _, found in sorted(self.progress.stats.items())]
        self.progress.writing()
        try:
            lost = write_film(part, self.store.units(len(stats)), self.info, size, sound)
            put_in_place(part, self.target)
        except OSError as error:
            raise OutputError(f"{self.target} cannot be written: {error.strerror}") from None
        except OutputError as error:
            raise OutputError(str(error).replace(part, self.target)) from None
        finally:
            if os.path.exists(part):
                os.unlink(part)
        self.store.remove()
        for text in (*self.film.notes, *lost):
            self._note(text)
        frames = self.progress.frames
        psnr = sum(s.psnr * s.frames for s in stats) / frames
        size_written = os.path.getsize(self.target)
        self._note_missed(control, stats, size_written)
        self._note_limits()
        seconds = self.progress.seconds
        done = FilmEncoded(self.target, size_written, frames, round(seconds, 2), round(psnr, 3), float(scale))
        self.progress.tell(done)
        return Encoded(self.target, size_written, frames, seconds, psnr, float(scale), stats, self.notes)

    def _note(self, text: str) -> None:
        self.notes.append(text)
        self.progress.tell(Note(text))

    def _note_limits(self) -> None:
        """Tell where decoding needs more than what is allowed unless a user says so."""
        assert self.progress.hardest is not None
        try:
            check_film(self.progress.hardest, DEFAULT)
        except FormatError as error:
            self._note(f"decoding will ask for options: {error}")

    def _note_missed(self, control: RateControl, stats: list[SegmentStats], size: int) -> None:
        missed = sum(not s.met for s in stats)
        if missed:
            of = f"{missed} of {len(stats)} segments"
            self._note(f"{control.wish} could not be reached in {of}; the nearest was kept")
        wish = self.settings.target_size
        if wish is not None and size > wish * 1e6:
            self._note(f"the file is {size / 1e6:.3f} MB, above the {wish:g} MB asked for")


def _emptied(first: list[list[Frame]], rest: Iterator[list[Frame]]) -> Iterator[list[Frame]]:
    """What is in `first`, which is not held on to, and then the rest."""
    yield first.pop()
    yield from rest
