"""The network that proposes Gaussians: its file, its proposals, what the pursuit makes of them, its training."""

from __future__ import annotations

import struct
import zlib
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

import splat
from splat import network
from splat.atoms import SHAPES, TILE
from splat.errors import SplatError
from splat.fit import KAPPA, Fit, chosen, costs
from splat.network import KINDS, Network, kind_of
from splat.pursuit import PIXELS, Prices, Search, pursue, rows
from splat.train import network as training

SEARCH = Search(3, 0.2, 2)


def picture(seed: int, height: int = 96, width: int = 128, channels: int = 3) -> np.ndarray:
    """Soft patches, edges and some noise."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    values = np.full((height, width, channels), 120.0)
    for _ in range(30):
        cy, cx, angle = rng.uniform(0, height), rng.uniform(0, width), rng.uniform(0, np.pi)
        across = (y - cy) * np.cos(angle) - (x - cx) * np.sin(angle)
        near = np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / (2 * rng.uniform(4, 20) ** 2))
        values += (near * np.where(across > 0, 1, -0.5))[:, :, None] * rng.normal(0, 35, channels)
    return np.clip(values + rng.normal(0, 3, values.shape), 0, 255).astype(np.uint8)


def stored() -> bytes:
    return (files("splat") / "network.bin").read_bytes()


def proposals(pixels: np.ndarray, step: int = 60 * 64) -> torch.Tensor:
    fit = Fit(pixels, costs())
    count = -(-pixels.shape[0] // TILE) * -(-pixels.shape[1] // TILE)
    return network.proposer(fit, step)(slice(0, count))


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> Network:
    """A network that knows nothing yet, in the place of the package's."""
    torch.manual_seed(1)
    made = Network().eval().requires_grad_(False)
    monkeypatch.setattr(network, "load", lambda: made)
    return made


def test_the_package_holds_a_network_that_loads_once() -> None:
    assert len(stored()) <= 350_000
    assert network.load() is network.load()
    assert all(torch.isfinite(value).all() for value in network.load().state_dict().values())


