"""What lies beside the pictures: tried before the film is encoded, summed in it, checked by `codec verify`; and that
the source stays one film from the first picture to the last packet of sound."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest

import codec
from codec.cli.tables import film_table
from codec.errors import FormatError, InputError, SourceChanged, UsageError
from codec.events import Event
from codec.film.info import describe
from codec.film.reader import FilmReader
from codec.film.tracks import compared
from codec.film.writer import write_film
from codec.frames import Frame
from codec.media.beside import Beside
from codec.media.demuxed import Demuxed, open_source
from codec.media.sound import Sound
from codec.settings import Settings
from codec.wire.fields import TRACKS, kind_of
from codec.wire.tracks import Track, read_tracks
from tests.makers import GOLDEN, Run, remuxed, same_planes, shell, with_cover

WISHES = Settings(preset="fast", head=False, crf=50, scale=Fraction(1), device="cpu")
Make = Callable[..., Path]

pytestmark = pytest.mark.usefixtures("quick")


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]) -> Run:
    return shell(monkeypatch, capfdbinary)


def states(path: Path) -> list[tuple[str, str]]:
    """(kind, state) of the tracks beside the pictures."""
    return [(track.kind, track.state) for track in codec.verify(path, device="cpu").tracks]


# --- before the first segment -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["in.mkv", "in.avi"])
def test_sound_whose_channels_have_no_places_gets_the_usual_ones(name: str, make_film: Make, tmp_path: Path) -> None:
    def stereo(output: Any, video: Any) -> None:
        output.streams.audio[0].layout = "stereo"

    source = make_film(name, sound="pcm_s16le", sound_rate=48000, adjust=stereo)
    with av.open(str(source)) as film:
        assert film.streams.audio[0].layout.name == "2 channels", "libav's readers do not tell where they are"
    codec.encode(source, tmp_path / "out.nvc", WISHES)
    with av.open(str(tmp_path / "out.nvc")) as film:
        assert film.streams.audio[0].layout.name == "stereo"
    assert states(tmp_path / "out.nvc") == [("audio", "right")]


def whole(output: Any, video: Any) -> None:
    """Samples of 16 bits, which libav's encoder takes only if it is told to."""
    output.streams.audio[0].format = "s16p"


