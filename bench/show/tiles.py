"""Pictures of one size side by side, each above words of its own, as one PNG."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..process import BenchError

COLUMNS = 3
GAP, LINE, SIZE = 10, 19, 15  # samples: between tiles, from line to line of text, of its letters
PAPER, INK, FAINT = (255, 255, 255), (20, 20, 20), (90, 90, 90)


def tiled(pictures: Sequence[NDArray[np.uint8]], words: Sequence[Sequence[str]]) -> bytes:
    """A PNG of `pictures`, (rows, columns, 3) RGB of one shape, in rows of at most three; below each its lines of
    text, the first one darker. Raises BenchError where Pillow is not installed."""
    try:
        from PIL import Image, ImageDraw, ImageFont
    except ImportError:
        raise BenchError("pictures need Pillow: pip install 'nvc[bench]'") from None
    rows, columns = pictures[0].shape[:2]
    across, below = min(COLUMNS, len(pictures)), LINE * max(map(len, words)) + GAP
    down = -(-len(pictures) // across)
    sheet = Image.new("RGB", (across * (columns + GAP) + GAP, down * (rows + below) + GAP), PAPER)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(SIZE)
    for k, (picture, lines) in enumerate(zip(pictures, words, strict=True)):
        left, top = GAP + k % across * (columns + GAP), GAP + k // across * (rows + below)
        sheet.paste(Image.fromarray(picture), (left, top))
        for n, line in enumerate(lines):
            draw.text((left, top + rows + 3 + n * LINE), line, FAINT if n else INK, font)
    file = io.BytesIO()
    sheet.save(file, "PNG", optimize=True)
    return file.getvalue()
