"""Exact inference: equal to integer arithmetic written from FORMAT.md, and refused where it could not be."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from heads.choice import forced
from heads.exact import exact_kernels
from heads.int8 import fits_pairs, paired
from heads.layers import HeadError, Layer
from heads.restorer.integer import CPU, IntegerHead
from heads.restorer.proof import check, worst_sums
from heads.restorer.spec import HeadSpec
from heads.threads import single_threads
from tests.heads.drawn_heads import SPECS, drawn_head

Ints = NDArray[np.int64]
CELLS = {4: [4], 6: [4, 1, 1], 8: [4, 2, 2], 12: [4, 4, 4]}
H = {
    1: [[4]],
    2: [[2, 2], [8, -8]],
    4: [[1, 1, 1, 1], [8, -8, 8, -8], [8, 8, -8, -8], [8, -8, -8, 8]],
}


def basis(spec: HeadSpec) -> Ints:
    """The block matrix H of FORMAT.md for all inputs."""
    out = np.zeros((spec.inputs, spec.inputs), np.int64)
    at = 0
    for n in [*CELLS[spec.planes] * (1 + 2 * spec.history), *[1] * spec.base_q]:
        out[at : at + n, at : at + n] = H[n]
        at += n
    return out


def sample_weights(spec: HeadSpec, layers: Sequence[Layer], i: int) -> Ints:
    w = layers[i].weight.astype(np.int64)
    return np.einsum("ojyx,jc->ocyx", w, basis(spec)) if i == 0 else w


def convolved(x: Ints, w: Ints, b: NDArray[np.int32]) -> Ints:
    """3x3 convolution of (channels, h, w) with zeros beyond the edge, sample by sample."""
    _, rows, columns = x.shape
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1)))
    out = np.zeros((len(w), rows, columns), np.int64)
    for y in range(rows):
        for c in range(columns):
            out[:, y, c] = (w * padded[None, :, y : y + 3, c : c + 3]).sum((1, 2, 3)) + b
    return out


def restored(spec: HeadSpec, layers: Sequence[Layer], x: Ints, depth: int) -> Ints:
    """FORMAT.md, "With a head": x is (inputs, h, w), the result (planes, h, w)."""
    last = len(layers) - 1
    a = x
    for i in range(last):
        s = layers[i].scale_bits + (4 if i == 0 else 0)
        total = convolved(a, sample_weights(spec, layers, i), layers[i].bias)
        total += a << s if spec.adding and i > 0 else 0
        a = np.clip((total + (1 << s >> 1)) >> s, 0, 255)
    gated = [x[spec.planes * (1 + 2 * k) : spec.planes * (2 + 2 * k)] for k in range(spec.history)]
    a = np.concatenate([a, *(4 * g for g in gated)])
    total = convolved(a, layers[last].weight.astype(np.int64), layers[last].bias)
    s = layers[last].scale_bits + 2
    t = s + 10 - depth
    upscaled = x[: spec.planes] + 512
    return np.clip(((upscaled << s) + total + (1 << t >> 1)) >> t, 0, (1 << depth) - 1)


def drawn_inputs(spec: HeadSpec, rows: int, columns: int, seed: int, extreme: bool) -> Ints:
    rng = np.random.default_rng(seed)
    shape = (spec.inputs, rows, columns)
    if extreme:
        x = rng.choice([-255, 255], shape)
        x[: spec.planes] = rng.choice([-512, 511], (spec.planes, rows, columns))
    else:
        x = np.clip(np.rint(rng.normal(0, 30, shape)), -255, 255).astype(np.int64)
        x[: spec.planes] = rng.integers(-512, 512, (spec.planes, rows, columns))
    return x.astype(np.int64)


def predicted(head: IntegerHead, x: Ints, depth: int) -> Ints:
    grid = torch.from_numpy(np.ascontiguousarray(x.transpose(1, 2, 0))).float()
    y = head.predict(grid, depth).double().numpy()
    assert np.array_equal(y, np.rint(y))
    return y.astype(np.int64).transpose(2, 0, 1)


def halved(layers: Sequence[Layer]) -> list[Layer]:
    """About the same head in weights up to 64, whose pairs fit."""
    return [Layer(layer.weight // 2, layer.bias // 2, layer.scale_bits - 1) for layer in layers]


def computed_by(kernel: str, spec: HeadSpec, layers: Sequence[Layer]) -> IntegerHead:
    """A head by that kernel, if this machine has it."""
    try:
        with forced(kernel):
            head = IntegerHead(spec, layers)
    except HeadError:
        if kernel == "int8":
            pytest.skip("int8 computes no layer of this head exactly here")
        raise
    assert head.kernel == kernel
    return head


@pytest.mark.parametrize("spec", SPECS, ids=str)
@pytest.mark.parametrize("depth", [8, 10])
@pytest.mark.parametrize("kernel", CPU)
def test_prediction_is_that_of_the_format(spec: HeadSpec, depth: int, kernel: str) -> None:
    layers = drawn_head(spec, 3)
    layers = halved(layers) if kernel == "int8" else layers
    head = computed_by(kernel, spec, layers)
    seen = set()
    for k, (rows, columns) in enumerate([(1, 1), (1, 7), (5, 1), (2, 2), (9, 12)]):
        for extreme in (False, True):
            x = drawn_inputs(spec, rows, columns, 10 * k + extreme, extreme)
            expected = restored(spec, layers, x, depth)
            seen |= set(expected.ravel().tolist())
            assert np.array_equal(predicted(head, x, depth), expected), (rows, columns, extreme)
    assert {0, (1 << depth) - 1} < seen and len(seen) > 50, "the pictures reach both ends and the middle"


@pytest.mark.parametrize("adding", [False, True])
@pytest.mark.parametrize("width", [5, 16, 24])
def test_layers_that_int8_cannot_compute_are_computed_beside_it(width: int, adding: bool) -> None:
    """Large weights of one sign saturate in pairs wherever channels lie, on machines that saturate."""
    spec = HeadSpec(6, 1, 5, width, base_q=True, adding=adding)
    layers = halved(drawn_head(spec, 12))
    large = np.full_like(layers[2].weight, 20)
    large[:, :, 0, 0], large[:, :, 1, 1] = -127, 120
    layers[2] = Layer(large, layers[2].bias, 8)
    head = computed_by("int8", spec, layers)
    for extreme in (False, True):
        x = drawn_inputs(spec, 41, 30, 12, extreme)
        for depth in (8, 10):
            assert np.array_equal(predicted(head, x, depth), restored(spec, layers, x, depth))


@pytest.mark.parametrize("spec", [SPECS[1], SPECS[3], SPECS[7]], ids=str)
def test_kernels_agree_on_all_that_is_asked(spec: HeadSpec) -> None:
    """What the last layer sees in the head's own order, and corrections; with inputs filled up or not."""
    layers = halved(drawn_head(spec, 4))
    grid = torch.from_numpy(np.ascontiguousarray(drawn_inputs(spec, 70, 11, 4, True).transpose(1, 2, 0))).float()
    heads = [IntegerHead(spec, layers), computed_by("float32", spec, layers), computed_by("float64", spec, layers)]
    for x in (grid, torch.nn.functional.pad(grid, (0, heads[0].cell - spec.inputs))):
        for head in heads:
            assert torch.equal(head.activations(x).float(), heads[1].activations(grid).float())
            assert torch.equal(head.correction(x).float(), heads[1].correction(grid))
            assert torch.equal(head.predict(x, 10), heads[1].predict(grid, 10))


