"""A long film out of short ones: shots of the two sample films, no two alike, with sound.

Each shot is mirrored, moved, brighter or darker and tinted as a seeded chance has it; cuts and dissolves join them.
Every picture carries its number.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from codec.film.sources import source_of
from codec.frames import PlaneFormat
from codec.media.libav import planes_to_av
from codec.media.parts import Part
from samples.singer import SOUND_RATE, singer_sound

from ...process import ROOT

SAMPLES = ROOT / "samples"
YUV = PlaneFormat("420", 8)
MARGIN = 9 / 8  # how much larger than the film the scaled samples are, so that a shot can be moved
SHOT = (2.0, 8.0)  # seconds
DISSOLVE = (0.4, 1.2)  # seconds
DISSOLVES = 0.3  # of all joins
BLOCK = 1024  # samples of sound
SONG = 24.0  # seconds until the sound comes again, at another loudness

Picture = list[NDArray[np.uint8]]


@dataclass
class Shot:
    """A way through one of the samples: `pictures` are (planes) larger than the film by MARGIN."""

    pictures: list[Picture]
    first: int
    step: int
    length: int
    mirrored: tuple[bool, bool]  # left and right, top and bottom
    corner: tuple[float, float]
    drift: tuple[float, float]
    light: NDArray[np.uint8]
    tint: tuple[float, float, float]

    def picture(self, k: int, size: tuple[int, int]) -> Picture:
        """Picture k of the shot at that size."""
        there = (self.first + k * self.step) % (2 * len(self.pictures))  # to the end and back again
        planes = self.pictures[min(there, 2 * len(self.pictures) - 1 - there)]
        share = k / max(1, self.length)
        at = [min(1.0, max(0.0, c + d * share)) for c, d in zip(self.corner, self.drift, strict=True)]
        room = (planes[1].shape[1] - size[0] // 2, planes[1].shape[0] - size[1] // 2)
        x, y = (int(a * r) for a, r in zip(at, room, strict=True))
        cut = [
            planes[0][2 * y : 2 * y + size[1], 2 * x : 2 * x + size[0]],
            *(p[y : y + size[1] // 2, x : x + size[0] // 2] for p in planes[1:]),
        ]
        if any(self.mirrored):
            code = 1 if not self.mirrored[1] else -1 if self.mirrored[0] else 0  # as OpenCV numbers the axes
            cut = [cast(Any, cv2.flip(p, code)) for p in cut]
        cos, sin, grey = self.tint
        return [
            cast(Any, cv2.LUT(cut[0], self.light)),
            cast(Any, cv2.addWeighted(cut[1], cos, cut[2], sin, grey - 128 * (cos + sin))),
            cast(Any, cv2.addWeighted(cut[1], -sin, cut[2], cos, grey - 128 * (cos - sin))),
        ]


def _scaled(path: Path, size: tuple[int, int]) -> list[Picture]:
    """The pictures of a film, larger than `size` by MARGIN."""
    width, height = (2 * math.ceil(n * MARGIN / 2) for n in size)
    found = []
    with source_of(path) as film:
        for frame in film.frames():
            shapes = zip(frame.planes, YUV.shapes(width, height), strict=True)
            found.append([cv2.resize(p, s[::-1], interpolation=cv2.INTER_CUBIC) for p, s in shapes])
    return cast(Any, found)


def _shots(clips: list[list[Picture]], rate: Fraction, chance: random.Random) -> Iterator[Shot]:
    """Shots without end, no two alike."""
    while True:
        pictures = chance.choice(clips)
        gain, lift = chance.uniform(0.75, 1.15), chance.uniform(-12, 12)
        light = np.clip((np.arange(256) - 16) * gain + 16 + lift, 16, 235).astype(np.uint8)
        angle, saturation = chance.uniform(-0.7, 0.7), chance.uniform(0.6, 1.2)
        yield Shot(
            pictures,
            chance.randrange(2 * len(pictures)),
            chance.choice((-1, 1)),
            round(chance.uniform(*SHOT) * rate),
            (chance.random() < 0.5, chance.random() < 0.15),
            (chance.random(), chance.random()),
            (chance.uniform(-0.6, 0.6), chance.uniform(-0.6, 0.6)),
            light,
            (saturation * math.cos(angle), saturation * math.sin(angle), 128.0),
        )


def drawn(size: tuple[int, int], rate: Fraction, seed: int) -> Iterator[Picture]:
    """The film's pictures, without end."""
    chance = random.Random(seed)
    shots = _shots([_scaled(SAMPLES / name, size) for name in ("singer.mp4", "texture.mp4")], rate, chance)
    number = lead = 0
    for shot, after in pairwise(shots):
        join = round(chance.uniform(*DISSOLVE) * rate) if chance.random() < DISSOLVES else 0
        join = min(join, shot.length - lead, after.length)
        for k in range(lead, shot.length):
            picture = shot.picture(k, size)
            into = k - (shot.length - join)
            if into >= 0:
                share = (into + 1) / (join + 1)
                other = after.picture(into, size)
                pairs = zip(picture, other, strict=True)
                picture = [cast(Any, cv2.addWeighted(a, 1 - share, b, share, 0)) for a, b in pairs]
            _number(picture[0], number)
            yield picture
            number += 1
        lead = join


