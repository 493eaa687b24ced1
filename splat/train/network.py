"""Train the network that proposes Gaussians: `python -m splat.train.network FOLDER --out network.bin`.

Lessons are tiles out of a folder's pictures with the rows that our own pursuit chooses for them, each picture at a step
of its own. The network learns to score those rows above all others: cross-entropy over the whole dictionary, and, to
begin with, images that look like the Gaussians chosen. The lessons of some pictures are kept back to validate with.

The result follows from the pictures, the seed and the time given (which says how many lessons and rounds there are).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import click
import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from .. import network as net
from ..atoms import SHAPES, TILE
from ..errors import SplatError
from ..fit import BLOCK, KAPPA, LUMA_BITS, channels_of, chosen, costs
from ..network import KINDS, Network, kind_of
from ..pursuit import COARSE, PIXELS, rows
from ..rate import SEARCHES

TILES = 32  # of a picture at once
STEPS = (40.0, 240.0)  # in pixel values, between about 0.1 and 1 bits a pixel
LABEL_SHARE = 0.25  # of the time
BATCH = 32
RATE = 2e-3
LOOK_WEIGHT = 0.1  # of the images' likeness; falls to 0 at half time
COLOUR_WEIGHT = 0.2  # of colour's rows against luma's
COLOURLESS = 0.1  # of the lessons lose their colours, as grey pictures have none
HELD = 10  # every so many-th picture is for validation

Say = Callable[[str], None]


@dataclass(frozen=True)
class Lessons:
    """n tiles of m pictures."""

    values: Tensor  # (n, 3, PIXELS) float32, as `splat.fit.channels_of` gives them
    picture: Tensor  # (n,) int64
    place: Tensor  # (n, 2) float32, see `splat.network.places`
    luma: Tensor  # (n, k) int64: rows chosen, -1 for none
    colour: Tensor  # (n, c) int64: rows chosen for colour alone
    step: Tensor  # (m,) float32, in pixel values
    thumb: Tensor  # (m, 4, THUMB, THUMB) float32


def pictures(folder: Path) -> list[Path]:
    """The pictures of a folder, by name. Raises SplatError if there are not two: one is kept back."""
    kinds = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".bmp")
    found = sorted(p for p in folder.iterdir() if p.suffix.lower() in kinds) if folder.is_dir() else []
    if len(found) < 2:
        raise SplatError(f"there are no two pictures in {folder}")
    return found


@torch.no_grad()
def lessons(paths: list[Path], seconds: float, seed: int, say: Say) -> Lessons:
    """What the pursuit chooses in tiles of those pictures, in random order for about that time, at least of two.

    Raises SplatError where one cannot be read or is smaller than a tile.
    """
    rng = np.random.default_rng(seed)
    begun, found = time.monotonic(), []
    steps, thumbs = [], []
    for number, at in enumerate(rng.permutation(len(paths)).tolist()):
        if number > 1 and time.monotonic() - begun > seconds:
            break
        pixels = cv2.imread(str(paths[at]), cv2.IMREAD_COLOR)
        if pixels is None or min(pixels.shape[:2]) < TILE:
            raise SplatError(f"{paths[at]} is no picture of at least {TILE}x{TILE} pixels")
        down, across = pixels.shape[0] // TILE, pixels.shape[1] // TILE
        values = torch.from_numpy(channels_of(np.ascontiguousarray(pixels[: down * TILE, : across * TILE, ::-1])))
        step = float(np.exp(rng.uniform(*np.log(STEPS))))
        some = torch.from_numpy(rng.permutation(len(values))[:TILES])
        luma, colour = chosen(values[some], step, SEARCHES[1])
        found.append((values[some], torch.full((len(some),), number), net.places((down, across))[some], luma, colour))
        steps.append(step)
        thumbs.append(net.thumbnail(values, (down, across), step))
        if number % 20 == 19:
            say(f"lessons of {number + 1} pictures, {time.monotonic() - begun:.0f} s")
    values, picture, place, luma, colour = (_stacked(list(part)) for part in zip(*found, strict=True))
    return Lessons(values, picture, place, luma, colour, torch.tensor(steps), torch.stack(thumbs))


def _stacked(parts: list[Tensor]) -> Tensor:
    """One after the other; rows of different lengths are filled up with -1."""
    if parts[0].dtype == torch.float32 or parts[0].ndim == 1:
        return torch.cat(parts)
    wide = max(part.shape[1] for part in parts)
    return torch.cat([functional.pad(part, (0, wide - part.shape[1]), value=-1) for part in parts])


class Class:
    """A network and what it is trained with."""

    def __init__(self, given: Lessons, network: Network):
        self.given, self.network = given, network
        known = rows()
        kinds = np.array([kind_of(shape) for shape in range(len(SHAPES))])[known.shape]
        order = np.argsort(kinds, kind="stable")
        self.number = torch.from_numpy(np.argsort(order))  # where a row is in `matrices`
        self.shape = torch.from_numpy(known.shape[order])
        self.matrices = [self._matrix(order[kinds[order] == kind]) for kind in range(KINDS)]
        coarse = np.flatnonzero(known.scale >= COARSE)
        self.coarse = torch.full((known.count,), -1)
        self.coarse[coarse] = torch.arange(len(coarse))
        self.coarse_shape = torch.from_numpy(known.shape[coarse])
        self.coarse_matrix = self._matrix(coarse)
        self.kind = torch.from_numpy(kinds)

    @staticmethod
    def _matrix(numbers: NDArray[np.int64]) -> Tensor:
        """(PIXELS, n) bfloat16: weighted rows of norm 1."""
        known = rows()
        parts = []
        for some in torch.from_numpy(numbers).split(4096):
            parts.append((known.draw(some) / known.norm[some, None] * known.weight).bfloat16())
        return torch.cat(parts).T

    def images(self, some: Tensor, left: Tensor) -> tuple[Tensor, Tensor]:
        """The network's images and biases for lessons (n,) whose planes leave `left`."""
        used, picture = torch.unique(self.given.picture[some], return_inverse=True)
        step = self.given.step[self.given.picture[some]]
        return self.network(left, self.given.thumb[used], picture, self.given.place[some], step)

    def products(self, images: Tensor) -> Tensor:
        """(n, rows) of the rows, in the order of `number`, with the images of their kinds."""
        short = images.bfloat16()
        return torch.cat([short[:, kind] @ matrix for kind, matrix in enumerate(self.matrices)], 1).float()

    def luma_score(self, images: Tensor, bias: Tensor) -> Tensor:
        """(n, rows) in the order of `number`."""
        return self.network.score(self.products(images), self.shape, bias[:, self.shape])

    def colour_score(self, images: Tensor) -> Tensor:
        """(n, coarse rows)."""
        products = images[:, KINDS:].reshape(-1, PIXELS).bfloat16() @ self.coarse_matrix
        return self.network.colour_score(products.float().reshape(len(images), 2, -1), self.coarse_shape)

    def left(self, some: Tensor) -> Tensor:
        """(n, 3, PIXELS), in steps: what the planes leave of lessons."""
        step = self.given.step[self.given.picture[some]][:, None, None]
        return net.leftover(self.given.values[some], step)

    def likeness(self, images: Tensor, left: Tensor, luma: Tensor) -> Tensor:
        """How far the images are from those of the Gaussians chosen, (n, k), with their best amplitudes."""
        known = rows()
        drawn = known.draw(luma)
        gram = torch.bmm(drawn, drawn.transpose(1, 2)) + torch.eye(luma.shape[1]) * 0.02
        amplitude = torch.linalg.solve(gram, torch.bmm(drawn, (left[:, :1] * known.weight).transpose(1, 2)))
        wanted = torch.zeros_like(images[:, :KINDS])
        kind = self.kind[luma.clamp(min=0)][:, :, None].expand_as(drawn)
        wanted.scatter_add_(1, kind, drawn * amplitude / known.weight)
        return functional.smooth_l1_loss(images[:, :KINDS], wanted)

    def loss(self, some: Tensor, rng: torch.Generator, look: float) -> tuple[Tensor, Tensor]:
        """What is to be lowered, and the cross-entropy of luma alone."""
        luma, colour = self.given.luma[some], self.given.colour[some]
        luma = luma[:, : max(1, int((luma >= 0).sum(1).max()))]
        left = self.left(some)
        left = left * (torch.randint(0, 2, (len(some), 3, 1), generator=rng) * 2 - 1)  # a negative has the same atoms
        grey = torch.rand(len(some), generator=rng) < COLOURLESS
        left[grey, 1:] = 0
        with torch.autocast("cpu", torch.bfloat16):
            images, bias = self.images(some, left)
        entropy = _cross_entropy(
            self.luma_score(images, bias), torch.where(luma >= 0, self.number[luma.clamp(min=0)], -1)
        )
        wanted = torch.where((colour >= 0) & ~grey[:, None], self.coarse[colour.clamp(min=0)], -1)
        total = entropy + COLOUR_WEIGHT * _cross_entropy(self.colour_score(images), wanted)
        if look > 0:
            total = total + look * self.likeness(images, left, luma)
        return total, entropy.detach()

    def recall(self, some: Tensor, count: int) -> tuple[float, float]:
        """Share of the pursuit's luma rows among `count` proposals: the network's, and those of plain correlation."""
        price = KAPPA * (costs().row + LUMA_BITS)[torch.argsort(self.number)]
        hits, total = [0, 0], 0
        with torch.inference_mode():
            for part in some.split(BLOCK):
                left, luma = self.left(part), self.given.luma[part]
                score = self.luma_score(*self.images(part, left))
                gain = self.products(left[:, :1].expand(-1, KINDS, -1)).square() - price
                for which, value in enumerate((score, gain)):
                    least = value.topk(count, 1).values[:, -1:]
                    among = value.gather(1, self.number[luma.clamp(min=0)]) >= least
                    hits[which] += int((among & (luma >= 0)).sum())
                total += int((luma >= 0).sum())
        return hits[0] / max(total, 1), hits[1] / max(total, 1)


