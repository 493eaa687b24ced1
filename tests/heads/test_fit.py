"""Training: the same head for the same pictures, and one that mends what it was shown and what it was not."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch

from codec.frames import folds_of
from heads.layers import Layer
from heads.restorer.coded import decode_change
from heads.restorer.fit import MSE_FLOOR, Crops, Example, Schedule, example, train
from heads.restorer.integer import IntegerHead
from heads.restorer.planes import grid_of, pack
from heads.restorer.proof import check
from heads.restorer.spec import HeadSpec
from heads.weights import encode_change

GREY = folds_of("400")
SPEC = HeadSpec(4, 0, 3, 8)
SCHEDULE = Schedule(240, 160, batch=4, crop=20, coarser=2, rate=1e-2)


def drawn(seed: int, rows: int = 80, columns: int = 96) -> np.ndarray:
    """A 10-bit picture of random bright and dark rectangles with slanted stripes."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:rows, :columns]
    picture = 400 + 60 * np.sin((x + 2 * y) / 5)
    for _ in range(30):
        top, left = rng.integers(rows), rng.integers(columns)
        inside = (y >= top) & (y < top + rng.integers(4, 20)) & (x >= left) & (x < left + rng.integers(4, 20))
        picture = np.where(inside, rng.integers(100, 900), picture)
    return np.rint(picture).astype(np.uint16)


