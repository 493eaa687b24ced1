"""A coded base and the pictures that it decodes to.

A segment's decoded base is as large as the film it stands for, or twice as large where that has 8 bits, and is looked
at many times, mostly in order. So the packets are kept, pictures are decoded when they are asked for, and only those
stay in memory that comparisons come back to.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import overload

import numpy as np
from numpy.typing import NDArray

from ..frames import Plane
from ..metrics import weighted
from .av1 import BasePacket, base_frames

RECENT = 4  # pictures: a head looks at up to two before the one that it predicts


@dataclass(frozen=True)
class Base:
    """A segment's base, coded at `crf`. Of the plain upscaled one `psnrs`: in dB, (pictures, planes), and `quality`: as
    a target asks for it, None where none does."""

    crf: float
    packets: list[BasePacket]
    pictures: Sequence[list[Plane]] = field(repr=False)
    psnrs: NDArray[np.float64] = field(repr=False)
    quality: float | None = None

    @cached_property
    def psnr(self) -> float:
        """PSNR-YUV in dB."""
        return weighted(self.psnrs)

    @property
    def bytes(self) -> int:
        """Of all temporal units."""
        return sum(len(p.data) for p in self.packets)


class BasePictures(Sequence[list[Plane]]):
    """The pictures of coded `packets`, each of (height, width) `shape`, as 10-bit 4:2:0 planes. `kept`: those that
    stay in memory, by their numbers. Fast where pictures are asked for in order, or one of the last RECENT again."""

    def __init__(
        self,
        packets: Sequence[BasePacket],
        shape: tuple[int, int],
        threads: int = 0,
        kept: Mapping[int, list[Plane]] | None = None,
    ):
        self._packets, self._shape, self._threads = packets, shape, threads
        self._kept = dict(kept or {})
        self._stream: Iterator[list[Plane]] = iter(())
        self._next = len(packets)
        self._recent: dict[int, list[Plane]] = {}

    def __len__(self) -> int:
        return len(self._packets)

    @overload
    def __getitem__(self, k: int) -> list[Plane]: ...

    @overload
    def __getitem__(self, k: slice) -> list[list[Plane]]: ...

    def __getitem__(self, k: int | slice) -> list[Plane] | list[list[Plane]]:
        return [self._picture(i) for i in range(*k.indices(len(self)))] if isinstance(k, slice) else self._picture(k)

    def _picture(self, k: int) -> list[Plane]:
        if not 0 <= k < len(self):
            raise IndexError(k)
        for known in (self._kept, self._recent):
            if k in known:
                return known[k]
        if k < self._next:
            frames = base_frames(self._packets, self._shape, self._threads)
            self._stream, self._next = (list(frame.planes) for frame in frames), 0
            self._recent = {}
        while self._next <= k:
            if len(self._recent) == RECENT:
                del self._recent[self._next - RECENT]
            self._recent[self._next] = next(self._stream)
            self._next += 1
        return self._recent[k]
