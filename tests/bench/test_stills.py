"""Picture formats as the harness runs them: exact where they promise it, ordered along their knobs, honest refusals."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench.measure.quality import measure_still
from bench.method import Film, Method, Still
from bench.methods import find
from bench.methods.stills import STILLS, JpegXl, Pillow
from bench.process import BenchError
from codec.frames import PlaneFormat, VideoInfo

BY_NAME = {method.name: method for method in STILLS}
LOSSY = [method for method in STILLS if method.knob]
LOSSLESS = [method for method in STILLS if method.lossless is not None]
GREY, GREY_ALPHA, COLOUR, COLOUR_ALPHA = 1, 2, 3, 4


def drawn(rows: int, columns: int, channels: int) -> Still:
    """Waves with noise; alpha, where there is any, is nothing in a corner and all in another."""
    y, x, k = np.mgrid[:rows, :columns, :channels]
    noise = np.random.default_rng(rows * columns).integers(-12, 13, (rows, columns, channels))
    pixels = np.clip(128 + 80 * np.sin(x / 9 + k) * np.cos(y / (7 + k)) + noise, 0, 255).astype(np.uint8)
    if channels in (GREY_ALPHA, COLOUR_ALPHA):
        pixels[: rows // 2 + 1, : columns // 2 + 1, -1] = 0
        pixels[rows // 2 + 1 :, columns // 2 + 1 :, -1] = 255
    return Still(f"{channels} channels", pixels, "")


def accepts(method: Method, channels: int) -> bool:
    """What the module's first lines say."""
    stem = method.name.removesuffix("-lossless")
    return channels in {"jpeg": (GREY, COLOUR), "webp": (COLOUR, COLOUR_ALPHA), "avif": (COLOUR, COLOUR_ALPHA)}.get(
        stem, (GREY, GREY_ALPHA, COLOUR, COLOUR_ALPHA)
    )


def coded(method: Method, still: Still, setting: float = 0):
    """(bytes, quality) of a still after a round trip."""
    data = method.encode(still, setting)
    (picture,) = method.decode(data)
    return len(data), measure_still(still.planes, picture)


@pytest.mark.parametrize("channels", [GREY, GREY_ALPHA, COLOUR, COLOUR_ALPHA])
@pytest.mark.parametrize("method", LOSSLESS, ids=lambda m: m.name)
def test_every_sample_comes_back(method, channels):
    if not accepts(method, channels):
        with pytest.raises(BenchError, match=f"{method.name} cannot hold grey.*, which {channels} channels is"):
            method.encode(drawn(8, 8, channels), 0)
        return
    for rows, columns in ((37, 23), (1, 1), (1, 30), (30, 1), (3, 4), (4, 3)):
        assert coded(method, drawn(rows, columns, channels), method.lossless)[1].identical == 1


@pytest.mark.parametrize("channels", [GREY, GREY_ALPHA, COLOUR, COLOUR_ALPHA])
@pytest.mark.parametrize("method", LOSSY, ids=lambda m: m.name)
def test_bytes_and_quality_fall_along_the_knob(method, channels):
    still = drawn(61, 75, channels)
    knob = method.knob
    if not accepts(method, channels):
        with pytest.raises(BenchError, match=f"{method.name} cannot hold"):
            method.encode(still, knob.best)
        return
    steps = [knob.legal(knob.best + part * (knob.worst - knob.best)) for part in (0, 1 / 3, 2 / 3, 1)]
    found = [coded(method, still, step) for step in steps]
    sizes, psnrs = [size for size, _ in found], [quality.psnr_rgb for _, quality in found]
    assert sizes == sorted(sizes, reverse=True) and sizes[0] > 2 * sizes[-1]
    assert psnrs == sorted(psnrs, reverse=True) and psnrs[0] > psnrs[-1] + 2


@pytest.mark.parametrize("method", LOSSY, ids=lambda m: m.name)
def test_odd_sizes_and_both_ends_of_the_knob(method):
    for rows, columns in ((1, 1), (37, 23)):
        for setting in (method.knob.low, method.knob.high):
            assert coded(method, drawn(rows, columns, COLOUR), setting)[1].frames == 1


def test_each_step_of_a_knob_counts():
    for method in LOSSY:
        knob, still = method.knob, drawn(64, 64, COLOUR)
        middle = knob.legal((knob.best + knob.worst) / 2)
        step = 2 if method.name == "avif" else knob.step  # libaom has 64 settings, libavif 101
        assert method.encode(still, middle) != method.encode(still, middle + step), method.name
        assert all(knob.legal(x) == x for x in (knob.best, knob.worst, knob.low, knob.high))


def test_what_is_no_still_or_no_such_file_is_refused():
    info = VideoInfo(8, 8, PlaneFormat("420", 8), 1, 1)
    film = Film("a.mkv", info, 1, 1, "")
    for method in STILLS:
        with pytest.raises(BenchError, match=r"a\.mkv is a film"):
            method.encode(film, 1)
        with pytest.raises(BenchError, match="does not decode"):
            next(method.decode(b"nothing"))
    with pytest.raises(BenchError, match="does not decode"):
        next(BY_NAME["png"].decode(BY_NAME["jpeg"].encode(drawn(8, 8, COLOUR), 50)))
    with pytest.raises(BenchError, match="webp does not encode wide"):
        BY_NAME["webp"].encode(Still("wide", np.zeros((1, 20000, 3), np.uint8), ""), 50)


def test_missing_library_is_a_sentence(monkeypatch):
    def missing(name):
        raise ImportError(name)

    monkeypatch.setattr("bench.methods.stills.import_module", missing)
    for method, words in {"jpeg": "pictures need Pillow: pip", "jxl": "pictures need imagecodecs: pip"}.items():
        with pytest.raises(BenchError, match=words):
            BY_NAME[method].encode(drawn(8, 8, COLOUR), 1)
        assert BY_NAME[method].versions() == {}


def test_rows_name_what_decides_their_bytes():
    assert len(BY_NAME) == len(STILLS) and len({method.settings for method in STILLS}) == len(STILLS) == 7
    assert BY_NAME["jpeg"].settings == "Pillow, optimize, subsampling 4:2:0"
    assert BY_NAME["jxl-lossless"].settings == "imagecodecs, effort 7, lossless"
    for method in STILLS:
        assert isinstance(method, Pillow | JpegXl) and hash(method) == hash(replace(method))
        assert (method.knob is None) == (method.lossless is not None)
        assert len(method.versions()) > len(method.libraries)
        assert all((Path(__file__).parents[2] / path).is_file() for path in method.modules)


@pytest.mark.parametrize("channels, rate", [(GREY, 0.6), (COLOUR_ALPHA, 2.5)])
def test_splat_keeps_to_its_rate(channels, rate):
    method, still = find("image", "splat:effort=0"), drawn(20, 33, channels)
    size, quality = coded(method, still, rate)
    assert size <= rate * 20 * 33 / 8
    assert quality.psnr_rgb > 20
    assert method.settings == "effort 0"
    with pytest.raises(BenchError, match="the smallest file has"):
        method.encode(still, 0.01)
    with pytest.raises(BenchError, match="no option effort=9; it has effort=0"):
        find("image", "splat:effort=9")
    with pytest.raises(BenchError, match=r"does not decode: this is no \.nvs file"):
        list(method.decode(b"nothing"))
