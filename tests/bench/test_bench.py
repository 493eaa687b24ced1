"""The harness from end to end: what it writes, that it goes on where it stopped, and what it says of failures."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from bench.measure.crops import busiest, part
from bench.method import Film, Still
from bench.process import ROOT, BenchError, run, tree_memory
from bench.results import KEY, MEASURES, METRICS, Results
from bench.show.report import build
from bench.tables import fixed, table
from codec.frames import Frame, PlaneFormat, VideoInfo
from codec.media.sinks import open_sink
from tests.makers import drawn_frames, drawn_planes


def test_curves_of_a_film(bench, make_film, tmp_path):
    film, out = make_film("a.mkv"), tmp_path / "out"
    command = ("rd-curve", film, "--methods", "x264:preset=ultrafast,ffv1", "--points", 2, "--frames", 4, "--out", out)
    code, text = bench(*command)
    assert code == 0, text
    for name in ("summary.csv", "bd_rate.json", "tables.md", "rd.png", "rd.svg", "index.html", "run.json"):
        assert (out / name).stat().st_size > 0, name
    lines = [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]
    assert [(r["method"], r["setting"]) for r in lines] == [
        ("x264:preset=ultrafast", 18.0), ("x264:preset=ultrafast", 40.0), ("ffv1", 0.0)]  # fmt: skip
    for record in lines:
        assert {*KEY, *METRICS, "bytes", "kbps", "bpp", "encode_s", "decode_s", "machine", "versions"} <= record.keys()
        assert record["frames"] == 4 and record["bytes"] > 0 and record["encode_memory"] > 0
        assert record["bpp"] == record["bytes"] * 8 / (record["width"] * record["height"] * 4)
        assert cv2.imread(str(out / record["crop"])).shape == cv2.imread(str(out / record["crop_source"])).shape
    assert lines[2]["identical"] == 4 and "equals its source on a.mkv: its PSNR is infinite" in text
    with open(out / "summary.csv") as file:
        assert [int(row["bytes"]) for row in csv.DictReader(file)] == [r["bytes"] for r in lines]
    rows = json.loads((out / "bd_rate.json").read_text())
    assert [(r["method"], r["measure"], r["bd_rate_percent"]) for r in rows] == [
        ("ffv1", measure, None) for measure in MEASURES["video"]]  # fmt: skip

    before = (out / "results.jsonl").read_text()
    code, again = bench(*command)
    assert code == 0 and (out / "results.jsonl").read_text() == before, "finished points are not measured again"
    assert build(out) in again


def test_curves_below_a_rate_against_the_best_of_two(bench, tmp_path):
    film, out = tmp_path / "a.mkv", tmp_path / "out"
    info = VideoInfo(192, 176, PlaneFormat(), Fraction(1, 24), Fraction(24))
    with open_sink(str(film), info) as sink:
        for frame in drawn_frames(info.format, info.width, info.height, 3):
            sink.write(frame)
    quick = "x264:preset=ultrafast,x265-half:preset=ultrafast,x265:preset=ultrafast"
    code, text = bench("rd-curve", film, "--methods", quick, "--points", 3, "--out", out, "--down-to", 0.5,
                       "--below", "x264:preset=ultrafast@30", "--anchor", ",".join(quick.split(",")[:2]))  # fmt: skip
    assert code == 0, text
    assert "at rates from 0.5 to 1 times the rate of x264:preset=ultrafast at 30" in text
    asked = json.loads((out / "run.json").read_text())
    records = [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]
    (high,) = [r["kbps"] for r in records if (r["method"], r["setting"]) == ("x264:preset=ultrafast", 30)]
    assert asked["clips"][0]["rates"] == pytest.approx([high / 2, high])
    for name in quick.split(","):
        mine = [r["kbps"] for r in records if r["method"] == name]
        assert any(high / 2 <= rate <= high * 1.01 for rate in mine), name
    rows = json.loads((out / "bd_rate.json").read_text())
    assert {r["anchor"] for r in rows} == {f"the best of {', '.join(quick.split(',')[:2])}"}


def test_failure_is_named_and_the_rest_is_measured(bench, tmp_path):
    grey = tmp_path / "grey.png"
    cv2.imwrite(str(grey), drawn_planes(PlaneFormat("400", 8), 40, 30, 1)[0])
    alpha = tmp_path / "alpha.png"
    cv2.imwrite(str(alpha), np.dstack(drawn_planes(PlaneFormat("444", 8), 40, 30, 1) + drawn_planes(
        PlaneFormat("400", 8), 40, 30, 2)))  # fmt: skip
    out = tmp_path / "out"
    code, text = bench("images", grey, alpha, "--methods", "jpeg,jxl", "--points", 2, "--out", out, "--anchor", "jxl")
    assert code == 1
    assert "Note: alpha.png: jpeg at" in text and "failed" in text
    assert "alpha.png: jpeg at" in (out / "index.html").read_text()
    failures = [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines() if '"error"' in line]
    assert failures and all(r["method"] == "jpeg" and r["clip"] == "alpha.png" for r in failures)
    assert any(r["bd_rate_percent"] is None for r in json.loads((out / "bd_rate.json").read_text()))


def test_lossless_sizes(bench, make_film, tmp_path):
    code, text = bench("lossless", make_film("a.mkv"), "--frames", 2, "--methods", "ffv1,lzma", "--out", tmp_path / "o")
    assert code == 0 and "| ffv1" in text and "| lzma" in text
    code, text = bench("lossless", make_film("a.mkv"), "--methods", "x264", "--out", tmp_path / "o")
    assert code == 2 and "x264 is not lossless" in text


def test_speed(bench, make_film):
    code, text = bench("speed", make_film("a.mkv"), "--frames", 2, "--methods", "x264@30,ffv1", "--runs", 1)
    assert code == 0 and "ratios to x264" in text and "| ffv1" in text


def test_wrong_names_are_wrong_usage(bench, make_film, tmp_path):
    for command in (("rd-curve", make_film("a.mkv"), "--methods", "zip"), ("images", tmp_path), ("report", tmp_path),
                    ("speed", make_film("a.mkv"), "--methods", "x264@fast")):  # fmt: skip
        code, said = bench(*command, *(["--out", tmp_path / "o"] if command[0] in ("rd-curve", "images") else []))
        assert code == (1 if command[0] in ("images", "report") else 2)
        assert "Errno" not in said


def test_methods_are_listed(bench):
    code, text = bench("methods")
    assert code == 0 and "nvc-lossless" in text and "jpeg" in text


def test_finished_points_are_taken_up_again(tmp_path):
    path = tmp_path / "results.jsonl"
    record = dict.fromkeys(KEY, "same") | {"bytes": 1}
    Results(path).add(record)
    with open(path, "a") as file:
        file.write('{"method": "cut o')
    results = Results(path)
    assert results.find(dict.fromkeys(KEY, "same")) == record
    assert results.find(dict.fromkeys(KEY, "other")) is None
    results.add(record | {"version": "other"})
    assert len([line for line in path.read_text().splitlines() if line.endswith("}")]) == 2
    assert Results(path).find(record | {"version": "other"})
    with pytest.raises(ValueError):
        results.add(record | {"psnr_yuv": float("inf")})


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
    assert (fixed(None), fixed(1234.5, 1), fixed(1, 2, True)) == (None, "1,234.5", "+1.00")


def test_crop_lies_where_most_detail_is():
    luma = np.zeros((480, 640), np.uint8)
    luma[200:300, 330:500] = np.random.default_rng(0).integers(0, 256, (100, 170))
    top, left = busiest(luma, 240, 320)
    assert top <= 200 and top + 240 >= 300 and left <= 330 and left + 320 >= 500


@pytest.mark.parametrize("chroma", ["400", "420", "422", "444"])
@pytest.mark.parametrize("size", [(1, 1), (35, 19), (644, 371)])
def test_crop_has_the_colours_of_the_film(chroma, size):
    fmt = PlaneFormat(chroma, 8)
    red = (81, 90, 240)  # BT.601, limited range
    planes = tuple(np.full(shape, red[k], np.uint8) for k, shape in enumerate(fmt.shapes(*size)))
    film = Film("", replace(INFO, width=size[0], height=size[1], format=fmt), 1, 1, "")
    found = part(film, Frame(planes, 0).planes, planes, 8)
    assert found.shape == (min(240, size[1]), min(320, size[0]), 3)
    expected = (255, 0, 0) if chroma != "400" else (81, 81, 81)
    assert np.abs(found.astype(int) - expected).max() <= 3
    deep = tuple(p.astype(np.uint16) << 2 for p in planes)
    assert np.abs(part(film, planes, deep, 10).astype(int) - expected).max() <= 3


def test_crop_of_a_still():
    pixels = np.random.default_rng(0).integers(0, 256, (300, 400, 4), np.uint8)
    still = Still("", pixels, "")
    assert part(still, still.planes, still.planes, 8).shape == (240, 320, 3)


INFO = VideoInfo(64, 64, PlaneFormat("420", 8), 1, 25)


@pytest.mark.skipif(not tree_memory(1), reason="needs /proc")
def test_what_a_killed_bench_was_running_ends(tmp_path):
    """A worker used to go on for minutes, and to slow down the next run's."""
    code = "from bench.process import run_fresh; from tests.bench.sleeper import sleep; run_fresh(sleep, {!r}, 'sleep')"
    said = tmp_path / "pid"
    main = subprocess.Popen([sys.executable, "-c", code.format(str(said))], env={**os.environ, "PYTHONPATH": str(ROOT)})
    try:
        until = time.monotonic() + 60
        while not (said.exists() and said.read_text()) and time.monotonic() < until:
            time.sleep(0.05)
        pid = int(said.read_text())
    finally:
        main.kill()
        main.wait()
    until = time.monotonic() + 30
    while Path(f"/proc/{pid}").exists() and time.monotonic() < until:
        time.sleep(0.05)
    assert not Path(f"/proc/{pid}").exists()
