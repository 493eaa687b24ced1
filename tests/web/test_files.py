"""Files as the player reads them, against what libav and the codec read: samples, payloads, heads, stills, damage."""

from __future__ import annotations

import base64
import io
import struct
import zlib
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
import pytest

from codec.errors import FormatError
from codec.film.containers import container_of
from codec.film.reader import FilmReader
from codec.film.writer import write_film
from codec.frames import Colour, PlaneFormat, VideoInfo
from codec.segment.head import Head, read_head
from codec.segment.payload import SegmentHeader, read_residual, read_segment
from codec.still.payload import StillHeader, header_of, read_still
from codec.wire import avif, obu
from codec.wire.fields import PROPERTIES, RESIDUAL, TRACKS, claims
from codec.wire.obu import TemporalUnit
from codec.wire.properties import read_properties
from codec.wire.tracks import read_tracks
from heads.layers import BIAS_COARSE, HeadError, Layer
from heads.restorer import store
from heads.restorer.coded import decode_last
from heads.weights import decode_shapes, encode_change, encode_layers
from tests.heads.drawn_heads import SPECS, drawn_head
from tests.makers import GOLDEN, base_temporal_units, tone
from tests.web.player import in_node, needs_node

pytestmark = needs_node

FILMS = sorted(path for path in GOLDEN.glob("*.nvc") if not path.name.endswith(".still.nvc"))
STILLS = sorted(GOLDEN.glob("*.still.nvc"))
HEADS = Path(store.__file__).parent
FILM_HEADS = {number: str(HEADS / name) for number, name in store.FILM_HEADS.items()}
STILL_HEADS = {number: str(HEADS / name) for number, name in store.STILL_HEADS.items()}
KINDS = {"video": "video", "audio": "audio", "subtitle": "text"}
FRAGMENTED = {
    "mfra": {"movflags": "frag_keyframe+empty_moov"},
    "sidx": {"movflags": "dash+global_sidx", "frag_duration": "100000"},
    "walked": {"movflags": "dash+delay_moov+skip_trailer", "frag_duration": "100000"},
    "hybrid": {"movflags": "frag_keyframe+skip_trailer"},
}
SOUND = {"libopus": (48000, 960), "flac": (44100, 1152), "aac": (48000, 1024), "libmp3lame": (44100, 1152)}


# --------------------------------------------------------------------------------------------------------- what is read


def remuxed(source: Path, target: Path, options: dict[str, str] | None = None, texts: bool = True) -> Path:
    """A copy in another container; covers are left out."""
    with av.open(str(source)) as old, av.open(str(target), "w", options=options or {}) as new:
        kept: dict[int, Any] = {}
        for stream in old.streams:
            cover = stream.disposition & av.stream.Disposition.attached_pic
            if not cover and (stream.type in ("video", "audio") or (texts and stream.type == "subtitle")):
                kept[stream.index] = new.add_stream_from_template(cast(Any, stream), opaque=True)
        for packet in old.demux():
            if packet.size and packet.stream.index in kept:
                packet.stream = kept[packet.stream.index]
                new.mux(packet)
    return target


def template(unit: bytes, tick: Fraction) -> av.container.InputContainer:
    """A film of one picture in memory, whose stream describes AV1."""
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as new:
        video: Any = new.add_mux_stream("av1", rate=25, width=64, height=48, time_base=tick)
        packet = av.Packet(unit)
        packet.pts, packet.dts, packet.duration, packet.time_base = 0, 0, 512, tick
        packet.is_keyframe, packet.stream = True, video
        new.mux(packet)
    return av.open(io.BytesIO(file.getvalue()))


