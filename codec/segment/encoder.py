"""One segment from pictures to temporal units: base, head, loss-stream.

A segment is a closed group of pictures. What encodes it takes its frames, the settings and the head of the segment
before it (or None), and returns bytes; it reads and writes nothing else, so segments can be encoded anywhere.

Every choice (head or none, which one, history, loss-stream) is made by one measure, `score`: PSNR-YUV less what the
bytes are worth. `WORTH` is the slope of AV1's own rate-distortion curve, so a tool is used where it buys quality for
fewer bytes than a finer quantiser would.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction

import numpy as np
import torch
from numpy.typing import NDArray

from heads.exact import HeadError
from heads.restorer.fit import Example, Schedule, example, train
from heads.restorer.history import best_gate, gated
from heads.restorer.integer import check
from heads.restorer.planes import grid_of, pack
from heads.restorer.spec import HeadSpec
from heads.weights import encode_change, encode_layers

from ..base.av1 import BASE_Q_ZERO, BaseSettings, base_frames, base_q_of, encode_base
from ..base.coded import Base, BasePictures
from ..base.resample import base_size, downscale, plain_prediction, upscale
from ..frames import Frame, Plane, VideoInfo, channels_of, checksum, folds_of
from ..loss.changes import split_changes
from ..loss.coder import LossCoder, LossSettings
from ..loss.modes import DENSITY, TRANSFORM
from ..machine import device_of
from ..metrics import plane_psnrs, weighted
from ..settings import Settings
from ..wire.hdr import svt_hdr
from ..wire.obu import TemporalUnit
from . import payload
from .fit_density import Adapter
from .head import Head, film_head, write_pretrained
from .presets import PRESETS
from .restore import Restorer, Seen

WORTH = 3.0  # dB of PSNR-YUV for each factor e of rate; measured on AV1, see bench/NOTES.md
EXAMPLE_BYTES = 384 << 20  # of the pictures that a head learns from
EVALUATED = 16  # pictures that a comparison of heads looks at
LAYERS = 4
FILM_HEAD = 1  # number of the shipped head that films are encoded with
ADAPT_LEAST, ADAPT_MOST = 300, 1000  # batches that the shipped head learns from a segment
ADAPT_RATE = 2e-3  # of its gradient descent
ADAPT_PILOT = 0.5  # of them at first
ADAPT_WORTH = 0.01  # dB that the first must have brought for more to be tried
BASE_Q_FINER = 32  # told a quantiser finer than the truth by 8, a head often does better
ADAPT_COARSE = 4  # it changes in multiples of 2^4
GROUP = 8  # pictures under one checksum where nothing else is sent for each picture
OVERHEAD = 16  # bytes around a payload, about

Report = Callable[[str, float], None]  # stage, fraction done


@dataclass(frozen=True)
class Segment:
    """A finished segment, its head for the next one to refer to, and what the encoder knows of it."""

    units: tuple[TemporalUnit, ...]
    head: Head | None
    stats: dict[str, float | int | str]

    @property
    def changes(self) -> dict[int, bytes]:
        """What the segment changes of the density heads, by their numbers."""
        first = self.units[0].payloads
        if payload.read_segment(first[0]).loss_kind != DENSITY.film:
            return {}
        return split_changes(payload.read_residual(first[1]))[0]


@dataclass
class _Run:
    """One pass over the segment's pictures."""

    psnrs: NDArray[np.float64]
    residuals: list[bytes | None]
    checksums: list[int]
    outputs: list[list[Plane]]
    used: list[bool]  # whether the head predicted the picture

    @property
    def psnr(self) -> float:
        return weighted(self.psnrs)

    @property
    def bytes(self) -> int:
        return sum(len(r) + OVERHEAD for r in self.residuals if r is not None)


@dataclass(frozen=True)
class _Choice:
    """A way to code the segment and its score."""

    score: float
    head: Head | None = None
    head_kind: int = payload.NO_HEAD
    head_data: bytes = b""
    reference: int = 0
    loss: LossSettings = LossSettings()
    lam: float | None = None  # of the loss-stream; None: what suits its step
    gain: float = 0.0
    changes: Mapping[int, bytes] = field(default_factory=dict)  # of the density heads


