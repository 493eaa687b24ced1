"""A small network that proposes each tile's Gaussians before the pursuit starts.

It sees the tile at full resolution, in steps and less its plane, and the whole picture as a thumbnail. It does not name
rows of the dictionary outright, for there are 87019 of them: it unmixes the tile into one image per kind of Gaussian
(four bands of scale times three profiles) and two for colour, and each row is scored by its product with the image of
its kind. Where the images are the tile itself this is the first pass of a matching pursuit; what is learnt is to show
what only a later pass would see. The pursuit tries the best rows exactly, so what the network gets wrong is not chosen.

Measured on Kodak pictures 5, 7, 13 and 23 near 0.3 bits a pixel: with its proposals first and passes over the whole
dictionary after, files are as good as without it (-0.02, -0.02, 0.00, -0.02 dB) and take longer; with its proposals
alone they are 0.2 to 1.4 dB worse in about half the time. So it is off unless asked for.

Only the encoder uses it: no file depends on these numbers for its decoding, and floats will do. A block of tiles is
computed by one thread in one order, so proposals do not depend on the number of threads.

network.bin: "NVSN", then the numbers of `Network` in the order of its state_dict as big-endian float16, then the CRC-32
of all before. `splat.train.network` writes it.

Sources: Gregor and LeCun, "Learning fast approximations of sparse coding", 2010, for learning what a pursuit would
find; Ronneberger et al., "U-Net", 2015, for the trunk; Perez et al., "FiLM", 2018, for how the context acts on it.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from .atoms import SCALES, SHAPES, TILE, grid_of
from .errors import SplatError
from .fit import Fit, planes
from .pursuit import PIXELS, rows

PROPOSALS = 256  # rows a tile, for luma
COLOUR_PROPOSALS = 32  # rows a tile more, for colour
BAND = 2  # scales that share an image
KINDS = 3 * len(SCALES) // BAND
THUMB = 32  # side of the thumbnail
CELLS = 4  # its finest cells per side of a tile
WIDE = (32, 48, 64)  # channels of the trunk at 32, 16 and 8 pixels a side
SEEN = 16  # channels of the context


def kind_of(shape: int) -> int:
    """Which of the KINDS images a shape is scored by."""
    return SHAPES[shape].profile * (len(SCALES) // BAND) + SHAPES[shape].scale // BAND


class Network(nn.Module):
    """From tiles to images (see the module), and from the context to a bias per shape."""

    def __init__(self) -> None:
        super().__init__()
        fine, middle, coarse = WIDE
        self.look = nn.ModuleList([nn.Conv2d(a, b, 3, 2, 1) for a, b in pairwise((4, 12, 16, SEEN))])
        self.film = nn.Linear(2 * SEEN + 3, 2 * (middle + coarse))
        self.bias = nn.Linear(2 * SEEN + 3, len(SHAPES))
        self.enter = nn.Conv2d(4, fine, 5, 1, 2)
        self.fine = nn.Conv2d(fine, fine, 3, 1, 1)
        self.down = nn.Conv2d(fine, middle, 2, 2)
        self.middle = nn.Conv2d(middle, middle, 3, 1, 1)
        self.deep = nn.Conv2d(middle, coarse, 2, 2)
        self.coarse = nn.Conv2d(coarse, coarse, 3, 1, 1)
        self.rise = nn.Conv2d(coarse, middle, 1)
        self.again = nn.Conv2d(middle, middle, 3, 1, 1)
        self.up = nn.Conv2d(middle, fine, 1)
        self.last = nn.Conv2d(fine, fine, 3, 1, 1)
        self.leave = nn.Conv2d(fine, 2 * KINDS + 4, 3, 1, 1)
        self.sharp = nn.Parameter(torch.ones(len(SHAPES)))
        self.colour = nn.Parameter(torch.stack([torch.ones(len(SHAPES)), torch.zeros(len(SHAPES))]))
        for layer in (self.film, self.bias, self.leave):  # begin with the tile itself
            for numbers in layer.parameters():
                nn.init.zeros_(numbers)

    def forward(
        self, tiles: Tensor, thumbs: Tensor, picture: Tensor, place: Tensor, step: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Images (n, KINDS + 2, PIXELS), in steps, and biases (n, shapes).

        tiles: (n, 3, PIXELS) float32, less their planes, in steps. thumbs: (m, 4, THUMB, THUMB), see `thumbnail`, of
        which `picture` (n,) int64 says a tile's. place: (n, 2), y and x of the tile's middle in 0..1 of the picture.
        step: (n,) in pixel values.
        """
        seen = thumbs
        for layer in self.look:
            seen = functional.relu(layer(seen))
        near = functional.grid_sample(seen[picture], place.flip(1)[:, None, None] * 2 - 1, align_corners=False)
        context = torch.cat([seen.mean((2, 3))[picture], near[:, :, 0, 0], place, (step / 100).log()[:, None]], 1)
        middle, coarse = WIDE[1:]
        scale2, shift2, scale3, shift3 = self.film(context)[:, :, None, None].split([middle, middle, coarse, coarse], 1)

        value = tiles.reshape(-1, 3, TILE, TILE)
        seen = torch.cat([value[:, :1] / 4, torch.asinh(value)], 1).contiguous(memory_format=torch.channels_last)
        fine = _bend(self.fine(_bend(self.enter(seen))))
        half = _bend(self.down(fine))
        half = _bend(self.middle(half) * (1 + scale2) + shift2)
        quarter = _bend(self.deep(half))
        quarter = _bend(self.coarse(quarter) * (1 + scale3) + shift3)
        half = _bend(self.again(half + functional.interpolate(self.rise(quarter), scale_factor=2)))
        fine = _bend(self.last(fine + functional.interpolate(self.up(half), scale_factor=2)))
        out = self.leave(fine).float()
        share, more = out.reshape(len(out), 2, KINDS + 2, PIXELS).unbind(1)
        own = torch.cat([tiles[:, :1].expand(-1, KINDS, -1), tiles[:, 1:]], 1)
        return own * (1 + share) + more, self.bias(context).float()

    def score(self, product: Tensor, shape: Tensor, bias: Tensor) -> Tensor:
        """(n, rows) for luma, from products of rows with their images (n, rows), shapes (rows,), biases (n, rows)."""
        return product.square().log1p() * self.sharp[shape] + bias

    def colour_score(self, products: Tensor, shape: Tensor) -> Tensor:
        """(n, rows) for colour, from products (n, 2, rows)."""
        return products.square().sum(1).log1p() * self.colour[0][shape] + self.colour[1][shape]


