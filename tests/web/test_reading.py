"""The player's reader under unusual films, hostile ones, servers of every temper, and films of two hours."""

from __future__ import annotations

import base64
import struct
import zlib
from dataclasses import replace
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from codec.errors import FormatError
from codec.film.reader import FilmReader
from codec.film.writer import write_film
from codec.frames import PlaneFormat, VideoInfo, checksum
from codec.loss.coder import LossCoder, LossSettings
from codec.loss.modes import TRANSFORM
from codec.segment.head import read_head
from codec.segment.payload import CHROMA, STEERED, WHOLE_HEAD, read_segment, write_segment
from codec.segment.steering import Steered, blocks_of, write_steering
from codec.wire import obu
from codec.wire.obu import TemporalUnit
from heads.layers import EXACT
from heads.restorer.proof import worst_sums
from heads.restorer.spec import HeadSpec
from heads.weights import encode_layers
from tests.heads.drawn_heads import SPECS, drawn_head
from tests.makers import GOLDEN, base_temporal_units
from tests.web.crafted import FIRST, Crafted, av01, box, full, mp4, table
from tests.web.player import in_node, needs_node
from tests.web.test_files import (
    assert_same_samples,
    element,
    found,
    layers_of,
    matroska,
    mutated,
    number,
    packets,
)

pytestmark = needs_node

UNITS = base_temporal_units(24)
SAMPLES = [unit for unit, _ in UNITS]
SIZES = [len(sample) for sample in SAMPLES]
KEYS = table("stss", [(k + 1,) for k, (_, key) in enumerate(UNITS) if key], "I")
TIMES = table("stts", [(24, 1)], "II")
CHUNK = table("stsc", [(1, 24, 1)], "III")
WHERE = table("stco", [(FIRST,)], "I")
EACH = full("stsz", struct.pack(">26I", 0, 24, *SIZES))
REORDERED = table("ctts", [(1, 2), *[(1, 1), (1, 3), (1, 2), (1, 0)] * 5, (3, 2)], "II")
STARTS = [FIRST, *accumulate(SIZES, initial=FIRST)][1:]


def edits(*entries: tuple[int, int]) -> bytes:
    """An edit list: durations in milliseconds, and times of the track."""
    return table("elst", [(duration, media, 1 << 16) for duration, media in entries], "IiI")


# ------------------------------------------------------------------------------------------------- films as libav reads

LIKE_LIBAV = {
    "chunks": ([TIMES, KEYS, table("stsc", [(1, 5, 1), (3, 7, 1)], "III"), EACH,
                table("stco", [(STARTS[k],) for k in (0, 5, 10, 17)], "I")], b""),
    "co64": ([TIMES, KEYS, CHUNK, EACH, table("co64", [(FIRST,)], "Q")], b""),
    "stz2": ([TIMES, KEYS, CHUNK, full("stz2", struct.pack(">II24H", 16, 24, *SIZES)), WHERE], b""),
    "negative shifts": ([TIMES, KEYS, CHUNK, EACH, WHERE,
                         table("ctts", [(1, 1), (1, -1), (2, 0), (20, -2)], "Ii", version=1)], b""),
    "late": ([TIMES, KEYS, CHUNK, EACH, WHERE], edits((400, -1), (960, 0))),
    "reordered": ([TIMES, REORDERED, KEYS, CHUNK, EACH, WHERE], edits((960, 2))),
    "two times": ([table("stts", [(10, 1), (4, 3), (10, 2)], "II"), KEYS, CHUNK, EACH, WHERE], b""),
}  # fmt: skip


def test_unusual_indexes_are_read_as_libav_reads_them(tmp_path: Path) -> None:
    paths = []
    for name, (tables, list_) in LIKE_LIBAV.items():
        paths.append(tmp_path / f"{name}.mp4")
        paths[-1].write_bytes(mp4([Crafted(SAMPLES, tables, list_, entries=[av01()])]))
    told = found(in_node("files.mjs", [{"do": "film", "path": str(path)} for path in paths], tmp_path))
    for path, film in zip(paths, told, strict=True):
        assert_same_samples(path, film)


