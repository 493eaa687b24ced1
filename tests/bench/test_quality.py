"""Quality of decoded pictures: against other people's programs and few-line derivations, and what is no comparison."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import av
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from skimage.metrics import structural_similarity

from bench.measure.quality import Quality, measure_film, measure_still, ssims
from bench.method import Picture
from bench.process import BenchError
from codec.frames import SUBSAMPLING, Frame, PlaneFormat, VideoInfo
from codec.media.libav import planes_to_av
from codec.metrics import PSNR_MAX
from tests.makers import drawn_planes

YUV = PlaneFormat("420", 8)
FORMATS = [PlaneFormat(chroma, depth) for chroma in SUBSAMPLING for depth in (8, 10)]


def info_of(fmt=YUV, width=64, height=48, rate=Fraction(25)):
    return VideoInfo(width, height, fmt, Fraction(1, 1000), rate)


def film(info, count=3, first=7):
    """Pictures at uneven times that do not begin at zero."""
    size = info.format, info.width, info.height
    return [Frame(drawn_planes(*size, k), first + 40 * k + k % 2) for k in range(count)]


def noisy(planes, strength, seed=0, depth=8):
    """The planes with errors of up to `strength`."""
    rng, peak = np.random.default_rng(seed), (1 << depth) - 1
    errors = [rng.integers(-strength, strength + 1, p.shape) for p in planes]
    return tuple(np.clip(p + e, 0, peak).astype(p.dtype) for p, e in zip(planes, errors, strict=True))


def copies(frames, info, strength=0):
    """The pictures as a perfect decoder gives them, or with errors."""
    depth = info.format.depth
    times = [(f.pts - frames[0].pts) * info.time_base for f in frames]
    planes = [noisy(f.planes, strength, k, depth) for k, f in enumerate(frames)]
    return [Picture(p, depth, t) for p, t in zip(planes, times, strict=True)]


def libav(name, info, frames, pictures):
    """What libav's filter of that name says of each picture, as its metadata."""
    graph = av.filter.Graph()
    place = f"video_size={info.width}x{info.height}:pix_fmt={info.format.av_name}:time_base=1"
    ends = [graph.add("buffer", place), graph.add("buffer", place)]
    node, sink = graph.add(name), graph.add("buffersink")
    for pad, end in enumerate(ends):
        end.link_to(node, 0, pad)
    node.link_to(sink)
    graph.configure()
    for count, pair in enumerate(zip(frames, pictures, strict=True)):
        for end, picture in zip(ends, pair, strict=True):
            frame = planes_to_av(picture.planes, info.format)
            frame.pts = count
            end.push(frame)
        yield {key.removeprefix(f"lavfi.{name}."): float(value) for key, value in sink.pull().metadata.items()}


@pytest.mark.parametrize("fmt", FORMATS, ids=lambda f: f.av_name)
def test_psnr_is_that_of_libav(fmt):
    info = info_of(fmt, 54, 38)
    frames = film(info)
    pictures = copies(frames, info, 9)
    found = measure_film(frames, info, pictures)
    theirs = list(libav("psnr", info, frames, pictures))
    means = [np.mean([row[f"psnr.{plane}"] for row in theirs]) for plane in "yuv"[: len(frames[0].planes)]]
    ours = [x for x in (found.psnr_y, found.psnr_u, found.psnr_v) if x is not None]
    assert ours == pytest.approx(means, abs=1e-5), "libav prints float32"
    wanted = means[0] if len(means) == 1 else (6 * means[0] + means[1] + means[2]) / 8
    assert found.psnr_yuv == pytest.approx(wanted, abs=1e-5)
    assert found.psnr_rgb is None and found.frames == 3 and found.identical == 0 and found.worst == 9


def test_ssim_is_near_that_of_libav():
    """libav's windows are evenly weighted squares of 8 samples, every 4th, ours Gaussian of 11: alike, and no more."""
    info = info_of(width=192, height=128)
    frames = film(info)
    for strength in (4, 12, 40):
        pictures = copies(frames, info, strength)
        theirs = np.mean([row["Y"] for row in libav("ssim", info, frames, pictures)])
        assert 1 - measure_film(frames, info, pictures).ssim == pytest.approx(1 - theirs, rel=0.25)


@pytest.mark.parametrize("shape", [(11, 11), (48, 64), (37, 301), (301, 150)], ids=str)
@pytest.mark.parametrize("depth", [8, 10])
def test_ssim_is_that_of_scikit_image(shape, depth):
    fmt = PlaneFormat("400", depth)
    a = drawn_planes(fmt, *shape[::-1], 0)
    for strength in (1, 20):
        b = noisy(a, strength, depth=depth)
        options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": fmt.peak}
        theirs = structural_similarity(a[0], b[0], **options)  # the mean where all of the window is in the picture
        assert ssims(a[0], b[0], fmt.peak)[0] == pytest.approx(theirs, abs=1e-9)