def test_sound_that_the_muxer_refuses_is_converted(
    make_film: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stereo(output: Any, video: Any) -> None:
        output.streams.audio[0].layout = "stereo"

    monkeypatch.setattr("codec.media.routes.LAYOUTS", {})
    source = make_film("in.mkv", sound="pcm_s16le", adjust=stereo, subtitles=[(0, 300, "line")])
    result = codec.encode(source, tmp_path / "out.nvc", WISHES)
    assert "the audio stream #1 (pcm_s16le) is converted to flac, which is exact" in result.notes
    assert states(tmp_path / "out.nvc") == [("audio", "right"), ("subtitle", "right")]


def test_sound_that_cannot_be_written_is_named_before_anything_is_encoded(
    make_film: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def astray(route: Sound, packet: av.Packet | None) -> list[av.Packet]:
        made = av.Packet(b"no sound")
        made.pts = made.dts = 1 if packet is None else 1 << 60
        made.time_base, made.stream = Fraction(1, 44100), route.stream
        return [made]

    monkeypatch.setattr("codec.media.sound.Sound.feed", astray)
    source = make_film("in.mkv", sound="wavpack", subtitles=[(0, 300, "line")], adjust=whole)
    events: list[Event] = []
    wrong = r"in\.mkv: the audio stream #1 \(wavpack\) cannot be written to mp4: .*; --audio none leaves out all sound"
    with pytest.raises(InputError, match=wrong) as error:
        codec.encode(source, tmp_path / "out.nvc", WISHES, listen=events.append)
    assert "--resume" not in str(error.value)
    assert {event.kind for event in events} <= {"source", "note"}
    assert os.listdir(tmp_path) == ["in.mkv"]


def test_what_is_lost_is_told_before_anything_is_encoded(make_film: Make, tmp_path: Path) -> None:
    source = make_film("in.mkv", sound="wavpack", subtitles=[(0, 300, "line")], adjust=whole)
    events: list[Event] = []
    result = codec.encode(source, tmp_path / "out.nvc", WISHES, listen=events.append)
    kinds = [event.kind for event in events]
    assert kinds[:3] == ["source", "note", "note"] and "note" not in kinds[3:]
    assert result.notes[0] == "the audio stream #1 (wavpack) is converted to flac, which is exact"
    assert "converted to mov_text" in result.notes[1] and len(result.notes) == 2


def jolted(film: Path, target: Path, block: int, by: int) -> Path:
    """A Matroska film of one cluster, in which the given block of track 2 is said to come `by` milliseconds earlier."""
    data = bytearray(film.read_bytes())
    at, found = data.index(b"\x1f\x43\xb6\x75"), 0
    while True:
        at = data.index(b"\xa3", at + 1)  # SimpleBlock: size, track, time within the cluster
        length = 9 - data[at + 1].bit_length()
        if data[at + 1 + length] == 0x82:
            found += 1
            if found == block:
                place = at + 2 + length
                time = int.from_bytes(data[place : place + 2], signed=True)
                data[place : place + 2] = (time - by).to_bytes(2, signed=True)
                target.write_bytes(data)
                return target


@pytest.mark.parametrize("ending", ["nvc", "mkv"])
def test_sound_whose_times_step_back_goes_on_with_a_note(ending: str, make_film: Make, tmp_path: Path) -> None:
    film = make_film("film.mkv", sound="flac", sound_rate=48000)
    source = jolted(film, tmp_path / "in.mkv", 4, 200)
    with av.open(str(source)) as read:
        times = [packet.dts for packet in read.demux(audio=0) if packet.size]
    assert times != sorted(times)
    result = codec.encode(source, tmp_path / f"out.{ending}", WISHES)
    assert len(result.notes) == 1
    assert "audio stream #1 (flac) step back at 0.0" in result.notes[0]
    assert states(tmp_path / f"out.{ending}") == [("audio", "right")]


def test_streams_without_packets_are_left_out(make_film: Make, tmp_path: Path) -> None:
    """MP4 has no tracks without samples, so those behind them are known by another number."""

    def empty(output: Any, video: Any) -> None:
        output.add_stream("aac", rate=48000)

    source = make_film("in.mkv", sound="aac", adjust=empty)
    result = codec.encode(source, tmp_path / "out.nvc", WISHES)
    assert [note for note in result.notes if "empty" in note]
    assert states(tmp_path / "out.nvc") == [("audio", "right")]


# --- one film from beginning to end -----------------------------------------------------------------------------------


def when_a_segment_is_done(act: Callable[[], object]) -> Callable[[Event], None]:
    def listen(event: Event) -> None:
        if event.kind == "segment":
            act()

    return listen


def test_a_source_that_is_replaced_meanwhile_is_refused(make_film: Make, tmp_path: Path) -> None:
    other = make_film("other.mp4", sound="aac", sound_rate=48000, times=list(range(30)))
    source = make_film("in.mp4", sound="aac")
    with pytest.raises(SourceChanged, match=r"in\.mp4 was changed or replaced.*again what it was"):
        codec.encode(
            source, tmp_path / "out.nvc", WISHES, listen=when_a_segment_is_done(lambda: os.replace(other, source))
        )
    assert not (tmp_path / "out.nvc").exists()


def test_a_source_that_is_removed_meanwhile_is_refused(make_film: Make, tmp_path: Path) -> None:
    source = make_film("in.mp4", sound="aac")
    with pytest.raises(SourceChanged, match=r"in\.mp4: there is no such file; it was another"):
        codec.encode(source, tmp_path / "out.nvc", WISHES, listen=when_a_segment_is_done(source.unlink))


def test_a_copy_in_the_place_of_the_source_will_do(make_film: Make, tmp_path: Path) -> None:
    source = make_film("in.mp4", sound="aac")
    shutil.copy(source, tmp_path / "copy.mp4")
    os.utime(tmp_path / "copy.mp4", (1, 1))
    swap = when_a_segment_is_done(
        lambda: (tmp_path / "copy.mp4").exists() and os.replace(tmp_path / "copy.mp4", source)
    )
    codec.encode(source, tmp_path / "out.nvc", WISHES, listen=swap)
    assert states(tmp_path / "out.nvc") == [("audio", "right")]


def test_sound_that_differs_from_what_was_tried_is_refused(
    make_film: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last line of defence, where a file system tells nothing of changes."""
    other = make_film("other.mp4", sound="aac", sound_rate=48000)
    source = make_film("in.mp4", sound="aac")
    monkeypatch.setattr("codec.media.identity.Identity.check", lambda self: None)
    with pytest.raises(SourceChanged, match=r"the sound or subtitles of .* were changed"):
        codec.encode(
            source, tmp_path / "out.nvc", WISHES, listen=when_a_segment_is_done(lambda: shutil.copy(other, source))
        )
    assert not (tmp_path / "out.nvc").exists()


def test_lanes_read_the_same_film_or_none(make_film: Make, tmp_path: Path) -> None:
    source, other = make_film("in.mp4"), make_film("other.mp4", times=list(range(20)))
    with open_source(source) as film:
        with film.again(1) as again:
            assert again.identity is film.identity and len(list(again.frames())) == 12
        os.replace(other, source)
        with pytest.raises(SourceChanged):
            film.again(1)
        with pytest.raises(SourceChanged):
            list(film.frames())


def test_sound_ends_with_pictures_that_end_too_early(
    make_film: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which is known only once all of them were read; the checksums are those of what is written."""
    frames = Demuxed._frames

    def early(film: Demuxed) -> Iterator[Frame]:
        yield from frames(film)
        film.until = Fraction(1, 4)

    monkeypatch.setattr(Demuxed, "_frames", early)
    source = make_film("in.mkv", sound="aac", sound_rate=48000, subtitles=[(0, 400, "line")])
    codec.encode(source, tmp_path / "out.nvc", WISHES)
    assert states(tmp_path / "out.nvc") == [("audio", "right"), ("subtitle", "right")]
    with av.open(str(tmp_path / "out.nvc")) as film:
        packets = [packet for packet in film.demux(film.streams.audio[0], film.streams.subtitles[0]) if packet.size > 2]
        ends = {p.stream.type: (p.pts * p.time_base, (p.pts + p.duration) * p.time_base) for p in packets}
    assert ends["audio"][0] < Fraction(1, 4) <= ends["audio"][1] and ends["subtitle"] == (0, Fraction(1, 4))


# --- verify -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def rich(make_film: Make, tmp_path: Path) -> Path:
    """A film with sound, subtitles and a cover, encoded."""
    film = make_film("film.mp4", sound="aac")
    with_cover(film, tmp_path / "in.mp4")
    codec.encode(tmp_path / "in.mp4", tmp_path / "rich.nvc", WISHES)
    return tmp_path / "rich.nvc"


def test_verify_says_what_it_checked(rich: Path, run: Run) -> None:
    result = run("verify", rich)
    assert (result.code, result.out) == (0, b"")
    assert "12 frames, every checksum right; 2 other tracks checked" in result.err
    events = run("verify", rich, "--json").events
    found = [event for event in events if event["event"] == "track"]
    assert [(e["track"], e["codec"], e["state"]) for e in found] == [
        ("audio", "aac", "right"),
        ("cover", "mjpeg", "right"),
    ]
    assert events[-1] == {"event": "done", "path": str(rich), "frames": 12}


def test_info_lists_the_tracks(rich: Path, run: Run) -> None:
    audio, cover = describe(rich)["tracks"]
    assert (audio["kind"], audio["codec"], cover["kind"], cover["packets"]) == ("audio", "aac", "cover", 1)
    sizes = describe(rich)["bytes"]
    assert (audio["size"], cover["size"]) == (sizes["audio"], sizes["other"])
    assert f"CRC-32 {audio['crc']:08x}" in run("info", rich).out.decode()


def test_damaged_sound_is_found(rich: Path, tmp_path: Path, run: Run) -> None:
    with av.open(str(rich)) as film:
        packet = [p for p in film.demux(audio=0) if p.size][5]
        at, size = packet.pos, packet.size
    data = bytearray(rich.read_bytes())
    data[at + size // 2] ^= 4
    broken = tmp_path / "broken.nvc"
    broken.write_bytes(data)
    result = run("verify", broken)
    assert result.code == 1
    assert "broken.nvc: the audio track (aac) is damaged" in result.err
    assert codec.verify(broken, best_effort=True, device="cpu").problems
    assert len(list(codec.open(broken, device="cpu").frames())) == 12, "the pictures are whole"


@pytest.mark.parametrize("sound", ["aac", "libopus", "flac", "pcm_s16be"])
def test_a_copy_to_matroska_is_right(sound: str, make_film: Make, tmp_path: Path) -> None:
    source = make_film("in.mov" if sound == "pcm_s16be" else "in.mkv", sound=sound, sound_rate=48000)
    codec.encode(source, tmp_path / "out.mp4", WISHES)
    copy = remuxed(tmp_path / "out.mp4", tmp_path / "copy.mkv")
    assert states(copy) == [("audio", "right")]
    result = codec.verify(remuxed(copy, tmp_path / "silent.mkv", "video"), device="cpu")
    assert [track.state for track in result.tracks] == ["missing"]
    assert result.notes == [
        f"the audio track ({result.tracks[0].codec}) that the film was written with is not in this file"
    ]


def test_golden_tracks_are_right_for_ever() -> None:
    golden = GOLDEN / "tracks-v1.nvc"
    assert states(golden) == [("audio", "right"), ("subtitle", "right"), ("cover", "right")]


def test_older_films_and_added_tracks_are_not_covered(make_film: Make, tmp_path: Path, run: Run) -> None:
    source = make_film("in.mp4", sound="aac")
    codec.encode(source, tmp_path / "out.nvc", WISHES)
    reader = FilmReader(tmp_path / "out.nvc")
    units = list(reader.units())
    kinds = [kind_of(payload) for payload in units[0].payloads]
    assert kinds[1] == TRACKS and len(read_tracks(units[0].payloads[1])) == 1
    assert not any(kind_of(p) == TRACKS for unit in units[1:] for p in unit.payloads)
    older = tmp_path / "older.nvc"
    payloads = (units[0].payloads[0], *units[0].payloads[2:])
    units[0] = type(units[0])(units[0].data, units[0].pts, units[0].duration, True, payloads)
    write_film(older, units, reader.info, (64, 48), Beside(source))
    result = run("verify", older)
    assert (result.code, "every checksum right; 1 other track not" in result.err) == (0, True)
    assert "note: the audio track (aac) has no checksum" in result.err


def test_damage_of_the_record_itself_is_found_and_keeps_no_picture_back(rich: Path, tmp_path: Path) -> None:
    data = bytearray(rich.read_bytes())
    record = next(FilmReader(rich).units()).payloads[1]
    data[data.index(record) + 5] ^= 1
    broken = tmp_path / "broken.nvc"
    broken.write_bytes(data)
    assert len(list(codec.open(broken, device="cpu").frames())) == 12
    with pytest.raises(FormatError, match=r"broken\.nvc.*CRC-32"):
        codec.verify(broken)
    told = describe(broken)
    assert told["tracks"] == [] and "other tracks is damaged" in told["tracks_damage"]
    assert told["tracks_damage"] in film_table(told)


def track(kind: str, codec_name: str, crc: int, packets: int = 3) -> Track:
    return Track(kind, packets, 100, crc, codec_name)


def test_tracks_are_found_again_by_what_they_hold() -> None:
    one, two, text = track("audio", "aac", 1), track("audio", "aac", 2), track("subtitle", "mov_text", 3)
    added, converted, other = track("audio", "opus", 9), track("subtitle", "subrip", 7), track("audio", "aac", 5, 4)
    assert [s.state for s in compared([one, two, text], [text, two, one])] == ["right"] * 3
    assert [s.state for s in compared([one, two, text], [added, two, converted])] == ["converted", "right", "converted"]
    assert [s.state for s in compared([two, text], [added, two])] == ["right", "missing", "not covered"]
    found = compared([one, two], [two, other])
    assert [s.state for s in found] == ["differs", "right"]
    assert found[0].text == "the audio track (aac) has 4 of its 3 packets, or other ones"
    assert compared([], []) == []


# --- Matroska and WebM ------------------------------------------------------------------------------------------------


def test_a_film_is_written_as_matroska(make_film: Make, tmp_path: Path) -> None:
    times = [0, 1, 2, 5, 6, 7, 8, 20, 21, 22, 30, 31]  # in 1001/24000 s
    film = make_film("film.mp4", times=times, options={"bf": "0"}, sound="libopus", sound_rate=48000)
    cover = with_cover(film, tmp_path / "in.mp4")
    codec.encode(tmp_path / "in.mp4", tmp_path / "out.nvc", WISHES)
    result = codec.encode(tmp_path / "in.mp4", tmp_path / "out.mkv", WISHES)
    assert result.notes == []
    assert states(tmp_path / "out.mkv") == [("audio", "right"), ("cover", "right")]
    data = (tmp_path / "out.mkv").read_bytes()
    assert data.startswith(b"\x1a\x45\xdf\xa3") and data.rindex(b"\x1c\x53\xbb\x6b") < data.index(b"\x1f\x43\xb6\x75")
    mp4, mkv = (codec.open(tmp_path / f"out.{ending}", device="cpu") for ending in ("nvc", "mkv"))
    assert (mkv.info.width, mkv.info.height, mkv.info.rate) == (mp4.info.width, mp4.info.height, mp4.info.rate)
    ours, theirs = list(mkv.frames()), list(mp4.frames())
    assert all(same_planes(a, b) for a, b in zip(ours, theirs, strict=True))
    begin = ours[0].pts
    for frame, time in zip(ours, times, strict=True):
        assert abs((frame.pts - begin) * mkv.info.time_base - Fraction(1001 * time, 24000)) <= Fraction(1, 1000)
    assert len(list(mkv.frames(begin * mkv.info.time_base + 1))) == 2
    with av.open(str(tmp_path / "out.mkv")) as read:
        covers = [s for s in read.streams.video if s.disposition & av.stream.Disposition.attached_pic]
        assert [bytes(p) for p in read.demux(covers) if p.size] == [cover]
        assert covers[0].metadata["mimetype"] == "image/jpeg"


def test_webm_takes_what_it_holds_and_no_silent_film(make_film: Make, tmp_path: Path) -> None:
    source = make_film("in.mkv", sound="libopus", sound_rate=48000, subtitles=[(0, 300, "line")])
    result = codec.encode(source, tmp_path / "out.webm", WISHES)
    assert len(result.notes) == 1 and "converted to webvtt" in result.notes[0]
    assert states(tmp_path / "out.webm") == [("audio", "right"), ("subtitle", "right")]
    assert b"webm" in (tmp_path / "out.webm").read_bytes()[:64]
    events: list[Event] = []
    with pytest.raises(
        InputError, match=r"stream #1 \(aac\) cannot be held by webm; ask for --audio opus, or let the target end in"
    ):
        codec.encode(make_film("aac.mp4", sound="aac"), tmp_path / "b.webm", WISHES, listen=events.append)
    assert [event.kind for event in events] == ["source"]


@pytest.mark.parametrize("name", ["out.mov", "out.avi", "out.TS", "out.png"])
def test_other_containers_are_refused_at_once(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"encode writes films as \.nvc or \.mp4"):
        codec.encode(tmp_path / "absent.mp4", tmp_path / name, WISHES)


def test_more_than_a_thousand_pictures_a_second_are_none_for_matroska(make_film: Make, tmp_path: Path) -> None:
    source = make_film("in.mp4", rate=Fraction(2000), time_base=Fraction(1, 2000), options={"bf": "0"})
    with pytest.raises(InputError, match=r"in\.mp4 has 2000 pictures a second, more than matroska can tell apart"):
        codec.encode(source, tmp_path / "out.mkv", WISHES)
    assert os.listdir(tmp_path) == ["in.mp4"]
