"""The .nvc file: nothing of the base, the payloads, the times, the sound or the tags changes on the way."""

from __future__ import annotations

import io
import struct
import subprocess
from dataclasses import replace
from fractions import Fraction

import av
import numpy as np
import pytest

from codec.errors import FormatError, InputError, OutputError
from codec.film.containers import container_of
from codec.film.reader import FilmReader
from codec.film.writer import write_film
from codec.frames import Colour, PlaneFormat, VideoInfo
from codec.media.beside import Beside
from codec.media.demuxed import open_source
from codec.media.libav import planes_from_av
from codec.wire.obu import TemporalUnit
from tests.makers import base_temporal_units, with_cover

INFO = VideoInfo(64, 48, PlaneFormat("420", 8), Fraction(1001, 24000), Fraction(24000, 1001))


def units_of(times, durations=None, sizes=(5, 0)):
    base = base_temporal_units(24)
    durations = durations or [0] * len(times)
    return [
        TemporalUnit(*base[i][:1], pts, duration, base[i][1], tuple(bytes([i]) * (n + i) for n in sizes))
        for i, (pts, duration) in enumerate(zip(times, durations, strict=True))
    ]


def film_of(path, source, **changes):
    """Write `source`'s film with a stand-in for its base; (units written, info, notes)."""
    with open_source(source) as film:
        frames = [(f.pts, f.duration) for f in film.frames()]
        info = replace(film.info, **changes)
    units = units_of(*zip(*frames, strict=True))
    return units, info, write_film(path, units, info, (64, 48), Beside(source))


def assert_same_units(reader, units, info, tolerance=Fraction(0)):
    read = list(reader.units())
    assert len(read) == len(units)
    # ffmpeg moves a film that begins before zero as a whole
    moved = read[0].pts * reader.info.time_base - units[0].pts * info.time_base if tolerance else 0
    for got, unit in zip(read, units, strict=True):
        assert (got.data, got.payloads, got.keyframe) == (unit.data, unit.payloads, unit.keyframe)
        assert abs(got.pts * reader.info.time_base - unit.pts * info.time_base - moved) <= tolerance


def packets(path, kind):
    with av.open(str(path)) as film:
        streams = [s for s in film.streams if s.type == kind]
        return [
            (bytes(p), p.pts * p.time_base, p.duration * p.time_base)
            for p in (film.demux(streams) if streams else ())
            if p.size and p.pts is not None
        ]


def samples(path):
    """(time of the first sample, all samples) of the sound."""
    with av.open(str(path)) as film:
        frames = list(film.decode(film.streams.audio[0]))
        return frames[0].pts * frames[0].time_base, np.concatenate([f.to_ndarray() for f in frames], axis=1)


@pytest.mark.parametrize("time_base", [Fraction(1001, 24000), Fraction(1, 24000), Fraction(1, 90000), Fraction(1, 25)])
@pytest.mark.parametrize("start", [0, 7])
def test_times_and_payloads(tmp_path, time_base, start):
    info = replace(INFO, time_base=time_base)
    units = units_of([start + i for i in range(10)], [1] * 10)
    path = tmp_path / "a.nvc"
    assert write_film(path, units, info, (64, 48)) == []
    reader = FilmReader(path)
    assert_same_units(reader, units, info)
    assert (reader.info.width, reader.info.height) == (64, 48)
    assert reader.info.format == PlaneFormat("420", 10)
    assert reader.info.frames == 10


def test_variable_frame_rate(tmp_path):
    info = replace(INFO, time_base=Fraction(1, 600))
    units = units_of([3, 10, 11, 40, 41, 900], [7, 1, 29, 1, 859, 12])
    write_film(tmp_path / "a.nvc", units, info, (64, 48))
    reader = FilmReader(tmp_path / "a.nvc")
    assert_same_units(reader, units, info)
    durations = [unit.duration * reader.info.time_base for unit in reader.units()]
    assert durations == [Fraction(unit.duration, 600) for unit in units]


def test_large_payloads_are_stored_once(tmp_path):
    units = units_of([0, 1, 2], sizes=(2_000_000,))
    path = tmp_path / "a.nvc"
    write_film(path, units, INFO, (64, 48))
    sizes = FilmReader(path).sizes()
    assert sizes["container"] < 900
    assert sizes["base"] == sum(len(u.data) for u in units)
    assert sum(len(p) for u in units for p in u.payloads) < sizes["payload"] < 6_000_100
    assert sum(n for kind, n in sizes.items() if kind != "file") == sizes["file"] == path.stat().st_size


