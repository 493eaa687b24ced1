"""From a film to an .nvc file: the mirror of `codec.decode`.

    source ──split──> segments ──SegmentEncoder──> temporal units + payloads ──Job──> write_film ──> out.nvc

Memory is bounded by one segment. The target appears whole or not at all.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

from .container import write_film
from .errors import InputError, OutputError, UsageError
from .frames import Frame, VideoInfo
from .job import Job, job_key
from .rate import RateControl
from .resample import base_size
from .restore import use_threads
from .scale import choose_scale
from .scenes import split
from .segment import Segment, SegmentEncoder, device_of
from .settings import Settings
from .sinks import check_not_same, check_target, part_path
from .source import STDIN, Source, content_key, open_source
from .streams import sound_bytes

CHAIN = 6  # segments in a row whose heads are differences; then one stands alone, so that a cut film still decodes
STAGES = {"scale": (0.0, 0.1), "base": (0.0, 0.4), "head": (0.4, 0.85), "restore": (0.85, 1.0)}


@dataclass(frozen=True)
class Event:
    """What happens during an encode or decode. `kind`: "source", "scale", "progress", "segment", "note", "done";
    `data` has JSON types only."""

    kind: str
    data: dict[str, object]


Listener = Callable[[Event], None]


@dataclass(frozen=True)
class Encoded:
    """What an encode made. `psnr`: dB, PSNR-YUV as measured by the encoder, mean over pictures; `notes`: sentences
    about what was not kept or not reached."""

    path: str
    bytes: int
    frames: int
    seconds: float
    psnr: float
    scale: float
    segments: list[dict[str, float | int | str]]
    notes: list[str]


def encode(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    settings: Settings | None = None,
    *,
    overwrite: bool = False,
    resume: bool = False,
    listen: Listener = lambda event: None,
) -> Encoded:
    """Encode the film at `source` ("-": y4m on standard input) to the .nvc file `target`.

    Raises InputError, OutputError or UsageError; then nothing is at `target` that was not there before. Finished
    segments stay beside it and `resume` takes them up where source and settings are the same.
    """
    settings = settings or Settings()
    source, target = os.fspath(source), os.fspath(target)
    _check_paths(source, target, overwrite, resume)
    use_threads(settings.threads)
    with open_source(source, settings.threads) as film:
        _check_wishes(film, settings)
        work = _Work(film, target, settings, resume, listen)
        try:
            return work.run()
        except BaseException:
            work.job.leave(keep=source != STDIN)
            raise


def _check_paths(source: str, target: str, overwrite: bool, resume: bool) -> None:
    if source == STDIN and resume:
        raise UsageError("an encode of standard input cannot be resumed: it cannot be read again")
    check_not_same(source, target)
    check_target(target, overwrite)


def _check_wishes(film: Source, settings: Settings) -> None:
    if settings.max_error == 0 and not film.exact:
        raise InputError(f"{film.name} cannot be stored losslessly: {'; '.join(film.notes)}")
    if settings.target_size is not None and not (film.info.duration and film.path != STDIN):
        raise UsageError("a target size needs a film whose length is known")
    device_of(settings.device)


class _Work:
    """One encode under way."""

    def __init__(self, film: Source, target: str, settings: Settings, resume: bool, listen: Listener):
        self.film, self.target, self.settings, self.listen = film, target, settings, listen
        self.info: VideoInfo = film.info
        content = content_key(film.path) if film.path != STDIN else b"standard input"
        self.job = Job(target, job_key(content, settings.key()), resume)
        self.began = time.monotonic()
        self.frames = self.bytes = 0
        self.reached = 0.0
        self.stats: list[dict[str, float | int | str]] = []
        self.notes: list[str] = []

    def run(self) -> Encoded:
        info, settings = self.info, self.settings
        self.listen(
            Event(
                "source",
                {
                    "width": info.width,
                    "height": info.height,
                    "format": info.format.av_name,
                    "rate": float(info.rate),
                    "frames": info.frames,
                },
            )
        )
        scale: Fraction | None = None
        control = RateControl(settings, settings.start_crf)
        previous: Segment | None = None
        for index, frames in enumerate(split(self.film.frames(), info)):
            if scale is None:
                if settings.target_size is not None:
                    sound = sound_bytes(self.film.path)
                    control.share_size(sound, info.frames, info.duration)
                scale, control.crf = choose_scale(
                    frames, info, settings, control.bytes_per_second, self._report(0, len(frames))
                )
                self.listen(Event("scale", {"scale": float(scale), "crf": control.crf}))
            segment = self.job.load(index)
            if segment is None:
                segment = self._segment(index, frames, scale, control, previous)
                self.job.store(index, segment)
            seconds = float((frames[-1].pts - frames[0].pts) * info.time_base) + float(1 / info.rate)
            control.finished(segment.stats, seconds)
            self._done(index, segment)
            previous = segment
        if scale is None:
            raise InputError(f"{self.film.name} holds no pictures")
        return self._write(scale, control)

    def _segment(
        self, index: int, frames: list[Frame], scale: Fraction, control: RateControl, previous: Segment | None
    ) -> Segment:
        encoder = SegmentEncoder(frames, self.info, self.settings, scale, self._report(index, len(frames)))
        seconds = len(frames) / float(self.info.rate)
        base = control.base(encoder, seconds)
        known = previous if previous and previous.head and previous.run + 1 < CHAIN else None
        return encoder.finish(base, known, previous.changes if previous else None)

    def _report(self, index: int, frames: int) -> Callable[[str, float], None]:
        """Progress within a segment as progress of the film."""

        def report(stage: str, done: float) -> None:
            low, high = STAGES[stage]
            self._progress(stage, index, self.frames + frames * (low + (high - low) * done))

        return report

    def _progress(self, stage: str, index: int, frames: float) -> None:
        frames = self.reached = max(frames, self.reached)  # a stage that is run again is no step back
        elapsed = time.monotonic() - self.began
        total = max(self.info.frames, 0)
        speed = frames / elapsed if elapsed > 0 else 0.0
        self.listen(
            Event(
                "progress",
                {
                    "stage": stage,
                    "segment": index,
                    "frames": round(frames, 1),
                    "total": total,
                    "fps": round(speed, 2),
                    "eta": round((total - frames) / speed, 1) if total > frames and speed > 0 else None,
                    "bytes": self.bytes,
                    "elapsed": round(elapsed, 2),
                },
            )
        )

    def _done(self, index: int, segment: Segment) -> None:
        self.frames += len(segment.units)
        self.bytes += sum(len(u.data) + sum(map(len, u.payloads)) for u in segment.units)
        self.stats.append(segment.stats)
        self.listen(Event("segment", {"segment": index, **segment.stats}))
        self._progress("segment", index, self.frames)

    def _note(self, text: str) -> None:
        self.notes.append(text)
        self.listen(Event("note", {"text": text}))

    def _write(self, scale: Fraction, control: RateControl) -> Encoded:
        size = base_size(self.info.width, self.info.height, scale)
        part = part_path(self.target)
        sound = self.film.path if self.film.path != STDIN else None
        try:
            lost = write_film(part, self.job.units(len(self.stats)), self.info, size, sound)
            with open(part, "rb+") as file:
                os.fsync(file.fileno())
            os.replace(part, self.target)
        except OSError as error:
            raise OutputError(f"{self.target} cannot be written: {error.strerror}") from None
        finally:
            if os.path.exists(part):
                os.unlink(part)
        self.job.remove()
        for text in (*self.film.notes, *lost):
            self._note(text)
        psnr = sum(float(s["psnr"]) * int(s["frames"]) for s in self.stats) / self.frames
        bytes_written = os.path.getsize(self.target)
        self._note_missed(control, bytes_written)
        result = Encoded(
            self.target,
            bytes_written,
            self.frames,
            time.monotonic() - self.began,
            psnr,
            float(scale),
            self.stats,
            self.notes,
        )
        self.listen(
            Event(
                "done",
                {
                    "path": result.path,
                    "bytes": result.bytes,
                    "frames": result.frames,
                    "seconds": round(result.seconds, 2),
                    "psnr": round(psnr, 3),
                    "scale": result.scale,
                },
            )
        )
        return result

    def _note_missed(self, control: RateControl, size: int) -> None:
        if control.missed:
            self._note(
                f"{control.missed[0]} could not be reached in {len(control.missed)} of {len(self.stats)} segments; "
                "the nearest was kept"
            )
        wish = self.settings.target_size
        if wish is not None and size > wish * 1e6:
            self._note(f"the file is {size / 1e6:.3f} MB, above the {wish:g} MB asked for")
