"""What do pictures of few colours take, beside PNG, WebP and JPEG XL?

    bench check palette

Pictures are drawn here: a screen of windows, a page of text in two tones, a map of tiles, a diagram with soft edges, an
icon. Every lossless file is decoded and found equal. `predicted`: the same without a palette, as a base predicts it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from importlib import import_module
from typing import Any

import click
import cv2
import numpy as np
from numpy.typing import NDArray

from codec.media.pictures import Picture
from codec.settings import StillSettings
from codec.still.decode import decode_still
from codec.still.encode import StillEncoder

from ..tables import fixed, table

HEAD = ("picture", "size", "colours", "PNG", "WebP", "JPEG XL", "predicted", "nvc", "encode s", "decode s")
SETTINGS = StillSettings(max_error=0, threads=1)
WORDS = (
    "quick",
    "brown",
    "fox",
    "jumps",
    "over",
    "lazy",
    "dog",
    "packs",
    "my",
    "box",
    "five",
    "dozen",
    "liquor",
    "jugs",
)
Image = NDArray[np.uint8]


def _written(image: Image, rng: np.random.Generator, box: tuple[int, int, int, int], soft: bool) -> None:
    """Lines of words in (left, top, right, bottom)."""
    left, top, right, bottom = box
    for y in range(top + 14, bottom, 18):
        line = " ".join(rng.choice(WORDS, (right - left) // 42))
        kind = cv2.LINE_AA if soft else cv2.LINE_8
        cv2.putText(image, line, (left, y), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (0,) * image.shape[2], 1, kind)


def screen(rng: np.random.Generator) -> Image:
    """Windows with text upon a plain ground, hard edges."""
    image = np.full((600, 800, 3), (165, 110, 58), np.uint8)
    for left, top, width, height in ((30, 20, 480, 420), (250, 150, 500, 400)):
        cv2.rectangle(image, (left, top), (left + width, top + height), (200, 208, 212), -1)
        cv2.rectangle(image, (left + 3, top + 3), (left + width - 3, top + 22), (106, 36, 10), -1)
        cv2.rectangle(image, (left + 5, top + 30), (left + width - 5, top + height - 5), (255, 255, 255), -1)
        _written(image, rng, (left + 12, top + 34, left + width - 30, top + height - 8), False)
    return image


def page(rng: np.random.Generator) -> Image:
    """Text, black on white."""
    image = np.full((900, 640, 1), 255, np.uint8)
    _written(image, rng, (40, 40, 600, 860), False)
    return image


def tiles(rng: np.random.Generator) -> Image:
    """A map of sixteen kinds of tiles of 16x16 pixels in 16 colours."""
    y, x = np.mgrid[:16, :16]
    kinds = np.zeros((16, 16, 16), np.int64)
    for kind in kinds:
        kind[...] = rng.integers(16)
        for _ in range(5):
            b, a, r = rng.integers(2, 14, 3)
            kind[(y - b) ** 2 + (x - a) ** 2 < r * r // 3] = rng.integers(16)
    chosen = kinds[rng.integers(0, 16, (24, 32))]
    colours = rng.integers(0, 256, (16, 3)).astype(np.uint8)
    return colours[chosen.transpose(0, 2, 1, 3).reshape(384, 512)]


def diagram(rng: np.random.Generator) -> Image:
    """Boxes, lines and labels with soft edges."""
    image = np.full((480, 640, 3), 255, np.uint8)
    for k in range(12):
        left, top = (int(n) for n in rng.integers(20, 440, 2))
        colour = (60 * (k % 4), 200, 250 - 50 * (k % 5))
        cv2.line(image, (left, top), (600 - left, 460 - top), (0, 0, 0), 1, cv2.LINE_AA)
        cv2.rectangle(image, (left, top), (left + 110, top + 30), colour, -1)
        _written(image, rng, (left + 4, top + 4, left + 90, top + 20), True)
    return image


def icon(rng: np.random.Generator) -> Image:
    """A disc and a square with hard edges, clear around them."""
    y, x = np.mgrid[:32, :32]
    image = np.zeros((32, 32, 4), np.uint8)
    image[(y - 14) ** 2 + (x - 14) ** 2 < 150] = (200, 40, 40, 255)
    image[16:28, 14:30] = (40, 80, 200, 255)
    image[18:26, 16:28] = (230, 230, 240, 255)
    return image


def _peers(pixels: Image) -> Iterator[int]:
    """Bytes of PNG (with a palette where it has 256 colours at most), WebP and JPEG XL."""
    from io import BytesIO

    def size(picture: Any, kind: str, **options: Any) -> int:
        file = BytesIO()
        picture.save(file, kind, **options)
        return len(file.getvalue())

    made = import_module("PIL.Image").fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
    sizes = [size(made, "PNG", optimize=True)]
    if pixels.shape[2] == 1:
        sizes.append(size(made.convert("1", dither=0), "PNG", optimize=True))
    elif (colours := made.getcolors(256)) is not None and pixels.shape[2] == 3:
        few = made.quantize(len(colours), method=0, dither=0)
        sizes.append(size(few, "PNG", optimize=True))
    yield min(sizes)
    yield size(made if pixels.shape[2] > 1 else made.convert("RGB"), "WEBP", lossless=True, exact=True, method=6)
    yield len(import_module("imagecodecs").jpegxl_encode(np.squeeze(pixels), effort=7, lossless=True, planar=False))


@click.command()
def main() -> None:
    """Sizes of made pictures of few colours; exit code 1 where one is not restored."""
    rows: list[tuple[object, ...]] = []
    for draw in (screen, page, tiles, diagram, icon):
        pixels = np.ascontiguousarray(draw(np.random.default_rng(0)))
        encoder = StillEncoder(Picture(pixels), SETTINGS)
        began = time.process_time()
        data = encoder.run().data
        coded = time.process_time()
        found = decode_still(data, 1).pixels
        done = time.process_time()
        if not np.array_equal(found, pixels):
            raise click.ClickException(f"{draw.__name__} is not restored")
        sizes = [*_peers(pixels), len(encoder.code(SETTINGS.start_crf).data), len(data)]
        colours = len(np.unique(pixels.reshape(-1, pixels.shape[2]), axis=0))
        size = f"{pixels.shape[1]}x{pixels.shape[0]}"
        times = fixed(coded - began, 1), fixed(done - coded, 1)
        rows.append((draw.__name__, size, colours, *(f"{n:,}" for n in sizes), *times))
    click.echo(table(HEAD, rows))
