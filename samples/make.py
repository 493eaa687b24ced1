"""Writes the sample files: `python -m samples.make [--seconds N] [--size WxH] [--out DIR]`.

Without options it writes the files that the project ships. The clips are H.264 at a high quality, as a camera's
would be; the pictures are exact. Another build of x264 or OpenCV may give other bytes.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from fractions import Fraction
from itertools import islice
from pathlib import Path

import av
import click
import cv2
import numpy as np

from .drawing import Field, Image
from .singer import SOUND_RATE, singer_frames, singer_sound
from .texture import FILM_RATE, relief, sprig, texture_frames

SINGER_RATE = Fraction(25)
# With AVX-512, the x264 that PyAV 18.1 brings gave other bytes each time at 320x180; with SSE2 it does not.
X264 = {"preset": "veryslow", "threads": "1", "x264-params": "asm=sse2"}
SOUND_BLOCK = 1024
BT709, LIMITED_RANGE = 1, 1  # as H.273 numbers them


def write_clip(
    path: Path, frames: Iterator[Image], rate: Fraction, crf: int, title: str, sound: Field | None = None
) -> None:
    """Write RGB frames (all of one even size) and sound (2, n) at SOUND_RATE as H.264 and AAC in MP4."""
    first = next(frames)
    with av.open(str(path), "w", options={"movflags": "+faststart"}) as output:
        output.metadata["title"] = title
        video = output.add_stream("libx264", rate=rate, options={"crf": str(crf)} | X264)
        video.width, video.height, video.pix_fmt = first.shape[1], first.shape[0], "yuv420p"
        video.time_base = 1 / rate
        context = video.codec_context
        context.color_primaries = context.color_trc = context.colorspace = BT709
        context.color_range = LIMITED_RANGE
        audio = (
            output.add_stream("aac", rate=SOUND_RATE, layout="stereo", options={"b": "96k"})
            if sound is not None
            else None
        )
        for n, picture in enumerate((first, *frames)):
            frame = av.VideoFrame.from_ndarray(picture, "rgb24").reformat(
                format="yuv420p", dst_colorspace="ITU709", dst_color_range="MPEG", interpolation="BICUBIC"
            )
            frame.pts, frame.time_base = n, 1 / rate
            output.mux(video.encode(frame))
        output.mux(video.encode(None))
        if audio is not None and sound is not None:
            for start in range(0, sound.shape[1], SOUND_BLOCK):
                block = np.ascontiguousarray(sound[:, start : start + SOUND_BLOCK])
                heard = av.AudioFrame.from_ndarray(block, "fltp", "stereo")
                heard.sample_rate, heard.pts, heard.time_base = SOUND_RATE, start, Fraction(1, SOUND_RATE)
                output.mux(audio.encode(heard))
            output.mux(audio.encode(None))


def write_picture(path: Path, picture: np.ndarray) -> None:
    """Write grey (H, W), RGB or RGBA (H, W, 3 or 4), uint8 or uint16, as PNG."""
    order = {3: cv2.COLOR_RGB2BGR, 4: cv2.COLOR_RGBA2BGRA}[picture.shape[2]] if picture.ndim == 3 else None
    pixels = picture if order is None else cv2.cvtColor(picture, order)
    if not cv2.imwrite(str(path), pixels, [cv2.IMWRITE_PNG_COMPRESSION, 9]):
        raise OSError(f"cannot write {path}")


def make(out: Path, seconds: float | None = None, size: tuple[int, int] | None = None) -> Iterator[Path]:
    """Write every sample into `out` and yield each file as it is done."""
    out.mkdir(parents=True, exist_ok=True)
    width, height = size or (480, 270)
    length = seconds or 4.0
    frames = singer_frames(width, height, length, SINGER_RATE)
    write_clip(out / "singer.mp4", frames, SINGER_RATE, 14, "Small hours", singer_sound(length))
    yield out / "singer.mp4"
    width, height = size or (320, 180)
    frames = texture_frames(width, height, seconds or 2.0, FILM_RATE)
    write_clip(out / "texture.mp4", frames, FILM_RATE, 10, "By the lake")
    yield out / "texture.mp4"
    stills = {
        "singer.png": next(islice(singer_frames(480, 270, 4.0, SINGER_RATE), 35, None)),
        "texture.png": next(texture_frames(320, 180)),
        "sprig.png": sprig(),
        "relief.png": relief(),
    }
    for name, picture in stills.items():
        write_picture(out / name, picture)
        yield out / name


def _parsed_size(context: click.Context, parameter: click.Parameter, value: str | None) -> tuple[int, int] | None:
    if value is None:
        return None
    found = re.fullmatch(r"(\d+)x(\d+)", value)
    if not found or any(int(side) < 2 or int(side) % 2 for side in found.groups()):
        raise click.BadParameter("must be WxH with even sides, e.g. 1280x720")
    return int(found[1]), int(found[2])


@click.command()
@click.option("--seconds", type=click.FloatRange(min=0.1), help="Length of both clips (default: 4 and 2).")
@click.option("--size", metavar="WxH", callback=_parsed_size, help="Size of both clips (default: 480x270 and 320x180).")
@click.option("--out", type=click.Path(path_type=Path), help="Folder to write into (default: this package's own).")
def main(seconds: float | None, size: tuple[int, int] | None, out: Path | None) -> None:
    """Draw the sample clips and pictures."""
    for path in make(out or Path(__file__).parent, seconds, size):
        click.echo(f"{path}  {os.path.getsize(path):,} bytes")


if __name__ == "__main__":
    main()