def test_picture_properties(tmp_path):
    matrix = (0, 1 << 16, 0, -(1 << 16), 0, 0, 0, 0, 1 << 30)
    info = replace(INFO, sar=Fraction(16, 11), colour=Colour(9, 16, 9, 1), display_matrix=matrix)
    path = tmp_path / "a.nvc"
    write_film(path, units_of([0, 1, 2]), info, (64, 48))
    got = FilmReader(path).info
    assert (got.sar, got.display_matrix) == (info.sar, matrix)
    with av.open(str(path)) as film:
        context = film.streams.video[0].codec_context
        colour = (context.color_primaries, context.color_trc, context.colorspace, context.color_range)
    assert colour == (9, 16, 9, 1)


def test_hdr_boxes(tmp_path):
    primaries = [(34000, 50000), (16000, 50000), (13250, 50000), (34500, 50000), (7500, 50000), (3000, 50000)]
    rest = [(15635, 50000), (16450, 50000), (1, 10000), (1000, 1)]
    mastering = struct.pack("=20i2i", *(n for pair in primaries + rest for n in pair), 1, 1)
    data = {"mastering": mastering, "content_light": struct.pack("=2I", 1000, 400)}
    path = tmp_path / "a.nvc"
    write_film(path, units_of([0, 1, 2]), replace(INFO, side_data=data), (64, 48))
    got = FilmReader(path).info.side_data
    assert got["content_light"] == data["content_light"]
    old, new = (struct.unpack("=20i2i", d) for d in (mastering, got["mastering"]))
    values = [[Fraction(*s[i : i + 2]) for i in range(0, 20, 2)] for s in (old, new)]
    assert values[0] == values[1] and old[20:] == new[20:]


@pytest.mark.parametrize("ending", ["mkv", "webm"])
def test_matroska_holds_what_mp4_does(tmp_path, ending):
    """Times within a millisecond, and no two alike."""
    matrix = (0, 1 << 16, 0, -(1 << 16), 0, 0, 0, 0, 1 << 30)
    primaries = [(34000, 50000), (16000, 50000), (13250, 50000), (34500, 50000), (7500, 50000), (3000, 50000)]
    rest = [(15635, 50000), (16450, 50000), (1, 10000), (1000, 1)]
    mastering = struct.pack("=20i2i", *(n for pair in primaries + rest for n in pair), 1, 1)
    light = struct.pack("=2I", 1000, 400)
    info = replace(
        INFO, time_base=Fraction(1, 24000), sar=Fraction(16, 11), colour=Colour(9, 16, 9, 1), display_matrix=matrix,
        side_data={"mastering": mastering, "content_light": light},
    )  # fmt: skip
    units = units_of([0, 1001, 2002, 2010, 2015, 9000, 9001], [1001, 1001, 8, 5, 6985, 1, 240])
    path = tmp_path / f"a.{ending}"
    nearest = ["webm does not hold the aspect ratio 16/11 of samples; the nearest is 93/64"]  # it has whole pixels
    notes = write_film(path, units, info, (64, 48), container=container_of(str(path)))
    assert notes == (nearest if ending == "webm" else [])
    reader = FilmReader(path)
    read = list(reader.units())
    assert [(u.data, u.payloads, u.keyframe) for u in read] == [(u.data, u.payloads, u.keyframe) for u in units]
    assert [u.pts for u in read] == [0, 42, 83, 84, 85, 375, 376]
    assert reader.info.time_base == Fraction(1, 1000) and read[-1].duration == 9
    got = reader.info
    assert (got.colour, got.display_matrix, got.side_data["content_light"]) == (info.colour, matrix, light)
    assert abs(got.sar - info.sar) < Fraction(1, 400 if ending == "mkv" else 64) and got.sar != 1
    old, new = (struct.unpack("=20i2i", d) for d in (mastering, got.side_data["mastering"]))
    values = [[Fraction(*s[i : i + 2]) for i in range(0, 20, 2)] for s in (old, new)]
    assert values[0] == values[1] and old[20:] == new[20:]


def test_index_comes_first_and_bytes_repeat(tmp_path):
    films = []
    for name in ("a.nvc", "b.nvc"):
        write_film(tmp_path / name, units_of(list(range(10))), INFO, (64, 48))
        films.append((tmp_path / name).read_bytes())
    assert films[0] == films[1]
    assert films[0].find(b"moov") < films[0].find(b"mdat")