def _number(luma: NDArray[np.uint8], number: int) -> None:
    """Write a picture's number into its corner."""
    high = max(10, luma.shape[0] // 12)
    scale = high / 32
    at, thick = (high // 3, luma.shape[0] - high // 3), max(1, high // 12)
    text = f"{number:07d}"
    for value, width in ((16, 3 * thick), (235, thick)):
        cv2.putText(luma, text, at, cv2.FONT_HERSHEY_SIMPLEX, scale, value, width, cv2.LINE_8)


def _loudness(chance: random.Random) -> Iterator[NDArray[np.float32]]:
    """Blocks of sound (2, BLOCK) without end."""
    song = singer_sound(SONG).astype(np.float32)
    while True:
        loud = np.float32(chance.uniform(0.3, 0.9))
        for start in range(0, song.shape[1] - BLOCK, BLOCK):
            yield np.ascontiguousarray(song[:, start : start + BLOCK] * loud)


def make(
    path: str,
    count: int,
    size: tuple[int, int],
    rate: Fraction,
    seed: int,
    threads: int = 0,
    tell: Callable[[int], None] = lambda done: None,
) -> None:
    """Write a film of `count` pictures with sound; it is there whole or not at all."""
    part = Part(path)
    try:
        with av.open(part.path, "w", format="mp4", options={"movflags": "+faststart"}) as output:
            video = cast(Any, output.add_stream("libx264", rate=rate, options={"preset": "veryfast", "crf": "20"}))
            video.width, video.height, video.pix_fmt = *size, YUV.av_name
            video.time_base = video.codec_context.time_base = 1 / rate
            video.codec_context.thread_count = threads
            voice = cast(Any, output.add_stream("aac", rate=SOUND_RATE, layout="stereo", options={"b": "96k"}))
            sound, heard = _loudness(random.Random(seed)), 0
            for number, picture in zip(range(count), drawn(size, rate, seed), strict=False):
                frame = planes_to_av(picture, YUV)
                frame.pts, frame.time_base = number, 1 / rate
                output.mux(video.encode(frame))
                while heard < (number + 1) / rate * SOUND_RATE:
                    block = av.AudioFrame.from_ndarray(cast(Any, next(sound)), "fltp", "stereo")
                    block.sample_rate, block.pts, block.time_base = SOUND_RATE, heard, Fraction(1, SOUND_RATE)
                    output.mux(voice.encode(block))
                    heard += BLOCK
                tell(number + 1)
            output.mux(video.encode(None))
            output.mux(voice.encode(None))
        part.finish()
    finally:
        part.discard()
