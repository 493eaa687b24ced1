"""Which head a segment has and which loss-stream, by one score: PSNR-YUV less what the bytes are worth.

`WORTH` is the slope of AV1's own rate-distortion curve, so a tool is used where it buys quality for fewer bytes than a
finer quantiser would. PSNR-YUV alone would buy chroma with luma's structure, so heads are compared by what is seen
(`codec.segment.worth`), and one that luma or its SSIM would pay for is not taken.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from heads.restorer.fit import Example, Schedule
from heads.restorer.spec import HeadSpec
from heads.restorer.store import film_head_for
from heads.weights import encode_change, encode_layers

from ..base.coded import Base
from ..base.quantiser import BASE_Q_ZERO, base_q_of
from ..frames import PlaneFormat, channels_of
from ..loss.coder import LossSettings
from ..loss.modes import TRANSFORM
from ..metrics import weighted
from ..settings import MAX_STEP
from .fit_last import last_layers
from .fit_restorer import FIT_COARSE, LAYERS, examples_of, fit_restorer
from .head import Head, film_head, write_pretrained
from .passes import OVERHEAD, Passes, Predictions, Run
from .payload import HEAD_DIFFERENCE, NO_HEAD, PRETRAINED_HEAD, WHOLE_HEAD
from .presets import Preset
from .worth import Judge

WORTH = 3.0  # dB of PSNR-YUV for each factor e of rate; see bench/NOTES.md, "What a byte is worth"
STEP_OF_LAMBDA = 2.2  # quantiser step in code values for a lambda of 1; see bench/NOTES.md, "Step of the loss-stream"
# bytes of the base for each batch, and the fewest batches: what a change wins of a small base is less than its price;
# see bench/NOTES.md, "What a segment changes of the head"
FIT_BYTES, FIT_FEWEST = 400, 75
ENLARGED = 4  # where the base is smaller, more is left to be won: so many times the batches for its bytes
TRIED = 64 << 20  # bytes of predicted pictures that are kept of a trial
FIT_RATE = 4e-3  # of its gradient descent
OWN_FROM = 2  # pretrained heads of such numbers have learnt to be told each picture's own quantiser
TOLD_BYTES = 0.5  # for each picture, about
FIT_FLOAT = 0.25  # of them in floating point, before it keeps to what a change can say


@dataclass(frozen=True)
class Choice:
    """A way to code the segment and its score. `won`: share of the bytes that its head is worth by what is seen, over
    no head; `head_kind`, `head_data` and `reference`: how the head is sent; `lam`: of the loss-stream, None for what
    suits its step; `gain`: dB that the head was chosen for; `changes`: of the density heads, by their numbers; `known`:
    what the head predicts of the pictures that it was tried on; `told`: differences of what it is told of each
    picture."""

    score: float = 0.0
    won: float = 0.0
    head: Head | None = None
    head_kind: int = NO_HEAD
    head_data: bytes = b""
    reference: int = 0
    loss: LossSettings = LossSettings()
    lam: float | None = None
    gain: float = 0.0
    changes: Mapping[int, bytes] = field(default_factory=dict)
    known: Predictions = field(default_factory=dict, repr=False)
    told: Sequence[int] = ()


def score(psnr: float, size: float) -> float:
    """What pictures of that PSNR-YUV in so many bytes are worth, in dB."""
    return psnr - WORTH * math.log(size)


def price_of(size: int, pictures: int) -> float:
    """What a bit more of so many bytes is worth, in dB of one of the pictures."""
    return WORTH * pictures / (8 * size)


def lambda_of(step: int, fmt: PlaneFormat) -> float:
    """The lambda that a loss-stream's step was chosen for."""
    return (step / (STEP_OF_LAMBDA * _steps(fmt))) ** 2


def _steps(fmt: PlaneFormat) -> float:
    """Steps of the loss-stream's quantiser for a code value of the film."""
    return 4.0 if fmt.depth == 8 else 1.0


def better(best: Choice, trial: Choice | None) -> Choice:
    """`trial` where there is one and it scores more."""
    return trial if trial and trial.score > best.score else best