def test_damaged_files_are_refused() -> None:
    good = stored()
    for at in (0, 3, 4, len(good) // 2, len(good) - 5, len(good) - 1):
        bad = bytearray(good)
        bad[at] ^= 1
        with pytest.raises(SplatError, match="damaged"):
            network.read(bytes(bad))
    for bad in (b"", good[:-1], good + b"\0"):
        with pytest.raises(SplatError, match="length"):
            network.read(bad)
    body = good[:4] + b"\x7c\x00" + good[6:-4]  # the first number is infinite
    with pytest.raises(SplatError, match="finite"):
        network.read(body + struct.pack(">I", zlib.crc32(body)))


def test_what_is_written_is_read(tmp_path: Path) -> None:
    torch.manual_seed(2)
    made = Network()
    network.write(made, tmp_path / "network.bin")
    again = network.read((tmp_path / "network.bin").read_bytes())
    for name, value in made.state_dict().items():
        torch.testing.assert_close(again.state_dict()[name], value.half().float(), rtol=0, atol=0)
    with torch.no_grad():
        made.sharp[0] = 1e6
    with pytest.raises(SplatError, match="float16"):
        network.write(made, tmp_path / "network.bin")


def test_kinds_are_profiles_and_bands() -> None:
    assert sorted({kind_of(shape) for shape in range(len(SHAPES))}) == list(range(KINDS))


def test_a_fresh_network_proposes_what_correlates(fresh: Network) -> None:
    pixels = picture(3)
    found = proposals(pixels)
    fit = Fit(pixels, costs())
    left = network.leftover(fit.parts[0].values, 60.0)
    product = torch.cat([(left[:, 0] * rows().weight)[:, g.pixels] @ g.matrix for g in rows().groups], 1).abs()
    best = product.argmax(1)
    assert ((found == best[:, None]).any(1)).all()


@pytest.mark.parametrize("shape", [(96, 128, 3), (33, 70, 3), (96, 128, 1), (1, 1, 1), (20, 200, 3)])
def test_proposals_are_legal(shape: tuple[int, int, int]) -> None:
    found = proposals(picture(4, *shape))
    assert found.dtype == torch.int64
    assert len(found) == -(-shape[0] // TILE) * -(-shape[1] // TILE)
    assert int(found.min()) >= -1 and int(found.max()) < rows().count
    luma = found[:, : network.PROPOSALS].sort(1).values
    assert (luma.diff(dim=1) > 0).all()  # none twice
    assert found.shape[1] == network.PROPOSALS + (network.COLOUR_PROPOSALS if shape[2] == 3 and shape[0] > 1 else 0)


def test_proposals_see_context() -> None:
    """The same tile in another picture: the whole picture has a say."""
    pixels, other = picture(5), picture(6)
    other[32:64, 32:64] = pixels[32:64, 32:64]
    one, two = (proposals(p)[5, : network.PROPOSALS] for p in (pixels, other))
    shared = len(set(one.tolist()) & set(two.tolist()))
    assert network.PROPOSALS // 2 < shared < network.PROPOSALS


def test_the_file_does_not_depend_on_threads() -> None:
    pixels = picture(7, 288, 288)  # more tiles than a block holds
    before = torch.get_num_threads()
    made = {splat.encode(pixels, step=150, network=True, threads=threads) for threads in (1, 3)}
    assert len(made) == 1 and torch.get_num_threads() == before


@pytest.mark.parametrize("channels", [1, 3])
def test_a_file_made_with_the_network_is_about_as_good(channels: int) -> None:
    """At the same step: squared errors plus what the bytes are worth."""
    pixels, step = picture(8, 64, 96, channels), 60.0
    worth = []
    for use in (True, False):
        data = splat.encode(pixels, step=step, network=use)
        shown = splat.decode(data)
        assert shown.shape == pixels.shape
        error = np.square(shown.astype(float) - pixels).sum()
        worth.append(error + KAPPA * step**2 * 8 * len(data))
    assert worth[0] < 1.03 * worth[1]


def test_alpha_may_use_the_network() -> None:
    pixels = picture(8, 40, 50, 4)
    data = splat.encode(pixels, step=120, network=True)
    assert splat.decode(data).shape == pixels.shape


def _prices() -> Prices:
    return Prices(KAPPA * 60.0**2 * (costs().row + 3.5), torch.zeros(1))


def _target(seed: int) -> torch.Tensor:
    fit = Fit(picture(seed), costs())
    part = fit.parts[0]
    return part.target(slice(0, 12), part.base(60.0), 60.0)[:, :1]


def _cost(target: torch.Tensor, found: torch.Tensor) -> float:
    """What is left when the atoms found have their best amplitudes, plus their price."""
    total = 0.0
    for tile, row in zip(target[:, 0], found, strict=True):
        row = row[row >= 0]
        drawn = rows().draw(row)
        best = torch.linalg.lstsq(drawn.T, tile[:, None]).solution if len(row) else torch.zeros(0, 1)
        total += float((tile - (drawn.T @ best)[:, 0]).square().sum() + _prices().row[row].sum())
    return total


def test_no_proposals_change_nothing() -> None:
    target = _target(9)
    nothing = torch.full((len(target), 3), -1)
    plain = pursue(target, _prices(), SEARCH)
    assert torch.equal(pursue(target, _prices(), SEARCH, proposals=nothing), plain)


def test_without_passes_only_proposals_are_chosen() -> None:
    target = _target(10)
    full = pursue(target, _prices(), SEARCH)
    alone = Search(3, 0.2, 2, passes=0)
    again = pursue(target, _prices(), alone, proposals=full.flip(1))
    for tile, offered in zip(again, full, strict=True):
        assert set(tile[tile >= 0].tolist()) <= set(offered.tolist())
    assert _cost(target, again) < 1.02 * _cost(target, full)
    few = pursue(target, _prices(), alone, proposals=full[:, :2], limit=1)
    assert few.shape == (len(target), 1)


def test_passes_refine_what_proposals_began(fresh: Network) -> None:
    target = _target(11)
    offered = proposals(picture(11))
    left = [
        _cost(target, pursue(target, _prices(), Search(3, 0.2, 2, passes=passes), proposals=offered))
        for passes in (0, 255)
    ]
    assert left[1] < 0.97 * left[0]
    assert left[1] < 1.03 * _cost(target, pursue(target, _prices(), SEARCH))


def test_the_package_network_beats_correlation(fresh: Network) -> None:
    """Of as many proposals, choosing among the trained network's leaves less than among a fresh one's."""
    target, trained = _target(12), network.read(stored())
    fit = Fit(picture(12), costs())
    left, grid = network.leftover(fit.parts[0].values, 60.0), (3, 4)
    thumb, place = network.thumbnail(fit.parts[0].values, grid, 60.0), network.places(grid)
    found = []
    for one in (trained, fresh):
        offered = network.propose(one, left, thumb, place, 60.0)[:, : network.PROPOSALS]
        found.append(_cost(target, pursue(target, _prices(), Search(3, 0.2, 2, passes=0), proposals=offered)))
    assert found[0] < found[1]


def test_thumbnails_and_places() -> None:
    values = torch.zeros(6, 1, PIXELS)
    values[5] = 64.0
    thumb = network.thumbnail(values, (2, 3), 50.0)
    assert thumb.shape == (4, network.THUMB, network.THUMB)
    assert float(thumb[0, -1, -1]) == 1.0 and float(thumb[0, 0, 0]) == 0.0 and not thumb[1:].any()
    assert network.places((2, 3))[5].tolist() == pytest.approx([0.75, 5 / 6])


def test_training(tmp_path: Path) -> None:
    for seed in (13, 14):
        cv2.imwrite(str(tmp_path / f"{seed}.png"), picture(seed))
    said: list[str] = []
    one, two = (training.lessons(training.pictures(tmp_path), 0.0, 5, said.append) for _ in range(2))
    for name in ("values", "picture", "place", "luma", "colour", "step", "thumb"):
        assert torch.equal(getattr(one, name), getattr(two, name))
    assert len(one.step) == 2 and len(one.values) == 24 and (one.luma >= 0).any()
    made = training.train(one, 1e-3, 5, said.append)
    network.write(made, tmp_path / "network.bin")
    network.read((tmp_path / "network.bin").read_bytes())
    assert any("recall" in line for line in said)


def test_training_needs_pictures(tmp_path: Path) -> None:
    with pytest.raises(SplatError, match="no two pictures"):
        training.pictures(tmp_path)
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(b"no picture")
    with pytest.raises(SplatError, match="is no picture"):
        training.lessons(training.pictures(tmp_path), 0.0, 1, lambda line: None)


def test_chosen_tells_luma_and_colour_apart() -> None:
    fit = Fit(picture(15), costs())
    luma, colour = chosen(fit.parts[0].values, 60.0, SEARCH)
    with ThreadPoolExecutor(1) as pool:
        fit.choose(60 * 64, KAPPA, SEARCH, pool)
    both = sorted(torch.cat([luma, colour], 1).flatten().tolist())
    kept = sorted(fit.parts[0].chosen.flatten().tolist())
    assert [row for row in both if row >= 0] == [row for row in kept if row >= 0]
