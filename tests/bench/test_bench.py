"""The harness from end to end: what it writes, that it goes on where it stopped, and what it says of failures."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from bench.measure.crops import busiest, part
from bench.measure.point import point
from bench.method import Film, Still
from bench.process import ROOT, BenchError, run, tree_memory
from bench.results import KEY, MEASURES, METRICS, Results
from bench.show.report import build
from bench.tables import fixed, table
from codec.frames import Frame, PlaneFormat, VideoInfo
from tests.makers import drawn_planes


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


def test_curves_below_a_rate_against_the_best_of_two(bench, make_film, monkeypatch, tmp_path):
    """Points are made up: bytes halve every six steps of crf, of which each of three methods has a share."""
    shares = {"x264": 1.0, "x265-half": 0.8, "x265": 0.4}

    def made(method, clip, source, setting, out):
        rate = 9000 * shares[method.name] * 2 ** (-setting / 6)
        quality = {name: 60 - setting / 2 if "psnr" in name else 0.9 - setting / 200 for name in METRICS}
        sizes = {"bytes": round(rate * 100), "kbps": rate, "bpp": rate / 1e3, "identical": 0, "worst": 9}
        return point(method, clip, source, setting) | quality | sizes | {"encode_s": 1.0, "decode_s": 1.0}

    monkeypatch.setattr("bench.measure.runner.measure", made)
    out = tmp_path / "out"
    code, text = bench("rd-curve", make_film("a.mkv"), "--methods", ",".join(shares), "--points", 3, "--out", out,
                       "--below", "x264@30", "--down-to", 0.25, "--anchor", "x264,x265-half")  # fmt: skip
    assert code == 0, text
    high = 9000 / 2**5
    assert "BD-rate against the best of x264, x265-half" in text
    assert "at rates from 0.25 to 1 times the rate of x264 at 30" in text
    assert f"{high / 4:.1f} to {high:.1f} kbit/s count" in text
    records = [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]
    for name in shares:
        assert sum(high / 4.4 <= r["kbps"] <= high * 1.1 for r in records if r["method"] == name) >= 3, name
    rows = json.loads((out / "bd_rate.json").read_text())
    assert [r["measure"] for r in rows] == list(MEASURES["video"])
    assert [r["bd_rate_percent"] for r in rows] == pytest.approx([-50.0] * len(rows), abs=0.1)


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
