"""Sound and subtitles on their way into another container: copied, or converted so that nothing is lost or moved."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
import pytest

from codec.film.containers import container_of
from codec.film.writer import check_side, write_film
from codec.media.beside import Beside
from codec.media.clock import FileClock
from codec.media.demuxed import open_source
from codec.media.side_streams import Interleaver, SideStreams
from codec.settings import Settings
from codec.wire.obu import TemporalUnit
from tests.makers import base_temporal_units

Make = Callable[..., Path]


def written(target: Path, source: Path, **wishes: Any) -> list[str]:
    """Write the source's film with a stand-in for its base to `target`; what `check_side` noted."""
    with open_source(source) as film:
        times, info = [frame.pts for frame in film.frames()], film.info
    base = base_temporal_units(24)
    units = [TemporalUnit(*base[i % 24][:1], pts, 0, base[i % 24][1], (b"\0",)) for i, pts in enumerate(times)]
    container = container_of(str(target))
    side = check_side(Beside(source, **wishes), info, container, str(target))
    assert write_film(target, units, info, (64, 48), side, container) == side.notes
    return side.notes


def heard(path: Path) -> tuple[Fraction, np.ndarray[Any, Any], av.AudioFrame]:
    """When sound begins, its samples as channels x samples, and its first frame."""
    with av.open(str(path)) as film:
        frames = list(film.decode(film.streams.audio[0]))
    arrays = [
        f.to_ndarray() if f.format.is_planar else f.to_ndarray().reshape(-1, f.layout.nb_channels).T for f in frames
    ]
    return Fraction(frames[0].pts or 0) * (frames[0].time_base or 1), np.concatenate(arrays, axis=1), frames[0]


def shown(path: Path) -> list[tuple[Fraction, Fraction, bytes]]:
    """(begin, end, text) of what a track of mov_text shows."""
    with av.open(str(path)) as film:
        found = []
        for packet in film.demux(film.streams.subtitles[0]):
            data = bytes(packet)
            if len(data) > 2:
                begin = packet.pts * packet.time_base
                size = int.from_bytes(data[:2])
                found.append((begin, begin + packet.duration * packet.time_base, data[2 : 2 + size]))
        return found


