"""One segment from pictures to temporal units: the mirror of `codec.segment.decoder`.

    pictures ──> AV1 ──> base pictures ──Chooser──> head, loss-stream ──Passes──┬──> payloads: header, head, residuals
                                                                                └──> units

A segment is a closed group of pictures. What encodes it takes its frames, the settings and the segment before it (or
None), and returns bytes; it reads and writes nothing else, so segments can be encoded anywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property

import numpy as np

from heads.density.store import Family

from ..base.coded import Base
from ..errors import FormatError
from ..events import Listener, SegmentStats, silent
from ..frames import Frame, VideoInfo
from ..loss.changes import split_changes
from ..loss.coder import LossSettings
from ..loss.modes import FILM_MODES, TRANSFORM
from ..settings import Settings
from ..wire.obu import TemporalUnit, inject, with_messages
from .choice import Choice, Chooser, lambda_of, price_of
from .fit_density import DensityFit
from .fit_steering import steering_of, told_before
from .head import Head
from .passes import Passes, Run
from .payload import STEERED, SegmentHeader, read_residual, read_segment, write_residual, write_segment
from .steering import split_steering


@dataclass(frozen=True)
class Segment:
    """A finished segment: its units, the first of which begins with `header`; its head and `changes` of the density
    heads, by their numbers, for the next one to refer to; and what the encoder knows of it."""

    units: tuple[TemporalUnit, ...]
    header: SegmentHeader
    head: Head | None
    changes: Mapping[int, bytes]
    stats: SegmentStats

    @cached_property
    def bytes(self) -> int:
        """Of all units, as they lie in a file; put together once, as many ask."""
        return sum(len(inject(u.data, u.payloads)) for u in self.units)

    @classmethod
    def read(cls, units: tuple[TemporalUnit, ...], head: Head | None, stats: SegmentStats) -> Segment:
        """A segment that was kept: header and changes are read from its units. Raises FormatError."""
        payloads = units[0].payloads if units else ()
        if not payloads:
            raise FormatError("the segment header is missing")
        header = read_segment(payloads[0])
        changes: Mapping[int, bytes] = {}
        if FILM_MODES[header.loss_kind].heads and len(payloads) > 1:
            changes, _ = split_changes(read_residual(payloads[1]))
        return cls(units, header, head, changes, stats)


class SegmentEncoder:
    """Encodes the pictures of one segment. `frames` share one size and `info.format`. Stages go to `listen`."""

    def __init__(
        self,
        frames: Sequence[Frame],
        info: VideoInfo,
        settings: Settings,
        scale: Fraction,
        listen: Listener = silent,
    ):
        self.frames, self.info, self.settings, self.scale = frames, info, settings, scale
        self.passes = Passes(frames, info, settings, scale, listen)
        self._begun: dict[float, Future[Base]] = {}

    # --- base ---------------------------------------------------------------------------------------------------

    def base(self, crf: float, preset: int | None = None) -> Base:
        """Code the segment's base and decode it again. `preset`: SVT-AV1's, if not that of the settings."""
        if preset is None and (begun := self._begun.pop(crf, None)):
            while not wait([begun], 1).done:  # now and then, as Windows does not interrupt a thread that waits
                pass
            return begun.result()
        return self.passes.base(crf, preset)

    def begin(self, crf: float) -> Callable[[], None]:
        """What codes the base on another thread; whoever asks for the base waits for that, and gets what it raises."""
        begun = self._begun[crf] = Future()

        def code() -> None:
            try:
                begun.set_result(self.passes.base(crf))
            except BaseException as error:
                begun.set_exception(error)

        return code

    # --- head and loss-stream -----------------------------------------------------------------------------------

    def finish(self, base: Base, previous: Segment | None = None) -> Segment:
        """Choose the head and the loss-stream, code them, and put the segment together. `previous`: the segment before
        it, whose heads this one may refer to."""
        if self.settings.max_error is not None:
            choice = self._within(base, self.settings.max_error, previous.changes if previous else {})
        else:
            choice = Chooser(self.passes, base, previous.head if previous else None).choose()
        return self._assemble(base, choice)

    def again(self, base: Base, segment: Segment) -> Segment:
        """`segment` with another base: with the head and the loss-stream that were chosen for it, so that whatever
        refers to its head still does."""
        header = segment.header
        told = self.passes.differences(base, segment.stats.crf) if told_before(header, segment.head) else []
        loss = LossSettings(FILM_MODES[header.loss_kind], step=header.loss_step)
        lam = lambda_of(header.loss_step, header.format) if loss.mode and self.settings.loss == "auto" else None
        choice = Choice(
            head=segment.head,
            head_kind=header.head_sent,
            head_data=split_steering(header.head)[1] if header.steered else header.head,
            reference=header.reference,
            loss=loss,
            lam=lam,
            gain=segment.stats.head_gain,
            told=told,
        )
        return self._assemble(base, choice)

    def bare(self, base: Base) -> Segment:
        """The segment with the least that it can have: no head, and no loss-stream but one that the settings name."""
        wanted = self.settings.loss
        loss = LossSettings(TRANSFORM, step=wanted) if isinstance(wanted, int) else LossSettings()
        return self._assemble(base, Choice(loss=loss))

    def _within(self, base: Base, max_error: int, changes: Mapping[int, bytes]) -> Choice:
        """Every sample within a bound of the source: the base as it is, and density heads that learn from the segment.
        They see what a head that restores would see, and do its work."""
        agenda = self.passes.begin("head", self.passes.effort.density())
        restorer, preset = self.passes.restorer(None), self.passes.preset
        with agenda.part(self.passes.effort.density()):
            steps = preset.density if self.settings.head else 0
            found = DensityFit(Family(preset.bound.heads), steps, changes, self.passes.device).run(
                [f.planes for f in self.frames],
                lambda k: restorer.predict(base.pictures[k]),
                self.info.format,
                max_error,
                agenda.tell,
            )
        return Choice(loss=LossSettings(preset.bound, max_error=max_error), changes=found)

    # --- pictures -----------------------------------------------------------------------------------------------

    def _assemble(self, base: Base, choice: Choice) -> Segment:
        seconds = self.passes.effort.restoring()
        with self.passes.begin("restore", seconds).part(seconds):
            run, steering = self._steered(base, choice)
        header = self._header(choice, run, steering)
        units = []
        for k, (packet, residual) in enumerate(zip(base.packets, run.residuals, strict=True)):
            payloads = [write_segment(header)] if k == 0 else []
            if residual is not None:
                payloads.append(write_residual(residual))
            data = with_messages(packet.data, self.frames[k].messages)
            units.append(TemporalUnit(data, packet.pts, self._duration(k), k == 0, tuple(payloads)))
        return Segment(tuple(units), header, choice.head, choice.changes, self._stats(base, choice, run, header))

    def _steered(self, base: Base, choice: Choice) -> tuple[Run, bytes]:
        """The pass over all pictures, and how the head is steered in it: in blocks where they are worth their bytes."""

        def run(price: float | None) -> tuple[Run, bytes]:
            found = self.passes.run(
                base, choice.head, choice.loss, choice.lam,
                changes=choice.changes, known=choice.known, told=choice.told, price=price,
            )  # fmt: skip
            return found, steering_of(found.steered, bool(spec and spec.base_q))

        spec = choice.head.spec if choice.head else None
        if spec is None or spec.history or choice.loss.mode:
            return run(None)
        price = price_of(base.bytes, len(self.frames))
        found, steering = run(price)
        whole = [replace(picture, blocks=np.ones_like(picture.blocks)) for picture in found.steered]
        more = len(steering) - len(steering_of(whole, spec.base_q))
        return (found, steering) if more <= 0 or found.won > 8 * more * price else run(None)

    def _duration(self, k: int) -> int:
        """Until the next picture; of the last one, what the source says or the distance to the one before."""
        frame = self.frames[k]
        if k + 1 < len(self.frames):
            return self.frames[k + 1].pts - frame.pts
        if frame.duration > 0:
            return frame.duration
        if k:
            return frame.pts - self.frames[k - 1].pts
        return max(1, round(1 / (self.info.rate * self.info.time_base)))

    # --- header -------------------------------------------------------------------------------------------------

    def _header(self, choice: Choice, run: Run, steering: bytes) -> SegmentHeader:
        head, spec = choice.head, choice.head.spec if choice.head else None
        return SegmentHeader(
            width=self.info.width,
            height=self.info.height,
            format=self.info.format,
            scale=self.scale,
            rate=self.info.rate.limit_denominator(1 << 20),
            frames=len(self.frames),
            group=run.group,
            psnr=run.psnr,
            head_kind=choice.head_kind | (STEERED if steering else 0),
            history=spec.history if spec else 0,
            gate=head.gate if head else 0,
            layers=spec.layers if spec else 0,
            head_width=spec.width if spec else 0,
            reference=choice.reference,
            loss_kind=choice.loss.mode.film,
            loss_step=choice.loss.step,
            max_error=choice.loss.max_error,
            head=steering + choice.head_data,
            used=np.packbits(run.used, bitorder="little").tobytes() if spec else b"",
            checksums=tuple(run.checksums),
        )

    def _stats(self, base: Base, choice: Choice, run: Run, header: SegmentHeader) -> SegmentStats:
        spec = choice.head.spec if choice.head else None
        changes = sum(map(len, choice.changes.values()))
        return SegmentStats(
            frames=len(self.frames),
            crf=base.crf,
            scale=float(self.scale),
            base_bytes=base.bytes,
            head_bytes=len(header.head) + changes,
            head=f"{spec.layers}x{spec.width}" if spec else "none",
            history=spec.history if spec else 0,
            loss_bytes=sum(len(r) for r in run.residuals if r is not None) - changes,
            psnr=run.psnr,
            base_psnr=base.psnr,
            head_gain=choice.gain,
            kernel=self.passes.restorer(choice.head).kernel or "",
            quality=run.quality,
            base_quality=base.quality,
        )
