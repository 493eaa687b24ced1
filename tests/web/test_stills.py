"""Stills and Gaussians in the player: samples are those of the codec, what is drawn is what they say, and what is
damaged is refused."""

from __future__ import annotations

import io
import json
import struct
import zlib
from base64 import b64encode
from binascii import crc_hqx
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

import splat
from codec.base.av1 import decode_base
from codec.still.decode import decode_still, header_of
from heads.restorer.store import STILL_HEADS
from splat.payload import read_layout
from tests.web.browser import first_picture, show, until
from tests.web.player import in_node, needs_node

GOLDEN = Path(__file__).parent.parent / "golden"
ROOT = Path(__file__).parent.parent.parent
HEADS = {number: str(ROOT / "heads" / "restorer" / name) for number, name in STILL_HEADS.items()}
TABLES = ROOT / "splat" / "tables.bin"
GAUSSIANS = GOLDEN / "still-v1.nvs"
SUMS = json.loads((GOLDEN / "still-crc.json").read_text(encoding="utf-8"))
GUIDED = ("guided-v1", "guided-bounded-v1")
EXACT = sorted(name.removesuffix(".still.nvc") for name in SUMS if not name.startswith(GUIDED))
LEVELS = 1  # of 255, by which what is drawn with transparency or between the pixels may differ


def path_of(name: str) -> Path:
    return GOLDEN / f"{name}.still.nvc"


def still_job(path: Path, folder: Path) -> dict[str, Any]:
    """A job that restores a still from bases that are decoded here."""
    still, header = header_of(path.read_bytes())
    shape = max(16, header.height), max(16, header.width)
    job = {"do": "still", "path": str(path), "head": HEADS[header.head or 1]}
    for name, unit in (("picture", still.base), ("alpha", still.alpha)):
        if unit:
            planes = next(planes for _, planes in decode_base([(unit, 0)], shape, 1))
            target = folder / f"{path.name}.{name}"
            target.write_bytes(b"".join(np.asarray(plane).astype("<u2").tobytes() for plane in planes))
            job[name] = str(target)
    return job


def picture_of(page: Any) -> np.ndarray:
    """What the page shows of the picture, (rows, columns, 3), transparency over black."""
    page.evaluate(
        "for (const name of ['zoom', 'words', 'divider']) document.getElementById(name).hidden = true;"
        "document.getElementById('picture').style.background = '#000'"
    )
    shot = page.locator("#picture").screenshot()
    return np.asarray(Image.open(io.BytesIO(shot)).convert("RGB"))


def over_black(pixels: np.ndarray) -> np.ndarray:
    """8-bit RGB of what the codec decodes, transparency over black."""
    if pixels.dtype == np.uint16:
        pixels = (pixels >> 8).astype(np.uint8)
    channels = pixels.shape[2]
    colour = pixels[:, :, :3] if channels > 2 else np.repeat(pixels[:, :, :1], 3, axis=2)
    if channels in (1, 3):
        return colour
    return np.rint(colour * (pixels[:, :, -1:] / 255)).astype(np.uint8)


def differ(one: np.ndarray, other: np.ndarray) -> int:
    assert one.shape == other.shape
    return int(np.abs(one.astype(int) - other).max())


@needs_node
def test_stills_have_the_samples_of_the_codec(tmp_path: Path) -> None:
    jobs = [still_job(path_of(name), tmp_path) for name in EXACT]
    for name, found in zip(EXACT, in_node("stills.mjs", jobs, tmp_path), strict=True):
        assert found["exact"] and found["crc"] == SUMS[f"{name}.still.nvc"], (name, found)


@needs_node
def test_damaged_stills_are_not_exact(tmp_path: Path) -> None:
    """Loss-streams that were changed, with the payload's seal made anew."""
    chance = Random(19)
    names = ("palette-v1", "palette-deep-v1", "palette-two-v1", "palette-bits-v1")
    jobs = []
    for name in names * 8:
        data = bytearray(path_of(name).read_bytes())
        loss = header_of(bytes(data))[1].loss
        at = data.index(loss)
        for _ in range(chance.randint(1, 3)):
            data[at + chance.randrange(len(loss))] ^= 1 << chance.randrange(8)
        begin = data.rindex(b"NVC", 0, at) + 3
        data[at + len(loss) : at + len(loss) + 4] = struct.pack(">I", zlib.crc32(data[begin : at + len(loss)]))
        jobs.append({"do": "still", "data": b64encode(data).decode(), "head": HEADS[1]})
    for found in in_node("stills.mjs", jobs, tmp_path):
        assert found.get("error") or found.get("exact") is False, found


