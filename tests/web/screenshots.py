"""Pictures of the player for the README, of the drawn singer:

    codec encode samples/singer.mp4 singer.nvc --crf 45 --scale 2 --loss 24 --history 0 --preset fast
    python -m tests.web.screenshots singer.nvc bench

player.png has divider and statistics, and is light; player-lens.png has the lens, and is dark.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import sync_playwright

from tests.web.browser import CHROMIUM, FLAGS, first_picture, new_page, show, until

SIZE = {"width": 1280, "height": 812}
OFTEN, APART = 130, 40  # colours of the palettes: those that are most of the picture, and those unlike them


def taken(
    browser: Any, film: Path, target: Path, scheme: str, keys: Sequence[str], pointer: tuple[float, float]
) -> None:
    """Show a film, press keys, put the pointer somewhere on the picture, and save what is seen."""
    with new_page(browser, viewport=SIZE, color_scheme=scheme) as page:
        show(page, film)
        first_picture(page)
        for key in keys:
            page.keyboard.press(key)
            page.wait_for_timeout(1500)
        box = page.locator("#box").bounding_box()
        page.mouse.move(box["x"] + pointer[0] * box["width"], box["y"] + pointer[1] * box["height"])
        until(page, "document.getElementById('picture').dataset.shown > 1")  # that which key 3 has sought
        until(page, "document.getElementById('words').hidden")
        page.wait_for_timeout(1000)
        picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
        with_palette(picture).save(target, optimize=True)


def with_palette(picture: Image.Image) -> Image.Image:
    """A picture in few colours, which rare ones, as those of buttons, are among."""
    often = picture.quantize(OFTEN, Image.Quantize.MEDIANCUT).getpalette() or []
    apart = picture.quantize(APART, Image.Quantize.MAXCOVERAGE).getpalette() or []
    palette = Image.new("P", (1, 1))
    palette.putpalette([*often[: 3 * OFTEN], *apart[: 3 * APART]])
    return picture.quantize(palette=palette, dither=Image.Dither.NONE)


def main(film: Path, folder: Path) -> None:
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        taken(browser, film, folder / "player.png", "light", ["i", "d", "3"], (0.9, 0.1))
        taken(browser, film, folder / "player-lens.png", "dark", ["3", "z"], (0.5, 0.43))
        browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