def _bend(value: Tensor) -> Tensor:
    return functional.leaky_relu(value, 0.1, inplace=True)


def thumbnail(values: Tensor, grid: tuple[int, int], step: float) -> Tensor:
    """(4, THUMB, THUMB) float32: the picture's three channels, and how busy it is at that step.

    values: (tiles, 1 or 3, PIXELS), tiles row by row; grid: rows and columns of them; step: in pixel values.
    """
    down, across = grid
    side = TILE // CELLS
    cells = values.reshape(down, across, -1, CELLS, side, CELLS, side)
    mean = cells.mean((4, 6))
    busy = cells[:, :, :1].var((4, 6), correction=0).sqrt()
    missing = torch.zeros(down, across, 3 - mean.shape[2], CELLS, CELLS)
    whole = torch.cat([mean / 64, missing, (busy / step).log1p()], 2)
    whole = whole.permute(2, 0, 3, 1, 4).reshape(1, 4, down * CELLS, across * CELLS)
    return functional.adaptive_avg_pool2d(whole, (THUMB, THUMB))[0]


def places(grid: tuple[int, int]) -> Tensor:
    """(tiles, 2) float32: y and x of the tiles' middles in 0..1 of a picture of that many rows and columns."""
    y, x = ((torch.arange(count) + 0.5) / count for count in grid)
    return torch.stack([y[:, None].expand(grid), x[None].expand(grid)], 2).reshape(-1, 2)


def leftover(values: Tensor, step: float | Tensor) -> Tensor:
    """(n, 3, PIXELS) float32, in steps: what planes leave of values (n, 1 or 3, PIXELS); zeros for missing colour.

    step: in pixel values, a number or (n, 1, 1).
    """
    known = planes()
    left = values / step - (values @ known.T / step).round() @ known
    return left if left.shape[1] == 3 else functional.pad(left, (0, 0, 0, 2))


@dataclass(frozen=True)
class _Run:
    """Neighbouring rows of a group and of one kind: columns `first` .. `last` - 1 of its matrix."""

    group: int
    first: int
    last: int
    kind: int