def test_channels_are_ordered_so_that_pairs_fit() -> None:
    rng = np.random.default_rng(0)
    weight = rng.integers(-8, 9, (16, 16, 3, 3))
    weight[:, :8, 1, 1] = 120  # of eight channels no two go together
    order = paired([weight, -weight])
    assert sorted(order) == list(range(16))
    assert not fits_pairs(weight.astype(np.int8))
    assert fits_pairs(weight[:, order].astype(np.int8))
    weight[:, :9, 1, 1] = 120  # and of nine some must
    assert not fits_pairs(weight[:, paired([weight])].astype(np.int8))


def test_a_kernel_is_forced_or_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    spec, layers = SPECS[1], drawn_head(SPECS[1], 1)
    monkeypatch.setenv("NVC_KERNEL", "float64")
    assert IntegerHead(spec, layers).kernel == "float64"
    with forced("float32"):
        assert IntegerHead(spec, layers).kernel == "float32"
    monkeypatch.setenv("NVC_KERNEL", "bfloat16")
    assert IntegerHead(spec, layers).kernel in CPU, "one that only other heads have"
    monkeypatch.setenv("NVC_KERNEL", "float16")
    with pytest.raises(HeadError, match="NVC_KERNEL is 'float16'; kernels are int8, bfloat16"):
        IntegerHead(spec, layers)
    monkeypatch.setenv("NVC_KERNEL", "int8")
    monkeypatch.setattr("heads.restorer.kernels.int8_convolution", lambda *arguments, **more: None)
    with pytest.raises(HeadError, match="computed by int8 kernels, which are not exact"):
        IntegerHead(spec, layers)
    monkeypatch.delenv("NVC_KERNEL")
    assert IntegerHead(spec, layers).kernel == "float32", "a machine without int8"