def test_edits_show_what_lies_between_their_ends(tmp_path: Path) -> None:
    """Samples before the beginning are there for decoders, those behind the end are not, without which none is lost."""
    shown = {"within": edits((600, 3)), "from a key": edits((640, 8)), "to": edits((400, 0)), "all": edits((0, 0))}
    shown["joined"] = edits((320, 0), (640, 8))
    jobs = []
    for name, list_ in shown.items():
        (tmp_path / name).write_bytes(
            mp4([Crafted(SAMPLES, [TIMES, KEYS, CHUNK, EACH, WHERE], list_, entries=[av01()])])
        )
        jobs.append({"do": "film", "path": str(tmp_path / name)})
    films = found(in_node("files.mjs", jobs, tmp_path))
    times = [[sample[0] for sample in film["tracks"][0]["samples"]] for film in films]
    assert times == [[*range(-3, 15)], [*range(-8, 16)], [*range(10)], [*range(24)], [*range(24)]]
    assert [film["duration"] for film in films] == pytest.approx([0.6, 0.64, 0.4, 0.96, 0.96])
    wanted = [sample[3:] for sample in packets(tmp_path / "within")[0]["samples"]]
    assert [sample[3:] for sample in films[0]["tracks"][0]["samples"]] == wanted[:18]


def test_what_cannot_be_played_is_said(tmp_path: Path) -> None:
    tables = [TIMES, KEYS, CHUNK, EACH, WHERE]
    plain = Crafted(SAMPLES, tables, entries=[av01()])
    cases = {
        "cut into pieces": mp4([Crafted(SAMPLES, tables, edits((320, 0), (320, 16)), entries=[av01()])]),
        "how long samples last": mp4([Crafted(SAMPLES, tables[1:], entries=[av01()])]),
        "another codec on its way": mp4([Crafted(SAMPLES, tables, entries=[av01(), av01(kind="avc1")])]),
        "beyond 2^53": mp4([Crafted(SAMPLES, [*tables[:4], table("co64", [(2**60,)], "Q")], entries=[av01()])]),
        "has no index": mp4([plain])[:-40].replace(b"moov", b"moon"),
        "claims 4294967295 samples": mp4([
            Crafted(SAMPLES, [*tables[:3], full("stsz", struct.pack(">II", 1, 2**32 - 1)), WHERE], entries=[av01()])
        ]),
    }  # fmt: skip
    jobs = [{"do": "film", "data": base64.b64encode(data).decode(), "path": "it"} for data in cases.values()]
    for words, answer in zip(cases, in_node("files.mjs", jobs, tmp_path), strict=True):
        assert words in answer.get("error", ""), (words, answer)


def test_plain_sound_lasts_as_long_as_its_samples(tmp_path: Path) -> None:
    """A chunk of it is a sample, whatever runs its times come in."""
    entry = box("sowt", bytes(6), struct.pack(">HIIHHII", 1, 0, 0, 1, 16, 0, 8000 << 16))
    tables = [table("stts", [(30, 1), (70, 2), (50, 1)], "II"), table("stsc", [(1, 50, 1)], "III"),
              full("stsz", struct.pack(">II", 2, 150)),
              table("stco", [(FIRST,), (FIRST + 100,), (FIRST + 200,)], "I")]  # fmt: skip
    path = tmp_path / "sound.mov"
    path.write_bytes(mp4([Crafted([bytes(range(100))] * 3, tables, b"", 8000, "soun", [entry])]))
    (film,) = found(in_node("files.mjs", [{"do": "film", "path": str(path)}], tmp_path))
    assert [sample[:2] for sample in film["tracks"][0]["samples"]] == [[0, 70], [70, 100], [170, 50]]


# --------------------------------------------------------------------------------------------------------- long films


