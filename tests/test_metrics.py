"""Quality is counted as the project says it is."""

from __future__ import annotations

import numpy as np
import pytest

from codec.metrics import PSNR_MAX, plane_psnrs, psnr, squared_error, weighted


def flat(value: int, shape: tuple[int, int] = (4, 6), dtype: type = np.uint8) -> np.ndarray:
    return np.full(shape, value, dtype)


def test_differences_do_not_wrap_around() -> None:
    assert squared_error(flat(0), flat(255)) == 255**2
    assert squared_error(flat(255), flat(0)) == 255**2
    assert squared_error(flat(1023, dtype=np.uint16), flat(0, dtype=np.uint16)) == 1023**2


def test_psnr_of_known_errors() -> None:
    assert psnr(flat(100), flat(110), 255) == pytest.approx(28.1308, abs=1e-4)  # 20 log10(255 / 10)
    assert psnr(flat(0, dtype=np.uint16), flat(40, dtype=np.uint16), 1023) == pytest.approx(28.1564, abs=1e-4)
    assert psnr(flat(0), flat(255), 255) == 0.0
    one = flat(7)
    one[0, 0] = 8
    assert psnr(one, flat(7), 255) == pytest.approx(20 * np.log10(255) + 10 * np.log10(24))


def test_equal_planes_count_as_the_most() -> None:
    assert psnr(flat(3), flat(3), 255) == PSNR_MAX
    large = flat(3, (4000, 1000), np.uint16)
    off = large.copy()
    off[0, 0] += 1
    assert psnr(large, off, 1023) == PSNR_MAX, "no picture counts for more than an exact one"


def test_planes_are_weighted_six_one_one() -> None:
    assert weighted(np.array([40.0, 44.0, 48.0])) == pytest.approx((6 * 40 + 44 + 48) / 8)
    assert weighted(np.array([[30.0, 50.0, 50.0], [50.0, 30.0, 70.0]])) == pytest.approx((6 * 40 + 40 + 60) / 8)
    assert weighted(np.array([[30.0], [50.0]])) == 40.0, "luma alone where there is no chroma"


def test_each_plane_is_measured_on_its_own() -> None:
    a = [flat(0), flat(0, (2, 3)), flat(5, (2, 3))]
    b = [flat(51), flat(255, (2, 3)), flat(5, (2, 3))]
    assert plane_psnrs(a, b, 255).tolist() == pytest.approx([20 * np.log10(5), 0.0, PSNR_MAX])
    with pytest.raises(ValueError):
        plane_psnrs(a, b[:2], 255)
