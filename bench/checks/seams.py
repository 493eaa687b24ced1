"""Do the tiles of `splat` show? PSNR at their borders.

    bench check seams PICTURES... --bpp 0.3

A pixel is on a seam if it is one of the two on either side of a border between tiles. Files are whole and decoded.
"""

from __future__ import annotations

import time

import click
import numpy as np
from numpy.typing import NDArray

import splat
from codec.cli.options import Number, amount
from codec.metrics import psnr
from splat.atoms import TILE

from ..method import still_of
from ..sources import open_source_of, stills_in
from ..tables import fixed, table

NEAR = 2  # pixels either side of a border


def on_seam(height: int, width: int) -> NDArray[np.bool_]:
    """(height, width): whether a pixel lies along a border between two tiles."""

    def near(size: int) -> NDArray[np.bool_]:
        at = np.arange(size)
        below, above = at % TILE < NEAR, at % TILE >= TILE - NEAR
        last = (size - 1) // TILE
        return below & (at >= TILE) | above & (at // TILE < last)

    return near(height)[:, None] | near(width)[None, :]


def measured(pixels: NDArray[np.uint8], decoded: NDArray[np.uint8]) -> tuple[float, float, float]:
    """PSNR in dB of the whole picture, of its seams, and of all else. NaN where there are no seams."""
    seam = on_seam(*pixels.shape[:2])
    along, rest = (psnr(pixels[part], decoded[part], 255) if part.any() else np.nan for part in (seam, ~seam))
    return psnr(pixels, decoded, 255), along, rest


@click.command()
@click.argument("pictures", nargs=-1, required=True, type=click.Path(exists=True))
@click.option("--bpp", type=amount(), default=0.3, show_default=True)
@click.option("--effort", type=Number(int, 0, 2), default=1, show_default=True)
@click.option("--network", is_flag=True)
def main(pictures: tuple[str, ...], bpp: float, effort: int, network: bool) -> None:
    """PSNR at the seams of PICTURES or of those in a folder, beside PSNR elsewhere."""
    rows, gaps = [], []
    for path in stills_in(pictures):
        with open_source_of(path) as source:
            pixels = still_of(source).pixels
        began = time.perf_counter()
        data = splat.encode(pixels, bpp=bpp, effort=effort, network=network)
        seconds = time.perf_counter() - began
        whole, seam, rest = measured(pixels, splat.decode(data))
        gaps.append(seam - rest)
        rate = len(data) * 8 / pixels[..., 0].size
        rows.append((path, fixed(rate, 4), fixed(whole), fixed(seam), fixed(rest), fixed(gaps[-1], 2, True),
                     fixed(seconds, 1)))  # fmt: skip
    if len(rows) > 1:
        rows.append(("mean", None, None, None, None, fixed(float(np.mean(gaps)), 2, True), None))
    click.echo(table(("picture", "bpp", "PSNR-RGB", "at seams", "elsewhere", "gap dB", "encode s"), rows))
