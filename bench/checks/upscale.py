"""Is `codec upscale` better than a filter?

    bench check upscale PICTURES... --scale 2
    bench check upscale --speed 1920x1080

PSNR-RGB of pictures made smaller by the mean of squares and larger again.
"""

from __future__ import annotations

import resource
import time

import click
import cv2
import numpy as np

from codec.cli.options import Number
from codec.media.pictures import Picture
from codec.metrics import psnr
from codec.still.upscale import load_upscaler, upscaled_picture
from codec.train.photos import shrunk

from ..method import still_of
from ..process import GIB
from ..sources import open_source_of, stills_in
from ..tables import fixed, table

FILTERS = {"Lanczos-4": cv2.INTER_LANCZOS4, "bicubic": cv2.INTER_CUBIC}  # OpenCV's


def speed(size: str, scale: int, model: str | None) -> str:
    """Seconds and memory of one picture of that size, noise over a gradient."""
    columns, rows = (int(n) for n in size.split("x"))
    noise = np.random.default_rng(0).integers(0, 64, (rows, columns, 3))
    picture = Picture((noise + np.linspace(0, 190, columns)[None, :, None]).astype(np.uint8))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    began = time.perf_counter()
    upscaled_picture(picture, load_upscaler(scale, model))
    seconds = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return (
        f"{columns}x{rows} times {scale}: {seconds:.1f} s, {peak / GIB:.2f} GiB at most, of which "
        f"{before / GIB:.2f} before it began"
    )


@click.command()
@click.argument("pictures", nargs=-1, type=click.Path(exists=True))
@click.option("--scale", type=Number(int, 2, 4), default=2, show_default=True)
@click.option("--model", help="A head of your own.")
@click.option("--speed", "size", metavar="WxH", help="Time a picture of this size instead.")
def main(pictures: tuple[str, ...], scale: int, model: str | None, size: str | None) -> None:
    """PSNR-RGB of the head beside that of filters, over PICTURES or those in a folder."""
    if size:
        click.echo(speed(size, scale, model))
        return
    head, rows, sums = load_upscaler(scale, model), [], []
    for path in stills_in(pictures):
        with open_source_of(path) as source:
            pixels = still_of(source).pixels
        high, wide = (n // scale * scale for n in pixels.shape[:2])
        pixels = pixels[:high, :wide]
        small = shrunk(pixels, scale)
        began = time.perf_counter()
        found = [psnr(pixels, upscaled_picture(Picture(small), head).pixels, 255)]
        seconds = time.perf_counter() - began
        for kind in FILTERS.values():
            larger = cv2.resize(small, (wide, high), interpolation=kind).reshape(pixels.shape)
            found.append(psnr(pixels, larger, 255))
        sums.append([*found, seconds])
        rows.append((path, *(fixed(dB) for dB in found), fixed(seconds, 1)))
    if len(rows) > 1:
        rows.append(("mean", *(fixed(float(n)) for n in np.mean(sums, axis=0))))
    click.echo(table(("picture", "codec upscale", *FILTERS, "seconds"), rows))
