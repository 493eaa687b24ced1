"""The decoder's loop, run by the encoder: base, prediction, loss-stream, checksums, and what they give.

Whoever chooses or learns looks at a segment through passes, so that it sees what the decoder will show.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from ..base.av1 import BasePacket, BaseSettings, base_frames, base_packets
from ..base.coded import Base, BasePictures
from ..base.resample import base_size, downscale, plain_prediction, upscale
from ..events import Listener, silent
from ..frames import Frame, Plane, VideoInfo, checksum
from ..loss.coder import LossCoder, LossSettings
from ..machine import device_of, give_back_memory
from ..metrics import plane_psnrs, weighted
from ..settings import Settings
from ..wire.hdr import svt_hdr
from .apart import apart
from .effort import EVALUATED, Agenda, Effort, coded_share
from .fit_steering import Prediction, compared, differences_of, partly
from .head import Head
from .presets import PRESETS
from .restore import Restorer
from .steering import Steered, blocks_of
from .target import Gauge, Target

GROUP = 4  # pictures under one checksum where nothing else is sent for each picture: none is shown before all are there
OVERHEAD = 16  # bytes around a payload, about
KEPT = 160 << 20  # bytes of a base's pictures that are decoded but once


Predictions = Mapping[int, Prediction]  # by the numbers of the pictures


@dataclass(frozen=True)
class Run:
    """One pass over the segment's pictures. `psnrs`: in dB, (pictures, planes); `residuals`: payloads of the
    loss-stream, None where a picture has none; `group`: pictures under one of the `checksums`; `outputs`: what the
    decoder shows, if it was to be kept; `used`: whether the head predicted the picture; `steered`: how, of those that
    it predicted; `won`: dB of PSNR-YUV for the choice of blocks, summed over the pictures; `quality`: as a target asks
    for it, None where none does."""

    psnrs: NDArray[np.float64]
    residuals: list[bytes | None]
    group: int
    checksums: list[int]
    outputs: list[list[Plane]]
    used: list[bool]
    steered: list[Steered] = field(default_factory=list)
    won: float = 0.0
    quality: float | None = None

    @property
    def psnr(self) -> float:
        return weighted(self.psnrs)

    @property
    def bytes(self) -> int:
        """Of the loss-stream, as it lies in the file."""
        return sum(len(r) + OVERHEAD for r in self.residuals if r is not None)


class Passes:
    """Passes over the pictures of one segment. `frames` share one size and `info.format`. Stages go to `listen`."""

    def __init__(
        self,
        frames: Sequence[Frame],
        info: VideoInfo,
        settings: Settings,
        scale: Fraction,
        listen: Listener = silent,
    ):
        self.frames, self.info, self.settings, self.scale = frames, info, settings, scale
        self.preset = PRESETS[settings.preset]
        self.effort = Effort(settings, info, scale, len(frames))
        self._listen = listen
        self._bases = Agenda(listen, "base", self.effort.stages()["base"])  # one base, or a search among them
        self.agenda = self._bases  # of the stage at hand
        self.device = device_of(settings.device)
        self._target = Target.of(settings)
        self._small: list[list[Plane]] | None = None

    def begin(self, stage: str, expected: float) -> Agenda:
        """A stage begins that takes about so many seconds; passes and trainings tell how far it is."""
        self.agenda = Agenda(self._listen, stage, expected)
        return self.agenda

    # --- base ---------------------------------------------------------------------------------------------------

    def _pictures(self) -> Iterator[list[Plane]]:
        """The pictures that the base codes; kept for the next base where they have to be filtered."""
        if self.scale == 1 and self.info.format.chroma != "444":
            yield from (downscale(f.planes, self.info.format, self.scale) for f in self.frames)
            return
        if self._small is None:
            self._small = [downscale(f.planes, self.info.format, self.scale) for f in self.frames]
        yield from self._small

    def quantiser(self, crf: float) -> float:
        """The quantiser of the base where `crf` is asked for: about the same quality by every preset. Below a bound on
        the error the base is not what is seen, so there nothing is moved."""
        return crf if self.settings.max_error is not None else self.preset.quantiser(crf)

    def base(self, crf: float, preset: int | None = None) -> Base:
        """Code the segment's base and decode it again. `preset`: SVT-AV1's, if not that of the settings."""
        threads, fmt = self.settings.threads, self.info.format
        speed = self.preset.base if preset is None else preset
        quantiser = self.quantiser(crf) if preset is None else crf
        hdr = svt_hdr(self.info.side_data)
        settings = BaseSettings(quantiser, speed, threads, self.info.colour, *hdr, self.info.chroma_place)

        pts = [f.pts for f in self.frames]
        bw, bh = base_size(self.info.width, self.info.height, self.scale)
        packets: list[BasePacket] = []
        pictures, psnrs, gauge = self._places(3 * bw * bh, preset is not None), [], self._gauge()

        def coded() -> Iterator[BasePacket]:
            for packet in base_packets(self._pictures(), pts, self.info.time_base, self.info.rate, settings):
                packets.append(packet)
                self._bases.tell(coded_share(len(packets), len(pts)))
                yield packet

        with self._bases.part(self.effort.coding(preset) + self.effort.comparing()):
            decoded = base_frames(coded(), (bh, bw), threads)  # while others are being coded
            for k, (found, frame) in enumerate(zip(decoded, self.frames, strict=True)):
                picture = list(found.planes)
                if k in pictures:
                    pictures[k] = picture
                full = upscale(picture, fmt, self.info.width, self.info.height, self.scale)
                plain = plain_prediction(full, fmt.depth)
                psnrs.append(plane_psnrs(plain, frame.planes, fmt.peak))
                if gauge:
                    gauge.add(frame.planes, plain, psnrs[-1])
        give_back_memory()
        kept = {k: picture for k, picture in pictures.items() if picture}
        decoded_again = BasePictures(packets, (bh, bw), threads, kept)
        return Base(crf, packets, decoded_again, np.array(psnrs), gauge.value if gauge else None)

    def _gauge(self) -> Gauge | None:
        """What measures the pictures of a pass, where a target asks for that."""
        return Gauge(self._target, self.info) if self._target else None

    def _places(self, size: int, probe: bool) -> dict[int, list[Plane]]:
        """Places for the pictures of a base that stay in memory, of so many bytes each: those that comparisons look at,
        and the last ones, up to which nothing is decoded again, as many as fit where no search holds several bases;
        for none of a `probe`, which is not looked at again."""
        if probe:
            return {}
        count, compared, room = len(self.frames), self.evaluated(), KEPT // size
        last = 0 if self.effort.tries > 1 else count if room >= count else max(0, room - len(compared))
        return {k: [] for k in {*compared, *range(max(0, count - last), count)}}

    def evaluated(self) -> list[int]:
        """Pictures that comparisons look at, evenly spread."""
        return np.unique(np.linspace(0, len(self.frames) - 1, min(len(self.frames), EVALUATED)).astype(int)).tolist()

    # --- pictures -----------------------------------------------------------------------------------------------

    def restorer(self, head: Head | None) -> Restorer:
        """What predicts the segment's pictures with that head."""
        return Restorer(self.info.format, self.info.width, self.info.height, self.scale, head, self.device)

    def run(
        self,
        base: Base,
        head: Head | None,
        loss: LossSettings,
        lam: float | None = None,
        *,
        keep: bool = False,
        changes: Mapping[int, bytes] | None = None,
        known: Predictions | None = None,
        told: Sequence[int] = (),
        price: float | None = None,
    ) -> Run:
        """Run the decoder's loop over the pictures. `lam`: see LossCoder.encode; `keep`: outputs; `changes`: of the
        density heads; `known`: what this head, without history, is known to predict; `told`: differences of what it is
        told of each picture; `price`: of a bit, in dB of a picture's PSNR-YUV, where blocks are to be chosen."""
        restorer, bare = self.restorer(head), head is None
        size = self.info.width, self.info.height
        coder = LossCoder(self.info.format, *size, loss, changes=changes) if loss.mode else None
        psnrs, crc, won, gauge = [], 0, 0.0, self._gauge()
        run = Run(np.empty(0), [], 1 if coder else GROUP, [], [], [])
        count = len(self.frames)
        for k, found in enumerate(self._predicted(restorer, bare, base, range(count), known, told, price is not None)):
            if k % 8 == 0:
                self.agenda.tell(k / count)
            if price is not None and found.used:
                last = run.steered[-1].blocks if run.steered else None
                found = partly(found, self.frames[k].planes, base.psnrs[k], last, self.info.format, price)
            source, output = self.frames[k].planes, found.output
            data, quality = None, found.psnrs
            if coder:
                data, decoded = coder.encode(source, output, lam)
                output = list(decoded)
                quality = plane_psnrs(output, source, self.info.format.peak)
            restorer.push(output)
            run.used.append(found.used)
            run.steered.extend([found.steered] if found.used and found.steered else [])
            won += found.won
            run.residuals.append(data or None)
            psnrs.append(quality)
            if gauge:
                gauge.add(source, output, quality)
            if keep:
                run.outputs.append(output)
            crc = checksum(output, crc if k % run.group else 0)
            if (k + 1) % run.group == 0 or k + 1 == count:
                run.checksums.append(crc)
        return replace(run, psnrs=np.array(psnrs), won=won, quality=gauge.value if gauge else None)

    def trial(self, base: Base, head: Head, told: Sequence[int] = (), only: Sequence[int] = ()) -> Predictions:
        """What a head without history predicts of a few pictures, those `only` or else of `evaluated`, by their
        numbers. `told`: see `run`."""
        only = only or self.evaluated()
        found: dict[int, Prediction] = {}
        for k, prediction in zip(only, self._predicted(self.restorer(head), False, base, only, told=told), strict=True):
            found[k] = prediction
            self.agenda.tell(len(found) / len(only))
        return found

    def differences(self, base: Base, crf: float | None = None) -> list[int]:
        """Of what heads are told of each picture of the base: see `Steered`. `crf`: of the base that the head was
        chosen for, if that is another one."""
        return differences_of(base, self.quantiser(base.crf), self.quantiser(base.crf if crf is None else crf))

    def _predicted(
        self,
        restorer: Restorer,
        bare: bool,
        base: Base,
        wanted: Iterable[int],
        known: Predictions | None = None,
        told: Sequence[int] = (),
        steers: bool = False,
    ) -> Iterator[Prediction]:
        """The better of the head's prediction and the plain one, or without a head (`bare`) the plain one, of `wanted`
        pictures in their order: several at a time where none depends on those before it. `told`: see `run`; `steers`:
        whether blocks are to be chosen of those that the head predicts."""
        blocks = np.ones(blocks_of(self.info.width, self.info.height), np.uint8)

        def predicted(item: tuple[int, list[Plane]]) -> Prediction:
            k, picture = item
            source = self.frames[k].planes
            if known and k in known and (known[k].used or not steers):
                return compared(known[k], restorer.plain(picture), source, restorer.folds) if steers else known[k]
            plain = base.psnrs[k]
            if bare:
                return Prediction(restorer.plain(picture), plain, False)
            steered = Steered(told[k] if told else 0, blocks)
            output = restorer.predict(picture, steered=steered)
            psnrs = plane_psnrs(output, source, self.info.format.peak)
            if steers:
                found = Prediction(output, psnrs, True, steered)
                return compared(found, restorer.plain(picture), source, restorer.folds)
            if weighted(plain) > weighted(psnrs):
                return Prediction(restorer.plain(picture), plain, False)
            return Prediction(output, psnrs, True, steered)

        size = 0 if restorer.history.maxlen else 8 * self.info.width * self.info.height
        return apart(predicted, ((k, base.pictures[k]) for k in wanted), size)
