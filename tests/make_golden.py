"""Make the golden films of tests/golden: `python -m tests.make_golden`, once for each version of the format.

They are never made anew for a version: every later program must decode them to the samples that are pinned beside them.
Weights come out of training and so differ from machine to machine; the files, once made, do not.
"""

from __future__ import annotations

import json
import tempfile
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

import codec
import codec.segment
from codec import Frame, PlaneFormat, Settings, VideoInfo
from codec.payload import checksum
from codec.sinks import open_sink
from samples import texture_frames

FOLDER = Path(__file__).parent / "golden"
CRCS = FOLDER / "crc.json"
VERSION = 1
SIZE = 98, 66

FILMS = {
    "head": (PlaneFormat("420", 8), Settings(crf=50, scale=Fraction(1), preset="fast")),
    "history": (PlaneFormat("444", 8), Settings(crf=55, scale=Fraction(2), loss=80, history=2, preset="fast")),
    "enlarged": (PlaneFormat("420", 10), Settings(crf=50, scale=Fraction(3, 2), loss="off", preset="fast")),
    "lossless": (PlaneFormat("422", 10), Settings(crf=50, scale=Fraction(3), max_error=0, preset="fast")),
}


def crc_of(path: Path) -> int:
    """CRC-32 of all decoded samples of a film."""
    crc = 0
    for frame in codec.open(path, device="cpu").frames():
        crc = checksum(frame.planes, crc)
    return crc


def _source(path: Path, fmt: PlaneFormat) -> None:
    width, height = SIZE
    info = VideoInfo(width, height, fmt, Fraction(1, 24), Fraction(24))
    with open_sink(path, info) as sink:
        for k, rgb in enumerate(texture_frames(width, height, 8 / 24, Fraction(24))):
            yuv = cv2.cvtColor(rgb, cv2.COLOR_RGB2YUV).astype(np.uint16) << (fmt.depth - 8)
            planes = []
            for channel, (h, w) in enumerate(fmt.shapes(width, height)):
                plane = yuv[:: -(-height // h), :: -(-width // w), channel][:h, :w]
                planes.append(np.ascontiguousarray(plane.astype(fmt.dtype)))
            sink.write(Frame(tuple(planes), k))


def main() -> None:
    """Write the films and their CRCs."""
    codec.segment.WORTH = 0.01  # tools are used wherever they gain, for their own sake
    FOLDER.mkdir(exist_ok=True)
    crcs = json.loads(CRCS.read_text()) if CRCS.exists() else {}
    with tempfile.TemporaryDirectory() as folder:
        for name, (fmt, settings) in FILMS.items():
            source, target = Path(folder) / f"{name}.mkv", FOLDER / f"{name}-v{VERSION}.nvc"
            _source(source, fmt)
            codec.encode(source, target, settings, overwrite=True)
            crcs[target.name] = crc_of(target)
    CRCS.write_text(json.dumps(crcs, indent=1) + "\n")


if __name__ == "__main__":
    main()
