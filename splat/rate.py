"""The file that a wish asks for: so many bits a pixel, so much quality, or so many Gaussians.

Everything follows from the step, so a wish is a search for a step. It begins on a sample of the tiles, which is cheap;
then atoms are chosen for the whole picture, mostly once; then the step alone moves until the file is as wanted.

Amplitudes end at AMPLITUDE_MAX, so a picture has a finest step: below it those that end there cost more than all others
gain. A wish for more than the finest step gives is met by more atoms at that step, rung by rung of a ladder that
depends on the picture alone: what more bits are allowed is chosen from more files, hence never worse.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import pairwise
from math import exp, inf, isfinite, log, log10

import numpy as np
import torch
from numpy.typing import NDArray

from .atoms import AMPLITUDE_MAX, STEP_MAX, STEP_MIN, TILE, Code, check_size
from .errors import SplatError
from .fit import KAPPA, Fit, Listener, costs
from .payload import write
from .pursuit import Search
from .render import compose

SEARCHES = (Search(8, 0.1, 2), Search(3, 0.2, 2), Search(2, 0.5, 4))  # by effort
BPP = 0.5  # without a wish
SAMPLE = 96  # tiles that the search for a step begins with
NEAR = 0.05  # how far the sample may be off
TRIES = 3  # steps that atoms are chosen for, on the sample and on the picture, at most
CLOSE = 0.003  # how far a file may fall short of what it was allowed
MOVES = 14  # steps that the atoms chosen are quantised with
COUNTED_STEP = 96 * 64  # the coarsest where Gaussians are counted,
MOST = 1000  # and how many times that they may cost
ALPHA_SHARE = 4  # alpha's step is so many times finer,
ALPHA_STEP = 32 * 64  # and never above this: what is opaque stays so
PROBE = 16 * 64, 64 * 64  # steps that atoms are chosen for, and measured with, to learn which step is the finest
RUNG = 4  # times finer that atoms are chosen for, from rung to rung
FINER = tuple(2 ** (quarter / 4) for quarter in (9, 8, 7, 6, 5, 4, 2, 0))  # times that step: what is tried of a rung
EXHAUSTED = 0.02  # dB: a rung that gives less is the last


Remark = Callable[[str], None]  # told a part of a sentence


@dataclass(frozen=True)
class _Wish:
    """A measure that falls as the step grows, and the goal that it must not pass.

    Of the steps that are allowed the finest is wanted, or the coarsest where `least`. `start`: a step to begin with.
    `slope`: how the measure moves with the logarithm of the step, about. `unit`: what corresponds to a change of the
    file's size by a factor of e.
    """

    of: Callable[[list[Code], bytes], float]
    goal: float
    start: float
    least: bool = False
    slope: float = -1.15
    unit: float = 1.0
    far: float = 0.12  # how far the file may be off before atoms are chosen again
    missed: str = ""  # what to say where nothing is allowed

    def allows(self, value: float) -> bool:
        return value >= self.goal if self.least else value <= self.goal


def encode(
    pixels: NDArray[np.uint8],
    *,
    bpp: float | None = None,
    psnr: float | None = None,
    gaussians: int | None = None,
    step: float | None = None,
    effort: int = 1,
    network: bool = False,
    threads: int = 0,
    listen: Listener | None = None,
    remark: Remark | None = None,
) -> bytes:
    """The .nvs file of a picture, uint8 (h, w, 1..4): grey, grey and alpha, RGB, RGB and alpha.

    At most one of: bpp, the best file of at most so many bits a pixel (0.5 if nothing is asked for); psnr, the smallest
    of at least so many dB over all samples but those of alpha; gaussians, the best one of at most so many; step, the
    quantiser's step itself, 0.25..1023 in pixel values. effort: 0..2. network: let it propose each tile's Gaussians.
    threads: 0 for one a core; the file does not depend on it. listen: is told the share done. remark: is told in words
    where no file of the picture uses up what is allowed. Raises SplatError.
    """
    _check(pixels, effort, {"bpp": bpp, "psnr": psnr, "gaussians": gaussians, "step": step})
    search = SEARCHES[effort]
    with _workers(threads) as pool:
        coarsest = STEP_MAX if gaussians is None else COUNTED_STEP
        job = _Job(pixels, search, network, pool, listen or (lambda done: None), coarsest, step is None)
        if step is not None:
            at = round(step * 64)
            job.choose(at, 0.0)
            return job.made(at)[1]
        return _Found(job, _wish(pixels, bpp, psnr, gaussians), remark or (lambda words: None)).file()


def _check(pixels: NDArray[np.uint8], effort: int, wishes: dict[str, float | None]) -> None:
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or not 1 <= pixels.shape[2] <= 4:
        raise SplatError(f"pixels must be uint8 (height, width, 1..4), not {pixels.dtype} {pixels.shape}")
    check_size(*pixels.shape[:2])
    asked = {name: value for name, value in wishes.items() if value is not None}
    if len(asked) > 1:
        raise SplatError(f"{' and '.join(asked)} contradict each other: ask for one")
    for name, value in asked.items():
        lowest, highest = (STEP_MIN / 64, STEP_MAX / 64) if name == "step" else (0, inf)
        if not (isfinite(value) and lowest <= value <= highest and (value > 0 or name == "gaussians")):
            raise SplatError(f"{name} cannot be {value}")
    if not 0 <= effort < len(SEARCHES):
        raise SplatError(f"effort is 0..{len(SEARCHES) - 1}, not {effort}")


def _colours(pixels: NDArray[np.uint8]) -> int:
    """How many of the channels are no alpha."""
    return 3 if pixels.shape[2] > 2 else 1


def _decibels(codes: list[Code], pixels: NDArray[np.uint8]) -> float:
    """PSNR over all samples but those of alpha."""
    colours = _colours(pixels)
    difference = compose(codes[:1])[:, :, :colours].astype(np.int32) - pixels[:, :, :colours]
    return 10 * log10(255**2 / max(float(np.square(difference).mean()), 1e-9))


def _wish(pixels: NDArray[np.uint8], bpp: float | None, psnr: float | None, gaussians: int | None) -> _Wish:
    area = pixels.shape[0] * pixels.shape[1]
    if psnr is not None:
        start = 60 * exp(min(max(-2.0, (30 - psnr) / 5.8), 2.0))
        missed = f"no file reaches {psnr:g} dB; the best has {{value:.2f}} dB"
        return _Wish(lambda codes, data: _decibels(codes, pixels), psnr, start, True, -5.8, 4.6, missed=missed)
    if gaussians is not None:
        start = 60 * (16 * area / (gaussians * TILE * TILE + 1)) ** 0.7
        # a finer step alone finds no more Gaussians than were chosen
        return _Wish(lambda codes, data: log(sum(len(c.atoms) for c in codes) + 1), log(gaussians + 1), start, far=0.04)
    rate = bpp or BPP
    start = 60 * (0.3 / rate) ** 0.6
    allowed = rate * area / 8
    missed = f"{rate:g} bpp are {allowed:.0f} bytes, but the smallest file has {{size}}"
    return _Wish(lambda codes, data: log(len(data)), log(allowed), start, missed=missed)


class _Job:
    """A picture and its alpha, the fits of both, and the way from a step to a file.

    Beyond `coarsest` (1/64) the step stays, and Gaussians cost more instead: where it is they that are counted, a step
    that tells them apart from nothing would spoil the planes. Below the `finest` it stays as well, and they cost less:
    known only where an amplitude ended at AMPLITUDE_MAX, and never where a step is asked for (`bounded`).
    """

    def __init__(
        self,
        pixels: NDArray[np.uint8],
        search: Search,
        network: bool,
        pool: ThreadPoolExecutor,
        listen: Listener,
        coarsest: int,
        bounded: bool = True,
    ):
        colours = _colours(pixels)
        self.pixels, self.search, self.network, self.pool, self.listen = pixels, search, network, pool, listen
        self.coarsest, self.bounded = coarsest, bounded
        self.parts = [part for part in np.split(pixels, [colours], axis=2) if part.shape[2]]
        self.fits = [Fit(part, costs()) for part in self.parts]
        self.ends = (STEP_MIN, STEP_MAX if coarsest == STEP_MAX else MOST * coarsest)
        self.finest: list[int | None] = [None] * len(self.parts)  # 1/64, of the picture and of its alpha
        self.chosen: int | None = None  # the step that atoms were last chosen for
        self.done = 0.0

    def tell(self, done: float) -> None:
        """Never less than before."""
        self.done = max(self.done, done)
        self.listen(self.done)

    def legal(self, step: float) -> int:
        """The nearest legal step, 1/64, of one in pixel values."""
        return min(max(self.ends[0], round(min(step, 1e9) * 64)), self.ends[1])

    def _steps(self, step: int) -> list[tuple[int, float]]:
        """Step (1/64) and price (KAPPA and more) of the picture and of its alpha."""
        own = min(step, self.coarsest)
        price = KAPPA * (step / own) ** 2
        alpha = max(STEP_MIN, min(own // ALPHA_SHARE, ALPHA_STEP))
        bounded = [(asked, max(asked, finest or 0)) for asked, finest in zip((own, alpha), self.finest, strict=False)]
        return [(kept, price * (asked / kept) ** 2) for asked, kept in bounded]

    def choose(self, step: int, begin: float) -> None:
        """Choose atoms for that step; progress goes from `begin` to nine tenths."""
        self.chosen = step
        for number, (fit, (own, price)) in enumerate(zip(self.fits, self._steps(step), strict=True)):

            def listen(done: float, number: int = number) -> None:
                self.tell(begin + (0.9 - begin) * (number + done) / len(self.fits))

            propose = None
            if self.network:
                from .network import proposer

                propose = proposer(fit, own)
            fit.choose(own, price, self.search, self.pool, listen, propose)

    def made(self, step: int) -> tuple[list[Code], bytes]:
        """The codes and the file of the atoms chosen, at that step."""
        with torch.inference_mode():
            codes = [fit.quantise(*own) for fit, own in zip(self.fits, self._steps(step), strict=True)]
            for number, code in enumerate(codes):
                if self.bounded and self.finest[number] is None and _clipped(code):
                    self.learn(number)
                    codes[number] = self.fits[number].quantise(*self._steps(step)[number])
        return codes, write(codes)

    def learn(self, number: int) -> None:
        """Learn the finest step of the picture, 0, or of its alpha, 1: that below which amplitudes that end at
        AMPLITUDE_MAX lose more than all others gain.

        It is a property of the picture: that of atoms chosen for one step, whatever is asked for.
        """
        fit = Fit(self.parts[number], costs())
        fit.choose(PROBE[0], KAPPA, self.search, self.pool)
        with torch.inference_mode():
            amplitudes = np.abs(fit.quantise(PROBE[1], 0.0).atoms[:, 3:]) * (PROBE[1] / 64)
        steps = np.geomspace(STEP_MIN, STEP_MAX, 97)
        lost = [np.square(np.maximum(amplitudes - AMPLITUDE_MAX * step / 64, 0)).sum() for step in steps]
        rounded = len(amplitudes) * np.square(steps / 64) / 12
        self.finest[number] = round(float(steps[np.argmin(lost + rounded)]))

    def bound(self) -> bool:
        """Let no step be below the picture's finest, if that is known: whether it is."""
        if self.finest[0] is not None:
            self.ends = (self.finest[0], self.ends[1])
        return self.finest[0] is not None


