"""Wishes that contradict each other or lie outside their range."""

from __future__ import annotations

import struct
from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest

from codec.errors import UsageError
from codec.segment.payload import SCALE
from codec.segment.presets import PRESETS as film_presets
from codec.settings import DEFAULT_CRF, LOSSLESS_CRF, PRESETS, QUALITIES, SCALES, TUNES, Settings
from codec.still.presets import PRESETS as still_presets
from codec.still.presets import TUNES as still_tunes
from codec.wire.hdr import svt_hdr


@pytest.mark.parametrize("wishes", [
    {"crf": 30, "target_psnr": 40}, {"crf": 30, "bitrate": 500}, {"crf": 30, "target_size": 5},
    {"target_psnr": 40, "bitrate": 500}, {"target_psnr": 40, "target_size": 5}, {"bitrate": 500, "target_size": 5},
    {"crf": 1, "target_psnr": 1, "bitrate": 1, "target_size": 1}, {"target_psnr": 40, "target_ssim": 0.9},
    {"target_ssim": 0.9, "target_xpsnr": 40}, {"crf": 30, "target_xpsnr": 40}, {"target_ssim": 0.9, "bitrate": 500},
], ids=lambda w: "+".join(w))  # fmt: skip
def test_one_quality_at_most(wishes: dict[str, float]) -> None:
    with pytest.raises(UsageError, match="contradict") as caught:
        Settings(**wishes)  # type: ignore[arg-type]
    assert all(name in str(caught.value) for name in wishes)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("wishes", [
    {"max_error": 0, "loss": "off"}, {"max_error": 0, "loss": 20}, {"max_error": 2, "target_psnr": 40},
    {"max_error": 2, "bitrate": 40}, {"max_error": 2, "target_size": 4}, {"max_error": -1}, {"max_error": 128},
    {"crf": 0.5}, {"crf": 63.25}, {"crf": -3}, {"crf": float("nan")}, {"target_psnr": 0}, {"target_psnr": -1},
    {"target_psnr": float("nan")}, {"bitrate": 0}, {"bitrate": float("inf")}, {"target_size": -2},
    {"target_size": 1e9}, {"scale": Fraction(5)}, {"scale": Fraction(1, 2)}, {"scale": Fraction(5, 4)},
    {"target_ssim": 1}, {"target_ssim": 0}, {"target_xpsnr": -1}, {"max_error": 2, "target_ssim": 0.9},
    {"target_psnr": 40, "worst": 100}, {"target_ssim": 0.9, "worst": -1}, {"worst": 5}, {"crf": 30, "worst": 5},
    {"bitrate": 100, "worst": 5}, {"target_psnr": 40, "worst": float("nan")},
    {"history": 3}, {"history": -1}, {"loss": 0}, {"loss": 256}, {"loss": "on"}, {"loss": "20"},
    {"preset": "slower"}, {"preset": ""}, {"device": "gpu"}, {"threads": -1}, {"threads": 257},
], ids=str)  # fmt: skip
def test_what_cannot_be_is_refused(wishes: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        Settings(**wishes)


@pytest.mark.parametrize("wishes", [
    {}, {"crf": 1}, {"crf": 63}, {"crf": 27.25}, {"target_psnr": 44.4}, {"bitrate": 0.5}, {"target_size": 700},
    {"target_ssim": 0.98, "worst": 0}, {"target_xpsnr": 38, "worst": 99.9},
    {"max_error": 0}, {"max_error": 127, "crf": 50}, {"loss": "off"}, {"loss": 1}, {"loss": 255, "bitrate": 80},
    {"scale": Fraction(3, 2)}, {"history": 0}, {"history": 2}, {"head": False}, {"threads": 256}, {"device": "cuda"},
    *({"preset": name} for name in PRESETS),
], ids=str)  # fmt: skip
def test_what_can_be_is_taken(wishes: dict[str, Any]) -> None:
    settings = Settings(**wishes)
    assert all(getattr(settings, name) == value for name, value in wishes.items())


def test_the_quantiser_to_begin_with() -> None:
    assert Settings().start_crf == Settings(target_psnr=40).start_crf == DEFAULT_CRF
    assert Settings(crf=12).start_crf == Settings(crf=12, max_error=0).start_crf == 12
    assert Settings(max_error=1).start_crf == LOSSLESS_CRF


def test_the_key_follows_every_wish_that_segments_depend_on() -> None:
    other: dict[str, Any] = {
        "crf": 30, "target_psnr": 40.0, "target_ssim": 0.9, "target_xpsnr": 40.0, "bitrate": 90.0, "target_size": 3.0,
        "scale": Fraction(2), "history": 1, "loss": 9, "max_error": 3, "head": False, "preset": "slow", "device": "cpu",
    }  # fmt: skip
    assert set(other) == set(Settings.__dataclass_fields__) - {"threads", "audio", "subtitles", "worst"}
    keys = {Settings().key(), *(replace(Settings(), **{name: value}).key() for name, value in other.items())}
    assert len(keys) == len(other) + 1
    assert Settings(threads=7).key() == Settings().key()
    assert set(QUALITIES) < set(other)
    assert Settings(target_ssim=0.9).key() != Settings(target_ssim=0.9, worst=5).key()


def test_presets_and_scales_have_numbers_everywhere() -> None:
    assert tuple(film_presets) == tuple(still_presets) == PRESETS
    assert tuple(still_tunes) == TUNES
    assert tuple(SCALE) == SCALES


def test_hdr_strings() -> None:
    rationals = [34000, 50000, 16000, 50000, 13250, 50000, 34500, 50000, 7500, 50000, 3000, 50000,
                 15635, 50000, 16450, 50000, 50, 10000, 10000000, 10000]  # fmt: skip
    mastering = struct.pack("=20i2i", *rationals, 1, 1)
    assert svt_hdr({"mastering": mastering, "content_light": struct.pack("=2I", 1000, 400)}) == (
        "G(0.26500,0.69000)B(0.15000,0.06000)R(0.68000,0.32000)WP(0.31270,0.32900)L(1000.0000,0.0050)",
        "1000,400",
    )
    assert svt_hdr({}) == svt_hdr({"mastering": b"short", "content_light": b"x"}) == ("", "")
    assert "0.00000" in svt_hdr({"mastering": bytes(88)})[0], "a denominator of 0 divides nothing"
