"""The .nvs file: what is written is what is read, and nothing that is damaged is read in silence."""

from __future__ import annotations

import time
import tracemalloc
import zlib
from binascii import crc_hqx
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

import splat
from splat import atoms, payload, tables
from splat.atoms import AMPLITUDE_MAX, ATOMS_MAX, BASE_MAX, SHAPES, TILE, Code, dictionary
from splat.entropy import Model, SymbolReader, SymbolWriter, uniform
from splat.errors import SplatError
from splat.sections import code_head, ratios_for
from tests.splat import reference
from tests.splat.drawn_codes import drawn_code, empty, same

SIZES = [(1, 1), (31, 33), (100, 70), (257, 260)]
WORKED = bytes.fromhex("4E565304 00280014 0200FE0606 0404 F4BCDFE8 0577B477 9C66168E 1F4D")


def small_file(seed: int = 0, channels: int = 1) -> bytes:
    """A picture and its alpha, one group each."""
    return payload.write([drawn_code(40, 50, n, seed + n, per_tile=2) for n in (channels, 1)])


def parts_of(data: bytes) -> tuple[bytes, list[list[bytes]]]:
    """All before the CRC-32, and the sections of each group."""
    groups = payload.read_layout(data).groups
    return data[: groups[0][0][0] - 4], [[data[a:b] for a, b in group] for group in groups]


def sealed(front: bytes, groups: list[list[bytes]]) -> bytes:
    """The file of these parts, with CRCs that hold."""
    crc = zlib.crc32(front)
    out = front + crc.to_bytes(4, "big")
    for number, sections in enumerate(groups):
        body = b"".join(sections)
        out += body + crc_hqx(body, (crc ^ number) & 0xFFFF).to_bytes(2, "big") * bool(body)
    return out


# --- round trips -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", SIZES)
def test_codes_come_back(size: tuple[int, int], channels: int, alpha: bool) -> None:
    for wild in (False, True):
        codes = [drawn_code(*size, channels, seed=1, wild=wild)]
        if alpha:
            codes.append(drawn_code(*size, 1, seed=2, step=16 if wild else 100, wild=wild))
        for some in (codes, [empty(codes[0]), *codes[1:]], [*map(empty, codes)]):
            data = payload.write(some)
            found = payload.read(data)
            assert len(found) == len(some)
            assert all(same(a, b) for a, b in zip(some, found, strict=True))
            assert payload.write(found) == data


def test_full_tiles_of_the_cheapest_atoms_come_back() -> None:
    """Nothing that costs little falls below the bytes that a section must have."""
    models = tables.models()
    cost = [models.shape(0).bits, np.log2(dictionary().cellcount[models.shapes_in[0], 0])]
    shape = models.shapes_in[0][int(np.argmin(cost[0] + cost[1]))]
    for amplitude in (0, 1, AMPLITUDE_MAX):
        atom = np.array([0, shape, 0, amplitude])
        found = np.tile(atom, (64 * ATOMS_MAX, 1))
        found[:, 0] = np.repeat(np.arange(64), ATOMS_MAX)
        code = Code(256, 256, 1, 100, np.zeros((64, 1, 3), np.int64), found).check()
        assert same(payload.read(payload.write([code]))[0], code)


def test_extremes_come_back() -> None:
    base = np.full((4, 3, 3), BASE_MAX)
    base[1:3] *= -1
    atom = np.array([3, len(SHAPES) - 1, dictionary().npos[-1] - 1, AMPLITUDE_MAX, -AMPLITUDE_MAX, 63])
    for step in (atoms.STEP_MIN, atoms.STEP_MAX):
        code = Code(64, 64, 3, step, base, np.tile(atom, (ATOMS_MAX, 1))).check()
        assert same(payload.read(payload.write([code]))[0], code)


def test_thin_pictures_come_back() -> None:
    for height, width in ((1, 65535), (65535, 1)):
        code = drawn_code(height, width, 1, per_tile=1)
        assert same(payload.read(payload.write([code]))[0], code)


