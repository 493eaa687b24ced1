"""The tile compressor's encoder: wishes are met, bytes depend on the picture alone, and atoms are what they claim."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import splat
from splat.atoms import ATOMS_MAX, STEP_MIN, TILE, UNIT, dictionary
from splat.fit import KAPPA, Fit, channels_of, costs
from splat.payload import read
from splat.pursuit import PIXELS, Prices, Search, pursue, rows
from splat.rate import sample_of
from tests.splat.makers import Pixels, psnr, scene


def test_bpp_is_kept_and_used() -> None:
    picture = scene(96, 160)
    for bpp in (0.3, 0.8):
        data = splat.encode(picture, bpp=bpp, effort=0)
        allowed = bpp * picture[..., 0].size / 8
        assert 0.97 * allowed <= len(data) <= allowed


def test_psnr_is_reached_by_a_fresh_decode_and_not_passed_by_much() -> None:
    picture = scene()
    found = psnr(splat.decode(splat.encode(picture, psnr=33, effort=0)), picture)
    assert 33 <= found < 33.4


@pytest.mark.parametrize("most", [0, 60])
def test_number_of_gaussians_is_kept(most: int) -> None:
    picture = scene()
    described = splat.describe(splat.encode(picture, gaussians=most, effort=0))
    assert isinstance(described["gaussians"], int)
    assert 0.7 * most <= described["gaussians"] <= most


def test_a_picture_of_few_gaussians_keeps_its_planes() -> None:
    """A step fit for so few would have moved flat tiles by many values."""
    flat = np.full((64, 64, 3), (37, 190, 121), np.uint8)
    decoded = splat.decode(splat.encode(flat, gaussians=0))
    assert np.abs(decoded.astype(int) - flat).max() <= 2


def test_quality_rises_with_the_rate() -> None:
    picture = scene(64, 96)
    found = [psnr(splat.decode(splat.encode(picture, step=step)), picture) for step in (120, 50, 20)]
    assert found == sorted(found)
    assert found[-1] > found[0] + 5


def stamped() -> Pixels:
    """Dark blocks on white, whose strong edges end amplitudes at fine steps: uint8 (32, 32, 1)."""
    random = np.random.default_rng(5)
    picture = np.full((32, 32, 1), 250, np.uint8)
    for _ in range(14):
        y, x = random.integers(0, 26, 2)
        picture[y : y + random.integers(2, 9), x : x + random.integers(1, 5)] = random.integers(0, 60)
    return picture


@pytest.mark.parametrize("picture", [scene(32, 32, 1), stamped()])
def test_more_bits_never_give_less(picture: Pixels) -> None:
    """Below a finest step, more bits once cost 10 dB and more."""
    found, said = [], []
    for bpp in (1.5, 4, 25):
        words: list[str] = []
        data = splat.encode(picture, bpp=bpp, effort=0, remark=words.append)
        assert len(data) <= bpp * picture[..., 0].size / 8
        found.append(psnr(splat.decode(data), picture))
        said.append(words)
    assert found == sorted(found)
    assert found[-1] > found[0] + 5
    assert not said[0]
    assert said[-1] == [f"the picture is exhausted at {found[-1]:.2f} dB, {len(data):,} bytes"]


def test_more_gaussians_never_give_less_and_the_best_is_told() -> None:
    picture = scene(32, 32, 1)
    few, many = (splat.encode(picture, gaussians=count, effort=0) for count in (100, 5000))
    best = psnr(splat.decode(many), picture)
    assert best > psnr(splat.decode(few), picture)
    with pytest.raises(splat.SplatError, match=f"no file reaches 70 dB; the best has {best:.2f} dB"):
        splat.encode(picture, psnr=70, effort=0)


def test_effort_pays() -> None:
    picture = scene(64, 96)
    quick, slow = (psnr(splat.decode(splat.encode(picture, bpp=0.5, effort=e)), picture) for e in (0, 2))
    assert slow > quick - 0.05


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("size", [(1, 1), (1, 40), (33, 31), (70, 65)])
def test_any_size_and_channels(size: tuple[int, int], channels: int) -> None:
    picture = scene(96, 128, channels)[: size[0], : size[1]]
    data = splat.encode(picture, step=20, effort=0)
    decoded = splat.decode(data)
    assert decoded.shape == picture.shape
    assert psnr(decoded, picture) > 24


def test_opaque_stays_opaque() -> None:
    picture = np.dstack([scene(), np.full((96, 128), 255, np.uint8)])
    for step in (150, 1000):
        assert (splat.decode(splat.encode(picture, step=step, effort=0))[..., 3] == 255).all()


def test_bytes_do_not_depend_on_threads_nor_on_the_run() -> None:
    picture = scene(160, 256)  # three blocks of tiles
    first = splat.encode(picture, step=60, threads=1)
    assert splat.encode(picture, step=60, threads=3) == first
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        assert splat.encode(picture, step=60, threads=2, effort=1) == first
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_progress_never_falls_and_ends_at_one() -> None:
    told: list[float] = []
    splat.encode(scene(), bpp=0.4, effort=0, listen=told.append)
    assert told == sorted(told)
    assert told[-1] == 1.0
    assert len(told) > 3


@pytest.mark.parametrize(
    ("wishes", "words"),
    [
        ({"bpp": 0.3, "psnr": 30}, "bpp and psnr contradict"),
        ({"bpp": 0}, "bpp cannot be 0"),
        ({"bpp": float("nan")}, "bpp cannot be nan"),
        ({"gaussians": -1}, "gaussians cannot be -1"),
        ({"step": 0.1}, "step cannot be 0.1"),
        ({"effort": 3}, "effort is 0..2"),
        ({"bpp": 0.001}, "0.001 bpp are 0 bytes, but the smallest file has"),
        ({"psnr": 99}, "no file reaches 99 dB; the best has"),
    ],
)
def test_wishes_that_cannot_be(wishes: dict[str, float], words: str) -> None:
    with pytest.raises(splat.SplatError, match=words.replace(".", r"\.")):
        splat.encode(scene(32, 32, 1), **{"effort": 0, **wishes})


def test_pixels_of_another_kind_are_refused() -> None:
    for pixels in (np.zeros((8, 8, 3), np.float32), np.zeros((8, 8), np.uint8), np.zeros((8, 8, 5), np.uint8)):
        with pytest.raises(splat.SplatError, match="pixels must be uint8"):
            splat.encode(pixels)  # type: ignore[arg-type]
    with pytest.raises(splat.SplatError, match="cannot be coded"):
        splat.encode(np.zeros((0, 8, 3), np.uint8))


def test_rows_are_the_dictionary_with_weighted_edges() -> None:
    known = rows()
    places = dictionary()
    assert known.count == int(places.npos.sum())
    chosen = torch.tensor([0, 1234, known.count - 1, -1])
    drawn = known.draw(chosen)
    assert not drawn[3].any()
    for row, values in zip(chosen[:3].tolist(), drawn, strict=False):
        shape, place = known.shape[row : row + 1], known.place[row : row + 1]
        window = places.window(shape, places.centre(shape, place))[0] / UNIT
        np.testing.assert_allclose(values, window.reshape(-1) * known.weight.numpy(), atol=1e-6)


def test_pursuit_finds_the_atoms_that_a_tile_is_made_of() -> None:
    known = rows()
    wanted = torch.tensor([1000, 30000, 60000])
    target = (known.draw(wanted) * torch.tensor([900.0, -700.0, 500.0])[:, None]).sum(0).reshape(1, 1, PIXELS)
    prices = Prices(torch.full((known.count,), 100.0), torch.zeros(1))
    found = pursue(target, prices, Search(1, 0.0, 8))
    assert set(wanted.tolist()) <= set(found[0].tolist())


def test_pursuit_stops_at_its_limit_and_where_nothing_pays() -> None:
    noise = torch.from_numpy(np.random.default_rng(3).normal(0, 40, (2, 1, PIXELS)).astype(np.float32))
    known = rows()
    many = pursue(noise, Prices(torch.zeros(known.count), torch.zeros(1)), Search(4, 0.1, 2), limit=10)
    assert many.shape == (2, 10)
    assert (many >= 0).all()
    none = pursue(noise, Prices(torch.full((known.count,), 1e9), torch.zeros(1)), Search(4, 0.1, 2))
    assert none.shape[1] == 0


def test_amplitudes_are_a_local_optimum() -> None:
    """No amplitude of luma can move by one step to a lower cost, reckoned afresh from the pixels."""
    picture = scene(64, 64)
    fit = Fit(picture, costs())
    step = 30 * 64
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as pool:
        fit.choose(step, KAPPA, Search(3, 0.2, 2), pool)
    with torch.inference_mode():
        code = fit.quantise(step)
    code.check()
    known, bits = rows(), costs().magnitude[0].double().numpy()
    places = dictionary()
    from splat.render import ramps

    for tile in range(4):
        atoms = code.atoms[code.atoms[:, 0] == tile]
        drawn = places.window(atoms[:, 1], places.centre(atoms[:, 1], atoms[:, 2])).reshape(len(atoms), -1) / UNIT
        weight = known.weight.double().numpy()
        plane = code.base[tile, 0] @ ramps() / UNIT
        rest = (channels_of(picture)[tile, 0] / 30 - plane - atoms[:, 3] @ drawn) * weight
        scale = places.scale[atoms[:, 1]]
        for k, (amplitude, row) in enumerate(zip(atoms[:, 3].tolist(), drawn * weight, strict=True)):
            now = (rest**2).sum() + KAPPA * bits[scale[k], abs(amplitude)]
            for move in (-1, 1):
                if amplitude + move == 0:
                    continue  # the shape's own bits decide there
                then = ((rest - move * row) ** 2).sum() + KAPPA * bits[scale[k], abs(amplitude + move)]
                assert then > now - 1e-3


def test_no_tile_has_more_atoms_than_a_file_can_say() -> None:
    noise = np.random.default_rng(1).integers(0, 256, (TILE, TILE, 3), dtype=np.uint8)
    (code,) = read(splat.encode(noise, step=STEP_MIN / 64, effort=0))
    assert 100 < len(code.atoms) <= ATOMS_MAX


def test_sample_is_made_of_tiles_of_the_picture() -> None:
    picture = np.random.default_rng(2).integers(0, 256, (TILE * 24, TILE * 32, 1), dtype=np.uint8)
    sample = sample_of(picture)
    assert sample is not None
    tiles = {picture[y : y + TILE, x : x + TILE].tobytes() for y in range(0, 768, TILE) for x in range(0, 1024, TILE)}
    high, wide = sample.shape[0] // TILE, sample.shape[1] // TILE
    taken = [sample[y * TILE : (y + 1) * TILE, x * TILE : (x + 1) * TILE] for y in range(high) for x in range(wide)]
    assert 90 <= len({part.tobytes() for part in taken} & tiles) == len(taken) <= 200
    assert sample_of(scene()) is None