_Trial = Callable[[_Choice, Head | None, int, bytes, int], _Choice]


class SegmentEncoder:
    """Encodes the pictures of one segment. `frames` share one size and `info.format`."""

    def __init__(
        self,
        frames: Sequence[Frame],
        info: VideoInfo,
        settings: Settings,
        scale: Fraction,
        report: Report = lambda stage, done: None,
    ):
        self.frames, self.info, self.settings, self.scale, self.report = frames, info, settings, scale, report
        self.preset = PRESETS[settings.preset]
        self.device = device_of(settings.device)
        self._small: list[list[Plane]] | None = None

    # --- base ---------------------------------------------------------------------------------------------------

    def _pictures(self) -> Sequence[list[Plane]]:
        if self.scale == 1 and self.info.format.chroma != "444":
            return _Lazy(lambda k: downscale(self.frames[k].planes, self.info.format, self.scale), len(self.frames))
        if self._small is None:
            self._small = [downscale(f.planes, self.info.format, self.scale) for f in self.frames]
        return self._small

    def base(self, crf: float, preset: int | None = None) -> Base:
        """Code the segment's base and decode it again."""
        mastering, light = svt_hdr(self.info.side_data)
        settings = BaseSettings(
            crf,
            self.preset.base if preset is None else preset,
            self.settings.threads,
            self.info.colour,
            mastering,
            light,
        )
        pts = [f.pts for f in self.frames]

        def watched() -> object:
            for k, picture in enumerate(self._pictures()):
                self.report("base", k / len(self.frames))
                yield picture

        packets = encode_base(watched(), pts, self.info.time_base, self.info.rate, settings)  # type: ignore[arg-type]
        bw, bh = base_size(self.info.width, self.info.height, self.scale)
        fmt, threads = self.info.format, self.settings.threads
        compared, kept, psnrs = set(self._evaluated()), {}, []
        for k, (found, frame) in enumerate(zip(base_frames(packets, (bh, bw), threads), self.frames, strict=True)):
            picture = list(found.planes)
            if k in compared:
                kept[k] = picture
            full = upscale(picture, fmt, self.info.width, self.info.height, self.scale)
            psnrs.append(plane_psnrs(plain_prediction(full, fmt.depth), frame.planes, fmt.peak))
        return Base(crf, packets, BasePictures(packets, (bh, bw), threads, kept), weighted(np.array(psnrs)))

    def _evaluated(self) -> list[int]:
        return np.unique(np.linspace(0, len(self.frames) - 1, min(len(self.frames), EVALUATED)).astype(int)).tolist()

    # --- head ---------------------------------------------------------------------------------------------------

    def _restorer(self, head: Head | None) -> Restorer:
        return Restorer(self.info.format, self.info.width, self.info.height, self.scale, head, self.device)

    def examples(
        self,
        base: Base,
        history: int = 0,
        outputs: Sequence[list[Plane]] = (),
        gate: int = 0,
        base_q: int | None = None,
    ) -> tuple[list[Example], int]:
        """Pictures to learn from, evenly spread, and the gate of their history (found, where none is given).
        `outputs` are what the decoder showed, where history needs them; `told` is for a head that is told of the
        base."""
        fmt = self.info.format
        grid = grid_of((self.info.height, self.info.width))
        planes = channels_of(fmt.chroma)
        each = grid[0] * grid[1] * planes * (2 + 2 * history) * 2
        room = max(1, EXAMPLE_BYTES // each)
        picked = np.unique(np.linspace(0, len(self.frames) - 1, min(len(self.frames), room)).astype(int)).tolist()
        restorer, found = self._restorer(None), []
        for k in picked:
            restorer.history = deque(maxlen=history)
            for j in range(max(0, k - history), k) if history else ():
                wide = [p.astype(np.uint16) << (10 - fmt.depth) for p in outputs[j]]
                restorer.history.append(Seen(restorer.upscaled(base.pictures[j]), wide))
            x = restorer.inputs(restorer.upscaled(base.pictures[k]), history, gate, base_q)
            source = torch.empty((*grid, planes))
            pack(self.frames[k].planes, folds_of(fmt.chroma), source)
            target = source * (1 << (10 - fmt.depth)) - (x[:, :, :planes] + 512)
            found.append((x.to(torch.int16), target.to(torch.int16)))
        if history and not gate:
            parts = [(x[:, :, planes : 2 * planes], x[:, :, 2 * planes : 3 * planes], t) for x, t in found[1::4]]
            gate = best_gate([(o.float(), b.float(), t.float()) for o, b, t in parts])
            for x, _ in found:
                for k in range(history):
                    at = planes * (1 + 2 * k)
                    outs, bases = x[:, :, at : at + planes].float(), x[:, :, at + planes : at + 2 * planes].float()
                    x[:, :, at : at + planes] = gated(outs, bases, gate).to(torch.int16)
        return [example(x, target, folds_of(fmt.chroma)) for x, target in found], gate

    def train(
        self,
        examples: Sequence[Example],
        spec: HeadSpec,
        schedule: Schedule,
        start: Head | None = None,
        gate: int = 0,
        anchor: Head | None = None,
    ) -> Head | None:
        """A head that learns from `examples`, from noise or from `start`; it stays a change of `anchor`, if given."""
        layers = train(
            examples,
            spec,
            schedule,
            start=start.layers if start else None,
            anchor=anchor.layers if anchor else None,
            coarse=ADAPT_COARSE,
            device=self.device,
            progress=lambda done: self.report("head", done),
        )
        try:
            check(spec, layers)
        except HeadError:
            return None  # outside what is exact; not sent
        return Head(spec, tuple(layers), gate, start.base_q if start else 0)

    # --- passes -------------------------------------------------------------------------------------------------

    def run(
        self,
        base: Base,
        head: Head | None,
        loss: LossSettings,
        lam: float | None = None,
        only: Sequence[int] | None = None,
        keep: bool = False,
        changes: Mapping[int, bytes] | None = None,
    ) -> _Run:
        """Run the decoder's loop over the pictures (or over `only` those, where none depends on another)."""
        restorer = self._restorer(head)
        size = self.info.width, self.info.height
        coder = LossCoder(self.info.format, *size, loss, changes=changes) if loss.mode else None
        run = _Run(np.empty(0), [], [], [], [])
        psnrs, crc = [], 0
        group = 1 if coder else GROUP
        wanted = range(len(self.frames)) if only is None else only
        for n, k in enumerate(wanted):
            if n % 8 == 0:
                self.report("restore", n / len(wanted))
            source = self.frames[k].planes
            output, used = self._better(restorer, base.pictures[k], source, head is not None)
            run.used.append(used)
            data = None
            if coder:
                data, decoded = coder.encode(source, output, lam)
                output = list(decoded)
            restorer.push(output)
            run.residuals.append(data or None)
            psnrs.append(plane_psnrs(output, source, self.info.format.peak))
            if keep:
                run.outputs.append(output)
            if only is None:
                crc = checksum(output, crc if n % group else 0)
                if (n + 1) % group == 0 or n + 1 == len(wanted):
                    run.checksums.append(crc)
        run.psnrs = np.array(psnrs)
        return run

    def _better(
        self, restorer: Restorer, base: list[Plane], source: Sequence[Plane], has_head: bool
    ) -> tuple[list[Plane], bool]:
        """The better of the head's prediction and the plain one, and whether it was the head's."""
        output = restorer.predict(base)
        if not has_head:
            return output, False
        plain = restorer.plain()
        peak = self.info.format.peak
        if weighted(plane_psnrs(plain, source, peak)) > weighted(plane_psnrs(output, source, peak)):
            return plain, False
        return output, True

    # --- choices ------------------------------------------------------------------------------------------------

    def finish(self, base: Base, previous: Segment | None = None) -> Segment:
        """Choose the head and the loss-stream, code them, and put the segment together. `previous`: the segment before
        it, whose heads this one may refer to."""
        known = previous.head if previous else None
        if self.settings.max_error is not None:
            return self._within(base, self.settings.max_error, previous.changes if previous else {})
        loss = LossSettings()
        if isinstance(self.settings.loss, int):
            loss = LossSettings(TRANSFORM, step=self.settings.loss)
        only = self._evaluated()
        plain = self.run(base, None, LossSettings(), only=only)
        best = _Choice(self._score(plain.psnr, base.bytes), loss=loss)
        heads, history = self.settings.head, self.settings.history
        if heads:
            best = self._best_head(base, known, plain, best, only)
        if self.scale > 1 and self.settings.loss == "auto":
            best = self._with_loss(base, best, plain)
        elif heads and history:
            best = self._with_history(base, best, history, force=True)
        elif heads and history is None and self.scale > 1 and loss.mode == TRANSFORM:
            run = self.run(base, best.head, loss)
            best = replace(best, score=self._score(run.psnr, base.bytes + run.bytes + len(best.head_data)))
            best = self._with_history(base, best, 1)
        return self._assemble(base, best)

    def _within(self, base: Base, max_error: int, changes: Mapping[int, bytes]) -> Segment:
        """Every sample within a bound of the source: the base as it is, and density heads that learn from the segment.
        They see what a head that restores would see, and do its work."""
        fmt, restorer = self.info.format, self._restorer(None)
        adapter = Adapter(self.preset.density if self.settings.head else 0, changes)
        found = adapter.run(
            [f.planes for f in self.frames],
            lambda k: restorer.predict(base.pictures[k]),
            fmt,
            max_error,
            lambda done: self.report("head", done),
        )
        loss = LossSettings(DENSITY, max_error=max_error)
        return self._assemble(base, _Choice(0.0, loss=loss, changes=found))

    def _score(self, psnr: float, size: int) -> float:
        return psnr - WORTH * math.log(size)

    def _lambda(self, base: Base, plain: _Run) -> float:
        """Squared error that a bit is worth: the slope of the base's own curve, in samples of the film's depth."""
        peak = self.info.format.peak
        luma = float(np.mean([peak**2 / 10 ** (p / 10) for p in plain.psnrs[:, 0]]))
        error = luma * self.info.width * self.info.height * len(self.frames)
        return error * WORTH / (10 / math.log(10)) / (8 * base.bytes)

    def _widths(self, base: Base) -> list[int]:
        """Widths of heads that are worth a try on so many bytes of base, rising."""
        return [width for width, least in self.preset.widths if base.bytes >= least]

    def _best_head(self, base: Base, known: Head | None, plain: _Run, best: _Choice, only: Sequence[int]) -> _Choice:
        """The head that the shipped one, the last segment's or one of the segment's own makes, or none."""

        def tried(start: _Choice, head: Head | None, kind: int, data: bytes, number: int = 0) -> _Choice:
            if head is None:
                return start
            run = self.run(base, head, LossSettings(), only=only)
            score = self._score(run.psnr, base.bytes + len(data) + OVERHEAD)
            if score <= start.score:
                return start
            gain = run.psnr - plain.psnr
            return replace(start, score=score, head=head, head_kind=kind, head_data=data, reference=number, gain=gain)

        number = self._pretrained_number()
        planes = channels_of(self.info.format.chroma)
        if known and (known.spec.planes != planes or known.spec.history):
            known = None
        if known:
            same = encode_layers(known.layers, known.layers)
            best = tried(best, known, payload.HEAD_DIFFERENCE, same, known.identity)
        if number:
            best = self._adapted(base, number, known, best, tried)
        elif known:
            examples, _ = self.examples(base, base_q=known.base_q if known.spec.base_q else None)
            schedule = self.preset.schedule
            short = replace(schedule, float_steps=0, integer_steps=schedule.integer_steps // 2, rate=1e-3)
            if (head := self.train(examples, known.spec, short, known)) is not None:
                data = encode_layers(head.layers, known.layers)
                best = tried(best, head, payload.HEAD_DIFFERENCE, data, known.identity)
        else:
            examples, _ = self.examples(base)
            for width in self._widths(base) if self.preset.try_all else self._widths(base)[-1:]:
                head = self.train(examples, HeadSpec(planes, 0, LAYERS, width), self.preset.schedule)
                best = tried(best, head, payload.WHOLE_HEAD, encode_layers(head.layers) if head else b"")
        return best

    def _pretrained_number(self) -> int:
        """Number of the package's head for such films, 0 where there is none."""
        return FILM_HEAD if self.scale == 1 and self.info.format.chroma == "420" else 0

    def _adapted(self, base: Base, number: int, known: Head | None, best: _Choice, tried: _Trial) -> _Choice:
        """The shipped head as it is, and what it becomes when it learns from the segment, beginning with what the last
        segment made of it: a little, and more where that paid."""
        truth = base_q_of(base.crf)
        for base_q in (truth, max(truth - BASE_Q_FINER, -BASE_Q_ZERO)):
            best = tried(best, film_head(number, base_q), payload.PRETRAINED_HEAD, write_pretrained(base_q), number)
        base_q = best.head.base_q if best.head else truth
        anchor = start = film_head(number, base_q)
        if known and known.spec == anchor.spec:  # then it is a change of the same head
            start = replace(known, base_q=base_q)
        samples = self.info.width * self.info.height * len(self.frames)
        steps = min(max(round(self.preset.adapt * samples / 1e6), ADAPT_LEAST), ADAPT_MOST)
        examples, _ = self.examples(base, base_q=base_q)
        before = best.score
        for share in (ADAPT_PILOT, 1 - ADAPT_PILOT):
            schedule = Schedule(0, round(share * steps), rate=ADAPT_RATE)
            head = self.train(examples, start.spec, schedule, start, anchor=anchor)
            if head is None:
                break
            start = head
            change = encode_change(head.layers, anchor.layers, ADAPT_COARSE)
            best = tried(best, head, payload.PRETRAINED_HEAD, write_pretrained(base_q, change), number)
            if best.score < before + ADAPT_WORTH:
                break
        return best

    def _with_loss(self, base: Base, best: _Choice, plain: _Run) -> _Choice:
        """Try a loss-stream on top, and history in the head that goes with it."""
        lam = self._lambda(base, plain)
        step = round(min(max(STEP_OF_LAMBDA * math.sqrt(lam) * self._unit(), 1), 255))
        trial = replace(best, loss=LossSettings(TRANSFORM, step=step), lam=lam)
        run = self.run(base, trial.head, trial.loss, trial.lam)
        trial = replace(trial, score=self._score(run.psnr, base.bytes + run.bytes + len(trial.head_data)))
        found = max(best, trial, key=lambda c: c.score)
        history = self.settings.history
        if history is None:  # earlier pictures know more than the base only where a loss-stream brought detail
            history = 1 if found.loss.mode else 0
        if history and self.settings.head and len(self.frames) > 1:
            found = self._with_history(base, found if found.loss.mode else trial, history, found)
        return found

    def _with_history(
        self, base: Base, start: _Choice, history: int, other: _Choice | None = None, force: bool = False
    ) -> _Choice:
        """A head that sees earlier output, trained on what the decoder shows with the choice `start`, then on what it
        shows with that head itself: its inputs depend on what it does."""
        outputs = self.run(base, start.head, start.loss, start.lam, keep=True).outputs
        spec = HeadSpec(channels_of(self.info.format.chroma), history, LAYERS, self._widths(base)[-1])
        schedule = self.preset.schedule
        examples, gate = self.examples(base, history, outputs)
        head = self.train(examples, spec, schedule, gate=gate)
        if head is not None:
            outputs = self.run(base, head, start.loss, start.lam, keep=True).outputs
            examples, gate = self.examples(base, history, outputs, gate)
            again = replace(schedule, float_steps=0, integer_steps=schedule.integer_steps, rate=schedule.rate / 3)
            head = self.train(examples, spec, again, head, gate)
        if head is None:
            return other or start
        data = encode_layers(head.layers)
        run = self.run(base, head, start.loss, start.lam)
        score = self._score(run.psnr, base.bytes + run.bytes + len(data) + OVERHEAD)
        own = {"head": head, "head_kind": payload.WHOLE_HEAD, "head_data": data, "reference": 0}
        trial = replace(start, score=score, gain=run.psnr - base.psnr, **own)  # type: ignore[arg-type]
        return trial if force else max(other or start, trial, key=lambda c: c.score)

    def _unit(self) -> float:
        """Quantiser steps for one code value of the film."""
        return 4.0 if self.info.format.depth == 8 else 1.0

    # --- result -------------------------------------------------------------------------------------------------

    def _assemble(self, base: Base, choice: _Choice) -> Segment:
        run = self.run(base, choice.head, choice.loss, choice.lam, changes=choice.changes)
        spec = choice.head.spec if choice.head else None
        header = payload.SegmentHeader(
            width=self.info.width,
            height=self.info.height,
            format=self.info.format,
            scale=self.scale,
            rate=self.info.rate.limit_denominator(1 << 20),
            frames=len(self.frames),
            group=1 if choice.loss.mode else GROUP,
            psnr=run.psnr,
            head_kind=choice.head_kind,
            history=spec.history if spec else 0,
            gate=choice.head.gate if choice.head else 0,
            layers=spec.layers if spec else 0,
            head_width=spec.width if spec else 0,
            reference=choice.reference,
            loss_kind=choice.loss.mode.film,
            loss_step=choice.loss.step,
            max_error=choice.loss.max_error,
            head=choice.head_data,
            used=np.packbits(run.used, bitorder="little").tobytes() if spec else b"",
            checksums=tuple(run.checksums),
        )
        units = []
        for k, (packet, frame, residual) in enumerate(zip(base.packets, self.frames, run.residuals, strict=True)):
            payloads = [payload.write_segment(header)] if k == 0 else []
            if residual is not None:
                payloads.append(payload.write_residual(residual))
            end = self.frames[k + 1].pts if k + 1 < len(self.frames) else frame.pts + self._last_duration()
            units.append(TemporalUnit(packet.data, packet.pts, end - frame.pts, k == 0, tuple(payloads)))
        stats: dict[str, float | int | str] = {
            "frames": len(self.frames),
            "crf": base.crf,
            "scale": float(self.scale),
            "base_bytes": base.bytes,
            "head_bytes": len(choice.head_data) + sum(map(len, choice.changes.values())),
            "head": f"{spec.layers}x{spec.width}" if spec else "none",
            "history": spec.history if spec else 0,
            "loss_bytes": sum(len(r) for r in run.residuals if r is not None) - sum(map(len, choice.changes.values())),
            "psnr": run.psnr,
            "base_psnr": base.psnr,
            "head_gain": choice.gain,
        }
        return Segment(tuple(units), choice.head, stats)

    def _last_duration(self) -> int:
        last = self.frames[-1]
        if last.duration > 0:
            return last.duration
        if len(self.frames) > 1:
            return last.pts - self.frames[-2].pts
        return max(1, round(1 / (self.info.rate * self.info.time_base)))


STEP_OF_LAMBDA = 2.2  # quantiser step in code values for a lambda of 1; measured, see bench/NOTES.md


class _Lazy(Sequence[list[Plane]]):
    """A sequence whose items are made when they are asked for."""

    def __init__(self, make: Callable[[int], list[Plane]], length: int):
        self._make, self._length = make, length

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, k: int) -> list[Plane]:  # type: ignore[override]
        if not 0 <= k < self._length:
            raise IndexError(k)
        return self._make(k)