@pytest.mark.parametrize(
    "change",
    [
        {"step": 15},
        {"step": 65536},
        {"width": 0},
        {"height": 65536},
        {"channels": 2},
        {"base": np.full((4, 1, 3), BASE_MAX + 1)},
        {"base": np.full((4, 1, 3), -BASE_MAX - 1, np.int16)},
        {"base": np.zeros((3, 1, 3), np.int64)},
        {"atoms": np.array([[4, 0, 0, 1]])},
        {"atoms": np.array([[-1, 0, 0, 1]])},
        {"atoms": np.array([[0, len(SHAPES), 0, 1]])},
        {"atoms": np.array([[0, 0, 1024, 1]])},
        {"atoms": np.array([[0, 0, 0, AMPLITUDE_MAX + 1]])},
        {"atoms": np.array([[0, 0, 0, -AMPLITUDE_MAX - 1]])},
        {"atoms": np.zeros((ATOMS_MAX + 1, 4), np.int64)},
        {"atoms": np.zeros((1, 6), np.int64)},
    ],
)
def test_illegal_codes_are_refused(change: dict) -> None:
    with pytest.raises(SplatError):
        payload.write([replace(drawn_code(64, 64, 1), **change)])


def test_codes_must_belong_together() -> None:
    code = drawn_code(64, 64, 1)
    for others in ([drawn_code(64, 63, 1)], [drawn_code(64, 64, 3)], [code, code]):
        with pytest.raises(SplatError):
            payload.write([code, *others])


# --- another decoder -------------------------------------------------------------------------------------------------


def test_the_worked_example() -> None:
    base = np.array([[[288, 0, 0]], [[288, 0, 0]]])
    code = Code(20, 40, 1, 512, base, np.array([[0, 68, 39, -40]]))
    assert payload.write([code]) == WORKED
    assert dictionary().places[68][39].tolist() == [9, 19]
    row = splat.decode(WORKED)[10, :, 0].tolist()
    assert row[14:27] == [188, 178, 166, 153, 143, 140, 143, 153, 166, 178, 188, 194, 197]
    assert row[0] == row[-1] == 200
    assert np.array_equal(reference.decode(WORKED), splat.decode(WORKED))


@pytest.mark.parametrize(
    ("size", "channels", "alpha", "wild"),
    [((1, 1), 1, False, True), ((50, 70), 3, True, False), ((33, 280), 1, False, False), ((66, 33), 3, False, True)],
)
def test_files_decode_like_the_reference(size: tuple[int, int], channels: int, alpha: bool, wild: bool) -> None:
    codes = [drawn_code(*size, channels, 3, 300, 4, wild)]
    if wild:
        codes[0] = replace(codes[0], atoms=codes[0].atoms[::9])
    if alpha:
        codes.append(drawn_code(*size, 1, 4, 70, 2))
    data = payload.write(codes)
    assert np.array_equal(reference.decode(data), splat.decode(data))


def test_the_dictionary_is_that_of_the_reference() -> None:
    built = dictionary()
    assert [tuple(shape)[:4] for shape in SHAPES] == [tuple(shape)[:4] for shape in reference.SHAPES]
    assert built.scale.tolist() == [shape.scale for shape in reference.SHAPES]
    for number in range(len(SHAPES)):
        assert built.places[number].tolist() == [list(place) for place in reference.places(number)]
    for number in range(5, len(SHAPES), 37):
        assert built.kernels[number].tolist() == reference.kernel(number)


