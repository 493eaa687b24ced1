"""The decoder's loop, run by the encoder: base, prediction, loss-stream, checksums, and what they give.

Whoever chooses or learns looks at a segment through passes, so that it sees what the decoder will show.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from ..base.av1 import BaseSettings, base_frames, encode_base
from ..base.coded import Base, BasePictures
from ..base.resample import base_size, downscale, plain_prediction, upscale
from ..events import Listener, silent
from ..frames import Frame, Plane, VideoInfo, checksum
from ..loss.coder import LossCoder, LossSettings
from ..machine import device_of
from ..metrics import plane_psnrs, weighted
from ..settings import Settings
from ..wire.hdr import svt_hdr
from .effort import EVALUATED, Agenda, Effort, coded_share
from .head import Head
from .presets import PRESETS
from .restore import Restorer

GROUP = 8  # pictures under one checksum where nothing else is sent for each picture
OVERHEAD = 16  # bytes around a payload, about


@dataclass(frozen=True)
class Run:
    """One pass over the segment's pictures. `psnrs`: in dB, (pictures, planes); `residuals`: payloads of the
    loss-stream, None where a picture has none; `group`: pictures under one of the `checksums`; `outputs`: what the
    decoder shows, if it was to be kept; `used`: whether the head predicted the picture."""

    psnrs: NDArray[np.float64]
    residuals: list[bytes | None]
    group: int
    checksums: list[int]
    outputs: list[list[Plane]]
    used: list[bool]

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

        def coded(packets: int) -> None:
            self._bases.tell(coded_share(packets, len(self.frames)))

        pts = [f.pts for f in self.frames]
        with self._bases.part(self.effort.coding(preset)):
            packets = encode_base(self._pictures(), pts, self.info.time_base, self.info.rate, settings, coded)
        bw, bh = base_size(self.info.width, self.info.height, self.scale)
        compared, kept, psnrs = set(self.evaluated()), {}, []
        with self._bases.part(self.effort.comparing()):
            for k, (found, frame) in enumerate(zip(base_frames(packets, (bh, bw), threads), self.frames, strict=True)):
                picture = list(found.planes)
                if k in compared:
                    kept[k] = picture
                full = upscale(picture, fmt, self.info.width, self.info.height, self.scale)
                psnrs.append(plane_psnrs(plain_prediction(full, fmt.depth), frame.planes, fmt.peak))
                self._bases.tell((k + 1) / len(self.frames))
        return Base(crf, packets, BasePictures(packets, (bh, bw), threads, kept), weighted(np.array(psnrs)))

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
        only: Sequence[int] | None = None,
        keep: bool = False,
        changes: Mapping[int, bytes] | None = None,
    ) -> Run:
        """Run the decoder's loop over the pictures (or over `only` those, where none depends on another; then without
        checksums). `lam`: see LossCoder.encode; `keep`: outputs; `changes`: of the density heads."""
        restorer = self.restorer(head)
        size = self.info.width, self.info.height
        coder = LossCoder(self.info.format, *size, loss, changes=changes) if loss.mode else None
        psnrs, crc = [], 0
        group = 1 if coder else GROUP
        run = Run(np.empty(0), [], group, [], [], [])
        wanted = range(len(self.frames)) if only is None else only
        for n, k in enumerate(wanted):
            if n % 8 == 0:
                self.agenda.tell(n / len(wanted))
            source = self.frames[k].planes
            output, used = self._better(restorer, base.pictures[k], source, head is not None)
            data = None
            if coder:
                data, decoded = coder.encode(source, output, lam)
                output = list(decoded)
            restorer.push(output)
            run.used.append(used)
            run.residuals.append(data or None)
            psnrs.append(plane_psnrs(output, source, self.info.format.peak))
            if keep:
                run.outputs.append(output)
            if only is None:
                crc = checksum(output, crc if n % group else 0)
                if (n + 1) % group == 0 or n + 1 == len(wanted):
                    run.checksums.append(crc)
        return replace(run, psnrs=np.array(psnrs))

    def _better(
        self, restorer: Restorer, base: list[Plane], source: Sequence[Plane], has_head: bool
    ) -> tuple[list[Plane], bool]:
        """The better of the head's prediction and the plain one, and whether it was the head's."""
        output = restorer.predict(base)
        if not has_head:
            return output, False
        plain = restorer.plain(base)
        peak = self.info.format.peak
        if weighted(plane_psnrs(plain, source, peak)) > weighted(plane_psnrs(output, source, peak)):
            return plain, False
        return output, True