def sounding(target: Path, coders: tuple[str, ...] = tuple(SOUND)) -> Path:
    """A film of AV1 with keyframes, sound of several coders, tags and chapters."""
    units = base_temporal_units(24)
    tick = Fraction(1, 12800)
    with template(units[0][0], tick) as plain, av.open(str(target), "w") as new:
        video: Any = new.add_stream_from_template(plain.streams.video[0], opaque=True)
        video.time_base = tick
        video.codec_context.framerate = 25
        sounds = []
        for name in coders:
            stream: Any = new.add_stream(name, rate=SOUND[name][0], layout="mono")
            stream.metadata["language"] = "deu"
            sounds.append(stream)
        new.metadata["title"] = "Kurz und gut – ü"
        chapter = {"time_base": Fraction(1, 1000), "metadata": {}}
        new.set_chapters([
            cast(Any, {"id": 0, "start": 0, "end": 400, **chapter, "metadata": {"title": "Anfang"}}),
            cast(Any, {"id": 1, "start": 400, "end": 960, **chapter, "metadata": {"title": "Ende"}}),
        ])  # fmt: skip
        for k, (data, key) in enumerate(units):
            packet = av.Packet(data)
            packet.pts = packet.dts = k * 512
            packet.duration, packet.time_base, packet.is_keyframe, packet.stream = 512, tick, key, video
            new.mux(packet)
        for stream in sounds:
            rate, size = SOUND[stream.codec_context.name]
            for number in range(rate // size):
                new.mux(stream.encode(tone(number, rate, size)))
            new.mux(stream.encode(None))
    return target


def packets(path: Path) -> list[dict[str, Any]]:
    """Time scale and samples of each track that is seen, heard or read, in the order of the file, as libav has them."""
    found: dict[int, dict[str, Any]] = {}
    with av.open(str(path)) as film:
        for stream in film.streams:
            if stream.type in KINDS and not stream.disposition & av.stream.Disposition.attached_pic:
                assert stream.time_base is not None
                found[stream.index] = {
                    "kind": KINDS[stream.type], "tick": stream.time_base, "samples": [],
                }  # fmt: skip
        for packet in film.demux():
            if packet.size and packet.stream.index in found:
                data = bytes(packet)
                found[packet.stream.index]["samples"].append(
                    [packet.pts, packet.duration or 0, packet.is_keyframe, len(data), zlib.crc32(data)]
                )
    return list(found.values())


def numbers_of(header: SegmentHeader | StillHeader) -> dict[str, int]:
    return dict(header.values())


def layers_of(layers: Any) -> list[dict[str, Any]]:
    return [
        {
            "weight": layer.weight.ravel().tolist(),
            "bias": layer.bias.tolist(),
            "scaleBits": layer.scale_bits,
            "shape": list(layer.weight.shape),
        }
        for layer in layers
    ]


def head_of(head: Head) -> dict[str, Any]:
    spec = head.spec
    return {
        "layers": layers_of(head.layers), "planes": spec.planes, "history": spec.history, "width": spec.width,
        "gate": head.gate, "baseQ": head.base_q if spec.base_q else None, "adds": spec.adding,
        "identity": head.identity,
    }  # fmt: skip


def found(answers: list[dict[str, Any]]) -> list[Any]:
    """What came of jobs that are to succeed."""
    for answer in answers:
        assert "found" in answer, answer
    return [answer["found"] for answer in answers]


# -------------------------------------------------------------------------------------------------------------- samples


def assert_same_samples(path: Path, told: dict[str, Any], tables: bool = True) -> None:
    """What the player tells of a film is what libav does. `tables`: durations of last samples too, which containers
    without a word for them leave to readers."""
    wanted = packets(path)
    assert [track["kind"] for track in told["tracks"]] == [track["kind"] for track in wanted], path.name
    for ours, theirs in zip(told["tracks"], wanted, strict=True):
        assert Fraction(1, ours["timescale"]) == theirs["tick"]
        assert ours["count"] == len(theirs["samples"])
        assert [s[0] for s in ours["samples"]] == [s[0] for s in theirs["samples"]], (path.name, ours["kind"])
        assert [s[2:] for s in ours["samples"]] == [s[2:] for s in theirs["samples"]], (path.name, ours["kind"])
        if tables:  # of sound that ends within a frame, libav gives the whole frame
            last = len(theirs["samples"]) - (ours["kind"] == "audio")
            durations = [[s[1] for s in track["samples"][:last]] for track in (ours, theirs)]
            assert durations[0] == durations[1], (path.name, ours["kind"])


def assert_marks(track: dict[str, Any], every: bool) -> None:
    """Where a bar marks segments is where keyframes are: `every` one of them, or those that were come by."""
    keys = [sample[0] / track["timescale"] for sample in track["samples"] if sample[2]]
    known = [min(keys, key=lambda key: abs(key - time)) for time in track["keys"]]
    assert track["keys"] == pytest.approx(known, abs=2e-3)
    assert not every or known == keys


def test_samples_of_golden_films_are_those_of_libav(tmp_path: Path) -> None:
    told = found(in_node("files.mjs", [{"do": "film", "path": str(path)} for path in FILMS], tmp_path))
    for path, film in zip(FILMS, told, strict=True):
        assert_same_samples(path, film)
        assert film["tracks"][0]["codec"].startswith("av01.0.") and film["tracks"][0]["codec"].endswith(".10")
        with av.open(str(path)) as wanted:
            assert film["duration"] == pytest.approx(cast(int, wanted.duration) / av.time_base, abs=0.002)


def test_copies_to_other_containers_have_the_same_samples(tmp_path: Path) -> None:
    films = [*FILMS, sounding(tmp_path / "sound.mp4")]
    copies, kinds = [], []
    for film in films:
        for kind in ("mkv", "webm", *FRAGMENTED):
            if kind == "webm" and film.stem in ("sound", "tracks-v1"):
                continue  # it holds neither FLAC nor AAC
            name = tmp_path / f"{film.stem}-{kind}.{kind if kind in ('mkv', 'webm') else 'mp4'}"
            copies.append(remuxed(film, name, FRAGMENTED.get(kind), texts=False))
            kinds.append(kind)
    told = found(in_node("files.mjs", [{"do": "film", "path": str(path)} for path in copies], tmp_path))
    for path, film, kind in zip(copies, told, kinds, strict=True):
        assert_same_samples(path, film, tables=kind not in ("mkv", "webm"))
        assert_marks(film["tracks"][0], every=kind not in ("sidx", "walked", "hybrid"))
        with av.open(str(path)) as wanted:
            assert film["duration"] == pytest.approx(cast(int, wanted.duration) / av.time_base, abs=0.1), path.name


def test_tells_how_a_film_is_shown_and_what_it_sounds_like(tmp_path: Path) -> None:
    paths = [sounding(tmp_path / "sound.mp4"), sounding(tmp_path / "sound.mkv")]
    told = found(in_node("files.mjs", [{"do": "film", "path": str(path)} for path in paths], tmp_path))
    for path, film in zip(paths, told, strict=True):
        assert_same_samples(path, film, tables=path.suffix == ".mp4")
        assert film["tags"]["title"] == "Kurz und gut – ü"
        assert [(c["start"], c["end"], c["title"]) for c in film["chapters"]] == [
            (0, 0.4, "Anfang"), (0.4, pytest.approx(film["duration"] if path.suffix == ".mp4" else 0.96), "Ende"),
        ]  # fmt: skip
        video, *sounds = film["tracks"]
        assert (video["width"], video["height"]) == (64, 48)
        assert [sound["codec"] for sound in sounds] == ["opus", "flac", "mp4a.40.2", "mp3"]
        assert [sound["sampleRate"] for sound in sounds] == [SOUND[name][0] for name in SOUND]
        assert [sound["channels"] for sound in sounds] == [1, 1, 1, 1]
        opus, flac, aac, mp3 = (sound["description"] for sound in sounds)
        assert bytes(opus[:9]) == b"OpusHead\x01" and len(opus) == 19
        assert bytes(flac[:4]) == b"fLaC" and len(flac) == 42
        assert aac[0] >> 3 == 2 and mp3 is None
        assert {sound["language"] for sound in sounds} <= {"deu", "ger"}


@pytest.mark.parametrize(
    ("matrix", "rotation", "mirrored"),
    [
        ((0, 1, 0, -1, 0, 0, 0, 0, 1 << 14), 90, False),
        ((-1, 0, 0, 0, -1, 0, 0, 0, 1 << 14), 180, False),
        ((0, -1, 0, 1, 0, 0, 0, 0, 1 << 14), 270, False),
        ((-1, 0, 0, 0, 1, 0, 0, 0, 1 << 14), 0, True),
    ],
)
def test_films_of_the_codec_say_how_they_are_shown(
    tmp_path: Path, matrix: tuple[int, ...], rotation: int, mirrored: bool
) -> None:
    light = {
        "content_light": struct.pack("=2I", 1000, 400),
        "mastering": struct.pack(
            "=20i2i", *(n for x in (34, 16, 13, 34, 7, 3, 15, 16) for n in (x, 50)), 1, 10, 900, 1, 1, 1
        ),
    }
    turned = tuple(number << 16 for number in matrix)
    colour = Colour(9, 16, 9, 1)
    info = VideoInfo(
        64, 48, PlaneFormat("420", 10), Fraction(1, 25), Fraction(25), Fraction(4, 3), colour, "", turned, light
    )
    units = [TemporalUnit(data, k, 1, key) for k, (data, key) in enumerate(base_temporal_units(24))]
    paths = [tmp_path / f"film.{ending}" for ending in ("nvc", "mkv", "webm")]
    for path in paths:
        write_film(path, units, info, (64, 48), None, container_of(str(path)))
    told = found(in_node("files.mjs", [{"do": "film", "path": str(path)} for path in paths], tmp_path))
    for path, film in zip(paths, told, strict=True):
        assert_same_samples(path, film, tables=path.suffix == ".nvc")
        (video,) = film["tracks"]
        across, down = video["pixelAspect"]  # WebM has whole samples of the display alone
        assert Fraction(across, down) == Fraction(4, 3) if path.suffix != ".webm" else across * 64 == down * 85
        assert (video["rotation"], video["mirrored"]) == (rotation, mirrored), path.name
        shown = video["colour"]
        assert (shown["primaries"], shown["transfer"], shown["matrix"], shown["full"]) == (9, 16, 9, False), path.name
        assert shown["light"] == {"max": 1000, "average": 400}
        display = shown["mastering"]
        assert (display["max"], display["min"]) == pytest.approx((900, 0.1))
        assert display["red"] + display["green"] + display["blue"] + display["white"] == pytest.approx(
            [0.68, 0.32, 0.26, 0.68, 0.14, 0.06, 0.3, 0.32]
        )


def test_seeking_finds_the_picture_and_its_key(tmp_path: Path) -> None:
    whole = sounding(tmp_path / "sound.mp4", ())
    copies = [whole, *(remuxed(whole, tmp_path / f"{kind}.mp4", options) for kind, options in FRAGMENTED.items())]
    copies.append(remuxed(whole, tmp_path / "sound.mkv"))
    jobs = []
    for path in copies:
        tick = packets(path)[0]["tick"]
        jobs.append(
            {"do": "seeks", "path": str(path), "times": [int(k / tick) // 100 for k in (90, 41, 0, 4, 33, 200)]}
        )
    for path, answers in zip(copies, found(in_node("files.mjs", jobs, tmp_path)), strict=True):
        tick = packets(path)[0]["tick"]
        shown = [(round(pts * tick * 25), same, round(key * tick * 25)) for pts, same, key in answers]
        assert shown == [(22, True, 16), (10, True, 8), (0, True, 0), (1, True, 0), (8, True, 8), (23, True, 16)], (
            path.name
        )


def element(number: int, body: bytes, size: bytes | None = None) -> bytes:
    """An element of EBML; `size` as it is written, where that is not of eight bytes."""
    return number.to_bytes((number.bit_length() + 7) // 8) + (size or (len(body) | 1 << 56).to_bytes(8)) + body


def number(number: int, value: int) -> bytes:
    return element(number, value.to_bytes(4))


def matroska(tracks: list[bytes], clusters: list[bytes]) -> bytes:
    """A file without cues, whose segment and clusters do not say how long they are."""
    unknown = b"\x01" + b"\xff" * 7
    entries = [element(0xAE, number(0xD7, k) + track) for k, track in enumerate(tracks, 1)]
    inside = [element(0x1549A966, number(0x2AD7B1, 1_000_000)), element(0x1654AE6B, b"".join(entries))]
    inside += [element(0x1F43B675, cluster, unknown) for cluster in clusters]
    head = element(0x1A45DFA3, element(0x4282, b"matroska"))
    return head + element(0x18538067, b"".join(inside), unknown)


def test_laced_and_compressed_blocks_are_taken_apart(tmp_path: Path) -> None:
    rng = np.random.default_rng(8)
    sound = number(0x83, 2) + element(0x86, b"A_MPEG/L3") + element(0xE1, number(0x9F, 2))
    frames = [rng.bytes(size) for size in (300, 20, 700)]
    same = [rng.bytes(50) for _ in range(3)]
    xiph = b"\x02" + b"\xff\x2d" + b"\x14" + b"".join(frames)
    ebml = b"\x02" + b"\x41\x2c" + ((20 - 300) + 8191 | 1 << 14).to_bytes(2) + b"".join(frames)
    laced = [(2, xiph), (6, ebml), (4, b"\x02" + b"".join(same)), (0, frames[0])]
    blocks = [
        element(0xA3, b"\x81" + (30 * k).to_bytes(2) + bytes([flags]) + data) for k, (flags, data) in enumerate(laced)
    ]

    def encoded(settings: bytes) -> bytes:
        return element(0x6D80, element(0x6240, element(0x5034, settings)))

    text = number(0x83, 17) + element(0x86, b"S_TEXT/UTF8")
    zlib_text = text + encoded(number(0x4254, 0))
    cut_text = text + encoded(number(0x4254, 3) + element(0x4255, b"Good "))
    lines = [(2, zlib.compress("Grüße\r\n<b>an</b> alle".encode())), (3, b"day"), (2, zlib.compress(bytes(1 << 25)))]
    texts = [
        element(0xA0, element(0xA1, bytes([0x80 | track]) + bytes(2) + b"\0" + data) + number(0x9B, 70))
        for track, data in lines
    ]
    clusters = [number(0xE7, 100) + b"".join(blocks), number(0xE7, 500) + texts[0] + texts[1]]
    jobs = [
        {"do": "film", "path": "it", "data": base64.b64encode(matroska([sound, zlib_text, cut_text], parts)).decode()}
        for parts in (clusters, [*clusters, number(0xE7, 900) + texts[2]])
    ]
    good, large = in_node("files.mjs", jobs, tmp_path)
    tracks = found([good])[0]["tracks"]
    wanted = [*frames, *frames, *same, frames[0]]
    assert [sample[3:] for sample in tracks[0]["samples"]] == [[len(data), zlib.crc32(data)] for data in wanted]
    assert [sample[0] for sample in tracks[0]["samples"]] == [100, 110, 120, 130, 140, 150, 160, 170, 180, 190]
    assert [track["texts"] for track in tracks[1:]] == [["Grüße\nan alle"], ["Good day"]]
    assert [track["samples"][0][:2] for track in tracks[1:]] == [[500, 70], [500, 70]]
    assert "too large" in large["error"], "a sample that unpacks to millions of bytes"


def test_reads_subtitles(tmp_path: Path) -> None:
    (film,) = found(in_node("files.mjs", [{"do": "film", "path": str(GOLDEN / "tracks-v1.nvc")}], tmp_path))
    (texts,) = (track["texts"] for track in film["tracks"] if track["kind"] == "text")
    with av.open(str(GOLDEN / "tracks-v1.nvc")) as wanted:
        data = [bytes(packet) for packet in wanted.demux(wanted.streams.subtitles[0]) if packet.size]
    assert texts == [text[2 : 2 + int.from_bytes(text[:2])].decode() for text in data]
    assert any(texts)


# --------------------------------------------------------------------------------------------------- payloads and heads


def test_units_of_golden_films_are_those_of_the_codec(tmp_path: Path) -> None:
    jobs = [{"do": "units", "path": str(path), "heads": FILM_HEADS} for path in FILMS]
    for path, units in zip(FILMS, found(in_node("files.mjs", jobs, tmp_path)), strict=True):
        head: Head | None = None
        wanted = list(FilmReader(path).units())
        assert len(units) == len(wanted)
        for ours, unit in zip(units, wanted, strict=True):
            assert ours["payloads"] == [zlib.crc32(payload) for payload in unit.payloads]
            assert ours["base"] == zlib.crc32(obu.without_messages(unit.data))
            check_sequence(ours["sequence"], unit.data)
            rest = list(unit.payloads)
            if unit.keyframe:
                header = read_segment(rest.pop(0))
                segment = ours["segment"]
                assert {name: segment[name] for name in header.numbers} == numbers_of(header)
                assert segment["head"] == zlib.crc32(header.head)
                assert (bytes(segment["used"]), segment["checksums"]) == (header.used, list(header.checksums))
                head = read_head(header, unit.pts, head, lambda pts: None) if header.head_kind else None
                assert ours["head"] == (head and head_of(head))
            if rest and claims(rest[0], TRACKS):
                tracks = read_tracks(rest.pop(0))
                assert ours["tracks"] == [
                    {"kind": t.kind, "packets": t.packets, "size": t.size, "crc": t.crc, "codec": t.codec}
                    for t in tracks
                ]
            if rest and claims(rest[0], PROPERTIES):
                assert ours["properties"]["chroma_place"] >= 1 and read_properties(rest.pop(0))
            if rest and claims(rest[0], RESIDUAL):
                assert ours["residual"] == zlib.crc32(read_residual(rest.pop(0)))
            assert not rest


def check_sequence(ours: dict[str, Any] | None, unit: bytes) -> None:
    header, colour = obu.sequence_header(unit), obu.sequence_colour(unit)
    assert (ours is None) == (header is None)
    if ours is not None and header is not None:
        assert {name: ours[name] for name in header._fields} == header._asdict()
        assert (ours["primaries"], ours["transfer"], ours["matrix"]) == (colour or (2, 2, 2))
        assert ours["depth"] == 10 and not ours["grey"]


def test_golden_stills_are_those_of_the_codec(tmp_path: Path) -> None:
    jobs = [{"do": "still", "path": str(path), "heads": STILL_HEADS} for path in STILLS]
    for path, ours in zip(STILLS, found(in_node("files.mjs", jobs, tmp_path)), strict=True):
        still, header = header_of(path.read_bytes())
        assert ours["header"] == numbers_of(header)
        parts = (header.delta, header.loss, header.loss_low, header.alpha_loss, header.alpha_low)
        assert ours["parts"] == [zlib.crc32(part) for part in parts]
        crcs = [zlib.crc32(part) if part else None for part in (still.base, still.alpha, still.icc, still.exif)]
        assert ours["crcs"] == crcs
        assert (ours["width"], ours["height"]) == (still.width, still.height)
        colour = ours["colour"]
        assert (colour["primaries"], colour["transfer"], colour["matrix"]) == still.colour[:3]
        if not header.head:
            assert ours["head"] is None
            continue
        stored = store.pretrained(store.STILL_HEADS[header.head])
        layers = decode_last(header.delta, stored.spec, stored.layers) if header.delta else stored.layers
        assert ours["head"] == head_of(Head(stored.spec, tuple(layers), base_q=header.base_q))


def test_weights_are_those_of_the_codec(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    jobs: list[dict[str, Any]] = []
    wanted = []
    for seed, spec in enumerate(SPECS):
        layers = drawn_head(spec, seed)
        shapes = [list(shape) for shape in spec.shapes()]
        other = [changed(layer, rng, 1) for layer in layers]
        coarse = [changed(layer, rng, 4) for layer in layers]
        coded = [
            (encode_layers(layers), None, False, layers),
            (encode_layers(other, layers), layers_of(layers), False, other),
            (encode_layers(layers, layers), layers_of(layers), False, layers),
            (encode_change(coarse, layers, 2), layers_of(layers), True, coarse),
        ]
        for data, base, change, result in coded:
            text = base64.b64encode(data).decode()
            jobs.append({"do": "weights", "data": text, "shapes": shapes, "base": base, "change": change})
            wanted.append(layers_of(result))
    assert found(in_node("files.mjs", jobs, tmp_path)) == wanted


def test_damaged_weights_are_refused_where_the_codec_refuses_them(tmp_path: Path) -> None:
    rng = np.random.default_rng(11)
    jobs, refused = [], []
    for spec in SPECS[:3]:
        layers = drawn_head(spec)
        change = encode_change([changed(layer, rng, 4) for layer in layers], layers, 2)
        for coded, base in ((encode_layers(layers), None), (change, layers)):
            for _ in range(60):
                data = mutated(coded, rng)
                shapes = spec.shapes()
                try:
                    decode_shapes(data, shapes, base, None if base is None else BIAS_COARSE)
                    refused.append(False)
                except HeadError:
                    refused.append(True)
                text = base64.b64encode(data).decode()
                told = {"base": base and layers_of(base), "change": base is not None}
                jobs.append({"do": "weights", "data": text, "shapes": [list(shape) for shape in shapes], **told})
    answers = in_node("files.mjs", jobs, tmp_path)
    assert ["error" in answer for answer in answers] == refused
    assert all("found" in answer or "error" in answer for answer in answers)


def changed(layer: Layer, rng: np.random.Generator, step: int) -> Layer:
    """A layer that differs here and there by multiples of `step`, biases by 2^BIAS_COARSE as much; far ones too."""
    more = rng.integers(-3, 4, layer.weight.shape) * (rng.random(layer.weight.shape) < 0.2) * step
    weight = layer.weight + more
    weight = np.where(np.abs(weight) > 127, layer.weight, weight)
    bias = layer.bias + rng.integers(-300, 300, layer.bias.shape) * (step << BIAS_COARSE)
    bias = np.where(np.abs(bias) > 1 << 20, layer.bias, bias)
    return Layer(weight.astype(np.int8), bias.astype(np.int32), layer.scale_bits)


def test_files_of_heads_are_those_of_the_codec(tmp_path: Path) -> None:
    names = [*store.FILM_HEADS.values(), *store.STILL_HEADS.values(), "upscale2.bin", "upscale3.bin", "upscale4.bin"]
    jobs = [{"do": "headFile", "path": str(HEADS / name)} for name in names]
    for name, ours in zip(names, found(in_node("files.mjs", jobs, tmp_path)), strict=True):
        stored = store.pretrained(name)
        assert ours == {
            "planes": stored.spec.planes, "width": stored.spec.width, "told": stored.spec.base_q,
            "adds": stored.spec.adding, "scale": stored.factor, "layers": layers_of(stored.layers),
        }  # fmt: skip


def test_what_payloads_may_not_say(tmp_path: Path) -> None:
    """A film whose first segment header has one number changed, sealed anew."""
    units = list(FilmReader(GOLDEN / "head-v1.nvc").units())
    payload = units[0].payloads[0]
    film = (GOLDEN / "head-v1.nvc").read_bytes()
    at = film.index(payload)
    jobs = []
    for place, value in ((0, 2), (1, 6), (6, 4), (7, 9), (8, 5), (2, 0), (18, 0), (19, 0), (24, 9)):
        body = bytearray(payload[:-4])
        body[place] = value
        if place == 2:
            body[3] = 0  # a width of 0
        elif place == 18:
            body[17:19] = bytes(2)
        sealed = bytes(body) + zlib.crc32(body).to_bytes(4)
        data = film[:at] + sealed + film[at + len(payload) :]
        jobs.append({"do": "units", "data": base64.b64encode(data).decode(), "heads": FILM_HEADS})
        with pytest.raises(FormatError):
            read_segment(sealed)
    broken = bytearray(film)
    broken[at + 9] ^= 1
    jobs.append({"do": "units", "data": base64.b64encode(broken).decode(), "heads": FILM_HEADS})
    answers = in_node("files.mjs", jobs, tmp_path)
    assert all("error" in answer for answer in answers), answers
    assert "CRC-32" in answers[-1]["error"]


def test_headers_are_refused_where_the_codec_refuses_them(tmp_path: Path) -> None:
    rng = np.random.default_rng(12)
    films = [next(FilmReader(path).units()).payloads[0] for path in FILMS]
    stills = [obu.extract(avif.read(path.read_bytes()).base)[0] for path in STILLS]
    jobs, wanted = [], []
    for job, payloads, read in (("segmentHeader", films, read_segment), ("stillHeader", stills, read_still)):
        for payload in payloads:
            for _ in range(40):
                body = bytearray(payload[:-4])
                for _ in range(int(rng.integers(1, 3))):
                    body[int(rng.integers(40))] = int(rng.choice([0, 1, 2, 3, 4, 5, 7, 8, 9, 255]))
                sealed = bytes(body) + zlib.crc32(body).to_bytes(4)
                try:
                    wanted.append(numbers_of(read(sealed)))
                except FormatError:
                    wanted.append(None)
                jobs.append({"do": job, "data": base64.b64encode(sealed).decode()})
    answers = in_node("files.mjs", jobs, tmp_path)
    assert all("found" in answer or "error" in answer for answer in answers)
    told = [answer.get("found") for answer in answers]
    for header in filter(None, (*told, *wanted)):  # the codec reduces the rate, a fraction
        header.pop("rate", None), header.pop("rate_unit", None)
    assert told == wanted
    assert 0 < wanted.count(None) < len(wanted)


# --------------------------------------------------------------------------------------------------- sources and damage


def test_crc(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    data = [rng.bytes(n) for n in (0, 1, 7, 8, 9, 63, 1000, 100003)]
    jobs = [{"do": "crc", "data": base64.b64encode(d).decode(), "cut": len(d) // 3} for d in data]
    assert found(in_node("files.mjs", jobs, tmp_path)) == [zlib.crc32(d) for d in data]


def test_addresses_are_read_by_ranges(tmp_path: Path) -> None:
    data = np.random.default_rng(4).bytes(1_500_000)
    path = tmp_path / "film"
    path.write_bytes(data)
    wanted = [(0, 12), (1_499_990, 10), (200_000, 700_000), (262_143, 2), (0, len(data)), (5, 0)]
    jobs: list[dict[str, Any]] = [
        {"do": "ranges", "path": str(path), "wanted": wanted, "server": server}
        for server in ("good", "whole", "changing", "secret", "missing", "silent")
    ]
    jobs.append({"do": "ranges", "path": str(path), "wanted": [(1_499_999, 2)], "server": "good"})
    good, whole, *bad = in_node("files.mjs", jobs, tmp_path)
    for answer in found([good, whole]):
        assert answer["name"] == "a b.nvc" and answer["size"] == len(data)
        assert answer["found"] == [zlib.crc32(data[at : at + size]) for at, size in wanted]
    assert len(good["found"]["asked"]) == 4, "what has been read is kept"
    assert len(whole["found"]["asked"]) == 1
    assert all("error" in answer for answer in bad), bad


def mutated(data: bytes, rng: np.random.Generator) -> bytes:
    """Numbers changed, bytes cut out or doubled, or the end cut off; mostly in the first kilobytes."""
    out = bytearray(data)
    way = int(rng.integers(4))
    if way == 0:
        return bytes(out[: int(rng.integers(len(out)))])
    for _ in range(int(rng.integers(1, 5))):
        at = int(rng.integers(min(len(out), 3000) if rng.random() < 0.7 else len(out)))
        if way == 1:
            out[at] = int(rng.choice([0, 1, 127, 128, 255, int(rng.integers(256))]))
        elif way == 2:
            out[at : at + 4] = rng.choice([b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f\xff\xff\xff", b"\0\0\xff\xff"])
        else:
            run = bytes(out[at : at + int(rng.integers(1, 40))])
            out[at : at + len(run)] = b"" if rng.random() < 0.5 else run + run
    return bytes(out)


def test_damaged_files_are_refused_with_a_sentence(tmp_path: Path) -> None:
    rng = np.random.default_rng(19)
    film = sounding(tmp_path / "sound.mp4", ("flac",))
    seeds = [GOLDEN / "tracks-v1.nvc", GOLDEN / "head-v1.nvc", film, remuxed(film, tmp_path / "a.mkv")]
    seeds += [remuxed(film, tmp_path / f"{kind}.mp4", FRAGMENTED[kind]) for kind in FRAGMENTED]
    stills = [GOLDEN / "palette-two-v1.still.nvc", GOLDEN / "lossy-v1.still.nvc"]
    jobs: list[dict[str, Any]] = []
    for path in [*seeds, *stills]:
        for _ in range(120):
            text = base64.b64encode(mutated(path.read_bytes(), rng)).decode()
            jobs.append({"do": "damaged", "data": text, "path": "it", "still": path in stills, "heads": STILL_HEADS})
    *answers, memory = in_node("files.mjs", [*jobs, {"do": "memory"}], tmp_path)
    assert not [answer for answer in answers if "fault" in answer]
    sentences = [answer["error"] for answer in answers if "error" in answer]
    assert len(sentences) > 100 and all(" " in text and not text.endswith(".") for text in sentences)
    assert memory["found"] < 800 << 20, "nothing is allocated on a file's word"
