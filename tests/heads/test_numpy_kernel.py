"""The kernel of NumPy alone: the same integers as torch's, at any size, on any number of threads."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from heads.layers import HeadError, Layer
from heads.restorer import numpy_kernel
from heads.restorer.integer import IntegerHead
from heads.restorer.numpy_kernel import NumpyHead
from heads.restorer.spec import INPUT_MAX, HeadSpec
from heads.restorer.store import pretrained

from .drawn_heads import SPECS, drawn_head

ALONE = [spec for spec in SPECS if not spec.history]


def corrected(head: NumpyHead, x: np.ndarray) -> np.ndarray:
    """(rows, planes, columns) of inputs (rows, inputs, columns); every row is given once."""
    out = np.zeros((len(x), head.spec.planes, x.shape[2]))
    times = np.zeros(len(x), int)

    def fill(rows: slice, to: np.ndarray) -> None:
        to[:] = x[rows]

    def take(rows: slice, y: np.ndarray) -> None:
        out[rows] = y
        times[rows] += 1

    head.correct(len(x), x.shape[2], fill, take)
    assert (times == 1).all()
    return out


def extremes(spec: HeadSpec, rows: int, columns: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    x = rng.choice([-INPUT_MAX, 0, INPUT_MAX - 1], (rows, spec.inputs, columns))
    if spec.base_q:
        x[:, -1] = rng.integers(-127, 128)
    return x.astype(np.float32)


def wanted(head: IntegerHead, x: np.ndarray) -> np.ndarray:
    grid = torch.from_numpy(np.ascontiguousarray(x.transpose(0, 2, 1)))
    return head.whole(grid, head.correction).numpy().transpose(0, 2, 1)


@pytest.mark.parametrize("spec", ALONE, ids=str)
@pytest.mark.parametrize("shape", [(1, 1), (2, 3), (37, 5), (70, 33)], ids=str)
def test_equals_torch(spec: HeadSpec, shape: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    layers = drawn_head(spec, 3)
    x = extremes(spec, *shape)
    due = wanted(IntegerHead(spec, layers), x)
    for threads, chunk in ((1, 1 << 20), (1, 1), (2, 1), (3, 1 << 10)):
        monkeypatch.setattr(numpy_kernel, "CHUNK", chunk)
        monkeypatch.setattr(numpy_kernel, "PART_LEAST", 7)
        assert np.array_equal(corrected(NumpyHead(spec, layers, threads), x), due), (threads, chunk)


def test_equals_torch_on_the_head_of_stills() -> None:
    stored = pretrained("still.bin")
    x = extremes(stored.spec, 68, 40)
    due = wanted(IntegerHead(stored.spec, stored.layers), x)
    assert np.array_equal(corrected(NumpyHead(stored.spec, stored.layers, 2), x), due)


@pytest.mark.parametrize("spec", ALONE[-2:], ids=str)
def test_takes_float64_where_float32_does_not_sum(spec: HeadSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    layers = drawn_head(spec, 4)
    x = extremes(spec, 20, 11)
    due = corrected(NumpyHead(spec, layers), x)
    product = np.matmul

    def careless(a: np.ndarray, b: np.ndarray, out: np.ndarray) -> None:
        product(a, b, out=out)
        if out.dtype == np.float32:
            out[..., -1] += 1

    monkeypatch.setattr(np, "matmul", careless)
    assert np.array_equal(corrected(NumpyHead(spec, layers), x), due)


def test_illegal_heads_are_refused() -> None:
    spec = HeadSpec(12, 0, 2, 4)
    layers = drawn_head(spec)
    with pytest.raises(HeadError, match="shape"):
        NumpyHead(spec, layers[:1])
    wide = Layer(layers[0].weight, np.full_like(layers[0].bias, 1 << 21), layers[0].scale_bits)
    with pytest.raises(HeadError, match="bias"):
        NumpyHead(spec, [wide, layers[1]])
    with pytest.raises(ValueError, match="torch"):
        NumpyHead(HeadSpec(6, 1, 2, 5), drawn_head(HeadSpec(6, 1, 2, 5)))


def test_what_fails_on_a_thread_is_raised() -> None:
    spec = HeadSpec(12, 0, 2, 4)
    head = NumpyHead(spec, drawn_head(spec), 2)

    def fill(rows: slice, to: np.ndarray) -> None:
        if rows.stop > 100:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        head.correct(128, 9, fill, lambda rows, y: None)


def test_the_threads_of_the_library_are_put_back() -> None:
    blas = numpy_kernel._blas()
    if blas is None:
        pytest.skip("NumPy brings another library than OpenBLAS")
    before = blas[0]()
    spec = HeadSpec(12, 0, 2, 4)
    during = []
    head = NumpyHead(spec, drawn_head(spec))
    head.correct(4, 4, lambda rows, to: during.append(blas[0]()), lambda rows, y: None)
    assert during == [1] * len(during) and blas[0]() == before