def _clipped(code: Code) -> bool:
    """Whether an amplitude is as large as can be."""
    return bool((np.abs(code.atoms[:, 3:]) == AMPLITUDE_MAX).any())


class _Found:
    """The way to the file that is wanted."""

    def __init__(self, job: _Job, wish: _Wish, remark: Remark):
        self.job, self.wish, self.remark = job, wish, remark
        self.begin = 0.0  # share of the work that is done before atoms are chosen for the picture

    def file(self) -> bytes:
        """The file. Raises SplatError where there is none."""
        job, wish = self.job, self.wish
        step = self._start()
        low, high = 0.0, inf  # steps where the measure is above and below the goal
        best: tuple[float, bytes] | None = None
        tries, again, stride = 0, True, 1.0
        for turn in range(MOVES):
            at = job.legal(step)
            if again or at == job.ends[0] != job.chosen:
                job.choose(at, self.begin)
                tries += 1
            codes, data = job.made(at)
            value = wish.of(codes, data)
            off = (value - wish.goal) / wish.unit
            job.tell(0.9 + 0.1 * turn / MOVES)
            if job.bound() and at < job.ends[0]:  # the finest step has just become known
                step, again, low, high, best = job.ends[0] / 64, True, 0.0, inf, None
                continue
            if at == job.ends[0] and value < wish.goal:
                return self._beyond(codes, data)
            stuck = at == job.ends[1] and value > wish.goal
            again = abs(off) > wish.far and tries < TRIES and not stuck
            if again:
                low, high, best = 0.0, inf, None
            else:
                if wish.allows(value) and (best is None or abs(off) < best[0]):
                    best = abs(off), data
                low, high = (max(low, at), high) if value > wish.goal else (low, min(high, at))
                if best and (abs(off) <= CLOSE or high - low < 2 or stuck):
                    break
            if low and isfinite(high):
                step = (low * high) ** 0.5 / 64
            else:
                margin = CLOSE / 2 * wish.unit * (1 if wish.least else -1)
                move = stride * (wish.goal + margin - value) / wish.slope
                step = at / 64 * exp(min(max(-3.0, move), 3.0))
                stride = 1.0 if again else 2 * stride  # alpha and planes may hardly follow the step
        job.tell(1.0)
        if best is None:
            raise SplatError(wish.missed.format(size=len(data), value=value))
        return best[1]

    def _start(self) -> float:
        """The step to begin with: that of a sample, where the picture is large enough for one."""
        job, wish = self.job, self.wish
        sample = sample_of(job.pixels)
        if sample is None:
            return wish.start
        small = _Job(sample, job.search, job.network, job.pool, lambda done: None, job.coarsest)
        share = job.pixels[..., 0].size / sample[..., 0].size
        self.begin = min(0.4, 0.9 * TRIES / share)
        step = _guess(small, _on(wish, sample, share), lambda tries: job.tell(self.begin * tries / TRIES))
        if small.finest[0] is not None:
            job.learn(0)
            job.bound()
        return step

    def _beyond(self, codes: list[Code], data: bytes) -> bytes:
        """The file where even the finest step, that of these codes, leaves something to be wished for.

        The files that are looked at depend on the picture alone, and a larger goal only adds to them.
        """
        job, wish = self.job, self.wish
        found = [(_decibels(codes, job.pixels), wish.of(codes, data), data)]
        step, exhausted = job.ends[0], job.ends[0] == STEP_MIN
        while not exhausted and found[-1][1] < wish.goal:
            step = max(step // RUNG, STEP_MIN)
            before = max(found)[0]
            job.choose(step, self.begin)
            for times in FINER:
                codes, data = job.made(round(step * times))
                found.append((_decibels(codes, job.pixels), wish.of(codes, data), data))
                if found[-1][1] >= wish.goal:
                    break
            exhausted = step == STEP_MIN or max(found)[0] < before + EXHAUSTED
        job.tell(1.0)
        allowed = [file for file in found if wish.allows(file[1])]
        if not allowed:
            raise SplatError(wish.missed.format(size=len(data), value=max(found)[0]))
        if wish.least:
            return min((file[2] for file in allowed), key=len)
        quality, _, data = max(allowed, key=lambda file: (file[0], -len(file[2])))
        if len(allowed) == len(found):
            self.remark(f"the picture is exhausted at {quality:.2f} dB, {len(data):,} bytes")
        return data


def _on(wish: _Wish, pixels: NDArray[np.uint8], share: float) -> _Wish:
    """The same wish for a sample that is smaller by `share`."""
    if wish.least:
        return _wish(pixels, None, wish.goal, None)
    return replace(wish, goal=wish.goal - log(share))


def _guess(job: _Job, wish: _Wish, tell: Callable[[int], None]) -> float:
    """A step that a sample of the picture meets the wish with, nearly."""
    points: list[tuple[float, float]] = []
    step = wish.start
    for tries in range(TRIES):
        at = job.legal(step)
        job.choose(at, 0.0)
        value = wish.of(*job.made(at))
        tell(tries + 1)
        points.append((log(at / 64), value))
        slope = wish.slope
        for (x0, y0), (x1, y1) in pairwise(points):
            if x0 != x1:
                slope = min(max((y1 - y0) / (x1 - x0), 1.6 * wish.slope), 0.64 * wish.slope)
        step = exp(points[-1][0] + min(max(-3.0, (wish.goal - value) / slope), 3.0))
        if abs(value - wish.goal) < NEAR * wish.unit:
            break
    return step


def sample_of(pixels: NDArray[np.uint8]) -> NDArray[np.uint8] | None:
    """A picture made of about SAMPLE of the tiles, evenly spread; None where there are too few for that."""
    down, across = pixels.shape[0] // TILE, pixels.shape[1] // TILE
    apart = int((down * across / SAMPLE) ** 0.5)
    if apart < 2 or across < apart:
        return None
    tiles = pixels[: down * TILE, : across * TILE].reshape(down, TILE, across, TILE, -1)
    wide = across // apart
    rows = [
        tiles[y, :, (y // apart) % apart :: apart][:, :wide].reshape(TILE, wide * TILE, -1)
        for y in range(0, down, apart)
    ]
    return np.concatenate(rows)


@contextmanager
def _workers(threads: int) -> Iterator[ThreadPoolExecutor]:
    """Threads that do a block each; torch itself keeps to one, so no sum depends on their number."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with ThreadPoolExecutor(threads or os.cpu_count() or 1) as pool:
            yield pool
    finally:
        torch.set_num_threads(before)
