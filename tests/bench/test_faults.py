"""`bench`, as a shell sees it, where something is wrong: one sentence, and what can be measured is."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from bench.__main__ import main as entry
from bench.cli import main
from tests.makers import Result


def run(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], *words: object) -> Result:
    monkeypatch.setattr(sys, "argv", ["bench", *map(str, words)])
    with pytest.raises(SystemExit) as end:
        main()
    out, err = capfd.readouterr()
    assert "Traceback" not in err and "internal fault" not in err
    assert isinstance(end.value.code, int)
    return Result(end.value.code, out.encode(), err)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    ramp = np.add.outer(np.arange(40), np.arange(56)).astype(np.uint8)
    cv2.imwrite(str(folder / "good.png"), np.stack([ramp, ramp * 2, 255 - ramp], 2))
    cv2.imwrite(str(folder / "deep.png"), ramp.astype(np.uint16) * 300)
    deep = np.stack([ramp, ramp * 2, 255 - ramp], 2).astype(np.uint16) * 257 + 1  # which Pillow opens as of 8 bits
    cv2.imwrite(str(folder / "deep-colour.png"), deep)
    cv2.imwritemulti(str(folder / "pages.tif"), [ramp, ramp])
    cv2.imwrite(str(folder / "one.png"), ramp[:1, :1])
    (folder / "empty.jpg").touch()
    (folder / "torn.png").write_bytes((folder / "good.png").read_bytes()[:60])
    return folder


def test_pictures_that_cannot_be_measured_do_not_stop_the_others(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    image = pytest.importorskip("PIL.Image")
    pytest.importorskip("matplotlib")
    image.new("CMYK", (56, 40), (10, 90, 30, 5)).save(pictures / "cmyk.jpg")
    out = tmp_path / "out"
    result = run(monkeypatch, capfd, "images", pictures, "--methods", "jpeg", "--points", 2, "--out", out)
    assert result.code == 1
    for name in ("deep.png", "deep-colour.png", "pages.tif", "cmyk.jpg", "empty.jpg", "torn.png"):
        assert sum(name in line and "left out" in line for line in result.err.splitlines()) == 1
    assert [clip["name"] for clip in json.loads((out / "run.json").read_text())["clips"]] == ["good.png", "one.png"]
    result = run(monkeypatch, capfd, "lossless", pictures, "--methods", "png", "--out", out)
    assert (result.code, b"**2 pictures**" in result.out) == (1, True)
    (pictures / "good.png").unlink()
    (pictures / "one.png").unlink()
    result = run(monkeypatch, capfd, "images", pictures, "--methods", "jpeg", "--points", 2, "--out", out)
    assert result.code == 1
    assert result.err.splitlines()[-1] == "bench: there is nothing to measure"


def test_faults_are_one_sentence(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("no folder")
    (tmp_path / "text.mp4").write_text("no film")
    for words, code, sentence in (
        (("images", pictures, "--out", tmp_path / "file" / "out"), 1, "no folder for results can be made there"),
        (("report", tmp_path), 1, "there is no finished run to report"),
        (("rd-curve", tmp_path / "text.mp4", "--methods", "x264", "--out", tmp_path / "o"), 1, "nothing to measure"),
        (("rd-curve", tmp_path / "absent.mp4"), 2, "does not exist"),
        (("rd-curve", tmp_path / "text.mp4", "--methods", "h266"), 2, "there is no video method 'h266'"),
        (("speed", tmp_path / "text.mp4", "--methods", "x264@nan"), 2, "'nan' is no setting"),
        (("check", "heads", tmp_path / "text.mp4", "--crf", "1e400"), 2, "'1e400' is no list of numbers"),
        (("check", "film", tmp_path / "text.mp4", "--seconds", "inf"), 2, "'inf' is not a number above 0"),
    ):
        result = run(monkeypatch, capfd, *words)
        assert (result.code, result.out) == (code, b""), words
        assert sentence in result.err.splitlines()[-1]
        assert result.err.splitlines()[-1].startswith("bench: ")


def test_an_interruption_says_that_points_are_kept(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*words: object) -> None:
        raise KeyboardInterrupt

    assert callable(entry)
    monkeypatch.setattr("bench.measure.runner.run_curves", interrupt)
    result = run(monkeypatch, capfd, "images", pictures, "--out", tmp_path / "out")
    assert (result.code, result.err.strip()) == (130, "bench: interrupted; the same command goes on where it stopped")
    monkeypatch.setattr("bench.show.report.build", interrupt)
    result = run(monkeypatch, capfd, "report", tmp_path)
    assert (result.code, result.err.strip()) == (130, "bench: interrupted")
