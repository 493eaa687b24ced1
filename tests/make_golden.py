"""Make the golden files of tests/golden: `python -m tests.make_golden GROUP`, a group of MAKERS, once for each version
of the format.

They are never made anew for a version: every later program must decode them to the samples that are pinned beside them
(that of the Gaussians in test_splat_render.py).
Weights come out of training and so differ from machine to machine; the files, once made, do not.
"""

from __future__ import annotations

import json
import sys
import tempfile
import zlib
from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray

import codec.segment.choice
import codec.segment.fit_density
import codec.still.encode
import splat
from codec.frames import Frame, PlaneFormat, VideoInfo, checksum
from codec.media.pictures import Picture
from codec.media.sinks import open_sink
from codec.settings import Settings, StillSettings
from codec.still.decode import decode_still
from codec.still.encode import encode_still
from codec.still.presets import TUNES
from heads.restorer import store
from samples.texture import texture_frames
from tests.makers import cover_picture, tone

FOLDER = Path(__file__).parent / "golden"
CRCS = FOLDER / "crc.json"
STILL_CRCS = FOLDER / "still-crc.json"
VERSION = 1
SIZE = 98, 66

FILMS = {
    "head": (PlaneFormat("420", 8), Settings(crf=50, scale=Fraction(1), preset="fast")),
    "history": (PlaneFormat("444", 8), Settings(crf=55, scale=Fraction(2), loss=80, history=2, preset="fast")),
    "enlarged": (PlaneFormat("420", 10), Settings(crf=50, scale=Fraction(3, 2), loss="off", preset="fast")),
    "lossless": (PlaneFormat("422", 10), Settings(crf=50, scale=Fraction(3), max_error=0, preset="fast")),
}
WHOLE = {"whole": (PlaneFormat("420", 8), Settings(crf=50, scale=Fraction(1), max_error=0, preset="medium"))}
LIGHT = {"light": (PlaneFormat("420", 8), Settings(crf=50, scale=Fraction(1), max_error=0, preset="fast"))}
PRETRAINED = {"shipped": (PlaneFormat("420", 8), Settings(crf=50, scale=Fraction(1), preset="fast"))}
ENLARGERS = {  # of every scale, and derived for every chroma format
    f"enlarger-{chroma}": (PlaneFormat(chroma, depth), Settings(crf=40, scale=scale, loss="off", preset="fast"))
    for chroma, depth, scale in (
        ("420", 8, Fraction(3, 2)),
        ("444", 8, Fraction(2)),
        ("422", 10, Fraction(3)),
        ("400", 8, Fraction(4)),
    )
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


def drawn_still() -> NDArray[np.uint8]:
    """Waves, edges, blobs and a little noise in 270x130 pixels, with alpha that fades at one side."""
    y, x = np.mgrid[:130, :270]

    def blob(cy: float, cx: float, sigma: float) -> NDArray[np.float64]:
        return np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / (2 * sigma**2))

    waves, edges = 30 * np.sin(x / 9 + y / 23) * (x > 180), 40 * ((x + 2 * y) % 300 > 240)
    red = 90 + 0.3 * x + 60 * blob(40, 60, 9) + waves
    green = 110 + 0.5 * y - 50 * blob(30, 200, 14) + edges
    blue = 160 - 0.3 * x + 70 * blob(90, 75, 5) + waves / 2
    alpha = 255 - 90 * blob(60, 270, 30)
    pixels = np.stack([red, green, blue, alpha], 2)
    pixels[:, :, :3] += np.random.default_rng(0).normal(0, 2, (130, 270, 3))
    return np.clip(np.rint(pixels), 0, 255).astype(np.uint8)


def films(wanted: Mapping[str, tuple[PlaneFormat, Settings]] = FILMS) -> None:
    """The films and their CRCs."""
    # tools are used wherever they gain, for their own sake
    codec.segment.choice.WORTH = codec.segment.worth.PRICE = 0.01
    if wanted is FILMS:
        store.FILM_HEADS.clear()  # heads of their own
    codec.segment.fit_density.LEAST_SAMPLES, codec.segment.fit_density.DensityFit.price = 0, lambda *_: -1.0  # type: ignore[method-assign]
    crcs = json.loads(CRCS.read_text()) if CRCS.exists() else {}
    with tempfile.TemporaryDirectory() as folder:
        for name, (fmt, settings) in wanted.items():
            source, target = Path(folder) / f"{name}.mkv", FOLDER / f"{name}-v{VERSION}.nvc"
            _source(source, fmt)
            codec.encode(source, target, settings, overwrite=True)
            crcs[target.name] = crc_of(target)
    CRCS.write_text(json.dumps(crcs, indent=1) + "\n")