def test_golden_still_is_exact_in_the_browser(page: Any) -> None:
    for name in EXACT:
        show(page, path_of(name))
        first_picture(page)
        until(page, "document.getElementById('note').textContent.includes('exact: its checksum is that of the file')")
        assert page.locator("#words").is_hidden()
        page.keyboard.press("1")
        wanted = over_black(decode_still(path_of(name).read_bytes()).pixels)
        until(page, f"document.getElementById('picture').width === {wanted.shape[1]}")
        assert differ(picture_of(page), wanted) <= LEVELS, name


@pytest.mark.parametrize("name", GUIDED)
def test_what_is_guided_shows_its_base_and_says_why(page: Any, name: str) -> None:
    show(page, path_of(name))
    first_picture(page)
    assert page.locator("#words").text_content().startswith("This is the base: its loss-stream is guided")


def zoomed_pictures(page: Any) -> None:
    """At 100, 200 and 400 %, the picture is what the codec decodes at that zoom."""
    show(page, GAUSSIANS)
    first_picture(page)
    page.keyboard.press("1")
    for zoom, keys in ((1, ""), (2, "++"), (4, "++")):
        for key in keys:
            page.keyboard.press(key)
        wanted = over_black(splat.decode(GAUSSIANS.read_bytes(), zoom=zoom))
        until(page, f"document.getElementById('picture').width === {wanted.shape[1]}")
        until(page, f"document.getElementById('zoom').textContent.startsWith('{100 * zoom} %')")
        if zoom > 1:
            until(page, "(document.getElementById('picture').dataset.drawn ?? 'gaussians') === 'gaussians'")
        assert differ(picture_of(page), wanted) <= LEVELS, zoom
        page.evaluate("document.getElementById('zoom').hidden = false")


def test_gaussians_are_drawn_at_any_zoom(page: Any) -> None:
    page.set_viewport_size({"width": 1200, "height": 800})
    zoomed_pictures(page)


def test_gaussians_are_drawn_at_any_zoom_without_webgpu(page_without_webgpu: Any) -> None:
    page_without_webgpu.set_viewport_size({"width": 1200, "height": 800})
    zoomed_pictures(page_without_webgpu)
    assert "drawn by JavaScript" in page_without_webgpu.locator("#note").text_content()


def test_stills_are_enlarged_and_moved(page: Any) -> None:
    show(page, path_of("palette-bits-v1"))
    first_picture(page)
    until(page, "document.getElementById('note').textContent.includes('exact')")
    wanted = over_black(decode_still(path_of("palette-bits-v1").read_bytes()).pixels)
    page.keyboard.press("1")
    for _ in range(9):
        page.keyboard.press("+")
    until(page, "document.getElementById('zoom').textContent.startsWith('2400 %')")
    shown = picture_of(page)
    top, left = (40 - shown.shape[0] / 24) / 2, (50 - shown.shape[1] / 24) / 2
    places = [(np.arange(n) + 0.5) / 24 + start for n, start in zip(shown.shape, (top, left), strict=False)]
    inner = [np.abs(place % 1 - 0.5) < 0.4 for place in places]  # away from the pixels' borders
    pixels = [place[some].astype(int) for place, some in zip(places, inner, strict=True)]
    assert differ(shown[np.ix_(*inner)], wanted[np.ix_(*pixels)]) <= LEVELS
    box = page.locator("#box").bounding_box()
    page.mouse.move(box["x"] + 300, box["y"] + 300)
    page.mouse.down()
    page.mouse.move(box["x"] + 3000, box["y"] + 3000, steps=3)
    page.mouse.up()
    corner = picture_of(page)[2:20, 2:20]
    assert differ(corner, np.broadcast_to(wanted[0, 0], corner.shape)) <= LEVELS
    page.keyboard.press("0")
    until(page, "document.getElementById('zoom').hidden")
    page.mouse.move(box["x"] + 300, box["y"] + 300)
    page.mouse.wheel(0, -400)
    until(page, "!document.getElementById('zoom').hidden")


@needs_node
def test_gaussians_between_the_pixels_are_those_of_the_package(tmp_path: Path) -> None:
    jobs = []
    for zoom in (2, 3.5):
        width, height = round(270 * zoom), round(130 * zoom)
        out = str(tmp_path / f"{zoom}")
        jobs.append({"do": "enlarged", "path": str(GAUSSIANS), "tables": str(TABLES), "scale": zoom, "width": width,
                     "height": height, "out": out})  # fmt: skip
    assert in_node("stills.mjs", jobs, tmp_path) == [{}, {}]
    for job in jobs:
        wanted = splat.decode(GAUSSIANS.read_bytes(), zoom=job["scale"])
        assert differ(np.fromfile(job["out"], np.uint8).reshape(wanted.shape), wanted) <= LEVELS