def better_head(best: Choice, trial: Choice) -> Choice:
    """`trial` where its head is worth more by what is seen."""
    return trial if trial.won > best.won else best


def pretrained_gain(passes: Passes, base: Base, count: int) -> float:
    """dB of PSNR-YUV that the head of the program, as it is, adds to a probe of the base, coded at SVT-AV1's own crf,
    on about `count` pictures between its first and last; 0 where there is no such head."""
    number, pictures = film_head_for(passes.scale), len(base.packets)
    if not number:
        return 0.0
    head = film_head(number, base_q_of(base.crf), planes=channels_of(passes.info.format.chroma))
    only = np.unique(np.linspace(0, pictures - 1, min(pictures, count + 2)).astype(int))[1:-1].tolist()
    found = passes.trial(base, head, only=only or [0])
    restored = np.array([prediction.psnrs for prediction in found.values()])
    return weighted(restored) - weighted(base.psnrs[list(found)])


def small(known: Predictions) -> Predictions:
    """Predicted pictures, where they are not too large to be kept."""
    size = sum(plane.nbytes for prediction in known.values() for plane in prediction.output)
    return known if size <= TRIED else {}


def widths_for(preset: Preset, size: int) -> list[int]:
    """Widths of heads that are worth a try on so many bytes of base, rising."""
    return [width for width, least in preset.widths if size >= least]


