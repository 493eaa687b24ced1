"""How much memory a decoder takes, in bytes a luma sample.

    bench check memory
    bench check memory --kind film-bounded --size 3840x2160

It is what `codec.limits` counts with. A file of each kind is put together by hand (noise in the base, empty
loss-streams: it ends in an error) and decoded in a process of its own, after a small one of the same kind that brings
in all libraries. Printed is how far the resident memory grew at its peak, and what `codec.limits` says of the same
header. Linux only.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import click
import numpy as np

from codec.base.av1 import BaseSettings, encode_base
from codec.base.colour import SRGB
from codec.base.resample import BASE_FORMAT, base_size
from codec.film.writer import write_film
from codec.frames import Plane, PlaneFormat, VideoInfo, channels_of
from codec.loss.modes import GUIDED, LIGHT, LINEAR, OFF, TRANSFORM, WHOLE, Mode
from codec.segment import payload
from codec.segment.payload import SegmentHeader, film_memory, read_segment, write_residual, write_segment
from codec.still.payload import StillHeader, header_of, still_memory, write_still
from codec.wire import avif
from codec.wire.obu import TemporalUnit, inject
from heads.layers import Layer
from heads.restorer.spec import HeadSpec
from heads.weights import encode_layers

from ..process import environment

PICTURES = 6
SIZES = ((640, 480), (1280, 720), (1920, 1080))
_SETTINGS = BaseSettings(55.0, 12)

# kind -> (chroma, depth, scale, (layers, width, history) of a head, mode of the loss-stream, its step)
FILMS: dict[str, tuple[str, int, Fraction, tuple[int, int, int] | None, Mode, int]] = {
    "film-plain": ("420", 8, Fraction(1), None, OFF, 0),
    "film-small": ("420", 8, Fraction(4), None, OFF, 0),
    "film-444": ("444", 10, Fraction(1), None, OFF, 0),
    "film-head-16": ("420", 8, Fraction(1), (4, 16, 0), OFF, 0),
    "film-head-64": ("420", 8, Fraction(1), (8, 64, 0), OFF, 0),
    "film-history": ("420", 8, Fraction(1), (4, 16, 2), OFF, 0),
    "film-444-all": ("444", 10, Fraction(1), (4, 64, 2), LINEAR, 0),
    "film-transform": ("420", 8, Fraction(1), None, TRANSFORM, 16),
    "film-444-transform": ("444", 10, Fraction(1), None, TRANSFORM, 16),
    "film-bounded": ("420", 8, Fraction(1), None, LINEAR, 0),
    "film-444-bounded": ("444", 10, Fraction(1), None, LINEAR, 0),
    "film-learned": ("420", 8, Fraction(1), None, WHOLE, 0),
    "film-444-learned": ("444", 10, Fraction(1), None, WHOLE, 0),
    "film-light": ("420", 8, Fraction(1), None, LIGHT, 0),
    "film-444-light": ("444", 10, Fraction(1), None, LIGHT, 0),
}
# kind -> fields of the header
STILLS: dict[str, dict[str, int]] = {
    "still-plain": {"channels": 3, "depth": 8},
    "still-head": {"channels": 3, "depth": 8, "head": 1},
    "still-grey": {"channels": 1, "depth": 8, "head": 1},
    "still-bounded": {"channels": 3, "depth": 8, "head": 1, "bounded": LINEAR.still},
    "still-guided": {"channels": 3, "depth": 8, "head": 1, "bounded": GUIDED.still},
    "still-guided-rgb": {"channels": 3, "depth": 8, "head": 1, "bounded": GUIDED.still, "max_error": 1},
    "still-deep": {"channels": 3, "depth": 16, "head": 1, "bounded": LINEAR.still, "alpha": 1},
}

_CHILD = """
import sys
from codec import FormatError, Limits, verify
from codec.media.files import read_bytes
from codec.still.decode import decode_still
from bench.process import memory_of

def run(path):
    try:
        if path.endswith("still.nvc"):
            decode_still(read_bytes(path), limits=LIMITS)
        else:
            verify(path, device="cpu", limits=LIMITS)
    except FormatError as error:
        if "checksum" not in str(error):
            raise

LIMITS = Limits(1 << 27, 1 << 50)
run(sys.argv[1])
with open("/proc/self/clear_refs", "w") as file:
    file.write("5")
