"""What must hold of a real film: time, memory, sound, players.

    bench check film CLIP

Encodes CLIP with the defaults and checks the result without the encoder's help: sound is compared packet by packet,
the decoder is timed, pictures are counted by dav1d, and after a copy to Matroska and back the decoded planes must
have the same checksum. Exit code 1 where a claim fails.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from typing import Any, cast

import av
import click

from codec.cli.options import Number, amount
from codec.errors import NvcError, reason
from codec.film.sources import source_of
from codec.media.libav import film_stream, open_film
from codec.settings import PRESETS

from ..process import GIB, python, run
from ..tables import table
from .decoding import add_time, decode_afresh

HEAD = ("what", "measured", "claim", "")


class Claims:
    """Rows of the table, in order."""

    def __init__(self) -> None:
        self.rows: list[tuple[object, ...]] = []
        self.failed = 0

    def add(self, what: str, measured: object, claim: str = "", holds: bool | None = None) -> None:
        """A figure; `holds` is None where nothing is claimed of it."""
        self.failed += holds is False
        self.rows.append((what, measured, claim, "" if holds is None else "holds" if holds else "FAILS"))


def packets_of(path: str, kind: str) -> list[tuple[int, str, list[float]]]:
    """(packets, hash over their bytes, their times in seconds) of each stream of a kind, in order of the file."""
    with open_film(path) as film:
        streams = [s for s in film.streams if s.type == kind]
        digests = {s.index: hashlib.sha256() for s in streams}
        times: dict[int, list[float]] = {s.index: [] for s in streams}
        for packet in film.demux(streams) if streams else ():
            if packet.size:
                digests[packet.stream.index].update(packet.size.to_bytes(8) + bytes(packet))
                at = packet.pts if packet.pts is not None else packet.dts or 0
                times[packet.stream.index].append(float(at * packet.time_base))
        return [(len(times[s.index]), digests[s.index].hexdigest(), times[s.index]) for s in streams]


def played(path: str) -> int:
    """Pictures that dav1d, knowing nothing of ours, makes of a film's AV1 track."""
    decoder = cast(av.VideoCodecContext, av.CodecContext.create("libdav1d", "r"))
    with open_film(path) as film:
        stream = film_stream(film)
        packets = [av.Packet(bytes(p)) for p in film.demux(stream) if p.size] if stream else []
    return sum(len(decoder.decode(p)) for p in (*packets, None))