def noise(path: Path, codec: str, form: str, layout: str, rate: int, gap: Fraction = Fraction(0)) -> Path:
    """A second of pictures, and a second of noise in ten frames, with a gap in its middle."""
    generator = np.random.default_rng(7)
    with av.open(str(path), "w") as output:
        video = cast(Any, output.add_stream("ffv1", rate=10))
        video.width, video.height, video.pix_fmt = 64, 48, "gray"
        sound = cast(Any, output.add_stream(codec, rate=rate, layout=layout))
        sound.format = form
        channels = av.AudioLayout(layout).nb_channels
        for i in range(10):
            output.mux(video.encode(av.VideoFrame(64, 48, "gray")))
            samples: Any = generator.integers(-9000, 9000, (channels, rate // 10)).astype(np.int16)
            if "32" in form:
                samples = samples.astype(np.int32) << 16 | 256
            packed = np.ascontiguousarray(samples.T).reshape(1, -1)
            frame = av.AudioFrame.from_ndarray(packed, format=form.rstrip("p"), layout=layout)
            frame.sample_rate, frame.time_base = rate, Fraction(1, rate)
            frame.pts = i * (rate // 10) + (int(gap * rate) if i >= 5 else 0)
            output.mux(sound.encode(frame))
        output.mux(sound.encode(None))
        output.mux(video.encode(None))
    return path


def coded(path: Path, codec: str, rate: int, samples: int, first: int = 0) -> Path:
    """Five pictures a tenth of a second apart, and noise in stereo that begins `first` samples after them."""
    generator = np.random.default_rng(7)
    with av.open(str(path), "w", options={"avoid_negative_ts": "disabled"}) as output:
        video = cast(Any, output.add_stream("ffv1" if path.suffix == ".mkv" else "mpeg4", rate=10))
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        strict = {"strict": "experimental", "aac_pns": "0"} if codec in ("opus", "vorbis", "aac") else {}
        sound = cast(Any, output.add_stream(codec, rate=rate, layout="stereo", options=strict))
        context = sound.codec_context
        packets = [
            p for i in [*range(5), None] for p in video.encode(i if i is None else av.VideoFrame(64, 48, "gray"))
        ]
        wave: Any = generator.integers(-9000, 9000, (1, 2 * samples)).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(wave, format="s16", layout="stereo")
        frame.sample_rate, frame.pts, frame.time_base = rate, 0, Fraction(1, rate)
        resampler = av.AudioResampler(context.format, "stereo", rate, context.frame_size or 1024)
        frames = [made for one in (frame, None) for made in resampler.resample(one)]
        for packet in (p for one in [*frames, None] for p in sound.encode(one)):
            packet.pts = packet.dts = packet.pts + round(Fraction(first, rate) / packet.time_base)
            packets.append(packet)
        for packet in sorted(packets, key=lambda p: p.dts * p.time_base):
            output.mux(packet)
    return path


def copied_beside(target: Path, source: Path, **wishes: Any) -> list[str]:
    """The source's other streams beside five pictures, in another container; what was noted."""
    with open_source(source) as film, av.open(str(target), "w") as output:
        video = cast(Any, output.add_stream("mpeg4", rate=10))
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        side = SideStreams(Beside(source, film.clock, **wishes), output)
        interleaver = Interleaver(output, side.packets())
        for frame in [*range(5), None]:
            interleaver.mux(video.encode(frame if frame is None else av.VideoFrame(64, 48, "gray")))
        interleaver.finish()
        side.close()
    return side.notes


# --- sound ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["mp4", "mkv"])
@pytest.mark.parametrize(
    ("form", "layout", "rate"),
    [("s16p", "stereo", 22050), ("s32p", "mono", 48000), ("s16p", "5.1(side)", 48000), ("s16p", "7.1", 44100),
     ("s16p", "4.0", 44100)],
)  # fmt: skip
def test_converted_sound_is_exact(tmp_path: Path, ending: str, form: str, layout: str, rate: int) -> None:
    source = noise(tmp_path / "in.mkv", "wavpack", form, layout, rate)
    notes = written(tmp_path / f"out.{ending}", source, audio="copy" if ending == "mp4" else "flac")
    plain = layout == "4.0" and ending == "mp4"  # FLAC would take its channels for those of "quad"
    codec = "pcm_s16le" if plain else "flac"
    assert notes == [f"the audio stream #1 (wavpack) is converted to {codec}, which is exact"]
    with av.open(str(source)) as film:  # by another way than the code's: packed samples of libav's own converter
        packer = av.AudioResampler("s16" if form == "s16p" else "s32")
        frames = [made for f in film.decode(audio=0) for made in packer.resample(f)]
    before = np.concatenate([f.to_ndarray() for f in frames], axis=1)
    begin, after, first = heard(tmp_path / f"out.{ending}")
    assert begin == 0 and first.sample_rate == rate and first.layout.name == layout
    assert np.array_equal(before, after.T.reshape(1, -1))


def joined_sound(path: Path, *parts: np.ndarray[Any, Any], rates: tuple[int, ...] = (48000,) * 3) -> Path:
    """WavPack in mono beside a second of pictures; each part, of int16 or int32, has a rate and encoder of its own."""
    with av.open(str(path), "w") as output:
        video = cast(Any, output.add_stream("ffv1", rate=10))
        video.width, video.height, video.pix_fmt = 64, 48, "gray"
        sound = cast(Any, output.add_stream("wavpack", rate=rates[0], layout="mono"))
        sound.format = f"s{8 * parts[0].itemsize}p"
        for i in [*range(10), None]:
            output.mux(video.encode(i if i is None else av.VideoFrame(64, 48, "gray")))
        begin = Fraction(0)
        for part, rate in zip(parts, rates, strict=False):
            encoder: Any = av.CodecContext.create("wavpack", "w")
            encoder.format, encoder.layout, encoder.rate = f"s{8 * part.itemsize}p", "mono", rate
            encoder.time_base = Fraction(1, rate)
            frames: list[av.AudioFrame | None] = []
            for at in range(0, part.size, 4800):
                frame = av.AudioFrame.from_ndarray(part[None, at : at + 4800], encoder.format.name, "mono")
                frame.sample_rate, frame.time_base, frame.pts = rate, Fraction(1, rate), int(begin * rate) + at
                frames.append(frame)
            for packet in [p for frame in [*frames, None] for p in encoder.encode(frame)]:
                packet.stream = sound
                output.mux(packet)
            begin += Fraction(part.size, rate)
    return path


@pytest.mark.parametrize("ending", ["mp4", "mkv"])
@pytest.mark.parametrize(("low", "bits"), [(0, 24), (1, 32)])
def test_sound_that_begins_in_silence_keeps_all_its_bits(tmp_path: Path, ending: str, low: int, bits: int) -> None:
    samples = np.zeros(120000, np.int32)
    samples[-4800:] = np.random.default_rng(7).integers(-9000, 9000, 4800) << 16 | 256
    samples[-1] |= low
    source = joined_sound(tmp_path / "in.mkv", samples)
    notes = written(tmp_path / f"out.{ending}", source, audio="flac" if ending == "mkv" else "copy")
    plain = ending == "mkv" and bits == 32
    codec = f"pcm_s{bits}le" if plain else "flac"
    assert notes == [f"the audio stream #1 (wavpack) is converted to {codec}, which is exact"]
    assert np.array_equal(heard(tmp_path / f"out.{ending}")[1][0], samples)


def test_sound_whose_samples_grow_keeps_their_bits(tmp_path: Path) -> None:
    """A joined recording: 16 bits of each sample, then 24, then 16 again."""
    generator = np.random.default_rng(7)
    short: Any = generator.integers(-9000, 9000, 9600).astype(np.int16)
    long: Any = (generator.integers(-(1 << 23), 1 << 23, 9600) << 8).astype(np.int32)
    source = joined_sound(tmp_path / "in.mkv", short, long, short)
    with av.open(str(source)) as film:
        assert [*dict.fromkeys(frame.format.name for frame in film.decode(audio=0))] == ["s16p", "s32p"]
    notes = written(tmp_path / "out.mp4", source)
    assert notes == ["the audio stream #1 (wavpack) is converted to flac, which is exact"]
    wide = short.astype(np.int32) << 16
    assert np.array_equal(heard(tmp_path / "out.mp4")[1][0], np.concatenate([wide, long, wide]))


def test_sound_that_becomes_other_sound_is_not_called_exact(tmp_path: Path) -> None:
    samples: Any = np.random.default_rng(7).integers(-9000, 9000, 9600).astype(np.int16)
    source = joined_sound(tmp_path / "in.mkv", samples, samples[:4800], rates=(48000, 24000))
    assert written(tmp_path / "out.mp4", source) == [
        "the audio stream #1 (wavpack) is converted to flac of 16 bits, to which its samples are rounded",
        "the audio stream #1 (wavpack) becomes other sound at 0.200 s; it is resampled to what it was",
    ]
    after = heard(tmp_path / "out.mp4")[1][0]
    assert np.array_equal(after[:9600], samples) and after.size == 19200


def test_fractions_become_24_bits_and_a_note_says_so(make_film: Make, tmp_path: Path) -> None:
    source = make_film("in.mkv", sound="pcm_f32le")
    notes = written(tmp_path / "out.mkv", source, audio="flac")
    assert notes == [
        "the audio stream #1 (pcm_f32le) is converted to flac of 24 bits, to which its samples are rounded"
    ]
    before, after = heard(source)[1], heard(tmp_path / "out.mkv")[1]
    assert np.abs(before - after / 2.0**31).max() <= 2.0**-24


def test_gaps_in_sound_stay(tmp_path: Path) -> None:
    """Up to a packet's end there is silence, and then nothing: what comes after it has its own time."""
    source = noise(tmp_path / "in.mkv", "pcm_s16le", "s16", "mono", 48000, Fraction(2))
    written(tmp_path / "out.mp4", source, audio="flac")
    before, after = heard(source)[1][0], heard(tmp_path / "out.mp4")[1][0]
    with av.open(str(tmp_path / "out.mp4")) as film:
        times = [packet.pts for packet in film.demux(audio=0) if packet.size]
    assert np.array_equal(after[:24000], before[:24000])
    size = 4608
    assert times[:7] == [i * size for i in range(6)] + [24000 + 96000]
    assert not after[24000 : 6 * size].any()
    assert np.array_equal(after[6 * size :], before[24000:])


@pytest.mark.parametrize(("ending", "audio"), [("mp4", "copy"), ("mov", "copy"), ("mov", "flac")])
def test_gaps_between_plain_samples_are_filled_with_silence(tmp_path: Path, ending: str, audio: str) -> None:
    """MP4 and QuickTime put plain samples one behind the other, so what comes after a gap would come early. "flac"
    becomes plain samples in QuickTime."""
    source = noise(tmp_path / "in.mkv", "pcm_s16le", "s16", "mono", 48000, Fraction(2))
    copied_beside(tmp_path / f"out.{ending}", source, audio=audio)
    before, (begin, after, _) = heard(source)[1][0], heard(tmp_path / f"out.{ending}")
    assert begin == 0 and after.shape == (1, 48000 + 96000)
    assert np.array_equal(after[0, :24000], before[:24000])
    assert not after[0, 24000:120000].any()
    assert np.array_equal(after[0, 120000:], before[24000:])


@pytest.mark.parametrize(
    ("codec", "rate", "audible"),
    # samples that ffmpeg 5.1 decodes of such a file (ffmpeg -i in.mkv -f s16le -)
    [("opus", 48000, 20000), ("alac", 44100, 20000), ("flac", 44100, 20000), ("vorbis", 44100, 20032)],
)
def test_the_end_of_sound_is_trimmed_once(tmp_path: Path, codec: str, rate: int, audible: int) -> None:
    """Demuxers may take what is trimmed off the last packet's duration, or give none at all."""
    source = coded(tmp_path / "in.mkv", codec, rate, audible)
    copied_beside(tmp_path / "out.mp4", source)
    with av.open(str(tmp_path / "out.mp4")) as film:
        packets = [p for p in film.demux(audio=0) if p.size]
    with av.open(str(source)) as film:
        count = len([p for p in film.demux(audio=0) if p.size])
    assert len(packets) == count
    assert packets[-1].pts + packets[-1].duration == audible and packets[0].time_base == Fraction(1, rate)
    steps = {b.pts - a.pts for a, b in pairwise(packets[1:])}
    assert len(steps) <= 1  # no jitter of milliseconds


@pytest.mark.parametrize("codec", ["pcm_s16le", "aac"])
def test_sound_that_an_edit_list_hides_is_not_heard_in_matroska(tmp_path: Path, codec: str) -> None:
    source = coded(tmp_path / "in.mov", codec, 48000, 20000, first=-9600)
    notes = copied_beside(tmp_path / "out.mkv", source)
    begin, samples, _ = heard(source)
    with av.open(str(tmp_path / "out.mkv")) as film:
        picture = min(p.pts * p.time_base for p in film.demux(video=0) if p.size)
    late, after, _ = heard(tmp_path / "out.mkv")
    held = after.shape[1] - samples.shape[1]  # what the decoder needs before
    assert begin == 0 and 0 <= held <= (0 if codec == "pcm_s16le" else 2048)
    assert np.array_equal(after[:, held:], samples)
    assert abs(late + Fraction(held, 48000) - picture) <= Fraction(1, 1000)
    assert len(notes) == 1 and "which the source holds but hides, are left out" in notes[0]


def test_opus_keeps_channels_and_length(tmp_path: Path) -> None:
    source = noise(tmp_path / "in.mkv", "wavpack", "s16p", "5.1(side)", 44100)
    notes = written(tmp_path / "out.webm", source, audio="opus")
    assert notes == ["the audio stream #1 (wavpack) is encoded anew with libopus"]
    begin, samples, first = heard(tmp_path / "out.webm")
    assert (begin, samples.shape, first.layout.name) == (0, (6, 48000), "5.1")


def test_sound_and_subtitles_are_left_out_where_that_is_asked(make_film: Make, tmp_path: Path) -> None:
    source = make_film("in.mkv", sound="aac", subtitles=[(0, 300, "line")])
    notes = written(tmp_path / "out.mp4", source, audio="none", subtitles="none")
    assert notes == ["sound is left out, as asked", "subtitles are left out, as asked"]
    with av.open(str(tmp_path / "out.mp4")) as film:
        assert [stream.type for stream in film.streams] == ["video"]


def test_other_tracks_are_part_of_what_is_resumed_only_where_they_take_part_of_a_size() -> None:
    assert Settings(audio="flac", subtitles="none").key() == Settings().key()
    assert Settings(target_size=1, audio="flac").key() != Settings(target_size=1).key()


# --- subtitles --------------------------------------------------------------------------------------------------------


def test_lines_that_overlap_a_little_begin_when_they_have_to(make_film: Make, tmp_path: Path) -> None:
    """As ffmpeg -c:s mov_text writes them: each ends where the next begins."""
    lines = [(1000 + 2000 * i, 3400 + 2000 * i, f"line {i}") for i in range(9)]
    source = make_film("in.mkv", sound="aac", times=list(range(40)), subtitles=lines)
    written(tmp_path / "out.mp4", source)
    got = shown(tmp_path / "out.mp4")
    assert [(float(a), float(b)) for a, b, _ in got] == [(1 + 2 * i, 3 + 2 * i) for i in range(8)] + [(17, 19.4)]
    assert [text for *_, text in got] == [f"line {i}".encode() for i in range(9)]


def test_lines_shown_together_are_joined(make_film: Make, tmp_path: Path) -> None:
    lines = [(100, 5000, "song"), (1000, 2000, "one"), (1000, 3000, "two"), (6000, 0, "open")]
    lines[3] = (6000, 6000, "open")  # does not say how long
    source = make_film("in.mkv", sound="aac", subtitles=lines)
    notes = written(tmp_path / "out.mp4", source)
    assert "lines of the subtitle stream #2 (subrip) that are shown at the same time are joined" in notes
    assert [(float(a), float(b), text.decode()) for a, b, text in shown(tmp_path / "out.mp4")] == [
        (0.1, 1, "song"),
        (1, 2, "song\none\ntwo"),
        (2, 3, "song\ntwo"),
        (3, 5, "song"),
        (6, 11, "open"),
    ]


def test_a_hundred_lines_at_once(make_film: Make, tmp_path: Path) -> None:
    source = make_film("in.mkv", subtitles=[(500, 1500, f"line {i}") for i in range(100)])
    written(tmp_path / "out.mp4", source)
    ((begin, end, text),) = shown(tmp_path / "out.mp4")
    assert (begin, end, len(text.split(b"\n"))) == (Fraction(1, 2), Fraction(3, 2), 100)


def test_lines_an_hour_apart(make_film: Make, tmp_path: Path) -> None:
    """More ticks than an MP4 can count from one sample to the next."""
    source = make_film("in.mkv", subtitles=[(0, 1000, "first"), (3_600_000, 3_601_000, "last")])
    written(tmp_path / "out.mp4", source)
    assert [(a, b) for a, b, _ in shown(tmp_path / "out.mp4")] == [(0, 1), (3600, 3601)]


# --- the film's own clock ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["mp4", "mkv"])
def test_tracks_are_moved_to_the_films_clock_and_end_with_it(make_film: Make, tmp_path: Path, ending: str) -> None:
    lines = [(0, 300, "over"), (500, 1500, "begins before"), (1600, 1900, "within"), (1900, 9000, "ends behind")]
    source = make_film("in.mkv", sound="pcm_s16le", sound_rate=48000, times=list(range(96)), subtitles=lines)
    written(tmp_path / f"out.{ending}", source, clock=FileClock(Fraction(1)), until=Fraction(2))
    with av.open(str(tmp_path / f"out.{ending}")) as film:
        sound = [packet.pts * packet.time_base for packet in film.demux(audio=0) if packet.size]
    with av.open(str(tmp_path / f"out.{ending}")) as film:
        texts = [packet for packet in film.demux(film.streams.subtitles[0]) if packet.size > 2]
        times = [(float(p.pts * p.time_base), float(p.duration * p.time_base)) for p in texts]
    begin = 1 if ending == "mkv" else 0  # Matroska has no times before 0, so that libav moves all
    assert sound[0] == begin - 1 and begin + 1.9 < sound[-1] < begin + 2
    assert times == [(begin, 0.5), (begin + 0.6, 0.3), (begin + 0.9, 1.1)]
