"""Codes to pixels: exactly, at the picture's size, however a machine computes; smoothly, at any other."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zlib
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

import splat
from splat import payload
from splat.atoms import AMPLITUDE_MAX, ATOMS_MAX, BASE_MAX, SHAPES, STEP_MAX, STEP_MIN, UNIT, Code, dictionary
from splat.render import ZOOM_MAX, ZOOM_MIN, compose, ramps, render, zoomed
from tests.makers import GOLDEN
from tests.splat import reference
from tests.splat.drawn_codes import drawn_code, empty

GOLDEN_STILL = GOLDEN / "still-v1.nvs"
CRC = 0x7D6CFCA0  # of the golden file's pixels


def drawn(code: Code) -> np.ndarray:
    """What the reference makes of a code."""
    return np.array(reference.draw(code.width, code.height, code.step, code.base.tolist(), code.atoms.tolist()))


def full(channels: int, step: int, sign: int, shape: int, place: int) -> Code:
    """Four tiles at the edge of what is legal: the largest sums, of either sign."""
    base = np.full((4, channels, 3), sign * BASE_MAX)
    base[1:3] *= -1
    atom = np.array([0, shape, place] + [sign * AMPLITUDE_MAX] * channels)
    atoms = np.tile(atom, (2 * ATOMS_MAX, 1))
    atoms[ATOMS_MAX:, 0] = 3
    atoms[ATOMS_MAX:, 3:] *= -1
    return Code(45, 47, channels, step, base, atoms).check()


# --- exactness -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "code",
    [
        drawn_code(1, 1, 1),
        drawn_code(70, 40, 1, per_tile=3),
        drawn_code(40, 70, 3, 1, step=3000, per_tile=3),
        drawn_code(33, 33, 3, 2, step=70, per_tile=3),
        empty(drawn_code(70, 70, 3, 3, step=20, wild=True)),
        empty(drawn_code(70, 70, 1, 4, step=STEP_MIN, wild=True)),
        empty(drawn_code(70, 70, 3, 5, step=STEP_MAX, wild=True)),
        replace(drawn_code(40, 40, 3, 6), base=drawn_code(40, 40, 3, 7, wild=True).base),
    ],
)
def test_pixels_are_those_of_plain_integers(code: Code) -> None:
    assert np.array_equal(render(code), drawn(code))


@pytest.mark.parametrize("step", [STEP_MIN, 17, STEP_MAX])
@pytest.mark.parametrize("sign", [1, -1])
def test_the_largest_sums_are_exact(step: int, sign: int) -> None:
    """All atoms of the highest peak at one place, in float64, against one product of integers."""
    peaks = np.abs(dictionary().kernels).max(axis=(1, 2))
    code = full(3, step, sign, int(np.argmax(peaks)), 3)
    one = replace(code, atoms=code.atoms[::ATOMS_MAX] * np.array([1, 1, 1] + [ATOMS_MAX] * 3))
    assert np.array_equal(render(code), drawn(one))


def test_no_legal_sum_passes_what_float64_holds() -> None:
    peak = int(np.abs(dictionary().kernels).max())
    assert peak <= UNIT and np.array_equal(ramps(), np.rint(ramps()))
    plane = BASE_MAX * int(np.abs(ramps()).max(axis=1).sum())
    largest = ATOMS_MAX * AMPLITUDE_MAX * peak + plane
    assert largest < 1 << 31 and largest * STEP_MAX + 2048 < 1 << 53


def test_order_of_atoms_does_not_matter() -> None:
    code = drawn_code(64, 64, 3, per_tile=40)
    order = np.random.default_rng(0).permutation(len(code.atoms))
    order = order[np.argsort(code.atoms[order, 0], kind="stable")]
    assert np.array_equal(render(replace(code, atoms=code.atoms[order])), render(code))
    with pytest.raises(splat.SplatError, match="order"):
        render(replace(code, atoms=code.atoms[::-1]))


@pytest.mark.parametrize("channels", [1, 3])
def test_regions_are_cut_from_the_whole(channels: int) -> None:
    data = payload.write([drawn_code(257, 300, channels, 1, 2500), drawn_code(257, 300, 1, 2, 900)])
    whole, rng = splat.decode(data), np.random.default_rng(0)
    regions = [(0, 0, 300, 257), (299, 256, 1, 1), (253, 0, 6, 257), (0, 253, 300, 4), (252, 252, 1, 1), (32, 31, 1, 2)]
    for _ in range(40):
        x, y = int(rng.integers(0, 300)), int(rng.integers(0, 257))
        regions.append((x, y, int(rng.integers(1, min(80, 300 - x) + 1)), int(rng.integers(1, min(80, 257 - y) + 1))))
    for x, y, w, h in regions:
        part = splat.decode(data, (x, y, w, h))
        assert part.dtype == np.uint8 and np.array_equal(part, whole[y : y + h, x : x + w])


def test_blocks_join_without_a_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    code = drawn_code(150, 130, 3, step=2000)
    whole, region = render(code), render(code, (20, 30, 100, 110))
    larger = zoomed(code, 1.7)
    monkeypatch.setattr("splat.render.BLOCK", 1)
    assert np.array_equal(render(code), whole)
    assert np.array_equal(render(code, (20, 30, 100, 110)), region)
    assert np.abs(zoomed(code, 1.7).astype(int) - larger).max() <= 1


def test_seams_are_softened_and_nothing_else() -> None:
    base = np.zeros((4, 1, 3), np.int64)
    base[:, 0, 0] = [0, 80, 0, 80]
    pixels = render(Code(64, 64, 1, 640, base, np.zeros((0, 4), np.int64)))[:, :, 0]
    assert (pixels == pixels[:1]).all()
    row = pixels[0].tolist()
    assert row[:30] == [128] * 30 and row[34:] == [153] * 30
    assert row[29] <= row[30] <= row[31] <= row[32] <= row[33] <= row[34] and row[30:34] != [128, 128, 153, 153]


@pytest.mark.parametrize(
    "region", [(0, 0, 0, 5), (0, 0, 5, 0), (-1, 0, 5, 5), (0, -1, 5, 5), (96, 0, 5, 5), (0, 66, 5, 5)]
)
def test_regions_outside_are_refused(region: tuple[int, int, int, int]) -> None:
    code = drawn_code(70, 100, 1)
    data = payload.write([code])
    for draw in (
        lambda: splat.decode(data, region),
        lambda: splat.decode(data, region, 2),
        lambda: render(code, region),
        lambda: zoomed(code, 0.5, region),
    ):
        with pytest.raises(splat.SplatError, match="region"):
            draw()


# --- machines --------------------------------------------------------------------------------------------------------

PROGRAM = """
import json, sys, zlib
from pathlib import Path
import splat
print(json.dumps([zlib.crc32(splat.decode(Path(name).read_bytes()).tobytes()) for name in sys.argv[1:]]))
assert "torch" not in sys.modules
"""
SIMD = " ".join(np.show_config("dicts")["SIMD Extensions"].get("found", []))

WAYS = {
    "1 thread": {"OPENBLAS_NUM_THREADS": "1"},
    "2 threads": {"OPENBLAS_NUM_THREADS": "2"},
    "SSE3": {"OPENBLAS_CORETYPE": "Prescott"},
    "AVX2 and FMA": {"OPENBLAS_CORETYPE": "Haswell"},
    "NumPy without SIMD": {"NPY_DISABLE_CPU_FEATURES": SIMD},
}


@pytest.fixture(scope="module")
def wild(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with the largest sums, at the smallest step."""
    code = drawn_code(300, 200, 3, 9, per_tile=20, wild=True, step=STEP_MIN)
    path = tmp_path_factory.mktemp("wild") / "wild.nvs"
    path.write_bytes(payload.write([code, drawn_code(300, 200, 1, 10, 3333, 100)]))
    return path