def long_film(path: Path, pictures: int, offset: int) -> None:
    """A film of so many pictures, all of which but the last are 20 bytes, with the last beyond `offset`, and sound."""
    count = pictures - 1
    keys = table("stss", [(k,) for k in range(1, pictures + 1, 48)], "I")
    chunks = [FIRST + 20 * 24 * k for k in range(count // 24 + 1)] + [offset]
    runs = table("stsc", [(1, 24, 1), (len(chunks) - 1, count % 24, 1), (len(chunks), 1, 1)], "III")
    tables = [table("stts", [(pictures, 1)], "II"), keys, runs,
              full("stsz", struct.pack(f">II{pictures}I", 0, pictures, *[20] * pictures)),
              table("co64", [(chunk,) for chunk in chunks], "Q")]  # fmt: skip
    video = Crafted([], tables, timescale=24, entries=[av01()])
    sound = [table("stts", [(337500, 1024)], "II"), table("stsc", [(1, 337500, 1)], "III"),
             full("stsz", struct.pack(">II", 8, 337500)), table("stco", [(FIRST,)], "I")]  # fmt: skip
    entry = box("mp4a", bytes(6), struct.pack(">HIIHHII", 1, 0, 0, 2, 16, 0, 48000 << 16))
    whole = mp4([video, Crafted([], sound, b"", 48000, "soun", [entry])])
    moov = whole.index(b"moov") - 4
    with path.open("wb") as file:
        file.write(whole[: moov - 8])
        data = struct.pack(">I4sQ", 1, b"mdat", offset + 20 - (moov - 8))
        file.write(data)
        file.seek(offset)
        file.write(bytes(range(20)))
        file.write(whole[moov:])


def test_two_hours_beyond_four_gigabytes(tmp_path: Path) -> None:
    path = tmp_path / "long.mp4"
    pictures, offset = 24 * 7200, 5 << 30
    try:
        long_film(path, pictures, offset)
    except OSError:
        pytest.skip("no sparse files here")
    (film, memory) = found(in_node("reading.mjs", [{"do": "ends", "path": str(path)}, {"do": "memory"}], tmp_path))
    video, sound = film["told"]
    assert film["duration"] == 7200
    assert video[:2] == ["video", pictures] and sound[:2] == ["audio", 337500]
    assert video[2] == {"pts": 0, "duration": 1, "key": True, "offset": FIRST, "size": 20}
    assert video[3] == {"pts": pictures - 1, "duration": 1, "key": False, "offset": offset, "size": 20}
    assert video[4][1] == zlib.crc32(bytes(range(20)))
    assert memory < 250 << 20


def test_an_index_at_the_end_takes_few_requests(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    path.write_bytes(mp4([Crafted([bytes(3 << 20), *SAMPLES], [TIMES, KEYS, CHUNK, EACH, WHERE], entries=[av01()])]))
    (told,) = found(in_node("reading.mjs", [{"do": "asks", "path": str(path)}], tmp_path))
    assert (told["asked"], told["tracks"]) == (2, 1)


# ------------------------------------------------------------------------------------------------------- by fragments


def fragment(track: int, time: int, duration: int, samples: list[bytes], sequence: int) -> bytes:
    """A fragment of one track, whose first sample is a key."""

    def moof(offset: int) -> bytes:
        run = struct.pack(">IiI", len(samples), offset, 0x2000000)
        run += b"".join(struct.pack(">II", duration, len(sample)) for sample in samples)
        traf = [
            full("tfhd", struct.pack(">II", track, 0x1010000), flags=0x20020),
            full("tfdt", struct.pack(">Q", time), version=1),
            full("trun", run, flags=0x305),
        ]
        return box("moof", full("mfhd", struct.pack(">I", sequence)), box("traf", *traf))

    return moof(len(moof(0)) + 8) + box("mdat", *samples)


def test_seeking_among_fragments_of_single_tracks(tmp_path: Path) -> None:
    """Three tracks of sound, each with fragments of its own, lie between two of pictures."""
    empty = [table("stts", [], "II"), table("stsc", [], "III"), full("stsz", bytes(8)), table("stco", [], "I")]
    entry = box("mp4a", bytes(6), struct.pack(">HIIHHII", 1, 0, 0, 2, 16, 0, 48000 << 16))
    tracks = [Crafted([], empty, entries=[av01()])] + [Crafted([], empty, b"", 1000, "soun", [entry])] * 3
    extends = box("mvex", *(full("trex", struct.pack(">5I", k, 1, 0, 0, 0)) for k in range(1, 5)))
    parts: list[bytes] = []
    for group in range(3):
        parts.append(fragment(1, 8 * group, 1, SAMPLES[8 * group : 8 * group + 8], len(parts)))
        for track in (2, 3, 4):
            parts.append(fragment(track, 320 * group, 20, [bytes(16)] * 16, len(parts)))
    path = tmp_path / "film.mp4"
    path.write_bytes(mp4(tracks, extends, b"".join(parts)))
    jobs = [{"do": "finds", "path": str(path), "times": [0.96, 0.4, 0.321, 0.1, 0]}]
    (begins,) = found(in_node("reading.mjs", jobs, tmp_path))
    assert begins == [[0.92, *[0.94] * 3], [0.4] * 4, [0.32] * 4, [0.08, *[0.1] * 3], [0] * 4]


def test_the_last_fragment_is_looked_for_but_once(tmp_path: Path) -> None:
    """A file of a hundred thousand boxes, behind which something lies that is none."""
    empty = [table("stts", [], "II"), table("stsc", [], "III"), full("stsz", bytes(8)), table("stco", [], "I")]
    extends = box("mvex", full("trex", struct.pack(">5I", 1, 1, 1, 1, 0)))
    path = tmp_path / "film.mp4"
    path.write_bytes(mp4([Crafted([], empty, entries=[av01()])], extends, box("moof") * (1 << 17) + b"\0\0\0\5"))
    (answer,) = in_node("reading.mjs", [{"do": "asks", "path": str(path)}], tmp_path)
    assert answer.get("found", {}).get("tracks") == 1, answer


def test_fragments_claim_no_more_samples_than_the_file_has_bytes(tmp_path: Path) -> None:
    """Each claims a million samples in a hundred bytes; a thousand would be a thousand million."""
    empty = [table("stts", [], "II"), table("stsc", [], "III"), full("stsz", bytes(8)), table("stco", [], "I")]
    extends = box("mvex", full("trex", struct.pack(">5I", 1, 1, 1, 1, 0)))
    run = box("moof", box("traf", full("tfhd", struct.pack(">I", 1)), full("trun", struct.pack(">I", 1_000_000))))
    films = [mp4([Crafted([], empty, entries=[av01()])], extends, run * 1000)]
    films.append(films[0] + box("free", bytes(4 << 20)))
    # a few samples of each of many tracks, in tables of a few bytes
    count = 1 << 22
    claims = [table("stts", [(count, 1)], "II"), table("stsc", [(1, count, 1)], "III"),
              full("stsz", struct.pack(">II", 1, count)), table("stco", [(FIRST,)], "I")]  # fmt: skip
    films.append(mp4([Crafted([], claims, entries=[av01()])] * 20, behind=box("free", bytes(5 << 20))))
    # frames without bytes
    laced = element(0xA3, b"\x81" + bytes(2) + b"\x04\xff")
    films.append(matroska([number(0x83, 1) + element(0x86, b"V_AV1")], [number(0xE7, 0) + laced * 2000]))
    jobs: list[dict[str, Any]] = []
    for k, film in enumerate(films):
        (tmp_path / str(k)).write_bytes(film)
        jobs.append({"do": "ends", "path": str(tmp_path / str(k))})
    *answers, peak = in_node("reading.mjs", [*jobs, {"do": "peak"}], tmp_path)
    assert all("error" in answer for answer in answers), answers
    assert peak["found"] < 700 << 20


def test_how_long_a_film_is_that_does_not_say_it(tmp_path: Path) -> None:
    """Matroska without cues and duration, which is not read to its end for that."""
    video = number(0x83, 1) + element(0x86, b"V_AV1")
    jobs: list[dict[str, Any]] = []
    for k, size in enumerate((1000, 1 << 20)):
        blocks = [element(0xA3, b"\x81" + bytes(2) + b"\x80" + bytes(size)) for _ in range(2)]
        clusters = [number(0xE7, 1000 * time) + b"".join(blocks) for time in range(20)]
        (tmp_path / str(k)).write_bytes(matroska([video], clusters))
        jobs.append({"do": "asks", "path": str(tmp_path / str(k))})
    small, large = found(in_node("reading.mjs", jobs, tmp_path))
    assert small["duration"] == pytest.approx(19, abs=0.1)
    assert large["duration"] == pytest.approx(19, abs=2) and large["asked"] < 30


# ------------------------------------------------------------------------------------------------------------- texts


def test_texts_are_read_in_the_time_of_their_length(tmp_path: Path) -> None:
    """Each of them would take hours where every opening is looked for anew."""
    many = 400_000
    jobs: list[dict[str, Any]] = [
        {"do": "text", "codec": "ass", "open": "{", "times": many, "then": ""},
        {"do": "text", "codec": "text", "open": "\0", "times": many, "then": "a"},
        {"do": "text", "codec": "text", "open": "<", "times": many, "then": ""},
        {"do": "string", "text": "ja\0\0nein"},
    ]
    assert found(in_node("reading.mjs", jobs, tmp_path)) == [0, 0, many, "ja"]
    words = {"do": "text", "codec": "ass", "open": "", "times": 0, "then": "1,0,a,b,0,0,0,,{\\i1}So, {x}und{ so"}
    assert found(in_node("reading.mjs", [words], tmp_path)) == [len("So, und{ so")]


# ----------------------------------------------------------------------------------------------------------- servers

BLOCK = 1 << 18
SAID = {
    "moved": "other bytes than it is asked for", "broken": "broke off", "shrunk": "changed", "replaced": "changed",
    "untold": "how long it is", "endless": "how long it is", "short": "could not be read", "empty": "is empty",
    "large": "too large", "breaking": "broke off",
}  # fmt: skip


def test_what_servers_do_wrong_is_said(tmp_path: Path) -> None:
    jobs = [
        {"do": "served", "server": server, "size": 4 * BLOCK, "wanted": [(0, 9), (3 * BLOCK - 5, 9)]} for server in SAID
    ]
    for words, answer in zip(SAID.values(), in_node("reading.mjs", jobs, tmp_path), strict=True):
        assert words in answer.get("error", ""), answer


def test_sources_end_where_their_files_end(tmp_path: Path) -> None:
    wanted = [(0, 0), (2 * BLOCK, 0), (BLOCK, BLOCK), (0, 2 * BLOCK), (BLOCK - 1, 2)]
    jobs: list[dict[str, Any]] = [
        {"do": "served", "server": "good", "size": 2 * BLOCK, "wanted": wanted},
        {"do": "served", "server": "nothing", "size": 1, "wanted": [(0, 0)]},
        {"do": "served", "server": "good", "size": 2 * BLOCK, "wanted": [(2 * BLOCK, 1)]},
    ]
    whole, empty, beyond = in_node("reading.mjs", jobs, tmp_path)
    assert whole["found"] == {"size": 2 * BLOCK, "found": [True] * 5, "asked": 2}
    assert empty["found"]["size"] == 0
    assert "ends at byte" in beyond["error"]


# ------------------------------------------------------------------------------------------------ payloads of a film


Units = list[TemporalUnit]


def repeated(path: Path, name: str, times: int, change: Any = None) -> Path:
    """A golden film's segment several times over; `change` makes others of the units, segment by segment."""
    reader = FilmReader(GOLDEN / f"{name}-v1.nvc")
    track = reader.track
    info = VideoInfo(track.width, track.height, PlaneFormat("420", 10), track.time_base, track.rate)
    own = list(reader.units())
    last = own[-1].pts + own[-1].duration
    units: Units = []
    for k in range(times):
        later = [replace(unit, pts=unit.pts + k * last) for unit in own]
        for unit in change(k, later) if change else later:
            units.append(replace(unit, data=obu.inject(obu.strip(unit.data), unit.payloads), payloads=()))
    write_film(path, units, info, (track.width, track.height))
    return path


def sealed(body: bytes) -> bytes:
    return body + zlib.crc32(body).to_bytes(4)


def on_key(change: Any, segment: int = 1) -> Any:
    """Changes what the first payload of that segment holds."""

    def changed(k: int, units: Units) -> Units:
        if k != segment:
            return units
        first, *rest = units
        return [replace(first, payloads=(change(first.payloads[0]), *first.payloads[1:])), *rest]

    return changed


def test_damage_of_one_segment_is_no_other_ones(tmp_path: Path) -> None:
    broken = on_key(lambda payload: payload[:-1] + bytes([payload[-1] ^ 1]))
    absent = on_key(lambda payload: sealed(b"\1\5\2"))

    def loss(k: int, units: Units) -> Units:
        return [*units[:5], replace(units[5], payloads=(b"nothing",)), *units[6:]] if k == 1 else units

    paths = [
        repeated(tmp_path / "whole.nvc", "head", 3),
        repeated(tmp_path / "broken.nvc", "head", 3, broken),
        repeated(tmp_path / "absent.nvc", "head", 3, absent),
        repeated(tmp_path / "loss.nvc", "lossless", 3, loss),
    ]
    jobs = [{"do": "units", "path": str(path)} for path in paths]
    whole, *damaged, residuals = found(in_node("reading.mjs", jobs, tmp_path))
    assert [unit[0] for unit in whole] == [*range(8)] * 3 and not any(unit[1] for unit in whole)
    for units, words in zip(damaged, ("does not match its CRC-32", "is not a segment header"), strict=True):
        assert units[:8] + units[16:] == whole[:8] + whole[16:]
        assert [unit[0] for unit in units] == [*range(8)] * 3
        assert all(words in unit[1] and unit[2] is None for unit in units[8:16]), units[8]
    assert [unit[3] for unit in residuals[:8]] == [unit[3] for unit in residuals[16:]]
    differ = [k for k in range(8) if residuals[k][3] != residuals[8 + k][3]]
    assert differ == [5] and residuals[13][3] == zlib.crc32(b"\xff" * 8)


def test_segments_of_other_pictures_are_refused(tmp_path: Path) -> None:
    """Of another size, with another base, or of more samples than a page can take."""

    def field(at: int, value: int, size: int, segment: int = 1) -> Any:
        return on_key(lambda p: sealed(p[: 2 + at] + value.to_bytes(size) + p[2 + at + size : -4]), segment)

    def chroma(k: int, units: Units) -> Units:
        payload = units[0].payloads[0]
        small = (16).to_bytes(2) * 2
        body = payload[:2] + small + payload[6:-4]
        full_chroma = obu.GREY[:2] + b"\x20" + obu.GREY[3:]  # of profile 1
        return [replace(units[0], data=b"\x12\0" + (full_chroma if k else obu.GREY), payloads=(sealed(body),))]

    paths = {
        "another size or format than the film": repeated(tmp_path / "width.nvc", "tracks", 2, field(0, 100, 2)),
        "a segment is of another": repeated(tmp_path / "depth.nvc", "tracks", 2, field(5, 10, 1)),
        "than its header asks for": repeated(tmp_path / "base.nvc", "tracks", 1, field(0, 200, 2, 0)),
        "another size or format than its": repeated(tmp_path / "chroma.nvc", "tracks", 2, chroma),
        "too large": repeated(tmp_path / "large.nvc", "tracks", 1, field(0, 16384 << 16 | 8192, 4, 0)),
    }
    jobs = [{"do": "units", "path": str(path)} for path in paths.values()]
    for words, answer in zip(paths, in_node("reading.mjs", jobs, tmp_path), strict=True):
        assert words in answer.get("error", ""), (words, answer)


def test_steering_is_read_from_the_start_of_each_segment(tmp_path: Path) -> None:
    """Of segments with a whole head; damage is of one of them, from the picture on where it is noticed."""
    first = read_segment(next(FilmReader(GOLDEN / "head-v1.nvc").units()).payloads[0])
    shape = blocks_of(first.width, first.height)
    rng = np.random.default_rng(2)
    told = [Steered(0, rng.integers(0, 2, shape, np.uint8)) for _ in range(7)]
    good = write_steering(told, False)
    bad = (len(good) + 6).to_bytes(3) + good[3:] + bytes(8) + b"\1"

    def changed(k: int, units: Units) -> Units:
        head = (bad if k == 1 else good) + first.head
        header = replace(first, head_kind=STEERED | WHOLE_HEAD, head=head, used=b"\x7f")
        return [replace(units[0], payloads=(write_segment(header),)), *units[1:]]

    path = repeated(tmp_path / "film.nvc", "head", 3, changed)
    jobs = [{"do": "units", "path": str(path), "since": since} for since in (0, 2)]
    whole, last = found(in_node("reading.mjs", jobs, tmp_path))
    wanted: list[Any] = [s.blocks.ravel().tolist() for s in told]
    read = [(unit[4] and unit[4]["blocks"]) or [1] * (shape[0] * shape[1]) for unit in whole[:7]]
    assert read == wanted and whole[7][4] is None
    assert whole[16:] == whole[:8] == last and whole[8:15] == whole[:7]
    assert "the steering of the head is damaged" in whole[15][4] and whole[15][1] is None


def test_heads_are_looked_for_in_so_many_segments(tmp_path: Path) -> None:
    """A film of many segments, each but the first one with the head of the one before."""
    first = read_segment(next(FilmReader(GOLDEN / "head-v1.nvc").units()).payloads[0])
    head = read_head(first, 0, None, lambda pts: None)
    coded = encode_layers(head.layers, head.layers)

    def changed(k: int, units: Units) -> Units:
        header = replace(first, frames=1, used=b"\1", checksums=(0,))
        if k:
            header = replace(header, head_kind=2, reference=head.identity, head=coded)
        return [replace(units[0], payloads=(write_segment(header),))]

    path = repeated(tmp_path / "film.nvc", "head", 70, changed)
    jobs = [{"do": "units", "path": str(path), "since": since} for since in (0, 64, 69)]
    whole, near, far = found(in_node("reading.mjs", jobs, tmp_path))
    assert [unit[1:3] for unit in whole] == [[None, head.identity]] * 70
    assert [unit[1:3] for unit in near] == [[None, head.identity]] * 6
    assert far[0][2] is None and "is not in the file" in far[0][1]


def test_groups_end_where_the_header_says(tmp_path: Path) -> None:
    segment = {
        "width": 16, "height": 16, "chroma": 1, "depth": 8, "scale": 0, "frames": 2, "group": 2, "used": [],
        "checksums": [checksum([np.zeros((16, 16), np.uint8), *[np.zeros((8, 8), np.uint8)] * 2])] * 2, "history": 0,
        "loss_kind": 0, "loss_step": 0,
    }  # fmt: skip
    one = {**segment, "group": 1}
    messages: list[dict[str, Any]] = [
        {"do": "open", "id": k, "segment": told, "head": None, "restored": True}
        for k, told in ((1, segment), (2, one), (3, one))
    ]
    messages += [{"do": "picture", "id": 2, "ticket": k, "number": k} for k in (0, 1, 2)]
    messages += [{"do": "picture", "id": 1, "ticket": 9, "number": 1}]  # its group has another picture before
    messages += [{"do": "picture", "id": 2, "ticket": 10, "number": 0, "payload": [1]}]
    messages += [{"do": "picture", "id": 3, "ticket": 11, "number": 0, "steered": "its steering is damaged"}]
    messages += [{"do": "picture", "id": 3, "ticket": 12, "number": 1, "payload": [1]}]  # which is not looked at
    (answers,) = found(in_node("reading.mjs", [{"do": "worker", "messages": messages}], tmp_path))
    assert [answer["group"] for answer in answers] == [0, 1, None, None, 0, 0, 1]
    assert [answer["exact"] for answer in answers] == [True, True, False, False, True, True, True]
    assert [bool(answer["error"]) for answer in answers] == [False, False, True, False, True, True, True]
    assert "more pictures" in answers[2]["error"]
    assert [answer["error"] for answer in answers[5:]] == ["its steering is damaged"] * 2


# ------------------------------------------------------------------------------------------ heads and loss-streams


@pytest.mark.parametrize("spec", [spec for spec in SPECS if not spec.history], ids=str)
def test_heads_are_refused_where_sums_reach_their_limit(spec: HeadSpec, tmp_path: Path) -> None:
    """By one unit, in every layer."""
    layers = drawn_head(spec)
    sent = []
    for i, layer in enumerate(layers):
        bare = [*layers[:i], replace(layer, bias=np.zeros_like(layer.bias)), *layers[i + 1 :]]
        room = EXACT - 1 - worst_sums(spec, bare)[i]
        for least in (room, room + 1, -room, -room - 1):  # in the output with the largest sum, whichever that is
            changed = [*bare[:i], replace(layer, bias=np.full_like(layer.bias, least)), *bare[i + 1 :]]
            head = {"layers": layers_of(changed), "baseQ": -128 if spec.base_q else None, "adds": spec.adding}
            sent.append(head)
    chroma = {4: 0, 6: 1, 8: 2, 12: 3}[spec.planes]
    (refused,) = found(in_node("reading.mjs", [{"do": "heads", "chroma": chroma, "sent": sent}], tmp_path))
    assert refused == [False, True, False, True] * len(layers)


@pytest.mark.parametrize("chroma", CHROMA)
def test_damaged_loss_streams_are_refused_where_the_codec_refuses_them(chroma: str, tmp_path: Path) -> None:
    """And where it does not, the same pictures come of them."""
    rng = np.random.default_rng(31)
    depth = 8 if chroma in ("420", "444") else 10
    fmt, size, step = PlaneFormat(chroma, depth), (41, 27), 9
    shapes = fmt.shapes(*size)
    predicted = [rng.integers(0, fmt.peak + 1, shape).astype(fmt.dtype) for shape in shapes]
    settings = LossSettings(TRANSFORM, step)
    coder = LossCoder(fmt, *size, settings)
    good = []
    for k in range(3):
        noise = [rng.normal(0, 3 << (depth - 8), shape) for shape in shapes]
        source = [np.clip(np.roll(p, k, 1) + n.round(), 0, fmt.peak) for p, n in zip(predicted, noise, strict=True)]
        good.append(coder.encode([plane.astype(fmt.dtype) for plane in source], predicted, 1.0)[0])
    payloads: list[list[str]] = []
    wanted: list[list[list[int]] | None] = []
    for _ in range(60):
        given = list(good)
        for _ in range(int(rng.integers(1, 3))):
            k = int(rng.integers(3))
            given[k] = mutated(good[k], rng) if rng.random() < 0.6 else rng.bytes(int(rng.integers(3)))
        payloads.append([base64.b64encode(payload).decode() for payload in given])
        decoder = LossCoder(fmt, *size, settings)
        try:
            wanted.append([[zlib.crc32(p.tobytes()) for p in decoder.decode(payload, predicted)] for payload in given])
        except FormatError:
            wanted.append(None)
    job = {
        "do": "losses", "step": step, "payloads": payloads,
        "film": {"width": size[0], "height": size[1], "chroma": CHROMA[chroma], "depth": depth, "scale": 0},
        "predicted": [
            {"width": p.shape[1], "height": p.shape[0], "data": base64.b64encode(p.tobytes()).decode()}
            for p in predicted
        ],
    }  # fmt: skip
    assert found(in_node("reading.mjs", [job], tmp_path)) == [wanted]
    assert 0 < sum(pictures is None for pictures in wanted) < len(wanted)