before = memory_of("self", "VmRSS")
run(sys.argv[2])
print(memory_of("self", "VmHWM") - before)
"""


def _planes(shape: tuple[int, int], fmt: PlaneFormat, number: int) -> list[Plane]:
    rng = np.random.default_rng(number)
    return [rng.integers(0, 1023, s).astype(np.uint16) for s in fmt.shapes(shape[0], shape[1])]


def film(path: Path, kind: str, size: tuple[int, int]) -> SegmentHeader:
    """Write a film of that kind, which decodes up to its checksum, and return its header."""
    chroma, depth, scale, shape, mode, loss_step = FILMS[kind]
    data = b""
    if shape:
        layers, width, history = shape
        spec = HeadSpec(channels_of(chroma), history, layers, width)
        zero = [Layer(np.zeros(s, np.int8), np.zeros(s[0], np.int32), 4) for s in spec.shapes()]
        data = encode_layers(zero)
    layers, width, history = shape or (0, 0, 0)
    header = SegmentHeader(
        *size, PlaneFormat(chroma, depth), scale, Fraction(25), PICTURES, PICTURES, 30.0,
        payload.WHOLE_HEAD if shape else payload.NO_HEAD, history, 4 if history else 0, layers, width, 0,
        mode.film, loss_step, 0, data, b"\x3f" if shape else b"", (0,),
    )  # fmt: skip
    small = base_size(*size, scale)
    pictures = [_planes(small, BASE_FORMAT, k) for k in range(PICTURES)]
    packets = encode_base(pictures, range(PICTURES), Fraction(1, 25), Fraction(25), _SETTINGS)
    units = []
    for packet in packets:
        payloads = [write_segment(header)] * packet.keyframe
        if mode:
            payloads.append(write_residual(b""))
        units.append(TemporalUnit(packet.data, packet.pts, 1, packet.keyframe, tuple(payloads)))
    info = VideoInfo(*size, header.format, Fraction(1, 25), Fraction(25))
    write_film(path, units, info, small)
    return read_segment(units[0].payloads[0])


def still(path: Path, kind: str, size: tuple[int, int]) -> StillHeader:
    """Write a still of that kind, which decodes up to its checksum, and return its header."""
    fields: dict[str, Any] = {"width": size[0], "height": size[1], **STILLS[kind]}
    header = StillHeader(**fields)
    if header.depth == 16:
        header = replace(header, loss_low=b"\0", alpha_low=b"\0")
    planes = _planes((max(16, size[0]), max(16, size[1])), BASE_FORMAT, 0)
    (packet,) = encode_base([planes], [0], Fraction(1, 25), Fraction(25), replace(_SETTINGS, still=True, colour=SRGB))
    unit = inject(packet.data, [write_still(header)])
    path.write_bytes(avif.write(avif.Still(unit, packet.data if header.alpha == 1 else b""), SRGB))
    return header_of(path.read_bytes())[1]


def measured(kind: str, size: tuple[int, int]) -> tuple[int, int]:
    """(bytes that decoding took, bytes that `codec.limits` counts with)."""
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{name}.{kind.split('-')[0]}.nvc" for name in ("small", "large")]
        for path, shape in zip(paths, ((98, 66), size), strict=True):
            if kind in FILMS:
                counted = film_memory(film(path, kind, shape))
            else:
                counted = still_memory(still(path, kind, shape))
        command = [sys.executable, "-c", _CHILD, *map(str, paths)]
        found = subprocess.run(command, capture_output=True, text=True, env=environment())
        if found.returncode:
            raise RuntimeError(found.stderr)
        return int(found.stdout), counted


def _sizes(context: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> list[tuple[int, int]]:
    found = [re.fullmatch(r"(\d+)x(\d+)", value) for value in values]
    if not all(found):
        raise click.BadParameter("must be WxH, e.g. 1280x720")
    return [(int(size[1]), int(size[2])) for size in found if size] or list(SIZES)


@click.command()
@click.option(
    "--kind", "kinds", type=click.Choice([*FILMS, *STILLS]), multiple=True, help="One or more.  [default: all]"
)
@click.option("--size", "sizes", metavar="WxH", multiple=True, callback=_sizes,
              help=f"One or more.  [default: {', '.join(f'{w}x{h}' for w, h in SIZES)}]")  # fmt: skip
def main(kinds: tuple[str, ...], sizes: list[tuple[int, int]]) -> None:
    """Measure the memory that decoding a film or a still of each kind takes."""
    click.echo("| kind | size | MiB | bytes a sample | counted, MiB |\n|---|---|---|---|---|")
    for kind in kinds or [*FILMS, *STILLS]:
        for width, height in sizes:
            taken, counted = measured(kind, (width, height))
            share = taken / (width * height)
            click.echo(f"| {kind} | {width}x{height} | {taken >> 20} | {share:.0f} | {counted >> 20} |")