@pytest.mark.parametrize("way", WAYS)
def test_files_decode_alike(way: str, wild: Path) -> None:
    found = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PROGRAM, str(GOLDEN_STILL), str(wild)],
        env={**os.environ, **WAYS[way], "PYTHONPATH": os.pathsep.join([str(GOLDEN_STILL.parents[2]), *sys.path])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stderr
    assert json.loads(found.stdout) == [CRC, zlib.crc32(splat.decode(wild.read_bytes()).tobytes())]


def test_the_golden_file_exercises_the_decoder() -> None:
    data = GOLDEN_STILL.read_bytes()
    assert len(data) <= 2000
    assert zlib.crc32(splat.decode(data).tobytes()) == CRC
    picture, alpha = payload.read(data)
    assert picture.channels == 3 and len(alpha.atoms)
    assert picture.grid[1] > payload.GROUP and picture.width % 32 and picture.height % 32
    assert {SHAPES[shape].profile for shape in picture.atoms[:, 1].tolist()} == {0, 1, 2}
    assert len({SHAPES[shape].scale for shape in picture.atoms[:, 1].tolist()}) > 3
    assert payload.write([picture, alpha]) == data


# --- zoom ------------------------------------------------------------------------------------------------------------


def smooth_code(channels: int = 3) -> Code:
    """A picture of broad Gaussians on even planes, without sharp borders between tiles, nowhere near black or white."""
    rng = np.random.default_rng(4)
    broad = np.flatnonzero([shape.across >= 20 and shape.profile == 0 for shape in SHAPES])
    atoms = []
    for tile in range(12):
        for shape in rng.choice(broad, 6).tolist():
            centre = dictionary().places[shape]
            inner = np.flatnonzero((np.abs(centre - 15.5) < 7).all(axis=1))
            atoms.append([tile, shape, int(rng.choice(inner)), *rng.integers(-25, 26, channels).tolist()])
    return Code(96, 128, channels, 640, np.zeros((12, channels, 3), np.int64), np.array(atoms)).check()


@pytest.mark.parametrize("factor", [0.1, 0.33, 0.5, 1, 1.01, 2, 3.3, 16])
def test_zoomed_sizes(factor: float) -> None:
    codes = [drawn_code(37, 50, 3), drawn_code(37, 50, 1)]
    for region in (None, (3, 5, 11, 7), (49, 36, 1, 1)):
        _, _, w, h = region or (0, 0, 50, 37)
        pixels = compose(codes, region, factor)
        assert pixels.shape == (max(1, round(h * factor)), max(1, round(w * factor)), 4) and pixels.dtype == np.uint8


def test_a_zoom_of_one_is_the_picture() -> None:
    code = drawn_code(37, 50, 3)
    for region in (None, (3, 5, 11, 7)):
        assert np.array_equal(zoomed(code, 1, region), render(code, region))
        assert np.array_equal(zoomed(code, 1.0, region), render(code, region))


@pytest.mark.parametrize("factor", [ZOOM_MIN / 2, -1, 0, ZOOM_MAX + 0.1, float("nan"), float("inf")])
def test_other_zooms_are_refused(factor: float) -> None:
    with pytest.raises(splat.SplatError, match="zoom"):
        zoomed(drawn_code(37, 50, 3), factor)


def test_zoomed_pictures_are_not_too_large() -> None:
    base = np.zeros((64 * 64, 1, 3), np.int64)
    with pytest.raises(splat.SplatError, match="too large"):
        zoomed(Code(2048, 2048, 1, 64, base, np.zeros((0, 4), np.int64)), 16)


@pytest.mark.parametrize("factor", [1.25, 2, 3.3])
def test_a_smooth_picture_enlarged_is_close_to_its_pixels_interpolated(factor: float) -> None:
    for channels in (1, 3):
        code = smooth_code(channels)
        pixels = render(code)
        assert pixels.std() > 8
        found = zoomed(code, factor)
        size = found.shape[1], found.shape[0]
        expected = cv2.resize(pixels, size, interpolation=cv2.INTER_CUBIC).reshape(found.shape)
        difference = np.abs(found.astype(int) - expected)
        assert difference.mean() < 0.5 and difference.max() <= 6


def test_odd_enlargements_pass_through_the_pixels() -> None:
    """With factor 3 every third new pixel lies on an old one: there both agree but for rounding."""
    code = drawn_code(70, 100, 3, step=200, per_tile=10)
    difference = np.abs(zoomed(code, 3)[1::3, 1::3].astype(int) - render(code))
    assert difference.max() <= 2 and difference.mean() < 0.2


@pytest.mark.parametrize("factor", [0.5, 0.25])
def test_a_picture_made_smaller_is_its_means(factor: float) -> None:
    code, size = drawn_code(64, 96, 3, step=300), round(1 / factor)
    means = render(code).reshape(64 // size, size, 96 // size, size, 3).mean(axis=(1, 3))
    assert np.abs(zoomed(code, factor) - means).max() <= 0.5 + 1e-9


def test_uneven_means_keep_the_mean() -> None:
    code = drawn_code(61, 47, 3, step=300)
    for factor in (0.1, 0.37, 0.9, 0.99):
        assert np.abs(zoomed(code, factor).mean() - render(code).mean()) < 0.5


def test_an_enlarged_region_is_cut_from_the_whole_enlarged() -> None:
    code = drawn_code(100, 130, 3, step=300)
    whole = zoomed(code, 2).astype(int)
    for x, y, w, h in ((0, 0, 130, 100), (30, 31, 5, 3), (64, 32, 32, 32), (7, 9, 100, 80)):
        part = zoomed(code, 2, (x, y, w, h))
        assert np.abs(part - whole[2 * y : 2 * (y + h), 2 * x : 2 * (x + w)]).max() <= 1