def blurred(picture: np.ndarray) -> np.ndarray:
    """Means of 3x3 samples, rounded: what the base lost."""
    wide = np.pad(picture.astype(np.int64), 1, mode="edge")
    h, w = picture.shape
    total = sum(wide[dy : dy + h, dx : dx + w] for dy in range(3) for dx in range(3))
    return ((total + 4) // 9).astype(np.uint16)


def packed(picture: np.ndarray) -> torch.Tensor:
    out = torch.empty((*grid_of(picture.shape), 4))
    pack([picture], GREY, out)
    return out


def drawn_example(seed: int) -> Example:
    picture = drawn(seed)
    base = packed(blurred(picture))
    return example(base - 512, packed(picture) - base, GREY)


def same(a: Sequence[Layer], b: Sequence[Layer]) -> bool:
    return all(
        np.array_equal(x.weight, y.weight) and np.array_equal(x.bias, y.bias) and x.scale_bits == y.scale_bits
        for x, y in zip(a, b, strict=True)
    )


def share_left(layers: Sequence[Layer], spec: HeadSpec, e: Example) -> float:
    """Squared error that the integer head leaves, of that of the base."""
    found = IntegerHead(spec, layers).predict(e.inputs.float(), 10)
    base = e.inputs[:, :, : spec.planes].float() + 512
    left = (base + e.target.float() - found).square().sum()
    return float(left / e.target.float().square().sum())


@pytest.fixture(scope="module")
def layers() -> list[Layer]:
    return train([drawn_example(0), drawn_example(1)], SPEC, SCHEDULE)


def test_a_trained_head_mends_pictures_that_it_has_not_seen(layers: list[Layer]) -> None:
    check(SPEC, layers)
    assert share_left(layers, SPEC, drawn_example(0)) < 0.4
    assert share_left(layers, SPEC, drawn_example(7)) < 0.5


def test_the_same_pictures_give_the_same_head(layers: list[Layer]) -> None:
    examples = [drawn_example(0), drawn_example(1)]
    assert same(train(examples, SPEC, SCHEDULE), layers)
    assert not same(train(examples, SPEC, Schedule(5, 5, batch=2, crop=8)), layers)
    short = Schedule(4, 4, batch=2, crop=8)
    assert not same(train(examples, SPEC, short, seed=1), train(examples, SPEC, short, seed=2))


def test_threads_decide_no_weight() -> None:
    short, before = Schedule(6, 6, batch=5, crop=16), torch.get_num_threads()
    found = []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            found.append(train([drawn_example(0)], SPEC, short))
    finally:
        torch.set_num_threads(before)
    assert same(found[0], found[1])
    assert same(found[0], found[2])


def test_crops_gathered_on_a_device_are_those_that_are_cut() -> None:
    examples, schedule = [drawn_example(0), drawn_example(1)], Schedule(1, 1, batch=6, crop=12)
    cut, gathered = (Crops(examples, schedule, torch.device("cpu"), resident) for resident in (False, True))
    places = cut.draw(np.random.default_rng(3))
    assert torch.equal(gathered.draw(np.random.default_rng(3)), places)
    for a, b in zip(cut.cut(places), gathered.cut(places), strict=True):
        assert torch.equal(a, b)


def test_training_goes_on_from_another_head(layers: list[Layer]) -> None:
    e = drawn_example(3)
    assert same(train([e], SPEC, Schedule(0, 0), start=layers), layers)
    before = share_left(layers, SPEC, e)
    tuned = train([e], SPEC, Schedule(0, 60, batch=4, crop=20, rate=1e-3), start=layers)
    assert [x.scale_bits for x in tuned] == [x.scale_bits for x in layers], "a difference keeps the scales"
    assert share_left(tuned, SPEC, e) < before
    fresh = train([e], SPEC, Schedule(0, 60, batch=4, crop=20, rate=1e-3))
    assert share_left(fresh, SPEC, e) > share_left(tuned, SPEC, e), "what was known is made use of"


@pytest.mark.parametrize("coarse", [0, 3, 5])
def test_a_head_adapts_in_multiples(layers: list[Layer], coarse: int) -> None:
    pictures = [example(e.inputs, -e.target, GREY) for e in map(drawn_example, (1, 2))]  # the opposite of what it knows
    before = share_left(layers, SPEC, pictures[0])
    schedule = Schedule(0, 150, batch=4, crop=20, rate=1e-2)
    found = train(pictures, SPEC, schedule, start=layers, anchor=layers, coarse=coarse)
    assert share_left(found, SPEC, pictures[0]) < 0.9 * before
    assert same(decode_change(encode_change(found, layers, coarse), SPEC, layers), found)
    settled = train(
        pictures, SPEC, Schedule(40, 110, batch=4, crop=20, rate=1e-2), start=layers, anchor=layers, coarse=coarse
    )
    assert share_left(settled, SPEC, pictures[0]) < 0.9 * before
    assert same(decode_change(encode_change(settled, layers, coarse), SPEC, layers), settled)


def test_a_head_with_history_learns_to_copy_it() -> None:
    spec = HeadSpec(4, 1, 2, 4)
    rng = np.random.default_rng(5)
    base, lost = packed(blurred(drawn(4))), torch.from_numpy(rng.integers(-60, 61, (40, 48, 4))).float()
    inputs = torch.cat([base - 512, lost, torch.zeros_like(lost)], 2)  # what was shown before has what is lost now
    e = example(inputs, lost, GREY)
    found = train([e], spec, Schedule(250, 150, batch=4, crop=16, coarser=2))
    check(spec, found)
    assert share_left(found, spec, e) < 0.1


@pytest.mark.parametrize("grid", [(1, 1), (1, 30), (3, 2)])
def test_pictures_smaller_than_a_crop(grid: tuple[int, int]) -> None:
    x = torch.zeros((*grid, 4))
    found = train([example(x, x + 3, GREY)], SPEC, Schedule(3, 3, batch=2, crop=16))
    assert [layer.weight.shape for layer in found] == SPEC.shapes()


def test_the_loss_of_no_head_is_one() -> None:
    """Each plane counts by its share of PSNR-YUV, whatever its size and error."""
    rng = np.random.default_rng(2)
    for chroma, channels in (("420", 6), ("422", 8), ("444", 12)):
        folds = folds_of(chroma)
        spread = torch.from_numpy(rng.integers(6, 60, channels)).float()
        target = (torch.from_numpy(rng.standard_normal((20, 30, channels))).float() * spread).round()
        weight = example(target, target, folds).weight
        each = target.square().mean((0, 1)) * weight
        assert float(each[:4].sum()) == pytest.approx(6 / 8, rel=1e-5)
        assert float(each[4:].sum()) == pytest.approx(2 / 8, rel=1e-5)
    exact = example(torch.zeros((8, 8, 4)), torch.zeros((8, 8, 4)), GREY)
    assert exact.weight.tolist() == pytest.approx([6 / 8 / 4 / MSE_FLOOR] * 4)


def test_progress_rises_from_nothing_to_nearly_one() -> None:
    told: list[float] = []
    train(
        [drawn_example(0)], SPEC, Schedule(30, 31, batch=2, crop=8), listen=lambda at: told.append(at.step / at.steps)
    )
    assert told[0] == 0.0
    assert told == sorted(told)
    assert 0.9 < told[-1] < 1.0