def plain_ms_ssim(a, b, peak):
    """MS-SSIM as the paper's formulas have it, in float64."""
    weights, product = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333), 1.0

    def mean(x):
        return gaussian_filter(x, 1.5, radius=5)[5:-5, 5:-5]

    for scale, weight in enumerate(weights):
        if scale:
            a, b = (np.pad(x, [(0, n % 2) for n in x.shape], mode="symmetric") for x in (a, b))
            a, b = (x.reshape(x.shape[0] // 2, 2, -1, 2).mean((1, 3)) for x in (a, b))
        c1, c2 = (0.01 * peak) ** 2, (0.03 * peak) ** 2
        luminance = (2 * mean(a) * mean(b) + c1) / (mean(a) ** 2 + mean(b) ** 2 + c1)
        covariance = mean(a * b) - mean(a) * mean(b)
        variances = mean(a * a) - mean(a) ** 2 + mean(b * b) - mean(b) ** 2
        structure = (2 * covariance + c2) / (variances + c2)
        product *= (np.mean(structure) if scale < 4 else np.mean(structure * luminance)) ** weight
    return product


@pytest.mark.parametrize("shape", [(176, 176), (201, 263)], ids=str)
def test_ms_ssim_is_that_of_its_paper(shape):
    rng = np.random.default_rng(1)
    a = (gaussian_filter(rng.normal(0, 900, shape), 3) + 128).clip(0, 255).astype(np.uint8)
    for strength in (3, 60):
        b = noisy([a], strength)[0]
        wanted = plain_ms_ssim(a.astype(float), b.astype(float), 255)
        assert ssims(a, b, 255)[1] == pytest.approx(wanted, abs=1e-9)


def test_an_opposite_picture_is_as_unlike_as_can_be():
    a = drawn_planes(PlaneFormat("400", 8), 192, 192, 0)[0]
    single, several = ssims(a, 255 - a, 255)
    assert single < 0 and several == 0


def test_windows_must_fit():
    for shape, (single, several) in {(10, 400): (None, None), (400, 175): (1.0, None), (176, 177): (1.0, 1.0)}.items():
        plane = drawn_planes(PlaneFormat("400", 8), *shape[::-1], 0)
        found = measure_still(plane, Picture(plane))
        assert (found.ssim, found.ms_ssim) == (single, several)


def test_ssim_of_a_film_is_the_mean_of_its_luma():
    info = info_of(width=180, height=180)
    frames = film(info)
    pictures = copies(frames, info, 30)
    each = [ssims(f.planes[0], p.planes[0], 255) for f, p in zip(frames, pictures, strict=True)]
    found = measure_film(frames, info, pictures)
    assert (found.ssim, found.ms_ssim) == pytest.approx(tuple(np.mean(each, 0)))


def test_identical_pictures_are_counted():
    info = info_of()
    frames = film(info, 4)
    found = measure_film(frames, info, copies(frames, info))
    best = dict.fromkeys(("psnr_y", "psnr_u", "psnr_v", "psnr_yuv", "xpsnr"), PSNR_MAX)
    assert found == Quality(4, **best, ssim=1.0, identical=4, worst=0)
    pictures = copies(frames, info)
    pictures[2].planes[2][5, 6] ^= 16
    found = measure_film(frames, info, pictures)
    assert found.identical == 3 and found.worst == 16 and found.psnr_y == PSNR_MAX > found.psnr_v


def test_errors_do_not_wrap_around():
    for fmt in (YUV, PlaneFormat("444", 10)):
        info = info_of(fmt, 16, 16)
        black, white = (tuple(np.full(s, v, fmt.dtype) for s in fmt.shapes(16, 16)) for v in (0, fmt.peak))
        for a, b in ((black, white), (white, black)):
            found = measure_film([Frame(a, 0)], info, [Picture(b, fmt.depth)])
            assert found.worst == fmt.peak and found.psnr_yuv == 0


def test_ten_bits_are_rounded_half_up():
    info = info_of(PlaneFormat("400", 8), 4, 2)
    source = np.array([[0, 1, 1, 2], [100, 255, 255, 255]], np.uint8)
    deep = np.array([[1, 2, 5, 6], [401, 1021, 1022, 1023]], np.uint16)
    found = measure_film([Frame((source,), 0)], info, [Picture((deep,), 10)])
    assert found.identical == 1
    assert measure_still([source], Picture((deep,), 10)).identical == 1


def test_xpsnr_of_black_films_is_weighted_evenly():
    """Without texture or motion every block weighs sqrt(16 · 2^7 / sqrt(share of UHD)) / 4 (Helmrich et al. 2020)."""
    info = info_of(width=96, height=64)
    frames = [Frame(tuple(np.zeros(s, np.uint8) for s in YUV.shapes(96, 64)), 40 * k) for k in range(3)]
    weight = np.sqrt(16 * 2**7 / np.sqrt(96 * 64 / (3840 * 2160))) / 4
    last = np.inf
    for strength in (1, 5, 25, 125):
        found = measure_film(frames, info, copies(frames, info, strength))
        errors = [[np.mean(np.square(p, dtype=float)) for p in c.planes] for c in copies(frames, info, strength)]
        y, u, v = 20 * np.log10(255 / np.sqrt(np.array(errors) * weight).mean(0))
        assert found.xpsnr == pytest.approx((6 * y + u + v) / 8, abs=1e-4), "the filter rounds sums to integers"
        assert found.xpsnr < last
        last = found.xpsnr


def plain_xpsnr(sources, decoded, depth, rate):
    """XPSNR of pictures of above 640 x 480 and up to 2048 x 1152 samples, by its papers' formulas."""
    size = sources[0][0].size
    side = 4 * int(32 * np.sqrt(size / (3840 * 2160)) + 0.5)
    scale = np.sqrt(16 * 2 ** (2 * depth - 9) / np.sqrt(size / (3840 * 2160)))
    before = earlier = np.zeros(sources[0][0].shape)
    roots = []
    for source, copy in zip(sources, decoded, strict=True):
        now = source[0].astype(float)
        crossed = sum(np.roll(now, s, axis) for s in (-1, 1) for axis in (0, 1))
        corners = sum(np.roll(now, s, (0, 1)) for s in ((-1, -1), (-1, 1), (1, -1), (1, 1)))
        texture = np.abs(12 * now - 2 * crossed - corners)
        texture[[0, -1]] = texture[:, [0, -1]] = np.nan  # no neighbours there
        motion = 2 * np.abs(now - before if rate < 32 else now - 2 * before + earlier)
        before, earlier = now, before
        sums = np.zeros(len(source))
        for top in range(0, now.shape[0], side):
            for left in range(0, now.shape[1], side):
                block = slice(top, top + side), slice(left, left + side)
                weight = scale / max(np.nanmean(texture[block]) + motion[block].mean(), 2 ** (depth - 6))
                for k, (a, b) in enumerate(zip(source, copy, strict=True)):
                    by, bx = now.shape[0] // a.shape[0], now.shape[1] // a.shape[1]
                    part = slice(top // by, (top + side) // by), slice(left // bx, (left + side) // bx)
                    sums[k] += weight * np.square(a[part].astype(float) - b[part]).sum()
        roots.append(np.sqrt(np.rint(sums) / [p.size for p in source]))
    y, *uv = 20 * np.log10((2**depth - 1) / np.mean(roots, 0))
    return (6 * y + sum(uv)) / 8 if uv else y


@pytest.mark.parametrize("fmt", [YUV, PlaneFormat("420", 10), PlaneFormat("422", 8)], ids=lambda f: f.av_name)
@pytest.mark.parametrize("rate", [Fraction(24000, 1001), Fraction(50)], ids=str)
def test_xpsnr_is_that_of_its_papers(fmt, rate):
    info = info_of(fmt, 672, 464, rate)
    frames = film(info)
    for k, frame in enumerate(frames):
        frame.planes[0][: 100 + k] >>= 3  # quieter blocks
    pictures = copies(frames, info, 20)
    wanted = plain_xpsnr([f.planes for f in frames], [p.planes for p in pictures], fmt.depth, rate)
    assert measure_film(frames, info, pictures).xpsnr == pytest.approx(wanted, abs=1e-4)


def test_xpsnr_of_grey_and_odd_pictures():
    for fmt, width, height in ((PlaneFormat("400", 8), 96, 64), (YUV, 45, 45), (YUV, 101, 67)):
        info = info_of(fmt, width, height)
        frames = film(info)
        low, high = (measure_film(frames, info, copies(frames, info, s)).xpsnr for s in (20, 5))
        assert 10 < low < high < PSNR_MAX


def test_xpsnr_is_none_where_the_filter_cannot_measure():
    """libav's filter divides by zero in pictures of no block, and misreads rows of 10 bits that libav pads."""
    for fmt, width, height in ((YUV, 44, 46), (PlaneFormat("420", 10), 854, 480), (PlaneFormat("400", 10), 60, 48)):
        info = info_of(fmt, width, height)
        frames = film(info, 1)
        found = measure_film(frames, info, copies(frames, info))
        assert found.xpsnr is None and found.identical == 1


@pytest.mark.parametrize("alpha", [0, 1])
def test_colours_of_stills_count_together(alpha):
    source = [drawn_planes(PlaneFormat("400", 8), 70, 50, k)[0] for k in range(3 + alpha)]
    source[3:] = [np.maximum(p, 1) for p in source[3:]]
    copy = (*(noisy([p], 4 * k + 2, k)[0] for k, p in enumerate(source[:3])), *source[3:])
    found = measure_still(source, Picture(copy))
    error = np.mean([np.square(a.astype(float) - b).mean() for a, b in zip(source[:3], copy[:3], strict=True)])
    assert found.psnr_rgb == pytest.approx(10 * np.log10(255**2 / error))
    assert found.ssim == pytest.approx(np.mean([ssims(a, b, 255)[0] for a, b in zip(source, copy[:3], strict=False)]))
    assert found == Quality(1, psnr_rgb=found.psnr_rgb, ssim=found.ssim, identical=0, worst=10)


def test_alpha_counts_for_identity_alone():
    for colours in (1, 3):
        source = [drawn_planes(PlaneFormat("400", 8), 20, 20, k)[0] for k in range(colours + 1)]
        copy = (*source[:-1], source[-1] ^ 1)
        assert measure_still(source, Picture(copy)) == Quality(1, psnr_rgb=PSNR_MAX, ssim=1.0, identical=0, worst=1)
        assert measure_still(source, Picture(tuple(source))).identical == 1


def test_hidden_colours_count_for_identity_alone():
    source = [drawn_planes(PlaneFormat("400", 8), 20, 20, k)[0] for k in range(4)]
    source[3][:] = np.arange(20) > 9
    copy = (*(np.where(source[3] == 0, 255 - p, p) for p in source[:3]), source[3])
    worst = max(np.abs(255 - 2 * p[:, :10].astype(int)).max() for p in source[:3])
    assert measure_still(source, Picture(copy)) == Quality(1, psnr_rgb=PSNR_MAX, ssim=1.0, worst=worst)
    assert measure_still(source[:3], Picture(copy[:3])).psnr_rgb < 20


def test_smallest_still():
    assert measure_still([np.array([[9]], np.uint8)], Picture((np.array([[12]], np.uint8),))).worst == 3


def test_missing_and_extra_pictures_are_found():
    info = info_of()
    frames = film(info)
    pictures = copies(frames, info)
    with pytest.raises(BenchError, match="the copy ends after 2 pictures"):
        measure_film(frames, info, pictures[:2])
    with pytest.raises(BenchError, match="the source ends after 2 pictures"):
        measure_film(frames[:2], info, pictures)
    with pytest.raises(BenchError, match="no picture to compare"):
        measure_film([], info, [])


def test_times_must_be_exact():
    info = info_of()
    frames = film(info)
    pictures = copies(frames, info)
    pictures[1] = pictures[1]._replace(time=pictures[1].time + Fraction(1, 10**9))
    with pytest.raises(BenchError, match="1 is shown after 41000001/1000000000 s, in the source after 41/1000 s"):
        measure_film(frames, info, pictures)
    with pytest.raises(BenchError, match="picture 0 is shown after 7/1000 s"):
        measure_film(frames, info, [p._replace(time=p.time + Fraction(7, 1000)) for p in copies(frames, info)])


def test_other_sizes_and_formats_are_found():
    info = info_of()
    frames = film(info, 1)
    planes = frames[0].planes
    other = drawn_planes(PlaneFormat("420", 10), 64, 48, 0)
    wrong = {
        "0 has planes of 62x48, 32x24, 32x24, its source of 64x48, 32x24": (planes[0][:, 1:-1], *planes[1:]),
        "picture 0 has planes of 64x48, its source": planes[:1],
        "picture 0 has 8 bits a sample in uint16": other,
    }
    for words, copy in wrong.items():
        with pytest.raises(BenchError, match=words):
            measure_film(frames, info, [Picture(copy)])
    with pytest.raises(BenchError, match="picture 0 has 12 bits a sample, its source 8"):
        measure_film(frames, info, [Picture(other, 12)])
    with pytest.raises(BenchError, match="picture 0 has 8 bits a sample, its source 10"):
        measure_film([Frame(other, 0)], replace(info, format=PlaneFormat("420", 10)), [Picture(planes)])
    with pytest.raises(BenchError, match="the picture has planes of"):
        measure_still(planes[:1], Picture(planes))