def _cross_entropy(score: Tensor, wanted: Tensor) -> Tensor:
    """Mean over the tiles of -log softmax at the rows wanted (n, k), -1 for none, of score (n, rows)."""
    there = wanted >= 0
    weight = there / there.sum(1, keepdim=True).clamp(min=1)
    value = score.logsumexp(1, keepdim=True) - score.gather(1, wanted.clamp(min=0))
    return (value * weight).sum(1).mean()


def train(given: Lessons, seconds: float, seed: int, say: Say) -> Network:
    """A network trained on those lessons for about that time."""
    torch.manual_seed(seed)
    rng = torch.Generator().manual_seed(seed)
    network = Network()
    room = Class(given, network)
    held = given.picture % HELD == 0
    learn, check = (~held).nonzero()[:, 0], held.nonzero()[:, 0][: 16 * BLOCK]
    say(f"{len(learn)} lessons to learn, {len(check)} to check, {sum(p.numel() for p in network.parameters())} numbers")
    descent = torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=1e-3)
    begun, number, mean = time.monotonic(), 0, 0.0
    while (done := (time.monotonic() - begun) / seconds) < 1:
        descent.param_groups[0]["lr"] = RATE * min(1, (number + 1) / 50) * (0.505 + 0.495 * math.cos(math.pi * done))
        some = learn[torch.randperm(len(learn), generator=rng)[:BATCH]]
        loss, entropy = room.loss(some, rng, LOOK_WEIGHT * max(0.0, 1 - 2 * done))
        descent.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        descent.step()
        number += 1
        mean += (float(entropy) - mean) / min(number, 50)
        if number % 50 == 0:
            line = f"round {number}, {time.monotonic() - begun:.0f} s, cross-entropy {mean:.3f}"
            if number % 400 == 0:
                line += ", recall {:.3f} (correlation {:.3f})".format(*room.recall(check, net.PROPOSALS))
            say(line)
    say("recall {:.3f} (correlation {:.3f})".format(*room.recall(check, net.PROPOSALS)))
    return network


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Where network.bin goes.")
@click.option("--minutes", default=30.0, show_default=True)
@click.option("--seed", default=1, show_default=True)
def main(folder: Path, out: Path, minutes: float, seed: int) -> None:
    """Train the network that proposes Gaussians on the pictures of FOLDER; keep those you measure with elsewhere."""
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)

    def say(line: str) -> None:
        print(line, flush=True)

    seconds = minutes * 60
    given = lessons(pictures(folder), seconds * LABEL_SHARE, seed, say)
    net.write(train(given, seconds * (1 - LABEL_SHARE), seed, say), out)


if __name__ == "__main__":
    main(prog_name="python -m splat.train.network")
