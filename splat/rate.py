"""The file that a wish asks for: so many bits a pixel, so much quality, or so many Gaussians.

Everything follows from the step, so a wish is a search for a step. It begins on a sample of the tiles, which is cheap;
then atoms are chosen for the whole picture, mostly once; then the step alone moves until the file is as wanted.
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

from .atoms import PIXELS_MAX, SIDE_MAX, STEP_MAX, STEP_MIN, TILE, Code
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
) -> bytes:
    """The .nvs file of a picture, uint8 (h, w, 1..4): grey, grey and alpha, RGB, RGB and alpha.

    At most one of: bpp, the best file of at most so many bits a pixel (0.5 if nothing is asked for); psnr, the smallest
    of at least so many dB over all samples but those of alpha; gaussians, the best one of at most so many; step, the
    quantiser's step itself, 0.25..1023 in pixel values. effort: 0..2. network: let it propose each tile's Gaussians.
    threads: 0 for one a core; the file does not depend on it. listen: is told the share done. Raises SplatError.
    """
    _check(pixels, effort, {"bpp": bpp, "psnr": psnr, "gaussians": gaussians, "step": step})
    search = SEARCHES[effort]
    with _workers(threads) as pool:
        coarsest = STEP_MAX if gaussians is None else COUNTED_STEP
        job = _Job(pixels, search, network, pool, listen or (lambda done: None), coarsest)
        if step is not None:
            at = round(step * 64)
            job.choose(at, 0.0)
            return job.made(at)[1]
        return _found(job, _wish(pixels, bpp, psnr, gaussians))


def _check(pixels: NDArray[np.uint8], effort: int, wishes: dict[str, float | None]) -> None:
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or not 1 <= pixels.shape[2] <= 4:
        raise SplatError(f"pixels must be uint8 (height, width, 1..4), not {pixels.dtype} {pixels.shape}")
    height, width = pixels.shape[:2]
    if not (1 <= height <= SIDE_MAX and 1 <= width <= SIDE_MAX and height * width <= PIXELS_MAX):
        raise SplatError(f"a picture of {width}x{height} pixels cannot be coded")
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


def _wish(pixels: NDArray[np.uint8], bpp: float | None, psnr: float | None, gaussians: int | None) -> _Wish:
    colours = _colours(pixels)

    def decibels(codes: list[Code], data: bytes) -> float:
        difference = compose(codes[:1])[:, :, :colours].astype(np.int32) - pixels[:, :, :colours]
        return 10 * log10(255**2 / max(float(np.square(difference).mean()), 1e-9))

    area = pixels.shape[0] * pixels.shape[1]
    if psnr is not None:
        start = 60 * exp(min(max(-2.0, (30 - psnr) / 5.8), 2.0))
        missed = f"no file reaches {psnr:g} dB; the finest has {{value:.2f}} dB"
        return _Wish(decibels, psnr, start, True, -5.8, 4.6, missed=missed)
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
    that tells them apart from nothing would spoil the planes.
    """

    def __init__(
        self,
        pixels: NDArray[np.uint8],
        search: Search,
        network: bool,
        pool: ThreadPoolExecutor,
        listen: Listener,
        coarsest: int,
    ):
        colours = _colours(pixels)
        self.pixels, self.search, self.network, self.pool, self.listen = pixels, search, network, pool, listen
        self.coarsest = coarsest
        self.fits = [Fit(part, costs()) for part in np.split(pixels, [colours], axis=2) if part.shape[2]]
        self.ends = (STEP_MIN, STEP_MAX if coarsest == STEP_MAX else MOST * coarsest)
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
        return [(own, price), (alpha, price)][: len(self.fits)]

    def choose(self, step: int, begin: float) -> None:
        """Choose atoms for that step; progress goes from `begin` to nine tenths."""
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
        return codes, write(codes)


def _found(job: _Job, wish: _Wish) -> bytes:
    """The file that is wanted. Raises SplatError where there is none."""
    step, begin = wish.start, 0.0
    sample = sample_of(job.pixels)
    if sample is not None:
        small = _Job(sample, job.search, job.network, job.pool, lambda done: None, job.coarsest)
        share = job.pixels[..., 0].size / sample[..., 0].size
        begin = min(0.4, 0.9 * TRIES / share)
        step = _guess(small, _on(wish, sample, share), lambda tries: job.tell(begin * tries / TRIES))
    low, high = 0.0, inf  # steps where the measure is above and below the goal
    best: tuple[float, bytes] | None = None
    chosen, again, stride = 0, True, 1.0
    for turn in range(MOVES):
        at = job.legal(step)
        if again:
            job.choose(at, begin)
            chosen += 1
        codes, data = job.made(at)
        value = wish.of(codes, data)
        off = (value - wish.goal) / wish.unit
        job.tell(0.9 + 0.1 * turn / MOVES)
        again = abs(off) > wish.far and chosen < TRIES and at not in job.ends
        if again:
            low, high, best = 0.0, inf, None
        else:
            if wish.allows(value) and (best is None or abs(off) < best[0]):
                best = abs(off), data
            low, high = (max(low, at), high) if value > wish.goal else (low, min(high, at))
            if best and (abs(off) <= CLOSE or high - low < 2 or at in job.ends):
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