def test_ordinary_players_see_the_base(tmp_path):
    units = units_of(list(range(10)))
    write_film(tmp_path / "a.nvc", units, INFO, (64, 48))
    plain = io.BytesIO()
    with av.open(plain, "w", format="mp4") as output:
        stream = output.add_mux_stream("av1", rate=25, width=64, height=48, time_base=Fraction(1, 25))
        for i, unit in enumerate(units):
            packet = av.Packet(unit.data)
            packet.pts, packet.dts, packet.time_base, packet.stream = i, i, Fraction(1, 25), stream
            packet.is_keyframe = unit.keyframe
            output.mux(packet)
    with av.open(str(tmp_path / "a.nvc")) as ours, av.open(io.BytesIO(plain.getvalue()), "r") as theirs:
        pairs = list(zip(ours.decode(video=0), theirs.decode(video=0), strict=True))
    assert len(pairs) == 10
    fmt = PlaneFormat("420", 10)
    assert all(np.array_equal(planes_from_av(a, fmt)[i], planes_from_av(b, fmt)[i]) for a, b in pairs for i in range(3))


@pytest.mark.parametrize(
    ("name", "sound", "rate"),
    [
        ("a.mp4", "aac", 44100),
        ("a.mp4", "aac", 48000),
        ("a.mp4", "libopus", 48000),
        ("a.mov", "pcm_s16le", 44100),
        ("a.mp4", "flac", 48000),
        ("a.mp4", "alac", 44100),
        ("a.mkv", "libopus", 48000),
        ("a.mkv", "libmp3lame", 44100),
        ("a.mkv", "flac", 44100),
        ("a.ts", "ac3", 48000),
    ],
)
def test_sound_is_the_same(tmp_path, make_film, name, sound, rate):
    source = make_film(name, sound=sound, sound_rate=rate)
    path = tmp_path / "a.nvc"
    units, info, notes = film_of(path, source)
    assert notes == []
    assert_same_units(FilmReader(path), units, info)
    before, after = packets(source, "audio"), packets(path, "audio")
    assert [p[0] for p in before] == [p[0] for p in after]
    tolerance = Fraction(0) if name.endswith(("mp4", "mov")) else Fraction(1, 1000)
    assert all(abs(a[1] - b[1]) <= tolerance for a, b in zip(before, after, strict=True))
    (at, wave), (at_now, wave_now) = samples(source), samples(path)
    assert abs(at - at_now) <= tolerance
    # libav's MP4 reader does not drop the padding at the end of the sound, Matroska's does
    assert wave.shape[1] <= wave_now.shape[1] < wave.shape[1] + 2048
    assert np.array_equal(wave, wave_now[:, : wave.shape[1]])


def test_late_and_early_streams_keep_their_distance(tmp_path, make_film):
    source = make_film("a.mp4", sound="aac", times=list(range(9, 21)))
    path = tmp_path / "a.nvc"
    units, info, _ = film_of(path, source)
    assert units[0].pts * info.time_base > Fraction(1, 3)
    assert_same_units(FilmReader(path), units, info)
    assert packets(source, "audio") == packets(path, "audio")
    assert packets(path, "audio")[0][1] == Fraction(-1024, 44100)


def test_mpegts_aac(tmp_path, make_film):
    """ADTS headers go, as MP4 asks; what is heard stays."""
    source = make_film("a.ts", sound="aac")
    _, _, notes = film_of(tmp_path / "a.nvc", source)
    assert notes == []
    assert np.array_equal(samples(source)[1], samples(tmp_path / "a.nvc")[1])


def test_subtitles_become_mov_text(tmp_path, make_film):
    lines = [(100, 300, "<i>Hello</i> world"), (350, 450, "zweite\nZeile äö")]
    source = make_film("a.mkv", subtitles=lines, sound="aac")
    path = tmp_path / "a.nvc"
    notes = film_of(path, source)[2]
    assert len(notes) == 1 and "mov_text" in notes[0] and "#2" in notes[0]
    shown = [p for p in packets(path, "subtitle") if len(p[0]) > 2]
    texts = [p[0][2 : 2 + int.from_bytes(p[0][:2])].decode() for p in shown]
    assert texts == ["Hello world", "zweite\nZeile äö"]
    assert [p[1:] for p in shown] == [(Fraction(1, 10), Fraction(1, 5)), (Fraction(7, 20), Fraction(1, 10))]
    again = tmp_path / "b.nvc"
    assert film_of(again, path)[2] == []
    assert packets(again, "subtitle") == packets(path, "subtitle")


