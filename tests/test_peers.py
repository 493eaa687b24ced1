"""The harness's small parts, and libav's encoders as it runs them: exact times, whole files, honest comparison."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from fractions import Fraction

import av
import numpy as np
import pytest
from conftest import drawn_frames

from bench.compare import quality, read_y4m
from bench.method import KEY, clip, nvc, peer, point
from bench.peers import PEERS, coded_format, decode, encode
from bench.process import BenchError, run, tree_memory
from bench.report import Results, table
from codec.frames import SUBSAMPLING, Frame, PlaneFormat, VideoInfo
from codec.sinks import open_sink

YUV = PlaneFormat("420", 8)
INFO = VideoInfo(64, 64, YUV, Fraction(1, 24), Fraction(24))
VARYING = [5, 6, 7, 9, 10, 20, 21, 22, 30, 31]  # times with gaps, not from zero, in the coarsest unit there is


def fast(name):
    """A peer with the encoder's fastest preset: what is tested here is not compression."""
    row = PEERS[name]
    return replace(row, options=row.options | {"preset": "12" if "av1" in row.encoder else "ultrafast"})


def calm_frames(fmt, times, size=(64, 64)):
    return [Frame(f.planes, pts) for f, pts in zip(drawn_frames(fmt, *size, len(times)), times, strict=True)]


@pytest.mark.parametrize("name", PEERS)
def test_peer_keeps_pictures_and_times(tmp_path, name):
    frames = calm_frames(YUV, VARYING)
    encode(fast(name), 20, frames, INFO, tmp_path / "a.mp4")
    with av.open(str(tmp_path / "a.mp4")) as file:
        stream = file.streams.video[0]
        times = [f.pts * stream.time_base * 24 for f in file.decode(stream)]
    assert [t - times[0] for t in times] == [v - VARYING[0] for v in VARYING]
    assert decode(tmp_path / "a.mp4", tmp_path / "a.y4m") == len(VARYING)
    fmt, planes = read_y4m(tmp_path / "a.y4m")
    assert fmt == PlaneFormat("420", PEERS[name].depth)
    found = quality(frames, planes, YUV, fmt.depth)
    assert found.frames == len(VARYING) and 25 < found.psnr_yuv < 60


def test_slow_presets_keep_times(tmp_path):
    for name in ("x264", "x265"):  # with B-pictures, whose decoding times lie before the first picture
        encode(PEERS[name], 30, calm_frames(YUV, VARYING), INFO, tmp_path / f"{name}.mp4")


def test_source_of_ten_bits_is_coded_in_ten():
    deep = PlaneFormat("422", 10)
    assert coded_format(PEERS["x265"], deep) == deep
    assert coded_format(PEERS["svt-av1"], PlaneFormat("420", 10)) == PlaneFormat("420", 10)
    with pytest.raises(BenchError, match="svt-av1 does not code yuv422p10le"):
        coded_format(PEERS["svt-av1"], deep)


@pytest.mark.parametrize("fmt", [PlaneFormat(c, d) for c in SUBSAMPLING for d in (8, 10)], ids=lambda f: f.av_name)
def test_y4m_is_read_exactly(tmp_path, fmt):
    frames = drawn_frames(fmt, 35, 19, 3)
    with open_sink(tmp_path / "a.y4m", replace(INFO, width=35, height=19, format=fmt)) as sink:
        for frame in frames:
            sink.write(frame)
    found, planes = read_y4m(tmp_path / "a.y4m")
    assert found == fmt
    same = quality(frames, planes, fmt, fmt.depth)
    assert (same.frames, same.worst, same.psnr_yuv) == (3, 0, 100)
    assert (same.psnr_u is None) == (fmt.chroma == "400")


def test_quality_by_hand():
    grey = tuple(np.full(s, 100, np.uint8) for s in YUV.shapes(8, 8))
    copy = [np.full(s, v, np.uint8) for s, v in zip(YUV.shapes(8, 8), (101, 102, 104), strict=True)]
    found = quality([Frame(grey, 0)], [copy], YUV, 8)
    one = 20 * np.log10(255)
    assert (found.psnr_y, found.psnr_u, found.psnr_v) == pytest.approx((one, one - 6.0206, one - 12.0412), abs=1e-4)
    assert found.psnr_yuv == pytest.approx(one - 18.0618 / 8, abs=1e-4)
    assert found.worst == 4


def test_ten_bits_are_rounded_before_they_are_compared():
    source = tuple(np.full(s, 255, np.uint8) for s in YUV.shapes(8, 8))
    for value in (1018, 1020, 1023):
        deep = [np.full(s, value, np.uint16) for s in YUV.shapes(8, 8)]
        assert quality([Frame(source, 0)], [deep], YUV, 10).worst == 0
    assert quality([Frame(source, 0)], [[np.full_like(p, 1017) for p in deep]], YUV, 10).worst == 1


def test_what_was_not_decoded_is_not_compared():
    frames = drawn_frames(YUV, 16, 16, 2)
    for copies in ([frames[0].planes], [f.planes for f in (*frames, frames[0])], [f.planes[:1] for f in frames]):
        with pytest.raises(BenchError):
            quality(frames, copies, YUV, 8)
    with pytest.raises(BenchError):
        quality([], [], YUV, 8)


def test_clip_is_given_without_sound(make_film):
    film = make_film("a.mp4", sound="aac")
    with clip(str(film)) as found, av.open(found.path) as file:
        assert [s.type for s in file.streams] == ["video"]
        assert (found.frames, found.name) == (12, "a.mp4")
    with clip(str(film), frames=5) as cut:
        assert cut.frames == 5 and cut.hash == found.hash
        assert point(nvc(), cut, 30) != point(nvc(), found, 30)


def test_finished_points_are_taken_up_again(tmp_path):
    path = tmp_path / "results.jsonl"
    record = dict.fromkeys(KEY, "same") | {"bytes": 1}
    Results(path, KEY).add(record)
    with open(path, "a") as file:
        file.write('{"method": "cut o')
    results = Results(path, KEY)
    assert results.find(dict.fromkeys(KEY, "same")) == record
    assert results.find(dict.fromkeys(KEY, "other")) is None
    results.add(record | {"version": "other"})
    assert len([line for line in path.read_text().splitlines() if line.endswith("}")]) == 2
    assert Results(path, KEY).find(record | {"version": "other"})


def test_key_tells_methods_apart():
    methods = [nvc(), nvc("fast"), nvc(arguments=["--no-head"]), *map(peer, PEERS.values())]
    assert len({(m.name, m.settings, m.version) for m in methods}) == len(methods)


def test_program_is_run_and_its_words_are_kept():
    code = "import os,sys; x = b'1' * (96 << 20); print(len(os.sched_getaffinity(0))); import time; time.sleep(0.3)"
    ran = run([sys.executable, "-c", code], cores=1)
    assert json.loads(ran.out) == 1 and ran.seconds > 0.3
    if tree_memory(1):
        assert ran.memory > 96 << 20
    with pytest.raises(BenchError, match="ended with 3: last words"):
        run([sys.executable, "-c", "import sys; print('last words', file=sys.stderr); sys.exit(3)"])


def test_table():
    lines = table(["a", "bc"], [["x", 1], ["long", None]]).splitlines()
    assert lines == ["| a    | bc |", "| ---- | -: |", "| x    |  1 |", "| long |  - |"]