def resealed(data: bytes, chance: Random) -> bytes:
    """An .nvs file that is changed in places, with its sums made anew."""
    layout = read_layout(data)
    heads = sum(map(len, layout.heads))
    end = layout.groups[0][0][0] - 4  # of the header
    changed = bytearray(data)
    for _ in range(chance.randint(1, 2)):
        spans = [(4, 8), (8, 24), (end - heads, end), *(span for group in layout.groups for span in group)]
        first, last = chance.choice([span for span in spans if span[0] < span[1]])
        changed[chance.randrange(first, last)] ^= 1 << chance.randrange(8)
    crc = zlib.crc32(changed[:end])
    changed[end : end + 4] = struct.pack(">I", crc)
    for number, group in enumerate(layout.groups):
        first, last = group[0][0], group[-1][1]
        if first < last:
            changed[last : last + 2] = struct.pack(">H", crc_hqx(bytes(changed[first:last]), (crc ^ number) & 0xFFFF))
    return bytes(changed)


@needs_node
def test_changed_gaussians_are_refused_or_decoded_as_the_package_does(tmp_path: Path) -> None:
    chance, data = Random(7), GAUSSIANS.read_bytes()
    files = [data, data[:-1], data + b"\0", data[:20], b"NVS", b""] + [resealed(data, chance) for _ in range(120)]
    files += [bytes([*data[:k], data[k] ^ 4, *data[k + 1 :]]) for k in range(0, len(data), 37)]
    jobs = [{"do": "gaussians", "data": b64encode(one).decode(), "tables": str(TABLES)} for one in files]
    decoded = 0
    for one, found in zip(files, in_node("stills.mjs", jobs, tmp_path), strict=True):
        try:
            wanted = zlib.crc32(np.ascontiguousarray(splat.decode(one, max_pixels=1 << 24)).data)
        except splat.SplatError as error:
            assert "error" in found, (str(error), found)
        else:
            assert found == {"crc": wanted}
            decoded += 1
    assert 1 < decoded < len(files) - 10


def test_damaged_gaussians_are_refused_in_words(page: Any, tmp_path: Path) -> None:
    data = bytearray(GAUSSIANS.read_bytes())
    data[-10] ^= 1
    (tmp_path / "damaged.nvs").write_bytes(data)
    show(page, tmp_path / "damaged.nvs")
    until(page, "document.getElementById('loading').classList.contains('wrong')")
    assert "is damaged" in page.locator("#loading").text_content()


DISPLAY_P3 = ((0.68, 0.32), (0.265, 0.69), (0.15, 0.06))  # chromaticities of red, green, blue
SRGB = ((0.64, 0.33), (0.3, 0.6), (0.15, 0.06))


def to_xyz(chromaticities: tuple[tuple[float, float], ...]) -> np.ndarray:
    """Matrix from light of such primaries to XYZ, white being D65."""
    columns = np.array([[x / y, 1, (1 - x - y) / y] for x, y in chromaticities]).T
    return columns * np.linalg.solve(columns, [0.3127 / 0.329, 1, 0.3583 / 0.329])


def decoded(v: np.ndarray) -> np.ndarray:
    return np.where(v <= 0.04045, v / 12.92, ((v + 0.055) / 1.055) ** 2.4)


def encoded(v: np.ndarray) -> np.ndarray:
    return np.where(v <= 0.0031308, 12.92 * v, 1.055 * v ** (1 / 2.4) - 0.055)


@needs_node
def test_profiles_of_matrix_and_curves_are_applied(tmp_path: Path) -> None:
    plain = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    srgb = {"primaries": 1, "transfer": 13}
    colours = [255, 0, 0, 255, 0, 255, 0, 255, 128, 128, 128, 255, 200, 120, 60, 255]
    jobs = [
        {"do": "profile", "icc": icc and b64encode(icc).decode(), "colour": colour, "rgba": colours}
        for icc, colour in ((plain, srgb), (lab, srgb), (None, {"primaries": 12, "transfer": 13}), (None, srgb),
                            (None, {"primaries": 9, "transfer": 16}), (plain[:150], srgb))
    ]  # fmt: skip
    same, other, wide, none, light, cut = in_node("stills.mjs", jobs, tmp_path)
    assert not same["applied"] and same["note"] is None and none == same
    assert not other["applied"] and "not applied" in other["note"]
    assert "not applied" in cut["note"] and "HDR" in light["note"]
    assert wide["applied"] and wide["rgba"][:4] == [255, 0, 0, 255], "reds that the page cannot show are limited"
    light = to_xyz(DISPLAY_P3) @ decoded(np.array([200, 120, 60]) / 255)
    wanted = 255 * encoded(np.linalg.solve(to_xyz(SRGB), light))
    assert np.allclose(wide["rgba"][8:15], [128, 128, 128, 255, *wanted], atol=1)