class Chooser:
    """Chooses how a segment is coded on top of `base`. `known`: the head of the segment before, which this one may
    refer to; None where it is of another kind."""

    def __init__(self, passes: Passes, base: Base, known: Head | None):
        self._passes, self._base = passes, base
        self._settings, self._preset = passes.settings, passes.preset
        self._planes = channels_of(passes.info.format.chroma)
        usable = known and known.spec.planes == self._planes and not known.spec.history
        self.known = known if usable else None
        self._plain = base.psnrs[passes.evaluated()]
        self._pretrained = film_head_for(passes.scale)
        self._judge = Judge(passes, base)
        self._told = passes.differences(base) if self._pretrained >= OWN_FROM else []
        self._agenda = passes.begin("head", passes.effort.choosing(self._batches()))

    def choose(self) -> Choice:
        """The best way, within what the settings say."""
        enlarged, wanted, history = self._passes.scale > 1, self._settings.loss, self._settings.history
        loss = LossSettings(TRANSFORM, step=wanted) if isinstance(wanted, int) else LossSettings()
        best = Choice(score(weighted(self._plain), self._base.bytes), loss=loss)
        if self._settings.head:
            best = self._with_head(best)
        if enlarged and wanted == "auto":
            return self._with_loss(best)
        if self._settings.head and history:
            return self._with_history(best, history) or best
        if self._settings.head and history is None and enlarged and loss.mode:
            best = self._scored(best)
            return better(best, self._with_history(best, 1))
        return best

    # --- heads --------------------------------------------------------------------------------------------------

    def _with_head(self, best: Choice) -> Choice:
        """`best` with the head that the pretrained one, the last segment's or one of the segment's own makes; or as it
        is."""
        if self.known:
            best = better_head(best, self._difference(best, self.known, self.known))
        if self._pretrained:
            return self.with_pretrained(best, self._pretrained)
        if self.known:
            return self._with_known(best, self.known)
        return self._with_own(best)

    def with_pretrained(self, best: Choice, number: int) -> Choice:
        """With the pretrained head of that number as it is, or with what it becomes when it learns from the segment,
        beginning with what the last segment made of it."""
        truth = base_q_of(self._passes.quantiser(self._base.crf))
        for finer in self._preset.finer:  # told a quantiser finer than the truth, a head often does better
            base_q = max(truth - finer, -BASE_Q_ZERO)
            told = film_head(number, base_q, planes=self._planes)
            best = better_head(best, self._tried(best, told, PRETRAINED_HEAD, write_pretrained(base_q), number))
        base_q = best.head.base_q if best.head else truth
        anchor = start = film_head(number, base_q, planes=self._planes)
        if self.known and self.known.spec == anchor.spec:  # then it is a change of the same head
            start = replace(self.known, base_q=base_q)
        steps = self._batches()
        floats = round(FIT_FLOAT * steps)
        schedule = Schedule(floats, steps - floats, rate=FIT_RATE)
        examples = self._examples(schedule, base_q)
        best = self._with_last(best, examples, anchor, anchor, number)
        if not steps:
            return best
        head = fit_restorer(self._passes, examples, start.spec, schedule, start, anchor=anchor)
        if head is None:
            return best
        best = better_head(best, self._changed(best, head, anchor, number))
        return self._with_last(best, examples, head, anchor, number)

    def _with_last(self, best: Choice, examples: Sequence[Example], head: Head, anchor: Head, number: int) -> Choice:
        """With a last layer of the segment's own for `head`, which is a change of the pretrained one of that number."""
        coarses = [FIT_COARSE] if head is not anchor else [FIT_COARSE, FIT_COARSE + 1]
        with self._agenda.part(self._passes.effort.fitting()):
            found = list(last_layers(examples, head, anchor, coarses, self._base.bytes, self._passes.device))
        for own, coarse in found:
            best = better_head(best, self._changed(best, own, anchor, number, coarse))
        return best

    def _changed(self, best: Choice, head: Head, anchor: Head, number: int, coarse: int = FIT_COARSE) -> Choice:
        """`best` with a head that is sent as a change of the pretrained one of that number."""
        data = write_pretrained(head.base_q, encode_change(head.layers, anchor.layers, coarse))
        return self._tried(best, head, PRETRAINED_HEAD, data, number)

    def _batches(self) -> int:
        """How many batches the pretrained head learns from the segment: by its samples, within the preset's bounds,
        and no more than what its base leaves to be won can pay."""
        samples = self._passes.info.width * self._passes.info.height * len(self._passes.frames)
        enlarged = self._passes.scale > 1
        most = self._base.bytes * (ENLARGED if enlarged else 1) // FIT_BYTES
        steps = min(self._preset.batches(samples / 1e6, enlarged), most)
        return steps if steps >= min(FIT_FEWEST, self._preset.least) else 0

    def _examples(self, schedule: Schedule, base_q: int | None = None) -> list[Example]:
        """Pictures to learn from, without history."""
        with self._agenda.part(self._passes.effort.examples()):
            return examples_of(self._passes, self._base, schedule, base_q=base_q, told=self._told)[0]

    def _with_known(self, best: Choice, known: Head) -> Choice:
        """With what the last segment's head becomes when it learns from this one."""
        schedule = self._preset.schedule
        short = replace(schedule, float_steps=0, integer_steps=schedule.integer_steps // 2, rate=1e-3)
        examples = self._examples(short, known.base_q if known.spec.base_q else None)
        head = fit_restorer(self._passes, examples, known.spec, short, known)
        return better_head(best, self._difference(best, head, known)) if head else best

    def _with_own(self, best: Choice) -> Choice:
        """With a head that learns from the segment alone."""
        examples = self._examples(self._preset.schedule)
        widths = widths_for(self._preset, self._base.bytes)
        for width in widths if self._preset.try_all else widths[-1:]:
            head = fit_restorer(self._passes, examples, HeadSpec(self._planes, 0, LAYERS, width), self._preset.schedule)
            if head:
                best = better_head(best, self._tried(best, head, WHOLE_HEAD, encode_layers(head.layers)))
        return best

    def _difference(self, best: Choice, head: Head, known: Head) -> Choice:
        return self._tried(best, head, HEAD_DIFFERENCE, encode_layers(head.layers, known.layers), known.identity)

    def _tried(self, best: Choice, head: Head, kind: int, data: bytes, reference: int = 0) -> Choice:
        """`best` with that head, scored on a few pictures and without a loss-stream."""
        told = self._told if head.spec.base_q else []
        with self._agenda.part(self._passes.effort.trial()):
            known = self._passes.trial(self._base, head, told)
        psnr = weighted(np.array([prediction.psnrs for prediction in known.values()]))
        size = self._size(data, told)
        return replace(
            best,
            score=score(psnr, size),
            won=self._judge.won(known, size),
            head=head,
            head_kind=kind,
            head_data=data,
            reference=reference,
            gain=psnr - weighted(self._plain),
            known=small(known),
            told=told,
        )

    # --- loss-stream and history --------------------------------------------------------------------------------

    def _with_loss(self, best: Choice) -> Choice:
        """With a loss-stream on top, and history in the head that goes with it; or as it is."""
        lam, history = self._lambda(), self._settings.history
        step = max(1, round(STEP_OF_LAMBDA * math.sqrt(lam) * _steps(self._passes.info.format)))
        # a bit is worth more than blocks have to be won; see bench/NOTES.md, "Films whose base is smaller"
        if step > MAX_STEP and not history:
            return best
        trial = self._scored(replace(best, loss=LossSettings(TRANSFORM, step=min(step, MAX_STEP)), lam=lam))
        found = better(best, trial)
        if history is None:  # earlier pictures know more than the base only where a loss-stream brought detail
            history = 1 if found.loss.mode else 0
        if history and self._settings.head and len(self._passes.frames) > 1:
            found = better(found, self._with_history(found if found.loss.mode else trial, history))
        return found

    def _lambda(self) -> float:
        """Squared error that a bit is worth: the slope of the base's own curve, in samples of the film's depth."""
        info = self._passes.info
        luma = float(np.mean([info.format.peak**2 / 10 ** (p / 10) for p in self._plain[:, 0]]))
        error = luma * info.width * info.height * len(self._passes.frames)
        return error * WORTH / (10 / math.log(10)) / (8 * self._base.bytes)

    def _with_history(self, start: Choice, history: int) -> Choice | None:
        """With a head that sees earlier output, trained on what the decoder shows with the choice `start`, then on what
        it shows with that head itself: its inputs depend on what it does."""
        spec = HeadSpec(self._planes, history, LAYERS, widths_for(self._preset, self._base.bytes)[-1])
        schedule = self._preset.schedule
        outputs = self._run(start, start.head, keep=True).outputs
        examples, gate = examples_of(self._passes, self._base, schedule, history, outputs)
        head = fit_restorer(self._passes, examples, spec, schedule, gate=gate)
        if head:
            outputs = self._run(start, head, keep=True).outputs
            examples, gate = examples_of(self._passes, self._base, schedule, history, outputs, gate)
            again = replace(schedule, float_steps=0, integer_steps=schedule.integer_steps, rate=schedule.rate / 3)
            head = fit_restorer(self._passes, examples, spec, again, head, gate)
        if head is None:
            return None
        run, data = self._run(start, head), encode_layers(head.layers)
        found = score(run.psnr, self._base.bytes + run.bytes + len(data) + OVERHEAD)
        gain = run.psnr - self._base.psnr
        sent = replace(start, head=head, head_kind=WHOLE_HEAD, head_data=data, reference=0, known={}, told=[])
        return replace(sent, score=found, gain=gain)

    def _scored(self, choice: Choice) -> Choice:
        """The choice with its score on all pictures."""
        run = self._run(choice, choice.head)
        size = self._size(choice.head_data, choice.told) if choice.head else self._base.bytes
        return replace(choice, score=score(run.psnr, size + run.bytes))

    def _size(self, data: bytes, told: Sequence[int]) -> float:
        """Bytes of the base and of a head that is sent as `data`, and told of each picture, about."""
        return self._base.bytes + len(data) + TOLD_BYTES * len(told) + OVERHEAD

    def _run(self, choice: Choice, head: Head | None, keep: bool = False) -> Run:
        """A pass with the choice's loss-stream over all pictures."""
        with self._agenda.part(self._passes.effort.restoring()):
            known = choice.known if head is choice.head else None
            told = choice.told if head is choice.head else []
            return self._passes.run(self._base, head, choice.loss, choice.lam, keep=keep, known=known, told=told)