def test_tags_chapters_and_dispositions(tmp_path, make_film):
    chapters = [
        {"id": i, "start": a, "end": b, "time_base": Fraction(1, 1000), "metadata": {"title": title}}
        for i, (a, b, title) in enumerate([(0, 200, "one"), (200, 500, "zwei ä")])
    ]

    def adjust(output, video):
        output.metadata.update(title="A film", artist="me", unheard_of="x")
        output.set_chapters(chapters)
        video.metadata["language"] = "fra"
        voice = output.streams.audio[0]
        voice.metadata.update(language="deu", title="Kommentar")
        voice.disposition = av.stream.Disposition.comment

    source = make_film("a.mkv", sound="aac", adjust=adjust)
    path = tmp_path / "a.nvc"
    notes = film_of(path, source)[2]
    assert len(notes) == 1 and "unheard_of" in notes[0].lower()
    with av.open(str(path)) as film:
        assert film.metadata["title"] == "A film" and film.metadata["artist"] == "me"
        got = [(c["start"] * c["time_base"], c["end"] * c["time_base"], c["metadata"]) for c in film.chapters()]
        assert got == [(Fraction(c["start"], 1000), Fraction(c["end"], 1000), c["metadata"]) for c in chapters]
        assert film.streams.video[0].language == "fra"
        voice = film.streams.audio[0]
        assert (voice.language, voice.metadata["handler_name"]) == ("deu", "Kommentar")
        assert voice.disposition & av.stream.Disposition.comment


@pytest.mark.parametrize("ending", ["mp4", "mkv"])
def test_chapters_begin_late_and_leave_gaps(tmp_path, make_film, ending):
    """MP4 has a track of titles without gaps, so what is between gets no title; who copies it back sees no such. The
    track begins with the sound, 1024 samples of which precede the pictures, and Matroska has no time before 0."""
    spans = [(100, 200, "one"), (300, 400, "two")]
    chapters = [
        {"id": i, "start": a, "end": b, "time_base": Fraction(1, 1000), "metadata": {"title": title}}
        for i, (a, b, title) in enumerate(spans, 1)
    ]
    source = make_film("a.mkv", sound="aac", adjust=lambda output, video: output.set_chapters(chapters))
    path, back = tmp_path / f"b.{ending}", tmp_path / "c.mkv"
    for old, new in ((source, path), (path, back)):
        with open_source(old) as film:
            info, units, beside = film.info, units_of([f.pts for f in film.frames()]), Beside(old, film.clock)
        notes = write_film(new, units, info, (64, 48), beside, container_of(str(new)))
        assert not any("chapters" in note for note in notes)
    assert chapters_behind_the_first_picture(path) == chapters_behind_the_first_picture(back)
    assert chapters_behind_the_first_picture(back) == chapters_behind_the_first_picture(source)
    with av.open(str(path)) as film:
        titles = [c["metadata"]["title"] for c in film.chapters()]
        assert titles == (["", "one", "", "two"] if ending == "mp4" else ["one", "two"])


def chapters_behind_the_first_picture(path):
    """Milliseconds and titles of those that have one."""
    with av.open(str(path)) as film:
        first = film.streams.video[0].start_time * film.streams.video[0].time_base
        found = [(c["start"] * c["time_base"] - first, c["metadata"]["title"]) for c in film.chapters()]
        return [(round(time * 1000), title) for time, title in found if title]


def test_cover_is_kept(tmp_path, make_film):
    source = tmp_path / "cover.mp4"
    picture = with_cover(make_film("a.mp4", sound="aac"), source)
    path = tmp_path / "a.nvc"
    assert film_of(path, source)[2] == []
    with av.open(str(path)) as film:
        covers = [s for s in film.streams.video if s.disposition & av.stream.Disposition.attached_pic]
        assert [bytes(p) for p in film.demux(covers) if p.size] == [picture]


@pytest.mark.parametrize(
    ("start", "first"), [(None, 0), (0, 0), (7, 0), (8, 8), (15, 8), (16, 16), (23, 16), (1000, 16)]
)
@pytest.mark.parametrize("offset", [0, 30])
def test_seeking_goes_to_the_keyframe_before(tmp_path, start, first, offset):
    units = units_of([i + offset for i in range(24)])
    write_film(tmp_path / "a.nvc", units, INFO, (64, 48))
    at = None if start is None else (start + offset) * INFO.time_base
    read = list(FilmReader(tmp_path / "a.nvc").units(at))
    assert [u.data for u in read] == [u.data for u in units[first:]]