def tracks() -> None:
    """A film with sound, subtitles and a cover, which are summed in its first unit."""
    crcs = json.loads(CRCS.read_text())
    with tempfile.TemporaryDirectory() as folder:
        pictures, source = (Path(folder) / name for name in ("pictures.mkv", "in.mkv"))
        _source(pictures, PlaneFormat("420", 8))
        with av.open(str(pictures)) as old, av.open(str(source), "w") as new:
            video: Any = new.add_stream_from_template(old.streams.video[0], opaque=True)
            voice: Any = new.add_stream("flac", rate=8000, layout="mono")
            text: Any = new.add_stream("subrip")
            text.time_base = text.codec_context.time_base = Fraction(1, 1000)
            text.codec_context.subtitle_header = b"[Script Info]\n[V4+ Styles]\n[Events]\n"
            new.add_attachment("cover.jpg", "image/jpeg", cover_picture())
            for packet in old.demux(video=0):
                if packet.size:
                    packet.stream = video
                    new.mux(packet)
            for k in range(2):
                new.mux(voice.encode(tone(k, 8000)))
            new.mux(voice.encode(None))
            line = av.Packet(b"A line.")
            line.pts, line.dts, line.duration, line.time_base, line.stream = 100, 100, 100, Fraction(1, 1000), text
            new.mux(line)
        target = FOLDER / f"tracks-v{VERSION}.nvc"
        codec.encode(source, target, Settings(crf=55, scale=Fraction(1), preset="fast", head=False), overwrite=True)
        crcs[target.name] = crc_of(target)
    CRCS.write_text(json.dumps(crcs, indent=1) + "\n")


def gaussians() -> None:
    """The picture of Gaussians."""
    (FOLDER / f"still-v{VERSION}.nvs").write_bytes(splat.encode(drawn_still(), step=40, threads=1))


def stills() -> None:
    """Still pictures and their CRCs: lossy with alpha and a last layer of its own, bounded, lossless, 16 bits."""
    pixels = drawn_still()
    deep = pixels.astype(np.uint16) << 8 | pixels[::-1]
    codec.still.encode.DB_PER_E = 0.0
    wishes = {
        "lossy": (pixels, StillSettings(crf=45, preset="slow")),
        "bounded": (pixels[..., :3], StillSettings(max_error=3, crf=50)),
        "lossless": (pixels[..., :1], StillSettings(max_error=0)),
        "deep": (deep, StillSettings(max_error=0)),
    }
    pin(wishes)


def pin(wishes: Mapping[str, tuple[NDArray[Any], StillSettings]]) -> None:
    """Still pictures by their names, and their CRCs beside those that are there."""
    crcs = json.loads(STILL_CRCS.read_text())
    for name, (samples, settings) in wishes.items():
        target = FOLDER / f"{name}-v{VERSION}.still.nvc"
        target.write_bytes(encode_still(Picture(np.ascontiguousarray(samples)), settings).data)
        crcs[target.name] = zlib.crc32(decode_still(target.read_bytes()).pixels.tobytes())
    STILL_CRCS.write_text(json.dumps(crcs, indent=1) + "\n")


def mixed() -> None:
    """A still picture that head 2 restores, with alpha and a last layer of its own, and its CRC."""
    codec.still.encode.DB_PER_E = 0.0
    codec.still.encode.TUNES = {**TUNES, "mix": replace(TUNES["mix"], heads=(2,))}
    pin({"mixed": (drawn_still(), StillSettings(crf=40, preset="slow"))})


def guided() -> None:
    """Still pictures whose loss-stream heads guide, and their CRCs: lossless and bounded."""
    pixels = drawn_still()[..., :3]
    codec.still.encode.LINEAR = codec.still.encode.GUIDED
    errors = {"guided": 0, "guided-bounded": 1}
    pin({name: (pixels, StillSettings(max_error=max_error)) for name, max_error in errors.items()})


def drawn_palette() -> NDArray[np.uint8]:
    """Disks, a grating, lines and specks in eleven colours, 90x70 pixels, with alpha of three levels."""
    y, x = np.mgrid[:70, :90]
    number = (x // 9 + y // 7) % 2 * (x < 45)
    for k in range(6):
        number[(y - 11 * k - 5) ** 2 + (x - 70 + 3 * k) ** 2 < 60] = k + 2
    number[(x + 2 * y) % 41 == 0] = 8
    specks = np.random.default_rng(1).integers(0, 60, (70, 90))
    number = np.where(specks < 2, 9 + specks, number)
    colours = np.random.default_rng(2).integers(0, 256, (11, 4)).astype(np.uint8)
    colours[:, 3] = (255, 0, 128, *[255] * 8)
    return colours[number]


def palettes() -> None:
    """Still pictures with a palette, and their CRCs: colour with alpha, two tones coded as columns, 16 bits, and one
    whose indices are sent bit by bit."""
    pixels = drawn_palette()
    tall = np.ascontiguousarray(255 * (pixels[:, :30, :1] > 100).astype(np.uint8))
    many = np.random.default_rng(3).integers(0, 9, (40, 50, 1)) + np.arange(50)[:, None] // 4
    wishes = {
        "palette": pixels,
        "palette-two": tall,
        "palette-deep": pixels.astype(np.uint16) << 8 | pixels[::-1, ::-1] >> 7,
        "palette-bits": np.repeat(many, 3, axis=2).astype(np.uint8) * np.array([7, 11, 5], np.uint8),
    }
    pin({name: (samples, StillSettings(max_error=0)) for name, samples in wishes.items()})


MAKERS = {
    "films": films,
    "shipped": lambda: films(PRETRAINED),
    "enlargers": lambda: films(ENLARGERS),
    "whole": lambda: films(WHOLE),
    "light": lambda: films(LIGHT),
    "tracks": tracks,
    "gaussians": gaussians,
    "stills": stills,
    "mixed": mixed,
    "guided": guided,
    "palettes": palettes,
}

if __name__ == "__main__":
    MAKERS[sys.argv[1]]()
