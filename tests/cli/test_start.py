"""Nobody waits for what a command does not need: what fresh processes import, seen in what `-X importtime` lists."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from codec.media.pictures import Picture
from codec.settings import StillSettings
from codec.still.encode import encode_still
from tests.still.makers import drawn

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
FILM, STILL = GOLDEN / "head-v1.nvc", GOLDEN / "lossless-v1.still.nvc"
HEAVY = {"av", "constriction", "cv2", "distributed", "numpy", "torch", "zstandard"}


def imported(*words: object) -> set[str]:
    """Top-level names of all that an interpreter imports which is run with these words."""
    done = subprocess.run([sys.executable, "-X", "importtime", *map(str, words)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    lines = [line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if line.startswith("import time:")]
    return {name.partition(".")[0] for name in lines}


@pytest.mark.parametrize("words", ["--help", "--version", "encode --help", "upscale --help", "splat encode --help"])
def test_help_needs_click_alone(words: str) -> None:
    found = imported("-m", "codec", *words.split())
    assert {"codec", "click"} <= found
    assert not found & HEAVY


def test_wrong_usage_is_told_before_anything_is_loaded() -> None:
    command = [sys.executable, "-X", "importtime", "-m", "codec", "encode", "a", "b", "--lossless", "--max-error", "2"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert "contradict each other" in done.stderr
    assert not [line for line in done.stderr.splitlines() if line.rpartition("|")[2].strip() in HEAVY]


@pytest.mark.parametrize("path", [FILM, STILL], ids=["film", "still"])
def test_info_needs_no_networks(path: Path) -> None:
    found = imported("-m", "codec", "info", path)
    assert {"codec", "numpy"} <= found
    assert not found & {"torch", "distributed"}


@pytest.mark.parametrize("kind", ["head", "plain", "palette"])
def test_a_still_is_decoded_without_torch(kind: str, tmp_path: Path) -> None:
    """On as many threads as are asked for."""
    path = GOLDEN / "palette-v1.still.nvc"
    if kind != "palette":
        path = tmp_path / "a.nvc"
        settings = StillSettings(preset="fast", head=kind == "head")
        path.write_bytes(encode_still(Picture(drawn(130, 70, 3)), settings).data)
    found = imported("-m", "codec", "decode", path, tmp_path / "a.tif", "--threads", "2")
    assert {"codec", "cv2", "numpy"} <= found and ("av" in found) == (kind != "palette")
    assert not found & {"torch", "distributed"}


def test_a_still_becomes_a_png_without_opencv(tmp_path: Path) -> None:
    found = imported("-m", "codec", "decode", GOLDEN / "palette-v1.still.nvc", tmp_path / "a.png")
    assert "numpy" in found and "cv2" not in found


def test_a_library_has_no_command_line() -> None:
    """Nor what clusters need, whoever decodes; the package alone needs nothing."""
    assert not imported("-c", "import codec") & (HEAVY | {"click"})
    work = f"codec.open({str(FILM)!r}); codec.decode_still(open({str(STILL)!r}, 'rb').read())"
    found = imported("-c", f"import codec; {work}")
    assert "codec" in found
    assert not found & {"click", "distributed", "dask"}


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        ("ImportError('no such library')", "codec: a library cannot be loaded: no such library; "),
        ("ZeroDivisionError('1/0')", "codec: internal fault, ZeroDivisionError: 1/0; "),
    ],
)
def test_what_goes_wrong_while_a_command_loads_is_one_sentence(fault: str, sentence: str) -> None:
    code = f"""
import sys

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "av":
            raise {fault}

sys.meta_path.insert(0, Finder())
from codec.cli.main import main
main()
"""
    done = subprocess.run([sys.executable, "-c", code, "verify", str(FILM)], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(sentence)
    assert done.stderr.endswith(" (NVC_DEBUG=1 shows where)\n") and done.stderr.count("\n") == 1