@cache
def _runs() -> list[_Run]:
    """In the order of the rows."""
    kind = np.array([kind_of(shape) for shape in range(len(SHAPES))])[rows().shape]
    found = []
    for number, group in enumerate(rows().groups):
        own = kind[group.first : group.last]
        bounds = [0, *(np.flatnonzero(np.diff(own)) + 1).tolist(), len(own)]
        found += [_Run(number, first, last, int(own[first])) for first, last in pairwise(bounds)]
    return found


def propose(network: Network, tiles: Tensor, thumb: Tensor, place: Tensor, step: float) -> Tensor:
    """(n, r) int64: rows worth trying for each tile; the arguments as for `Network`, of one picture."""
    known = rows()
    count = len(tiles)
    picture = torch.zeros(count, dtype=torch.int64)
    images, bias = network(tiles, thumb[None], picture, place, torch.full((count,), step))
    images *= known.weight
    shape = torch.from_numpy(known.shape)
    scores = []
    for run in _runs():  # piece by piece, so that what a score passes through stays in the cache
        group = known.groups[run.group]
        own = shape[group.first + run.first : group.first + run.last]
        product = images[:, run.kind].index_select(1, group.pixels) @ group.matrix[:, run.first : run.last]
        scores.append(network.score(product, own, bias.index_select(1, own)))
    best = torch.cat(scores, 1).topk(PROPOSALS, 1).indices
    if not bool(tiles[:, 1:].any()):
        return best
    scores, numbers = [], []
    for group in known.groups:
        if group.coarse:
            part = images[:, KINDS:].index_select(2, group.pixels).reshape(2 * count, -1)
            products = (part @ group.matrix).reshape(count, 2, -1)
            scores.append(network.colour_score(products, shape[group.first : group.last]))
            numbers.append(torch.arange(group.first, group.last))
    more = torch.cat(scores, 1).topk(COLOUR_PROPOSALS, 1).indices
    return torch.cat([best, torch.cat(numbers)[more]], 1)


def proposer(fit: Fit, step: int) -> Callable[[slice], Tensor]:
    """What gives the rows (t, r) int64, -1 for none, that the network proposes for some of a picture's tiles.

    fit: the picture; step: 1/64 of a pixel value. The slice counts all tiles of the picture. Raises SplatError if the
    package's weights are damaged.
    """
    network = load()
    values = torch.cat([part.values for part in fit.parts])
    grid = grid_of(fit.height, fit.width)
    with torch.inference_mode():
        thumb, place = thumbnail(values, grid, step / 64), places(grid)

    def rows_for(tiles: slice) -> Tensor:
        with torch.inference_mode():
            return propose(network, leftover(values[tiles], step / 64), thumb, place[tiles], step / 64)

    return rows_for


def write(network: Network, path: Path) -> None:
    """Store a network. Raises SplatError where a number is not finite as float16."""
    with np.errstate(over="ignore"):
        parts = [value.detach().numpy().astype(">f2") for value in network.state_dict().values()]
    if not all(np.isfinite(part).all() for part in parts):
        raise SplatError("a network with numbers beyond float16 cannot be stored")
    data = b"NVSN" + b"".join(part.tobytes() for part in parts)
    Path(path).write_bytes(data + struct.pack(">I", zlib.crc32(data)))


def read(data: bytes) -> Network:
    """The network in the bytes of a network.bin. Raises SplatError where they are not what `write` makes."""
    with torch.device("meta"):  # without drawing numbers only to replace them
        network = Network()
    state = network.state_dict()
    if len(data) != 8 + 2 * sum(value.numel() for value in state.values()):
        raise SplatError("network.bin has the wrong length")
    if data[:4] != b"NVSN" or data[-4:] != struct.pack(">I", zlib.crc32(data[:-4])):
        raise SplatError("network.bin is damaged")
    numbers, at = np.frombuffer(data[4:-4], ">f2").astype(np.float32), 0
    if not np.isfinite(numbers).all():
        raise SplatError("network.bin has numbers that are not finite")
    for name, value in state.items():
        state[name] = torch.from_numpy(numbers[at : at + value.numel()].reshape(value.shape))
        at += value.numel()
    network.load_state_dict(state, assign=True)
    return network.eval().requires_grad_(False)


@cache
def load() -> Network:
    """The network of this package. Raises SplatError if its file is damaged or missing."""
    try:
        return read((files(__package__) / "network.bin").read_bytes())
    except FileNotFoundError:
        raise SplatError("this build has no network.bin") from None