def played_by_ffmpeg(program: str, path: str) -> str:
    """What ffmpeg complains of when it plays every stream; empty where it does not."""
    command = [program, "-nostdin", "-v", "error", "-i", path, "-f", "null", "-"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    return done.stderr.strip() or ("" if done.returncode == 0 else f"exit code {done.returncode}")


def remux(program: str | None, source: str, target: str) -> None:
    """Copy all streams into another container, by ffmpeg, or by libav where there is no such program."""
    if program:
        run([program, "-nostdin", "-v", "error", "-y", "-i", source, "-map", "0", "-c", "copy", target])
        return
    with av.open(source) as old, av.open(target, "w") as new:
        streams = {s.index: new.add_stream_from_template(cast(Any, s), opaque=True) for s in old.streams}
        for packet in old.demux():
            if packet.size:
                packet.stream = streams[packet.stream.index]
                new.mux(packet)


def pictures_of(path: str) -> tuple[int, str, float]:
    """(pictures, checksum of their times, pictures a second) as the source's decoder gives them."""
    with source_of(path) as source:
        count = times = 0
        for frame in source.frames():
            times = add_time(times, frame, source.info)
            count += 1
        return count, f"{times:08x}", float(source.info.rate)


def check(clip: str, file: str, claims: Claims, encode: Sequence[str], cores: int, limits: tuple[float, float]) -> None:
    """Encode `clip` to `file` and add what is found to `claims`."""
    frames, times, rate = pictures_of(clip)
    encoded = run(encode, cores=cores)
    claims.add("encode, wall time", f"{encoded.seconds:.1f} s", f"<= {limits[0]:g} s", encoded.seconds <= limits[0])
    gib = encoded.memory / GIB
    claims.add("encode, peak memory of all processes", f"{gib:.2f} GiB", f"<= {limits[1]:g} GiB", gib <= limits[1])
    claims.add("file", f"{os.path.getsize(file):,} B, {os.path.getsize(clip):,} B before")

    here = decode_afresh(file, cores=cores)
    claims.add("pictures", here["frames"], f"{frames}", here["frames"] == frames)
    claims.add("CRC of the times of all pictures", here["times"], times, here["times"] == times)
    y4m = os.path.join(os.path.dirname(file), "a.y4m")
    written = decode_afresh(file, target=y4m, cores=cores)
    os.unlink(y4m)
    for name, ran in (("decode to nowhere", here), ("decode to y4m", written)):
        speed = frames / ran["seconds"]
        claims.add(name, f"{speed:.1f} fps", f">= {rate:g} fps", speed >= rate)
    claims.add("decode to y4m, start of the program included", f"{frames / written['wall']:.1f} fps")
    claims.add("decode, peak memory", f"{here['memory'] / GIB:.2f} GiB")

    for kind in ("audio", "subtitle"):
        before, after = packets_of(clip, kind), packets_of(file, kind)
        if before or kind == "audio":
            same = [p[:2] for p in before] == [p[:2] for p in after]
            count = " + ".join(str(p[0]) for p in before) or "none"
            claims.add(f"{kind} packets", count, "byte-identical", same)
            late = [abs(a - b) for p, q in zip(before, after, strict=False) for a, b in zip(p[2], q[2], strict=False)]
            if late:
                claims.add(f"{kind} packets, largest shift", f"{1000 * max(late):.3f} ms")

    shown = played(file)
    claims.add("pictures by dav1d alone", shown, f"{frames}", shown == frames)
    program = shutil.which("ffmpeg")
    if program:
        complaint = played_by_ffmpeg(program, file)
        claims.add("played by ffmpeg", first_words(complaint) or "no complaint", "no complaint", not complaint)
    path = file
    for ending in ("mkv", "mp4"):
        target = f"{os.path.splitext(file)[0]}.{ending}"
        remux(program, path, target)
        path = target
        found = decode_afresh(path)
        claims.add(
            f"CRC after a copy to {ending} by {'ffmpeg' if program else 'libav'}",
            found["crc"],
            here["crc"],
            (found["crc"], found["frames"]) == (here["crc"], here["frames"]),
        )


def first_words(text: str, count: int = 12) -> str:
    """The first words of a text."""
    words = text.split()
    return " ".join(words[:count]) + (" …" if len(words) > count else "")


@click.command()
@click.argument("clip", type=click.Path(exists=True, dir_okay=False))
@click.option("--preset", type=click.Choice(PRESETS), help="Of the encode.  [default: that of the codec]")
@click.option("--cores", type=Number(int, 0, 4096), default=2, show_default=True, help="Processors to use, 0: all.")
@click.option("--seconds", type=amount(), default=240, show_default=True, help="Longest that the encode may take.")
@click.option("--gib", type=amount(), default=3, show_default=True, help="Most memory that the encode may take.")
@click.option("--keep", type=click.Path(dir_okay=False), help="Keep the .nvc file here.")
def main(clip: str, preset: str | None, cores: int, seconds: float, gib: float, keep: str | None) -> None:
    """Encode CLIP with the defaults and check what must hold of the result."""
    claims = Claims()
    fault = None
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        file = os.path.join(folder, "a.nvc")
        encode = python("codec", "encode", clip, file, "-q", *(["--preset", preset] if preset else []))
        try:
            check(clip, file, claims, encode, cores, (seconds, gib))
        except (NvcError, av.FFmpegError) as error:
            fault = reason(error)
        if keep and os.path.exists(file):
            shutil.copyfile(file, keep)
    click.echo(table(HEAD, claims.rows))
    if fault:
        click.echo(f"\nThe checks ended early: {fault}")
    sys.exit(1 if claims.failed or fault else 0)
