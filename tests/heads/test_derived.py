"""Heads of other chroma formats, derived from those of 4:2:0, and heads as files that say a scale."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from heads.layers import HeadError
from heads.restorer import store
from heads.restorer.derived import derived
from heads.restorer.proof import check, integer_sums, worst_sums
from heads.restorer.spec import FOLDS, HeadSpec
from tests.heads.drawn_heads import drawn_head

SPEC = HeadSpec(6, 0, 4, 5, base_q=True, adding=True)
FORMATS = [4, 8, 12]


def inputs(planes: int, luma: np.ndarray, chroma: np.ndarray, base_q: int) -> np.ndarray:
    """Cells (inputs, h, w) with that luma, whose chroma samples all are `chroma` (2, h, w)."""
    samples = [rows * columns for rows, columns in FOLDS[planes][1:]]
    return np.concatenate([luma, np.repeat(chroma[: len(samples)], samples, 0), np.full_like(luma[:1], base_q)])


@pytest.mark.parametrize("planes", FORMATS)
def test_a_derived_head_corrects_flat_chroma_as_the_head_itself_does(planes: int) -> None:
    layers, rng = drawn_head(SPEC), np.random.default_rng(1)
    luma, chroma = rng.integers(-512, 512, (4, 9, 7)), rng.integers(-512, 512, (2, 9, 7))
    chroma *= planes > 4  # grey stands for neutral chroma
    wanted = integer_sums(SPEC, layers, inputs(6, luma, chroma, 77))
    spec, found = derived(SPEC, layers, planes)
    assert spec == HeadSpec(planes, 0, 4, 5, base_q=True, adding=True)
    sums = integer_sums(spec, found, inputs(planes, luma, chroma, 77))
    each = (planes - 4) // 2
    assert np.array_equal(sums, np.concatenate([wanted[:4], np.repeat(wanted[4:], each, 0)]))


@pytest.mark.parametrize("planes", FORMATS)
def test_a_derived_head_sees_the_mean_of_chroma_alone(planes: int) -> None:
    layers, rng = drawn_head(SPEC), np.random.default_rng(2)
    spec, found = derived(SPEC, layers, planes)
    x = rng.integers(-500, 500, (spec.inputs, 6, 8))
    for plane in range(2 * (planes > 4)):
        part = x[4 + plane * (planes - 4) // 2 :][: (planes - 4) // 2]
        wanted = integer_sums(spec, found, x)
        part[0] += 9
        part[-1] -= 9
        assert np.array_equal(integer_sums(spec, found, x), wanted)


@pytest.mark.parametrize("planes", FORMATS)
def test_what_is_proven_of_a_head_holds_of_what_is_derived_from_it(planes: int) -> None:
    layers = drawn_head(SPEC)
    spec, found = derived(SPEC, layers, planes)
    check(spec, found)
    assert all(a <= b for a, b in zip(worst_sums(spec, found), worst_sums(SPEC, layers), strict=True))
    assert derived(SPEC, layers, 6) == (SPEC, tuple(layers))
    with pytest.raises(ValueError, match="4:2:0"):
        derived(spec, found, 6)
    with pytest.raises(ValueError, match="without history"):
        derived(HeadSpec(6, 1, 2, 5), drawn_head(HeadSpec(6, 1, 2, 5)), planes)


def test_every_film_head_is_of_420_and_has_other_formats() -> None:
    for number in store.FILM_HEADS:
        assert store.film_head(number).spec.planes == 6
        for planes in FORMATS:
            found = store.film_head(number, planes)
            check(found.spec, found.layers)
            assert found.factor == store.film_head(number).factor
    assert store.film_head_for(1) and not store.film_head_for(Fraction(5, 4))


@pytest.mark.parametrize("scale", [1, Fraction(3, 2), 2, 3, 4], ids=str)
def test_a_file_says_the_scale_of_its_head(scale: int | Fraction) -> None:
    stored = store.read(store.write(SPEC, scale, drawn_head(SPEC)))
    assert (stored.factor, stored.spec) == (scale, SPEC)


def test_other_scales_are_refused() -> None:
    layers = drawn_head(SPEC)
    for scale in (0, 5, Fraction(5, 2), Fraction(4, 3)):
        with pytest.raises(ValueError, match="no head enlarges by"):
            store.write(SPEC, scale, layers)
    front, coded = store.HeadFront.read(store.write(SPEC, Fraction(3, 2), layers))
    wrong = store.HeadFront(front.version, front.planes, front.layers, front.width, front.flags, 2)
    with pytest.raises(HeadError, match="2 and a half"):
        store.read(wrong.write(coded))


def test_the_newest_head_of_a_scale_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    heads = {"a": Fraction(2), "b": Fraction(3, 2), "c": Fraction(2)}
    monkeypatch.setattr(store, "FILM_HEADS", {1: "a", 2: "b", 3: "c"})
    monkeypatch.setattr(store, "pretrained", lambda name: store.read(store.write(SPEC, heads[name], drawn_head(SPEC))))
    assert [store.film_head_for(scale) for scale in (1, Fraction(3, 2), 2, 3)] == [0, 2, 3, 0]