@pytest.mark.parametrize("spec", [SPECS[3], SPECS[6], SPECS[7]], ids=str)
def test_bands_of_a_picture_fit_together(spec: HeadSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    with forced("float32"):
        head = IntegerHead(spec, drawn_head(spec, 6))
    x = torch.from_numpy(np.ascontiguousarray(drawn_inputs(spec, 101, 9, 6, True).transpose(1, 2, 0))).float()
    wanted = head.predict(x, 10)
    row = 4 * spec.width * 9  # bytes of a layer's activations
    for threads, held, least, most, bands in (
        (1, None, 32, 200, 1), (1, None, 4, 20, 6), (2, None, 32, 200, 2), (2, None, 4, 20, 6), (64, None, 32, 200, 3),
        (64, 60, 4, 4, 25), (2, 1, 32, 200, 1),
    ):  # fmt: skip
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        monkeypatch.setattr("heads.restorer.integer.BAND_LEAST", least)
        monkeypatch.setattr("heads.restorer.integer.BAND", most * row)
        seen: list[slice] = []
        head.in_bands(101, 9, lambda rows, inner, outer, seen=seen: seen.append(rows), held)
        edges = sorted((rows.start, rows.stop) for rows in seen)
        assert len(seen) == bands and edges[0][0] == 0 and edges[-1][1] == 101
        assert all(a[1] == b[0] for a, b in pairwise(edges))
        assert torch.equal(head.whole(x, lambda part: head.predict(part, 10)), wanted)


def test_bands_leave_torch_its_threads() -> None:
    """What one thread asks torch for becomes the default of those that come later, and of those that have not asked."""
    before = torch.get_num_threads()
    head = IntegerHead(SPECS[0], drawn_head(SPECS[0], 6))
    torch.set_num_threads(2)
    try:
        head.whole(torch.zeros(80, 8, 4), lambda x: head.predict(x, 8))
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(torch.get_num_threads).result() == 2
        assert torch.get_num_threads() == 2
        with single_threads(2) as pool:
            assert [pool.submit(torch.get_num_threads).result() for _ in range(4)] == [1] * 4
    finally:
        torch.set_num_threads(before)


def test_kernels_that_err_by_one_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    head = IntegerHead(SPECS[3], drawn_head(SPECS[3], 5))
    assert head._matches_integers()
    right = IntegerHead._sums

    def wrong(self: IntegerHead, x: torch.Tensor) -> torch.Tensor:
        y = right(self, x).clone()
        y[3, 4, 0] += 1
        return y

    monkeypatch.setattr(IntegerHead, "_sums", wrong)
    assert not head._matches_integers()


@pytest.mark.parametrize("threads", [1, 2])
def test_prediction_is_the_same_on_any_number_of_threads(threads: int) -> None:
    spec, before = SPECS[3], torch.get_num_threads()
    layers = drawn_head(spec, 6)
    x = drawn_inputs(spec, 20, 31, 6, True)
    torch.set_num_threads(threads)
    try:
        found = predicted(IntegerHead(spec, layers), x, 10)
    finally:
        torch.set_num_threads(before)
    assert np.array_equal(found, restored(spec, layers, x, 10))


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_worst_sums_are_reached_and_never_passed(spec: HeadSpec) -> None:
    layers = drawn_head(spec, 7)
    bounds = worst_sums(spec, layers)
    last = len(layers) - 1
    rng = np.random.default_rng(7)
    for i, layer in enumerate(layers):
        w = sample_weights(spec, layers, i)
        low = np.zeros(w.shape[1], np.int64)
        if i == 0:
            high = np.where(np.arange(w.shape[1]) < spec.planes, 512, 255)
            low = -high
        else:
            high = np.full(w.shape[1], 255)
            high[spec.width if i == last else len(high) :] = 1020
            low[spec.width if i == last else len(high) :] = -1020
        shift = layer.scale_bits + (4 if i == 0 else 0) + (2 if i == last else 0)
        fixed = (2 << shift) + ((1024 << shift) if i == last else 0)
        fixed += 255 << shift if spec.adding and 0 < i < last else 0
        assert bounds[i] < 1 << 24
        # what the format says, whatever the signs
        magnitude = (np.abs(w).sum((2, 3)) * high).sum(1) + np.abs(layer.bias)
        assert bounds[i] == int(magnitude.max()) + fixed
        # an input that agrees in sign with every weight, summed in a random order: no partial sum is beyond
        o = int(magnitude.argmax())
        products = np.where(w[o] > 0, w[o] * high[:, None, None], w[o] * low[:, None, None]).ravel()
        order = rng.permutation(len(products))
        partial = np.cumsum(products[order])
        assert np.abs(partial).max() + abs(int(layer.bias[o])) + fixed <= bounds[i]
        if i == 0:
            assert int(partial[-1]) + abs(int(layer.bias[o])) + fixed == bounds[0]


def head_with_worst_sum(worst: int) -> tuple[HeadSpec, list[Layer]]:
    """A head whose first layer can reach exactly `worst`."""
    spec = HeadSpec(4, 0, 2, 1)
    weight = np.zeros((1, 4, 3, 3), np.int8)
    weight[0, 1].flat[:8] = [127] * 7 + [100]  # a detail of the cell: 8 · 4 samples · 512 each
    bias = worst - (7 * 127 + 100) * 8 * 4 * 512 - (2 << 12)
    assert abs(bias) <= 1 << 20
    zero = Layer(np.zeros((4, 1, 3, 3), np.int8), np.zeros(4, np.int32), 0)
    return spec, [Layer(weight, np.array([-bias], np.int32), 8), zero]


def test_a_head_that_can_reach_2_to_the_24_is_refused() -> None:
    spec, layers = head_with_worst_sum((1 << 24) - 1)
    assert worst_sums(spec, layers) == [(1 << 24) - 1, (2 << 2) + (1024 << 2)]
    IntegerHead(spec, layers)
    for worst in (1 << 24, (1 << 24) + 12345):
        spec, layers = head_with_worst_sum(worst)
        with pytest.raises(HeadError, match="layer 0"):
            check(spec, layers)
        with pytest.raises(HeadError, match="layer 0"):
            IntegerHead(spec, layers)


def test_other_illegal_heads_are_refused() -> None:
    spec = HeadSpec(6, 1, 2, 5)
    layers = drawn_head(spec, 8)
    with pytest.raises(HeadError, match="shape"):
        check(spec, layers[:1])
    with pytest.raises(HeadError, match="shape"):
        check(HeadSpec(6, 0, 2, 5), layers)
    zero = [Layer(np.zeros_like(x.weight), np.zeros_like(x.bias), x.scale_bits) for x in layers]
    check(spec, zero)
    for i in range(2):
        wrong = [Layer(x.weight.copy(), x.bias.copy(), x.scale_bits) for x in zero]
        wrong[i].weight[0, 0, 0, 0] = -128
        with pytest.raises(HeadError, match=f"layer {i}.*127"):
            check(spec, wrong)
        wrong[i].weight[0, 0, 0, 0] = 0
        wrong[i].bias[0] = -(1 << 20) - 1
        with pytest.raises(HeadError, match=f"layer {i}.*bias"):
            check(spec, wrong)


def test_exact_kernels_leaves_settings_as_they_were() -> None:
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = True
    try:
        with exact_kernels():
            assert not torch.backends.cuda.matmul.allow_tf32
            assert torch.is_inference_mode_enabled()
        assert torch.backends.cuda.matmul.allow_tf32
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before


def reduced_precision() -> Iterator[str]:
    """Ways in which a program may have told torch to multiply less exactly."""
    with torch.autocast("cpu", torch.bfloat16):
        yield "autocast"
    torch.set_default_dtype(torch.bfloat16)
    try:
        yield "default dtype"
    finally:
        torch.set_default_dtype(torch.float32)
    for owner in (getattr(torch.backends.mkldnn, "conv", None), torch.backends):
        if hasattr(owner, "fp32_precision"):
            before = owner.fp32_precision
            owner.fp32_precision = "bf16"
            try:
                yield "oneDNN in bfloat16"
            finally:
                owner.fp32_precision = before


def test_no_setting_of_torch_changes_what_is_predicted() -> None:
    spec = HeadSpec(12, 0, 4, 32)
    layers = drawn_head(spec, 11)
    x = torch.from_numpy(np.ascontiguousarray(drawn_inputs(spec, 72, 128, 1, False).transpose(1, 2, 0))).float()
    wanted = IntegerHead(spec, layers).predict(x, 10)
    for way in reduced_precision():
        assert torch.equal(IntegerHead(spec, layers).predict(x, 10), wanted), way


def test_settings_are_put_back_by_the_last_of_many_threads() -> None:
    before = torch.backends.cudnn.enabled
    layers = drawn_head(SPECS[1], 2)
    x = torch.zeros(20, 20, SPECS[1].inputs)
    with ThreadPoolExecutor(4) as pool:
        for found in [pool.submit(lambda: IntegerHead(SPECS[1], layers).predict(x, 8)) for _ in range(24)]:
            found.result()
    assert torch.backends.cudnn.enabled == before
