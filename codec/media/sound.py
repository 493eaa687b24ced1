"""Sound that becomes that of another codec: without loss as FLAC or plain samples, or as Opus.

Every sample keeps its time: the first one's is the decoder's, gaps stay gaps, and what decoders drop at the beginning
and at the end is dropped. Rate, channels and their places are kept by what is lossless; Opus knows 48 kHz and its own
layouts (RFC 7845, section 5.1.1).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, cast

import av
import numpy as np
from av.audio.resampler import AudioResampler
from av.stream import Discard

from .libav import open_film, packets_of
from .routes import SILENCE_MAX, Route, placed, takes

OPUS, FLAC = "libopus", "flac"
_OPUS_RATE = 48000
_OPUS_LAYOUTS = {1: "mono", 2: "stereo", 3: "3.0", 4: "quad", 5: "5.0", 6: "5.1", 7: "6.1", 8: "7.1"}
_OPUS_BITS = 96000  # a second for each pair of channels
_FLAC_CHANNELS = 8
# that FLAC knows without words on them, which MP4 has no room for
_FLAC_LAYOUTS = ("mono", "stereo", "3.0", "quad", "5.0", "5.0(side)", "5.1", "5.1(side)", "6.1", "7.1")
_PLAIN = {16: "pcm_s16le", 24: "pcm_s24le", 32: "pcm_s32le"}
_PLAIN_FRAME = 4096  # samples of a packet
_ALIKE = Fraction(1, 25)  # seconds: times within that of where the sound goes on are rounded, and no gap
_PLANES = 8  # from so many on PyAV reads beyond the list of a frame's planes
_Samples = np.ndarray[Any, np.dtype[Any]]  # channels x samples


@dataclass(frozen=True)
class Heard:
    """What a decoder gives. `bits`: 16, 24 or 32 of each sample, None where it gives fractions; `steady`: whether rate
    and layout, those of its beginning, stay what they are."""

    rate: int
    layout: Any
    bits: int | None
    steady: bool = True

    @property
    def exact(self) -> bool:
        """Whether whole numbers of so many bits, at that rate and in that layout, hold all of it."""
        return self.bits is not None and self.steady


@dataclass(frozen=True)
class Recipe:
    """How sound is encoded. `bits` of each sample, None for fractions; `exact`: whether nothing is lost."""

    codec: str
    rate: int
    layout: Any
    bits: int | None
    exact: bool
    options: dict[str, str] = field(default_factory=dict)
    bit_rate: int = 0

    @property
    def format(self) -> str:
        """libav's name of the samples that the encoder takes."""
        return "flt" if self.bits is None else "s16" if self.bits == 16 else "s32"


def lossless(container: str, heard: Heard) -> Recipe:
    """FLAC where libav's muxer `container` holds it, else plain samples; fractions become 24 bits. FLAC of 32 bits is
    for MP4 alone: few know it, but fewer know plain samples there."""
    bits, layout = heard.bits or 24, placed(heard.layout)
    known = container != "mp4" or layout.name in (*_FLAC_LAYOUTS, f"{layout.nb_channels} channels")
    if container == "mov" or layout.nb_channels > _FLAC_CHANNELS or not known or (bits == 32 and container != "mp4"):
        return Recipe(_PLAIN[bits], heard.rate, layout, bits, heard.exact)
    options = {"bits_per_raw_sample": str(bits)} | ({"strict": "experimental"} if bits == 32 else {})
    return Recipe(FLAC, heard.rate, layout, bits, heard.exact, options)


