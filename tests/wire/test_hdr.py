"""HDR metadata: what libav says of a film comes back in boxes and in the words of encoders."""

from __future__ import annotations

import struct
from fractions import Fraction

from codec.wire.hdr import hdr_boxes, mastering_of, svt_hdr, x26x_hdr

MASTERING = (
    34000,
    50000,
    16000,
    50000,
    13250,
    50000,
    34500,
    50000,
    7500,
    50000,
    3000,
    50000,
    15635,
    50000,
    16450,
    50000,
)


def side_data(*mastering: int, light: tuple[int, int] = (1000, 400)) -> dict[str, bytes]:
    return {"mastering": struct.pack("=20i2i", *mastering, 1, 1), "content_light": struct.pack("=2I", *light)}


def test_both_spellings() -> None:
    data = side_data(*MASTERING, 1, 10000, 1000, 1)
    words = "G(0.26500,0.69000)B(0.15000,0.06000)R(0.68000,0.32000)WP(0.31270,0.32900)L(1000.0000,0.0001)"
    assert svt_hdr(data) == (words, "1000,400")
    points = (13250, 34500, 7500, 3000, 34000, 16000, 15635, 16450)
    mdcv = struct.pack(">I4s8H2I", 32, b"mdcv", *points, 10_000_000, 1)
    assert hdr_boxes(data) == mdcv + struct.pack(">I4s2H", 12, b"clli", 1000, 400)


def test_the_words_of_x264_and_x265() -> None:
    """Whole numbers of 1/50000 and 1/10000, as `--master-display` of x265 has them."""
    words = "G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,1)"
    assert x26x_hdr(side_data(*MASTERING, 1, 10000, 1000, 1)) == (words, "1000,400")


def test_what_av1_holds_comes_back_as_it_was() -> None:
    """Its units are 1/65536, 1/256 for the brightest and 1/16384 for the darkest."""
    points = [round(Fraction(n, 50000) * 65536) for n in MASTERING[::2]]
    coded = [number for n in points for number in (n, 65536)] + [round(16384 * 0.005), 16384, 4000 * 256, 256]
    assert mastering_of(side_data(*coded)) == mastering_of(side_data(*MASTERING, 50, 10000, 4000, 1))


def test_short_or_absent_data_say_nothing() -> None:
    for data in ({}, {"mastering": bytes(87), "content_light": bytes(7)}):
        assert svt_hdr(data) == ("", "")
        assert hdr_boxes(data) == b""


def test_a_ratio_without_a_denominator_is_zero() -> None:
    data = side_data(*(5, 0) * 10)
    assert hdr_boxes(data)[8:32] == bytes(24)
    assert svt_hdr(data)[0].endswith("L(0.0000,0.0000)")


def test_values_beyond_a_box_are_the_nearest_it_holds() -> None:
    """Matroska stores any number: no film is refused for it."""
    data = side_data(5, 1, -1, 1, *MASTERING[4:], -1, 1, 2_000_000_000, 1, light=(70000, 0))
    boxes = hdr_boxes(data)
    assert struct.unpack_from(">8H2I", boxes, 8)[4:6] == (0xFFFF, 0)
    assert struct.unpack_from(">2I", boxes, 24) == (0xFFFFFFFF, 0)
    assert struct.unpack_from(">2H", boxes, 40) == (0xFFFF, 0)