def test_the_coder_is_that_of_the_reference() -> None:
    """Symbols and refusals alike, of random words, of words of ones and of words of zeros."""
    rng = np.random.default_rng(0)
    weights = [[5, 1, 1000, 1 << 40, 3], [1, 1], [1 << 40] * 1023, [65535, 1, 1]]
    models: list = [(uniform(n), [i * (2**24 // n) for i in range(n)] + [2**24]) for n in (2, 3, 255, 65536)]
    models += [(Model(some), reference.table(some)) for some in weights]
    models += [(tables.models().split(2, 255), reference.split(2, 255))]
    models += [(tables.models().residual(254), reference.geometric(254))]
    outcomes = set()
    for number in range(1500):
        data = rng.bytes(int(rng.integers(0, 13)))
        if number % 3:
            data = bytes([255 * (number % 3 - 1)]) * int(rng.integers(0, 12)) + data[:2]
        ours, theirs = SymbolReader(data), reference.Reader(data)
        symbols: list[list[int]] = [[], []]
        errors = [False, False]
        chosen = [models[i] for i in rng.integers(0, len(models), int(rng.integers(0, 9)))]
        try:
            for model, _ in chosen:
                symbols[0].append(int(ours.code("test", model, None, 1)[0]))
            ours.finish()
        except SplatError:
            errors[0] = True
        try:
            for _, cdf in chosen:
                symbols[1].append(theirs.symbol(cdf))
            theirs.finish()
        except reference.Illegal:
            errors[1] = True
        assert symbols[0] == symbols[1] and errors[0] == errors[1]
        outcomes.add((errors[0], len(symbols[0]) == len(chosen)))
    assert outcomes == {(False, True), (True, True), (True, False)}


def test_every_model_holds_integers_that_doubles_hold() -> None:
    models, prior = tables.models(), tables.load()
    made = [models.split(level, count) for level in range(tables.LEVELS) for count in range(1, ATOMS_MAX + 1)]
    made += [models.residual(ratio) for ratio in range(1, tables.RATIO_MAX + 1)]
    made += [models.shape(cell) for cell in range(64)]
    made += [models.magnitude(channel, scale) for channel in range(3) for scale in range(8)]
    made += [models.length(neighbours) for neighbours in range(tables.LENGTHS)]
    for model in made:
        whole = [int(weight) for weight in model.weights]
        assert min(whole) >= 1 and sum(whole) < 1 << 53 and whole == model.weights.tolist()
        assert all(a < b for a, b in pairwise(reference.table(whole)))
    assert prior.split.min() >= 4  # so no half of a box is likelier than the middle, and weights stay below 2^40


# --- damage ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("data", [WORKED, small_file(), payload.write([empty(drawn_code(40, 40, 3))])])
def test_no_truncation_and_no_flipped_bit_passes(data: bytes) -> None:
    for length in range(len(data)):
        with pytest.raises(SplatError):
            splat.decode(data[:length])
    for bit in range(8 * len(data)):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 128 >> bit % 8
        with pytest.raises(SplatError):
            payload.read(bytes(damaged))
    for more in (b"\0", b"\xff", data):
        with pytest.raises(SplatError):
            splat.decode(data + more)


def test_what_is_damaged_and_sealed_again_gives_a_legal_code_or_an_error() -> None:
    rng = np.random.default_rng(0)
    outcomes: list[str] = []
    for seed in range(200):
        data = small_file(seed % 5, 3)
        front, groups = parts_of(data)
        head = sum(map(len, payload.read_layout(data).heads))
        changed = bytearray(front + b"".join(groups[0]))
        first = len(front) - head * (seed % 2)  # every other time the head stays whole
        for at in rng.integers(first, len(changed), int(rng.integers(1, 4))):
            changed[at] = rng.integers(0, 256)
        rest = bytes(changed[len(front) :])
        cut = len(groups[0][0])
        try:
            codes = payload.read(sealed(bytes(changed[: len(front)]), [[rest[:cut], rest[cut:]]]))
        except SplatError:
            outcomes.append("error")
        else:
            outcomes.append("codes")
            assert all(code.check() is code for code in codes)
            payload.write(codes)
    assert set(outcomes) == {"error", "codes"}


def test_bytes_after_the_end_of_a_section_are_refused() -> None:
    front, ((section,),) = parts_of(payload.write([drawn_code(40, 40, 1, per_tile=2)]))
    assert front[14] == len(section) < 100
    whole = section + bytes(-len(section) % 4)
    for words in (bytes(12), bytes(11) + b"\1", b"\xff" * 12):
        longer = whole + words
        with pytest.raises(SplatError, match="after its end"):
            payload.read(sealed(front[:14] + bytes([len(longer)]) + front[15:], [[longer]]))
    front, groups = parts_of(payload.write([empty(drawn_code(40, 40, 1))]))
    assert groups == [[b""]] and front[13:15] == bytes([len(front) - 15, 0])
    with pytest.raises(SplatError, match="4 bytes for its 0 atoms"):
        payload.read(sealed(front[:14] + b"\4" + front[15:], [[bytes(4)]]))


@pytest.mark.parametrize("varint", [b"\x80\x00", b"\x81\x80\x00", b"\x80\x80\x80\x80\x00", b"\xff\xff\xff\xff\x01"])
def test_only_the_shortest_varint_is_legal(varint: bytes) -> None:
    front, groups = parts_of(payload.write([empty(drawn_code(40, 40, 1))]))
    with pytest.raises(SplatError, match="length"):
        payload.read(sealed(front[:14] + varint + front[15:], groups))


def test_varints_come_back() -> None:
    for value in (0, 1, 127, 128, 16383, 16384, 2**21 - 1, 2**21, 2**28 - 1):
        data = payload.varint(value)
        assert payload.read_varint(b"x" + data + b"x", 1) == (value, 1 + len(data))


def test_groups_stand_for_themselves_only() -> None:
    one, other = (payload.write([drawn_code(300, 520, 1, seed, per_tile=1)]) for seed in (5, 6))
    front, groups = parts_of(one)
    foreign = parts_of(other)[1]
    assert sealed(front, groups) == one and len(groups) == 6
    crc = zlib.crc32(front)
    seals = [crc_hqx(group[0], (crc ^ number) & 0xFFFF) for number, group in enumerate(groups)]
    theirs = zlib.crc32(parts_of(other)[0])
    for number in range(6):
        section, at = groups[number][0], payload.read_layout(one).groups[number][0]
        for bodies, key in ((foreign, theirs), (groups, crc)):
            source = (number + (bodies is groups)) % 6
            body = bodies[source][0]
            if len(body) < len(section):  # of one length, so that nothing but the CRC can notice
                continue
            body = body[: len(section)]
            spliced = body + crc_hqx(body, (key ^ source) & 0xFFFF).to_bytes(2, "big")
            with pytest.raises(SplatError, match=f"group {number} "):
                payload.read(one[: at[0]] + spliced + one[at[1] + 2 :])
    assert len(set(seals)) == 6


def test_equal_groups_of_one_file_cannot_be_swapped() -> None:
    atom = np.array([[tile, 40, 7, 9] for tile in range(2 * 64)])
    data = payload.write([Code(256, 512, 1, 99, np.zeros((128, 1, 3), np.int64), atom)])
    first, second = (group[0] for group in payload.read_layout(data).groups)
    assert data[slice(*first)] == data[slice(*second)]
    a, b = data[first[0] : first[1] + 2], data[second[0] : second[1] + 2]
    with pytest.raises(SplatError, match="group 0"):
        payload.read(data[: first[0]] + b + a)


def test_a_region_needs_no_more_than_its_groups() -> None:
    data = payload.write([drawn_code(512, 512, 1, per_tile=1)])
    (begin, end), *_ = payload.read_layout(data).groups[3]
    damaged = data[: begin + 5] + bytes([data[begin + 5] ^ 1]) + data[begin + 6 :]
    for region in ((0, 0, 512, 253), (0, 0, 253, 512)):
        assert np.array_equal(splat.decode(damaged, region), splat.decode(data, region))
    for region in ((0, 0, 512, 512), (200, 200, 54, 54), (511, 511, 1, 1)):
        with pytest.raises(SplatError, match="group 3"):
            splat.decode(damaged, region)
    assert end > begin


# --- claims ----------------------------------------------------------------------------------------------------------


def peak_of(data: bytes) -> int:
    """Bytes allocated before a file is refused."""
    tables.models()
    tracemalloc.start()
    try:
        with pytest.raises(SplatError):
            splat.decode(data)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_large_claims_of_small_files_allocate_little() -> None:
    header = WORKED[:4] + (65535).to_bytes(2, "big") + (2048).to_bytes(2, "big")
    begin = time.perf_counter()
    for rest in (WORKED[8:], WORKED[8:13] + bytes(3000), WORKED[8:13] + b"\xff\xff\xff\x7f" * 2049):
        assert peak_of(header + rest) < 1 << 20
    assert peak_of(WORKED[:4] + b"\xff" * 4 + WORKED[8:]) < 1 << 16  # more than 2^27 pixels
    assert peak_of(WORKED[:14] + b"\xff\xff\xff\x7f" + WORKED[15:]) < 1 << 16
    assert time.perf_counter() - begin < 2


def test_numbers_of_atoms_that_the_file_cannot_hold_are_refused() -> None:
    grid = (40, 40)
    base, counts = np.zeros((1600, 1, 3), np.int64), np.full(1600, ATOMS_MAX)
    ratios, writer = ratios_for(base, grid), SymbolWriter()
    code_head(writer, tables.models(), grid, ratios, base, counts)
    head = writer.finish()
    lengths = payload.varint(len(head)) + bytes(25)
    front = b"NVS\x04" + (1280).to_bytes(2, "big") * 2 + (64).to_bytes(2, "big") + bytes(ratios) + lengths + head
    with pytest.raises(SplatError, match="bytes for its 16320 atoms"):
        payload.read(sealed(front, [[b""]] * 25))
    assert peak_of(sealed(front, [[b""]] * 25)) < 1 << 20


# --- what must not change --------------------------------------------------------------------------------------------


def test_another_dictionary_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    build = dictionary.__wrapped__
    assert np.array_equal(build().kernels, dictionary().kernels)
    for name, value in (("_CRC", 1), ("SPACING", 11), ("_inverse", lambda sigma: 40960 // sigma)):
        with monkeypatch.context() as patch:
            patch.setattr(atoms, name, value)
            with pytest.raises(SplatError, match="dictionary"):
                build()


def test_other_tables_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    prior = tables.load()
    tables.write(prior, tmp_path / "tables.bin")
    data = (tmp_path / "tables.bin").read_bytes()
    assert tables.crc_of(tables.read(data)) == tables.crc_of(prior) == tables.CRC
    for at in (0, 5, len(data) // 2, len(data) - 1):
        with pytest.raises(SplatError, match="damaged"):
            tables.read(data[:at] + bytes([data[at] ^ 4]) + data[at + 1 :])
    with pytest.raises(SplatError, match="length"):
        tables.read(data[:-1])
    changed = replace(prior, shape=prior.shape[::-1])
    tables.write(changed, tmp_path / "tables.bin")
    assert tables.crc_of(tables.read((tmp_path / "tables.bin").read_bytes())) != tables.CRC
    monkeypatch.setattr(tables, "files", lambda package: tmp_path)
    with pytest.raises(SplatError, match="tables"):
        tables.load.__wrapped__()
    with pytest.raises(SplatError, match="split"):
        tables.write(replace(prior, split=prior.split * 0), tmp_path / "tables.bin")


# --- accounts --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("codes", [[drawn_code(300, 280, 3)], [drawn_code(9, 9, 1), drawn_code(9, 9, 1, 1)]])
def test_the_account_adds_up(codes: list[Code]) -> None:
    data = payload.write(codes)
    found = splat.describe(data)
    bits = found["bits"]
    assert isinstance(bits, dict)
    assert list(bits) == ["header", "base", "counts", "positions", "shapes", "amplitudes", "rounding"]
    assert abs(sum(bits.values()) - 8 * len(data)) < 0.05 * len(bits) + 1e-6
    assert abs(bits["rounding"]) < 64 * len(codes) * (1 + len(payload.read_layout(data).groups))
    assert found["gaussians"] == sum(len(code.atoms) for code in codes)
    assert (found["width"], found["height"]) == (codes[0].width, codes[0].height)
    assert found["channels"] == sum(code.channels for code in codes)
    tiles = np.zeros(codes[0].grid[0] * codes[0].grid[1], int)
    for code in codes:
        np.add.at(tiles, code.atoms[:, 0], 1)
    assert found["per_tile"] == {"min": tiles.min(), "mean": tiles.mean(), "max": tiles.max()}
    assert TILE * codes[0].grid[1] >= codes[0].width
