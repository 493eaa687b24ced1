"""Density heads: the integers of FORMAT.md on every kernel, files and changes that are checked, training that is
repeatable."""

from __future__ import annotations

import copy
import zlib
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from codec.errors import FormatError
from codec.frames import Plane, PlaneFormat
from codec.loss.changes import BIAS_COARSE, join_changes, layers_of, split_changes
from codec.loss.coder import LossCoder, LossSettings
from codec.loss.grid import PASSES
from codec.loss.guide import Guide
from codec.loss.modes import DENSITY as SIGNIFICANT
from codec.loss.modes import LIGHT, WHOLE, Mode
from codec.segment.fit_density import LEAST_SAMPLES, DensityFit, plane_examples
from heads.density import store as density_store
from heads.density.cells import Cells, packed
from heads.density.fit import DensityCourse, DensityExample, train_density
from heads.density.head import DensityHead
from heads.density.kernels import BFLOAT16, FLOAT32, FLOAT64, INT8, ordered
from heads.density.model import DensityModel, bits_of
from heads.density.spec import BAND, LIGHT_WIDTH, PHASES, WIDTH, Context, DensitySpec, Rules, inputs_of, phases
from heads.density.store import Family, pretrained_density
from heads.int8 import fits_pairs
from heads.layers import HeadError, Layer
from heads.weights import encode_change

SPECS = [
    DensitySpec(0, False, False, 8), DensitySpec(2, True, False, 8), DensitySpec(3, True, True, 5),
    DensitySpec(3, True, False, 16, light=True),
]  # fmt: skip


def drawn(spec: DensitySpec, seed: int = 0, most: int = 127) -> list[Layer]:
    """Layers of random integers."""
    rng = np.random.default_rng(seed)
    layers = []
    for i, shape in enumerate(spec.shapes()):
        bias = rng.integers(-most, most + 1, shape[0]) * (i > 0)
        largest = min(most, spec.weight_max)
        weight = rng.integers(-largest, largest + 1, shape).astype(np.int8)
        layers.append(Layer(weight, bias.astype(np.int32), int(rng.integers(5, 8))))
    return layers


def planes_of(spec: DensitySpec, rows: int, columns: int, seed: int = 1) -> tuple:
    """Random planes of rows x columns cells, as `seen` takes them."""
    rng = np.random.default_rng(seed)

    def plane(most: int) -> NDArray[np.int16]:
        return rng.integers(-most, most + 1, (2 * rows, 2 * columns)).astype(np.int16)

    temporal = [plane(400), plane(90)] if spec.temporal else []
    return plane(40), np.abs(plane(1023)), temporal, [plane(60), plane(30)] if spec.others else []