def test_seeking_before_the_first_picture(tmp_path):
    write_film(tmp_path / "a.nvc", units_of([30 + i for i in range(10)]), INFO, (64, 48))
    assert len(list(FilmReader(tmp_path / "a.nvc").units(Fraction(0)))) == 10


@pytest.mark.parametrize("ending", ["mkv", "webm", "mp4"])
def test_remuxing_keeps_everything(tmp_path, make_film, ffmpeg, ending):
    source = make_film("s.mkv", sound="libopus", sound_rate=48000)
    path = tmp_path / "a.nvc"
    units, info, _ = film_of(path, source, sar=Fraction(4, 3))
    there, back = tmp_path / f"there.{ending}", tmp_path / "back.mp4"
    for old, new in ((path, there), (there, back)):
        subprocess.run([ffmpeg, "-v", "error", "-i", old, "-map", "0", "-c", "copy", new], check=True)
        reader = FilmReader(new)
        assert_same_units(reader, units, info, Fraction(1, 500))
        assert abs(reader.info.sar - Fraction(4, 3)) < Fraction(1, 64)  # WebM rounds to whole pixels
        half = list(reader.units(units[12 // 2].pts * info.time_base))
        assert half[0].data == units[0].data
    assert [p[0] for p in packets(back, "audio")] == [p[0] for p in packets(source, "audio")]


def test_not_nvc(tmp_path, make_film):
    text = tmp_path / "a.nvc"
    text.write_bytes(b"no film " * 99)
    with pytest.raises(FormatError, match=r"a\.nvc"):
        FilmReader(text)
    with pytest.raises(FormatError, match="h264"):
        FilmReader(make_film("a.mp4"))
    with pytest.raises(InputError, match="absent"):
        FilmReader(tmp_path / "absent.nvc")


def test_damage(tmp_path):
    """Whatever is damaged, reading ends with FormatError or gives units; nothing else is raised."""
    path, broken = tmp_path / "a.nvc", tmp_path / "b.nvc"
    write_film(path, units_of(list(range(16))), INFO, (64, 48))
    data = path.read_bytes()
    rng = np.random.default_rng(3)
    failures = 0
    for trial in range(60):
        changed = bytearray(data)
        for at in rng.integers(0, len(data), 1 + trial % 8):
            changed[at] ^= 1 << int(rng.integers(8))
        broken.write_bytes(changed[: int(rng.integers(len(data) // 2, len(data))) if trial % 3 == 0 else None])
        try:
            reader = FilmReader(broken)
            list(reader.units())
            list(reader.units(Fraction(1, 2)))
            reader.sizes()
        except FormatError as error:
            assert "b.nvc" in str(error)
            failures += 1
    assert failures > 10


def test_broken_units(tmp_path):
    path = tmp_path / "a.nvc"
    good = units_of([0, 1, 2])
    with pytest.raises(FormatError, match="no pictures"):
        write_film(path, [], INFO, (64, 48))
    with pytest.raises(FormatError, match="increase"):
        write_film(path, [good[0], replace(good[1], pts=0)], INFO, (64, 48))
    with pytest.raises(FormatError):
        write_film(path, [replace(good[0], data=b"\xff\xff")], INFO, (64, 48))
    with pytest.raises(OutputError, match="nowhere"):
        write_film(tmp_path / "nowhere" / "a.nvc", good, INFO, (64, 48))
    with pytest.raises(InputError):
        write_film(path, good, INFO, (64, 48), Beside(tmp_path / "absent.mkv"))


def test_errors_of_the_units_maker_pass(tmp_path):
    def units():
        yield from units_of([0, 1])
        raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        write_film(tmp_path / "a.nvc", units(), INFO, (64, 48))


def test_chapters_survive_a_second_time(tmp_path, make_film):
    def adjust(output, video):
        output.set_chapters(
            [{"id": 1, "start": 0, "end": 400, "time_base": Fraction(1, 1000), "metadata": {"title": "x"}}]
        )

    first, second = tmp_path / "a.nvc", tmp_path / "b.nvc"
    film_of(first, make_film("a.mkv", sound="aac", adjust=adjust))
    assert film_of(second, first)[2] == []
    with av.open(str(second)) as film:
        assert [c["metadata"]["title"] for c in film.chapters()] == ["x"]