def opus(heard: Heard) -> Recipe:
    """Opus in the layout of as many channels that it knows."""
    channels = min(heard.layout.nb_channels, max(_OPUS_LAYOUTS))
    layout = av.AudioLayout(_OPUS_LAYOUTS[channels])
    return Recipe(OPUS, _OPUS_RATE, layout, None, False, bit_rate=_OPUS_BITS * -(-channels // 2))


def heard(path: str | os.PathLike[str], index: int, whole: bool) -> Heard | None:
    """What the decoder makes of a stream; None where it makes nothing of it. Raises InputError.

    With `whole` all of its samples are looked at, as nothing less tells how many bits they have: most films begin in
    silence, and the sound may become other one on the way. Else the first frame speaks for all.
    """
    first: av.AudioFrame | None = None
    bits: int | None = 16
    steady = True
    reader = _Reader()
    with open_film(path) as film:
        for stream in film.streams:
            if stream.index != index:
                stream.discard = Discard.all
        for frame in _decoded(film, film.streams[index]):
            first = first or frame
            bits = _more_bits(bits, frame, reader)
            steady = steady and (frame.sample_rate, frame.layout.name) == (first.sample_rate, first.layout.name)
            if bits is None or not whole:
                break
    return None if first is None else Heard(first.sample_rate, first.layout, bits, steady)


def _more_bits(bits: int | None, frame: av.AudioFrame, reader: _Reader) -> int | None:
    """As many bits of a sample as hold what `bits` of them do and those of a frame: 16, 24, 32, or None for
    fractions."""
    name = frame.format.packed.name
    if bits is None or name not in ("u8", "s16", "s32"):
        return None
    if bits == 32 or name != "s32":
        return bits
    return 32 if (reader.read(frame).astype(np.int32) & 255).any() else 24


def _decoded(film: av.container.InputContainer, stream: Any) -> Iterator[av.AudioFrame]:
    try:
        for packet in packets_of(film, stream):
            try:
                yield from cast(Any, packet).decode()
            except av.error.InvalidDataError:
                continue
    except (av.FFmpegError, OSError, ValueError):
        return


def encodes(container: str, recipe: Recipe) -> bool:
    """Whether the recipe's encoder takes such sound and libav's muxer `container` what it makes of it."""
    return takes(container, lambda output: _encoding(output, recipe))


def _encoding(output: av.container.OutputContainer, recipe: Recipe) -> Any:
    """A new stream of `output` whose encoder is open."""
    stream: Any = output.add_stream(recipe.codec, rate=recipe.rate, layout=recipe.layout, options=recipe.options)
    encoder = stream.codec_context
    encoder.format = recipe.format
    encoder.bit_rate = recipe.bit_rate
    encoder.time_base = Fraction(1, recipe.rate)
    encoder.open(strict=False)
    return stream


class Sound(Route):
    """Encodes sound anew."""

    def __init__(self, output: av.container.OutputContainer, stream: Any, recipe: Recipe):
        super().__init__()
        self._decoder: Any = stream.codec_context
        self._base = stream.time_base
        self._recipe = recipe
        self.stream = _encoding(output, recipe)
        self._plain = recipe.codec in _PLAIN.values()
        self._size = self.stream.codec_context.frame_size or _PLAIN_FRAME
        self._given: tuple[int, str, str] | None = None  # rate, layout and format of the last frame
        self._resampler: AudioResampler | None = None
        self._due: Fraction | None = None  # seconds: where the sound goes on
        self._late = Fraction(0)  # seconds by which it is late
        self._at = 0  # of the first sample that waits, in samples
        self._reader = _Reader()
        self._waiting: list[_Samples] = []
        self._count = 0  # samples that wait
        self._damaged = 0
        self._changed = ""

    def feed(self, packet: av.Packet | None) -> list[av.Packet]:
        try:
            frames = self._decoder.decode(packet)
        except av.error.InvalidDataError:
            self._damaged += 1
            frames = []
        packets = [made for frame in frames for made in self._take(frame)]
        if packet is None and self._due is not None:
            packets += self._put(self._drained(), last=True) + self.stream.encode(None)
        return packets

    def notes(self, name: str) -> list[str]:
        notes = super().notes(name)
        if self._damaged:
            notes.append(f"{self._damaged} packets of {name} cannot be decoded; there is silence in their place")
        if self._changed:
            notes.append(f"{name} becomes other sound at {self._changed}; it is resampled to what it was")
        return notes

    def _take(self, frame: av.AudioFrame) -> list[av.Packet]:
        """What is complete once another frame was decoded."""
        packets = []
        time = self._due
        if frame.pts is not None:
            time = Fraction(frame.pts) * (frame.time_base or self._base)
        if self._due is None:
            self._due = time = time or Fraction(0)
            self._at = round(time * self._recipe.rate)
        assert time is not None
        alike, late = max(_ALIKE, 2 * self._base), self._due - time
        if late < -alike:
            packets += self._put(self._drained()) + self._silent(-late)
            self._due = time
        elif late > self._late + alike:  # nothing of it is cut off, so what follows is late too
            self._stepped(frame.pts, frame.time_base or self._base)
        self._late = max(late, Fraction(0))
        packets += self._put(self._prepared(frame))
        self._due += Fraction(frame.samples, frame.sample_rate)
        return packets

    def _silent(self, seconds: Fraction) -> list[av.Packet]:
        """A gap: silence up to the end of a packet, and then none, where it is longer than that; silence all along in
        plain samples, which MP4 puts one behind the other."""
        gap = round(seconds * self._recipe.rate)
        if self._plain:
            if self._silence(1).nbytes * gap <= SILENCE_MAX:
                return self._put(self._silence(gap))
            self._closed += seconds
            self._at += gap
            return []
        filled = -self._count % self._size
        if gap < filled + self._size:
            return self._put(self._silence(gap))
        packets = self._put(self._silence(filled))
        self._at += gap - filled
        return packets

    def _silence(self, count: int) -> _Samples:
        dtype = {"s16": np.int16, "s32": np.int32, "flt": np.float32}[self._recipe.format]
        return np.zeros((self._recipe.layout.nb_channels, count), dtype)

    def _put(self, samples: _Samples, last: bool = False) -> list[av.Packet]:
        """Take samples for the encoder, which gets whole frames, but for the `last` one."""
        self._waiting.append(samples)
        self._count += samples.shape[1]
        if self._count < self._size and not last:
            return []
        waiting = np.concatenate(self._waiting, axis=1)
        packets: list[av.Packet] = []
        for begin in range(0, waiting.shape[1] if last else waiting.shape[1] - self._size + 1, self._size):
            packets += self.stream.encode(self._frame(waiting[:, begin : begin + self._size]))
        rest = waiting.shape[1] % self._size
        self._waiting = [waiting[:, waiting.shape[1] - rest :].copy()] if rest and not last else []
        self._count = rest if not last else 0
        return packets

    def _frame(self, samples: _Samples) -> av.AudioFrame:
        recipe = self._recipe
        packed = np.ascontiguousarray(samples.T).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(packed, format=recipe.format, layout=recipe.layout)
        frame.sample_rate, frame.time_base, frame.pts = recipe.rate, Fraction(1, recipe.rate), self._at
        self._at += samples.shape[1]
        return frame

    # --- samples as the encoder takes them ------------------------------------------------------------------------

    def _prepared(self, frame: av.AudioFrame) -> _Samples:
        """The samples of a frame, at the recipe's rate, in its channels and format."""
        recipe, layout = self._recipe, placed(frame.layout)
        given = (frame.sample_rate, layout.name, frame.format.name)
        parts = []
        if given != self._given:
            parts.append(self._drained())
            if self._given is not None and given[:2] != self._given[:2] and not self._changed:
                self._changed = f"{float(self._due or 0):.3f} s"
            self._given = given
            if given[:2] != (recipe.rate, recipe.layout.name):
                self._resampler = AudioResampler(recipe.format, recipe.layout, recipe.rate)
        samples = self._reader.read(frame)
        if self._resampler is None:
            return np.concatenate([*parts, _as_format(samples, recipe)], axis=1)
        whole = av.AudioFrame.from_ndarray(
            np.ascontiguousarray(samples.T).reshape(1, -1), format=frame.format.packed.name, layout=layout
        )
        whole.sample_rate, whole.pts, whole.time_base = frame.sample_rate, None, Fraction(1, frame.sample_rate)
        parts += [self._reader.read(made) for made in self._resampler.resample(whole)]
        return np.concatenate([self._silence(0), *parts], axis=1)

    def _drained(self) -> _Samples:
        """What the resampler holds; it is not used again."""
        made: list[av.AudioFrame] = []
        if self._resampler is not None:
            made, self._resampler, self._given = self._resampler.resample(None), None, None
        return np.concatenate([self._silence(0), *map(self._reader.read, made)], axis=1)


class _Reader:
    """Samples of frames, channels x samples."""

    def __init__(self) -> None:
        self._packers: dict[tuple[str, str, int], AudioResampler] = {}

    def read(self, frame: av.AudioFrame) -> _Samples:
        channels = frame.layout.nb_channels
        if frame.format.is_planar and channels >= _PLANES:
            key = (frame.format.name, frame.layout.name, frame.sample_rate)
            packer = self._packers.setdefault(key, AudioResampler(frame.format.packed, frame.layout, frame.sample_rate))
            (frame,) = packer.resample(frame)
        samples = frame.to_ndarray()
        return samples if frame.format.is_planar else samples.reshape(-1, channels).T


def _as_format(samples: _Samples, recipe: Recipe) -> _Samples:
    """Samples as the recipe's encoder takes them: integers fill their words from above."""
    if recipe.bits is None:
        scale = {"u": 1 << 7, "i": 1 << 8 * samples.dtype.itemsize - 1}.get(samples.dtype.kind, 1)
        return ((samples.astype(np.float64) - (scale if samples.dtype.kind == "u" else 0)) / scale).astype(np.float32)
    word = 16 if recipe.bits == 16 else 32
    if samples.dtype.kind == "f":
        peak = 1 << recipe.bits - 1
        whole = np.clip(np.rint(samples.astype(np.float64) * peak), -peak, peak - 1).astype(np.int64)
        return (whole << word - recipe.bits).astype(np.int16 if word == 16 else np.int32)
    width = 8 * samples.dtype.itemsize
    whole = samples.astype(np.int64) - (128 if samples.dtype.kind == "u" else 0)
    whole = whole << word - width if word >= width else whole >> width - word
    return whole.astype(np.int16 if word == 16 else np.int32)