def eight_bits(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rounded to eight significant bits, ties to even: np.rint is such a rounding of integers."""
    exponent = np.floor(np.log2(np.maximum(np.abs(x), 1e-9)))
    unit = 2.0 ** (exponent - 7)
    return np.rint(x / unit) * unit


def by_the_book(layers: Sequence[Layer], rules: Rules, x: NDArray, flags: int) -> NDArray[np.int64]:
    """FORMAT.md, modes 3 to 5, word by word, in integers and exact fractions."""
    up = np.array([flags & 1, flags >> 1 & 1, flags >> 2 & 1])
    x = np.clip(x.astype(np.int64), *rules.limits)
    for i in range(1, 5):
        layer = layers[i]
        reach = layer.weight.shape[2] // 2
        padded = np.pad(x, ((0, 0), (reach, reach), (reach, reach)))
        total = np.zeros((len(layer.weight), *x.shape[1:]), np.int64)
        for dy in range(2 * reach + 1):
            for dx in range(2 * reach + 1):
                part = padded[:, dy : dy + x.shape[1], dx : dx + x.shape[2]]
                total += np.tensordot(layer.weight[:, :, dy, dx].astype(np.int64), part, 1)
        k = layer.scale_bits
        bias = layer.bias.astype(np.int64)
        if i == 1:
            bias = np.clip(bias + layers[0].weight[:, :, 0, 0].astype(np.int64) @ up, -127, 127)
        factor = {1: [2.0 ** (2 - k)], 4: [2.0 ** (2 - k), 2.0 ** (-1 - k)]}.get(i, [2.0**-k])
        y = total * np.array(factor)[:, None, None] + bias[:, None, None] + (x if i in (2, 3) and reach else 0)
        y = np.floor(eight_bits(y) if rules == Rules.SIGNIFICANT else y).astype(np.int64)
        x = np.clip(y, 0, 255) if i < 4 else np.clip(y, [[[-4080]], [[-255]]], [[[4080]], [[255]]])
    return x


def seen(spec: DensitySpec, rows: int, columns: int) -> tuple[dict[Rules, Cells], NDArray]:
    """The same random context, packed by either rules, and as plain inputs."""
    error, base, temporal, others = planes_of(spec, rows, columns)
    rest = [*temporal, *others]
    found = {}
    for rules in Rules:
        cells = Cells(1, base, [packed(plane, rules) for plane in rest], rules, spec.light)
        for known in range(spec.known):
            cells.learn(known, phases(error, 1)[known])
        cells.aim(spec.known)
        found[rules] = cells
    parts = [np.clip(phase, -255, 255) for plane in rest for phase in phases(plane, 1)]
    channels = torch.from_numpy(np.array(parts, np.int16).reshape(-1, rows, columns)).bfloat16()
    return found, inputs_of(spec, Context(phases(error, 1), phases(base, 1), channels)).float().numpy()


@pytest.mark.parametrize("rules", Rules)
@pytest.mark.parametrize("spec", SPECS, ids=str)
@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (2, 5), (BAND + 1, 9), (2 * BAND + 7, 4)])
def test_heads_are_integers(spec: DensitySpec, rows: int, columns: int, rules: Rules) -> None:
    layers = drawn(spec)
    cells, inputs = seen(spec, rows, columns)
    found = DensityHead(spec, layers, rules).run(cells[rules], 5)
    assert np.array_equal(found, by_the_book(layers, rules, inputs, 5))
    assert len(np.unique(found[0])) > 1 or rows == 1


KERNELS = [(Rules.SIGNIFICANT, BFLOAT16), *((rules, kernel) for rules in Rules for kernel in (FLOAT32, FLOAT64))]


@pytest.mark.parametrize("most", [127, 30])
@pytest.mark.parametrize(("rules", "kernel"), [*KERNELS, (Rules.WHOLE, INT8)], ids=str)
def test_all_arithmetic_gives_the_same(rules: Rules, kernel: str, most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine may fail the check of a faster kernel; what it then does must be the same."""
    for spec in SPECS:
        layers, (cells, inputs) = drawn(spec, most=most), seen(spec, 70, 33)
        monkeypatch.setattr("heads.density.kernels.kernels", lambda _: [kernel])
        try:
            head = DensityHead(spec, layers, rules)
        except HeadError:
            assert kernel == INT8  # where products of pairs may saturate, or there is no such operator
            continue
        assert head.kernel == kernel
        assert np.array_equal(head.run(cells[rules], 3), by_the_book(layers, rules, inputs, 3))


@pytest.mark.parametrize("family", list(Family))
def test_channels_are_ordered_so_that_products_of_pairs_fit(family: Family) -> None:
    for spec, layers in pretrained_density(family):
        moved = ordered(layers)
        assert all(fits_pairs(layer.weight) for layer in moved[2:])
        _, inputs = seen(spec, 9, 8)
        for rules in Rules:
            assert np.array_equal(by_the_book(moved, rules, inputs, 2), by_the_book(layers, rules, inputs, 2))


def test_threads_do_not_matter() -> None:
    spec, before = SPECS[1], torch.get_num_threads()
    cells, _ = seen(spec, 300, 40)
    for rules in Rules:
        found = []
        try:
            for threads in (1, 2, 5):
                torch.set_num_threads(threads)
                found.append(DensityHead(spec, drawn(spec), rules).run(cells[rules], 0))
        finally:
            torch.set_num_threads(before)
        assert all(np.array_equal(other, found[0]) for other in found[1:])


@pytest.mark.parametrize("mode", [SIGNIFICANT, WHOLE, LIGHT], ids=lambda mode: mode.name)
def test_payloads_are_the_same_for_any_number_of_threads(mode: Mode) -> None:
    """Planes of several bands, in which low bits and escapes are sent too."""
    fmt, size, before = PlaneFormat("420", 8), (50, 4 * BAND + 30), torch.get_num_threads()
    rng = np.random.default_rng(0)
    source = [rng.integers(0, 256, s).astype(np.uint8) for s in fmt.shapes(*size)]
    near = [np.clip(p + rng.integers(-40, 41, p.shape), 0, 255).astype(np.uint8) for p in source]
    for plane in near:
        plane[: len(plane) // 2] = 128
    payloads = []
    try:
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            encoder, decoder = (LossCoder(fmt, *size, LossSettings(mode)) for _ in range(2))
            payloads.append([encoder.encode(source, near)[0] for _ in range(2)])
            for data in payloads[-1]:
                assert all(map(np.array_equal, decoder.decode(data, near), source))
    finally:
        torch.set_num_threads(before)
    assert payloads[0] == payloads[1] == payloads[2]


def test_kernels_that_do_not_sum_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A library's convolution that is off by a little is not used; without any other there is no head."""
    true = torch.nn.functional.conv2d
    monkeypatch.setattr("heads.density.kernels.F.conv2d", lambda x, w, *a, **k: true(x * 1.02, w, *a, **k))
    with pytest.raises(HeadError, match="no kernels"):
        DensityHead(SPECS[0], drawn(SPECS[0]), Rules.SIGNIFICANT)
    monkeypatch.setattr("heads.density.kernels.int8_convolution", lambda *_, **__: None)
    with pytest.raises(HeadError, match="no kernels"):
        DensityHead(SPECS[0], drawn(SPECS[0]), Rules.WHOLE)


@pytest.mark.parametrize("fault", ["shape", "weight", "bias", "first bias", "scale", "first scale"])
def test_illegal_heads_are_refused(fault: str) -> None:
    spec = SPECS[1]
    layers = drawn(spec)
    changed = {
        "shape": (1, {"weight": layers[1].weight[:, 1:]}),
        "weight": (2, {"weight": np.full_like(layers[2].weight, -128)}),
        "bias": (3, {"bias": layers[3].bias + 300}),
        "first bias": (0, {"bias": layers[0].bias + 1}),
        "scale": (4, {"scale_bits": 8}),
        "first scale": (1, {"scale_bits": 1}),
    }
    at, what = changed[fault]
    layers[at] = replace(layers[at], **what)
    with pytest.raises(HeadError):
        DensityHead(spec, layers, Rules.WHOLE)


def test_the_model_is_what_the_integers_are() -> None:
    """What training sees is what coders compute."""
    spec = SPECS[2]
    model = DensityModel(spec)
    model.choose_scales()
    model.quantised = True
    _, inputs = seen(spec, 20, 30)
    x = np.clip(inputs, -20, 20)
    mean, spread = by_the_book(model.layers(), Rules.WHOLE, x, 3)
    with torch.no_grad():
        found = model(torch.from_numpy(x)[None] / 8, torch.tensor([[1.0, 1.0, 0.0]]))
    assert np.abs(found[0][0].numpy() * 16 - mean).max() <= 1
    assert np.abs(found[1][0].numpy() * 16 - spread).max() <= 1


def test_bits_sum_to_one() -> None:
    values = torch.arange(-400.0, 401)
    for mean, scale in ((0.3, -2.0), (-4.7, 0.5), (10.0, 4.0)):
        p = 2 ** -bits_of(torch.tensor(mean), torch.tensor(scale), values).double()
        assert p.sum() == pytest.approx(1, abs=2e-3)


# files and changes


@pytest.mark.parametrize("family", list(Family))
def test_the_package_has_its_heads(family: Family) -> None:
    stored = pretrained_density(family)
    assert [spec for spec, _ in stored] == density_store.specs(family, LIGHT_WIDTH if family is Family.LIGHT else WIDTH)


def test_files_return_and_damage_is_found() -> None:
    heads = [drawn(spec, n) for n, spec in enumerate(density_store.specs(Family.STILL, 4))]
    data = density_store.write(4, heads)
    for (_, found), wanted in zip(density_store.read(data, Family.STILL), heads, strict=True):
        for a, b in zip(found, wanted, strict=True):
            assert (
                np.array_equal(a.weight, b.weight) and np.array_equal(a.bias, b.bias) and a.scale_bits == b.scale_bits
            )
    with pytest.raises(HeadError):
        density_store.read(data, Family.FILM)
    for k in range(0, len(data), 97):
        with pytest.raises(HeadError):
            density_store.read(data[:k], Family.STILL)
        with pytest.raises(HeadError):
            density_store.read(data[:k] + bytes([data[k] ^ 1]) + data[k + 1 :], Family.STILL)
    wrong = data[:4] + bytes([2]) + data[5:-4]
    with pytest.raises(HeadError, match="version"):
        density_store.read(wrong + zlib.crc32(wrong).to_bytes(4, "big"), Family.STILL)


def test_changes_are_split_as_they_were_joined() -> None:
    changes = {3: b"abc", 0: b"", 7: bytes(300)}
    assert split_changes(join_changes(changes) + b"rest") == (changes, b"rest")
    assert split_changes(b"") == ({}, b"")


TORN = [b"\x01", b"\x01\x08\0\0", b"\x02\x03\0\0\x03\0\0", b"\x01\0\0\x05abcd", b"\xff" * 9]


@pytest.mark.parametrize("data", TORN, ids=repr)
def test_changes_that_do_not_fit_are_refused(data: bytes) -> None:
    with pytest.raises(FormatError):
        split_changes(data)
    coder = LossCoder(PlaneFormat("400", 8), 8, 8, LossSettings(LIGHT))
    with pytest.raises(FormatError):
        coder.decode(data, [np.zeros((8, 8), np.uint8)])


def moved_by(number: int, seed: int = 0) -> bytes:
    """A change of a pretrained head by small random steps."""
    rng = np.random.default_rng(seed)
    spec, pretrained = pretrained_density(Family.LIGHT)[number]
    layers = []
    for i, layer in enumerate(pretrained):
        weight = np.clip(
            layer.weight + rng.integers(-3, 4, layer.weight.shape), -spec.weight_max, spec.weight_max
        ).astype(np.int8)
        bias = np.clip(layer.bias + rng.integers(-3, 4, layer.bias.shape), -127, 127) * (i > 0)
        layers.append(Layer(weight, bias.astype(np.int32), layer.scale_bits))
    return encode_change(layers, pretrained, 0, BIAS_COARSE)


def test_changed_heads_are_used_by_both_sides() -> None:
    fmt, settings = PlaneFormat("420", 8), LossSettings(LIGHT)
    rng = np.random.default_rng(0)
    source = [rng.integers(90, 130, s).astype(np.uint8) for s in fmt.shapes(34, 22)]
    flat = [np.full_like(p, 110) for p in source]
    changes = {3: moved_by(3), 6: moved_by(6)}
    encoder, decoder = LossCoder(fmt, 34, 22, settings, changes=changes), LossCoder(fmt, 34, 22, settings)
    start = copy.deepcopy(encoder)
    for _ in range(2):
        data, decoded = encoder.encode(source, flat)
        assert all(map(np.array_equal, decoder.decode(data, flat), source))
        assert all(map(np.array_equal, decoded, source))
    assert data[: len(join_changes(changes))] != join_changes(changes)  # only the first payload has them
    again, _ = start.encode(source, flat)
    assert again.startswith(join_changes(changes))


@pytest.mark.parametrize("number", [0, 5])
def test_damaged_changes_are_refused_or_legal(number: int) -> None:
    data = moved_by(number)
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(60):
        k = int(rng.integers(len(data)))
        broken = data[:k] + bytes([data[k] ^ 1 << int(rng.integers(8))]) + data[k + 1 :]
        try:
            layers_of(Family.LIGHT, number, broken)
        except FormatError:
            refused += 1
    assert refused


@pytest.mark.parametrize("size", [(1, 9), (9, 1), (2, 7), (3, 2)], ids=str)
def test_guides_know_all_that_was_decoded(size: tuple[int, int]) -> None:
    """Passes without samples once made a guide forget the pass before them."""
    width, height = size
    rng = np.random.default_rng(0)
    base, decoded = (rng.integers(0, 256, (height, width)).astype(np.int32) for _ in range(2))
    guide = Guide(0, base, [])
    for number, (unit, phase) in enumerate(PASSES):
        if decoded[unit * PHASES[phase][0] :: 2 * unit, unit * PHASES[phase][1] :: 2 * unit].size:
            guide.advice(number, decoded)
            last = number
    known = np.zeros((height, width), np.int32)
    for unit, phase in PASSES[:last]:
        grid = tuple(slice(unit * first, None, 2 * unit) for first in PHASES[phase])
        known[grid] = (decoded - base)[grid]
    assert np.array_equal(guide.heads.error[:height, :width], known)


def test_a_restored_coder_forgets_the_heads_of_what_it_gave_up() -> None:
    fmt, settings = PlaneFormat("400", 8), LossSettings(LIGHT)
    source = [np.random.default_rng(0).integers(90, 130, (20, 20)).astype(np.uint8)]
    flat = [np.full_like(source[0], 110)]
    payloads = [LossCoder(fmt, 20, 20, settings, changes=c).encode(source, flat)[0] for c in ({3: moved_by(3)}, {})]
    decoder = LossCoder(fmt, 20, 20, settings)
    for data in payloads:
        assert np.array_equal(copy.deepcopy(decoder).decode(data, flat)[0], source[0])


def test_channels_beyond_what_is_exact_are_refused() -> None:
    spec = DensitySpec(1, False, False, 33)
    with pytest.raises(HeadError, match="32"):
        DensityHead(spec, drawn(spec), Rules.WHOLE)


# training


def textured(count: int, side: int = 64) -> list[DensityExample]:
    """Planes whose samples are close to the mean of their neighbours."""
    rng = np.random.default_rng(0)
    out = []
    for _ in range(count):
        smooth = rng.normal(0, 8, (side // 4, side // 4)).repeat(4, 0).repeat(4, 1)
        error = np.rint(smooth + rng.normal(0, 1, (side, side))).astype(np.int16)
        out.append(DensityExample(np.full((side, side), 100, np.int16), error))
    return out


def test_training_learns_and_repeats() -> None:
    spec, heard = DensitySpec(3, False, False, 8), list[float]()
    course = DensityCourse(250, batch=4, crop=24)
    before = torch.get_num_threads()
    found = [train_density(textured(2), spec, course, listen=lambda at: heard.append(at.loss))]
    try:
        torch.set_num_threads(1)
        found.append(train_density(textured(2), spec, course))
    finally:
        torch.set_num_threads(before)
    assert heard[-1] < 4.6  # on the way; 5 by the samples alone, 2 by their noise
    for a, b in zip(*found, strict=True):
        assert np.array_equal(a.weight, b.weight) and np.array_equal(a.bias, b.bias)


def clip(frames: int, width: int, height: int) -> tuple[PlaneFormat, list[list[Plane]], list[list[Plane]]]:
    """A moving texture in 4:2:0, and a flat prediction of it."""
    rng = np.random.default_rng(0)
    fmt = PlaneFormat("420", 8)
    canvas = [np.rint(rng.normal(128, 20, (h // 8 + 9, w // 8 + 9))).repeat(8, 0).repeat(8, 1)
              for h, w in fmt.shapes(width, height)]  # fmt: skip
    source, predicted = [], []
    for t in range(frames):
        planes = []
        for p, (h, w) in zip(canvas, fmt.shapes(width, height), strict=True):
            view = p[: h + 0, 2 * t : 2 * t + w]
            planes.append(np.clip(np.rint(view + rng.normal(0, 2, (h, w))), 0, 255).astype(np.uint8))
        source.append(planes)
        predicted.append([np.full_like(p, 128) for p in planes])
    return fmt, source, predicted


def test_a_segment_changes_heads_where_that_pays() -> None:
    fmt, source, predicted = clip(5, 720, 560)
    assert len(source) * 720 * 560 // 4 >= LEAST_SAMPLES
    adapter = DensityFit(Family.LIGHT, 60, {})
    changes = adapter.run(source, lambda k: predicted[k], fmt, 0, lambda done: None)
    assert changes and all(n in range(1, 4) for n in changes)
    sizes = []
    for kept in (changes, {}):
        encoder = LossCoder(fmt, 720, 560, LossSettings(LIGHT), changes=kept)
        decoder = LossCoder(fmt, 720, 560, LossSettings(LIGHT))
        total = 0
        for s, p in zip(source[:3], predicted, strict=False):
            data, _ = encoder.encode(s, p)
            assert all(map(np.array_equal, decoder.decode(data, p), s))
            total += len(data)
        sizes.append(total)
    assert sizes[0] < sizes[1]


def test_flat_films_are_learnt_from_where_they_can_be() -> None:
    fmt, source, predicted = clip(4, 9000, 24)
    assert len(source) * 9000 * 24 // 4 < LEAST_SAMPLES
    wide = (
        [[np.tile(p, (1, 4)) for p in planes] for planes in source],
        [[np.tile(p, (1, 4)) for p in q] for q in predicted],
    )
    adapter = DensityFit(Family.LIGHT, 2, {})
    adapter.run(wide[0], lambda k: wide[1][k], fmt, 0, lambda done: None)
    flat = [[p[:8] if p.shape[0] == 24 else p[:4] for p in planes] for planes in wide[0]]
    assert adapter.run(flat * 4, lambda k: flat[0], fmt, 0, lambda done: None) == {}


def test_small_segments_change_nothing() -> None:
    fmt, source, predicted = clip(3, 64, 48)
    assert DensityFit(Family.LIGHT, 60, {}).run(source, lambda k: predicted[k], fmt, 0, lambda done: None) == {}
    fmt, source, predicted = clip(2, 64, 48)
    assert len(plane_examples(source[0], predicted[0], (), fmt, 0)) == 3
