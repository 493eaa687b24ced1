"""What a film says of its colours comes back from every file that can say it, and is noted where it cannot."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
import cv2
import numpy as np
import pytest
from av.sidedata.sidedata import Type

import codec
from codec.errors import FormatError, InputError
from codec.film.contents import Contents
from codec.film.info import describe
from codec.film.reader import FilmReader
from codec.film.writer import write_film
from codec.frames import CHROMA_PLACES, Colour, PlaneFormat, VideoInfo
from codec.media.conversion import Conversion
from codec.media.demuxed import open_source
from codec.media.libav import ordinary_priority, packet_of, planes_to_av
from codec.media.sinks import open_sink
from codec.settings import Settings
from codec.wire.hdr import content_light_of, mastering_of
from codec.wire.matroska import ROOM, describe_pictures
from codec.wire.obu import with_messages
from codec.wire.properties import Properties, read_properties, write_properties
from codec.wire.t35 import CAPTIONS
from tests.makers import drawn_frames, remuxed
from tests.wire.test_t35 import DOLBY_VISION, HDR10_PLUS, sei

YUV, DEEP = PlaneFormat("420", 8), PlaneFormat("420", 10)
INFO = VideoInfo(96, 64, YUV, Fraction(1, 24), Fraction(24))
WISHES = Settings(preset="fast", head=False, crf=50, scale=Fraction(1), device="cpu")
POINTS = (35400, 14600, 8500, 39850, 6550, 2300, 15635, 16450)  # BT.2020 in units of 1/50000
RATIOS = [(n, 50000) for n in POINTS] + [(50, 10000), (40000000, 10000)]
MASTERING = struct.pack("=20i2i", *(number for ratio in RATIOS for number in ratio), 1, 1)
HDR = {"mastering": MASTERING, "content_light": struct.pack("=2I", 1000, 400)}
PQ = Colour(9, 16, 9, 1)
Make = Callable[..., Path]


def info_of(path: Path) -> VideoInfo:
    with open_source(path) as source:
        return source.info


def notes_of(path: Path) -> tuple[list[str], bool]:
    """Its notes, and whether it is exact."""
    with open_source(path) as source:
        return source.notes, source.exact


# --- place of chroma samples ------------------------------------------------------------------------------------------


# what ffprobe 5.1 (-show_entries stream=chroma_location) says of the same files
@pytest.mark.parametrize(
    ("name", "encoder", "said", "place"),
    [
        *((name, encoder, place, place) for place in CHROMA_PLACES for name, encoder in (
            ("a.mp4", "libx264"), ("a.mkv", "libx265"), ("a.webm", "libvpx-vp9"), ("a.mkv", "ffv1"),
        )),
        ("a.mp4", "libsvtav1", "topleft", "topleft"),
        ("a.mp4", "libsvtav1", "center", ""),
        ("a.ts", "mpeg2video", None, "left"),
        ("a.mpg", "mpeg1video", None, "center"),
        ("a.nut", "rawvideo", None, ""),
        ("a.mov", "prores_ks", None, ""),
    ],
)  # fmt: skip
def test_the_place_of_a_source(make_film: Make, name: str, encoder: str, said: str | None, place: str) -> None:
    fmt = PlaneFormat("422", 10) if encoder == "prores_ks" else YUV
    options = {"chroma_sample_location": said} if said else {}
    if encoder == "libx265":
        options |= {"x265-params": f"log-level=error:chromaloc={CHROMA_PLACES[said or 'left'] - 1}"}
    film = make_film(name, encoder, fmt, (96, 64), [0, 1, 2], Fraction(25), Fraction(1, 25), options=options)
    ordinary_priority()  # SVT-AV1's may have been taken
    assert info_of(film).chroma_place == place


@pytest.mark.parametrize(("place", "word"), [("left", "mpeg2"), ("center", "jpeg"), ("topleft", "paldv"), ("", None)])
def test_y4m_tells_the_place(tmp_path: Path, place: str, word: str | None) -> None:
    path = tmp_path / "a.y4m"
    with open_sink(path, replace(INFO, chroma_place=place)) as sink:
        sink.write(drawn_frames(YUV, 96, 64, 1)[0])
    words = path.read_bytes().split(b"\n")[0].decode().split()
    assert [w for w in words if w.startswith("C")] == ([f"C420{word}"] if word else [])
    assert sink.notes == [] and info_of(path).chroma_place == place


@pytest.mark.parametrize(("fmt", "place"), [(YUV, "top"), (DEEP, "topleft")])
def test_y4m_has_no_word_for_some(tmp_path: Path, fmt: PlaneFormat, place: str) -> None:
    with open_sink(tmp_path / "a.y4m", replace(INFO, format=fmt, chroma_place=place)) as sink:
        sink.write(drawn_frames(fmt, 96, 64, 1)[0])
    assert sink.notes == [f"y4m does not hold the place of the film's chroma samples, {place}"]
    assert info_of(tmp_path / "a.y4m").chroma_place == ""


@pytest.mark.parametrize("place", ["", *CHROMA_PLACES])
@pytest.mark.parametrize("name", ["a.nvc", "a.mkv"])
@pytest.mark.usefixtures("quick")
def test_a_film_keeps_the_place(tmp_path: Path, place: str, name: str) -> None:
    """Through another container, too; the payload is there where AV1 has no word for it alone."""
    with open_sink(tmp_path / "in.mkv", replace(INFO, chroma_place=place, sar=Fraction(4, 3))) as sink:
        for frame in drawn_frames(YUV, 96, 64, 3, 1):
            sink.write(frame)
    film = tmp_path / name
    codec.encode(tmp_path / "in.mkv", film, WISHES)
    other = remuxed(film, tmp_path / "other.mp4")
    for path in (film, other):
        assert Contents(path).info.chroma_place == place
        unit = next(FilmReader(path).units())
        assert len(unit.payloads) == 1 + (place in ("center", "top"))
        assert describe(path)["chroma_place"] == place
        codec.verify(path, device="cpu")
    assert Contents(film).info.sar == Fraction(4, 3)
    assert info_of(film).chroma_place == (place if name == "a.mkv" or place in ("left", "topleft") else "")
    for ending in ("mkv", "y4m", "mp4", "webm"):
        codec.decode(other, tmp_path / f"out.{ending}", device="cpu")
        told = place if ending != "y4m" or place != "top" else ""
        assert info_of(tmp_path / f"out.{ending}").chroma_place == (told or ("left" if ending == "mp4" else ""))


@pytest.mark.usefixtures("quick")
def test_a_damaged_record_of_properties_is_told(tmp_path: Path) -> None:
    with open_sink(tmp_path / "in.mkv", replace(INFO, chroma_place="center")) as sink:
        sink.write(drawn_frames(YUV, 96, 64, 1)[0])
    codec.encode(tmp_path / "in.mkv", tmp_path / "a.nvc", WISHES)
    data, payload = (tmp_path / "a.nvc").read_bytes(), write_properties(Properties("center"))
    assert data.count(payload) == 1
    (tmp_path / "a.nvc").write_bytes(data.replace(payload, payload[:2] + b"\7" + payload[3:]))
    with pytest.raises(FormatError, match=r"a\.nvc: what tells of its pictures is damaged"):
        Contents(tmp_path / "a.nvc")
    assert Contents(tmp_path / "a.nvc", best_effort=True).info.chroma_place == ""


def test_a_record_of_properties_reads_back() -> None:
    assert read_properties(write_properties(Properties("top"))) == Properties("top")
    for payload in (write_properties(Properties("top"))[:-1], b"", b"\1\5\0"):
        with pytest.raises(FormatError):
            read_properties(payload)


# --- HDR10 ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["mkv", "mp4", "webm"])
@pytest.mark.parametrize("fmt", [YUV, DEEP], ids=lambda f: f.av_name)
def test_decoded_films_hold_hdr10(tmp_path: Path, ending: str, fmt: PlaneFormat) -> None:
    info = replace(INFO, format=fmt, colour=PQ, side_data=HDR, sar=Fraction(4, 3), chroma_place="topleft")
    path = tmp_path / f"a.{ending}"
    with open_sink(path, info) as sink:
        for frame in drawn_frames(fmt, 96, 64, 3, 1):
            sink.write(frame)
    assert not any("HDR" in note for note in sink.notes)
    found = info_of(path)
    assert (found.colour, found.sar, found.chroma_place) == (PQ, Fraction(4, 3), "topleft")
    assert content_light_of(found.side_data) == (1000, 400)
    assert mastering_of(found.side_data) == mastering_of(HDR)


@pytest.mark.parametrize("name", ["a.nvc", "a.mkv", "a.webm"])
@pytest.mark.usefixtures("quick")
def test_films_hold_hdr10(tmp_path: Path, name: str) -> None:
    with open_sink(tmp_path / "in.mkv", replace(INFO, format=DEEP, colour=PQ, side_data=HDR)) as sink:
        for frame in drawn_frames(DEEP, 96, 64, 2, 1):
            sink.write(frame)
    codec.encode(tmp_path / "in.mkv", tmp_path / name, WISHES)
    found = Contents(tmp_path / name).info
    assert found.colour == PQ and mastering_of(found.side_data) == mastering_of(HDR)


def test_a_file_without_room_stays_as_it_is(tmp_path: Path) -> None:
    with open_sink(tmp_path / "a.mkv", INFO) as sink:
        sink.write(drawn_frames(YUV, 96, 64, 1)[0])
    before = (tmp_path / "a.mkv").read_bytes()
    assert ROOM.encode() not in before
    (tmp_path / "b.mkv").write_bytes(before.replace(b"\xec\x01\0\0\0\0\0\1", b"\xbf\x01\0\0\0\0\0\1"))
    for name in ("b.mkv", "c.mkv"):
        (tmp_path / "c.mkv").write_bytes(before[:300])
        data = (tmp_path / name).read_bytes()
        with pytest.raises(ValueError):
            describe_pictures(tmp_path / name, Fraction(4, 3), "top", HDR)
        assert (tmp_path / name).read_bytes() == data


# --- dynamic metadata and captions ------------------------------------------------------------------------------------


def hdr10_plus(picture: int) -> bytes:
    """HDR10+ of one window whose fraction of bright pixels is that number."""
    bits = f"{1:08b}{1:02b}{1000:027b}0" + f"{10000:017b}" * 3 + f"{5000:017b}{1:04b}{50:07b}{1000:017b}"
    bits += f"{picture:010b}000"
    return HDR10_PLUS[:6] + int(bits.ljust(-(-len(bits) // 8) * 8, "0"), 2).to_bytes(-(-len(bits) // 8))


def hevc(path: Path, count: int = 10, after: bytes = b"") -> Path:
    """Pictures in HEVC that are coded in another order, each with HDR10+ of its own before it, and `after` it."""
    for _ in range(5):  # of the same packets, libav 8 refuses one try in a hundred
        try:
            return _hevc(path, count, after)
        except av.PatchWelcomeError:
            continue
    pytest.skip("libav refuses HEVC in MP4")


def _hevc(path: Path, count: int, after: bytes) -> Path:
    with av.open(str(path), "w") as output:
        options = {"x265-params": "log-level=error:bframes=3:keyint=5"}
        video = cast(Any, output.add_stream("libx265", rate=24, options=options))
        video.width, video.height, video.pix_fmt = 96, 64, DEEP.av_name

        def mux(packets: list[av.Packet]) -> None:
            for packet in packets:
                number = round(packet.pts * packet.time_base * 24)
                data = b"\0\0\0\1" + sei("4e01", (4, hdr10_plus(number)), (4, DOLBY_VISION)) + bytes(packet) + after
                new = packet_of(data)
                new.pts, new.dts, new.duration = packet.pts, packet.dts, packet.duration
                new.time_base, new.stream, new.is_keyframe = packet.time_base, video, packet.is_keyframe
                output.mux(new)

        for frame in drawn_frames(DEEP, 96, 64, count, 1):
            picture = planes_to_av(frame.planes, DEEP)
            picture.pts, picture.time_base = frame.pts, Fraction(1, 24)
            mux(video.encode(picture))
        mux(video.encode(None))
    return path


def shown(path: Path) -> list[tuple[bytes, ...]]:
    """What libav says of the HDR10+ of each picture of a film."""
    with av.open(str(path)) as film:
        frames = film.decode(video=0)
        return [tuple(bytes(d) for d in [cast(Any, f.side_data).get(Type.DYNAMIC_HDR_PLUS)] if d) for f in frames]


@pytest.mark.parametrize("name", ["in.mkv", "in.mp4", "in.ts"])
@pytest.mark.usefixtures("quick")
def test_hdr10_plus_is_carried(tmp_path: Path, name: str) -> None:
    source = hevc(tmp_path / name)
    with open_source(source) as film:
        assert [frame.messages for frame in film.frames()] == [(hdr10_plus(k),) for k in range(10)]
        assert not any("HDR10+" in note for note in film.notes)
    codec.encode(source, tmp_path / "a.nvc", WISHES)
    assert shown(tmp_path / "a.nvc") == shown(source) and all(map(len, shown(source)))
    frames = list(codec.open(tmp_path / "a.nvc", device="cpu").frames())
    assert [frame.messages for frame in frames] == [(hdr10_plus(k),) for k in range(10)]
    for ending in ("y4m", "mkv"):
        target = tmp_path / f"out.{ending}"
        notes = codec.decode(tmp_path / "a.nvc", target, device="cpu").notes
        assert notes.count(f"{target} does not hold the film's HDR10+ dynamic metadata") == 1


@pytest.mark.parametrize(
    ("message", "name"),
    [(HDR10_PLUS[:8], "HDR10+ dynamic metadata"), (CAPTIONS, "closed captions inside the video")],
)
@pytest.mark.usefixtures("quick")
def test_a_message_that_is_malformed_is_left_out(tmp_path: Path, message: bytes, name: str) -> None:
    """libav's decoder of AV1 refuses the whole picture for it, where that of HEVC passes it over."""
    source = hevc(tmp_path / "in.mkv", 4, b"\0\0\0\1" + sei("5001", (4, message)))
    with open_source(source) as film:
        assert [frame.messages for frame in film.frames()] == [(hdr10_plus(k),) for k in range(4)]
        assert f"not kept: {name} that is malformed" in film.notes
    codec.encode(source, tmp_path / "a.nvc", WISHES)
    assert shown(tmp_path / "a.nvc") == shown(source)
    reader = FilmReader(tmp_path / "a.nvc")
    units = [replace(unit, data=with_messages(unit.data, [message])) for unit in reader.units()]
    write_film(tmp_path / "b.nvc", units, reader.info, (96, 64))
    assert codec.verify(tmp_path / "b.nvc", device="cpu").frames == 4
    assert FilmReader(tmp_path / "b.nvc").info == reader.info


def test_pictures_that_bring_exif_are_read(tmp_path: Path) -> None:
    """As those of cameras in Motion JPEG; PyAV does not know that kind of side data."""
    pixels, exif = (
        np.full((48, 64, 3), 90, np.uint8),
        b"II*\0" + struct.pack("<IHHHII", 8, 1, 0x0112, 3, 1, 6) + bytes(4),
    )
    _, data = cv2.imencodeWithMetadata(".jpg", pixels, [cv2.IMAGE_METADATA_EXIF], [np.frombuffer(exif, np.uint8)])
    with av.open(str(tmp_path / "in.avi"), "w") as output:
        video = cast(Any, output.add_mux_stream("mjpeg", rate=25, width=64, height=48))
        for k in range(3):
            packet = av.Packet(data.tobytes())
            packet.pts = packet.dts = k
            packet.time_base, packet.stream, packet.is_keyframe = Fraction(1, 25), video, True
            output.mux(packet)
    with open_source(tmp_path / "in.avi") as film:
        assert [frame.pts * film.info.time_base for frame in film.frames()] == [Fraction(k, 25) for k in range(3)]


def element(number: str, *bodies: bytes) -> bytes:
    """An element of EBML."""
    body = b"".join(bodies)
    return bytes.fromhex(number) + (len(body) | 1 << 56).to_bytes(8) + body


def beside_blocks(path: Path, messages: list[bytes]) -> Path:
    """FFV1 in Matroska with a T.35 message beside each block (Matroska's block additions, type 4)."""
    encoder = cast(Any, av.CodecContext.create("ffv1", "w"))
    encoder.width, encoder.height, encoder.pix_fmt, encoder.time_base = 96, 64, YUV.av_name, Fraction(1, 1000)
    encoder.options = {"level": "1"}
    blocks = []
    for k, (frame, message) in enumerate(zip(drawn_frames(YUV, 96, 64, len(messages)), messages, strict=True)):
        (packet,) = encoder.encode(planes_to_av(frame.planes, YUV))
        more = element("a6", element("ee", b"\4"), element("a5", message))
        block = element("a1", b"\x81" + (40 * k).to_bytes(2) + b"\0", bytes(packet))
        blocks.append(element("a0", block, element("75a1", more)))
    video = element("e0", element("b0", b"\x60"), element("ba", b"\x40"))
    mapping = element("41e4", element("41f0", b"\4"), element("41e7", b"\4"))
    track = element("d7", b"\1") + element("73c5", b"\1") + element("83", b"\1") + element("86", b"V_FFV1")
    tracks = element("1654ae6b", element("ae", track, element("55ee", b"\4"), mapping, video))
    film = element("1f43b675", element("e7", b"\0"), *blocks)
    segment = element("18538067", element("1549a966", element("2ad7b1", b"\x0f\x42\x40")), tracks, film)
    path.write_bytes(element("1a45dfa3", element("4282", b"matroska")) + segment)
    return path


def test_hdr10_plus_beside_blocks_is_found(tmp_path: Path) -> None:
    messages = [hdr10_plus(k) for k in range(3)]
    with open_source(beside_blocks(tmp_path / "a.mkv", messages)) as film:
        assert [frame.messages for frame in film.frames()] == [(message,) for message in messages]
        assert film.notes == [] and film.exact


@pytest.mark.parametrize("profile", [5, 7, 8])
def test_dolby_vision_is_noted(tmp_path: Path, profile: int) -> None:
    """Its record in MP4 is enough (ETSI TS 103 572 or the `dvcC` and `dvvC` boxes of Dolby)."""
    record = struct.pack(">BBHB19x", 1, 0, profile << 9 | 6 << 3 | 0b101, 0)
    data = bytearray(hevc(tmp_path / "in.mp4", 2).read_bytes())
    box = struct.pack(">I4s", 8 + len(record), b"dvvC" if profile > 7 else b"dvcC") + record
    at = 0
    for kinds, fields in (
        ("moov", 0),
        ("trak", 0),
        ("mdia", 0),
        ("minf", 0),
        ("stbl", 0),
        ("stsd", 8),
        ("hev1hvc1", 78),
    ):
        while bytes(data[at + 4 : at + 8]).decode("latin1") not in (kinds[:4], kinds[4:]):
            at += int.from_bytes(data[at : at + 4])
        size = int.from_bytes(data[at : at + 4])
        data[at : at + 4] = (size + len(box)).to_bytes(4)
        end, at = at + size, at + 8 + fields
    data[end:end] = box
    (tmp_path / "in.mp4").write_bytes(data)
    colours = ", without which the colours of its profile 5 are wrong" if profile == 5 else ""
    assert notes_of(tmp_path / "in.mp4") == ([f"not kept: Dolby Vision metadata{colours}"], True)


def captioned(path: Path) -> Path:
    """MPEG-2 with captions as ATSC A/53 has them, in the user data of each picture."""
    with av.open(str(path), "w") as output:
        video = cast(Any, output.add_stream("mpeg2video", rate=25, options={"bf": "2"}))
        video.width, video.height, video.pix_fmt = 96, 64, YUV.av_name

        def mux(packets: list[av.Packet]) -> None:
            for packet in packets:
                data, number = bytes(packet), round(packet.pts * packet.time_base * 25)
                user = b"\0\0\1\xb2GA94\3\x42\xff" + bytes([0xFC, 0x94, 0x20, 0xFC, 0x41, number]) + b"\xff"
                at = data.index(b"\0\0\1\1")  # the first slice
                new = av.Packet(data[:at] + user + data[at:])
                new.pts, new.dts, new.time_base = packet.pts, packet.dts, packet.time_base
                new.stream, new.is_keyframe = video, packet.is_keyframe
                output.mux(new)

        for frame in drawn_frames(YUV, 96, 64, 6, 1):
            picture = planes_to_av(frame.planes, YUV)
            picture.pts, picture.time_base = frame.pts, Fraction(1, 25)
            mux(video.encode(picture))
        mux(video.encode(None))
    return path


@pytest.mark.usefixtures("quick")
def test_captions_are_carried(tmp_path: Path) -> None:
    source = captioned(tmp_path / "in.ts")
    assert not any("captions" in note for note in notes_of(source)[0])
    codec.encode(source, tmp_path / "a.nvc", WISHES)

    def captions(path: Path) -> list[bytes]:
        with av.open(str(path)) as film:
            return [bytes(cast(Any, f.side_data).get(Type.A53_CC)) for f in film.decode(video=0)]

    assert captions(tmp_path / "a.nvc") == captions(source)
    assert [found[-1] for found in captions(source)] == list(range(6))


# --- what is dropped --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoder", ["libvpx-vp9", "libvpx"])
def test_alpha_in_webm_is_noted(tmp_path: Path, encoder: str) -> None:
    """libav's own decoders give the colours alone."""
    path = tmp_path / "alpha.webm"
    with av.open(str(path), "w") as output:
        video = cast(Any, output.add_stream(encoder, rate=25, options={"auto-alt-ref": "0"}))
        video.width, video.height, video.pix_fmt = 64, 48, "yuva420p"
        video.metadata["alpha_mode"] = "1"
        picture = av.VideoFrame(64, 48, "yuva420p")
        for plane in picture.planes:
            plane.update(bytes([100]) * plane.buffer_size)
        picture.pts = 0
        output.mux(video.encode(picture))
        output.mux(video.encode(None))
    name = encoder.removeprefix("libvpx-").replace("libvpx", "vp8")
    assert notes_of(path) == ([f"the alpha plane of {name} is dropped"], False)
    with pytest.raises(InputError, match="cannot be stored losslessly: the alpha plane"):
        codec.encode(path, tmp_path / "a.nvc", replace(WISHES, crf=None, max_error=0))


def test_further_layers_are_noted(tmp_path: Path) -> None:
    layer = b"\0\0\0\1" + b"\x02\x09" + bytes(range(1, 30))  # a slice of layer 1
    notes, exact = notes_of(hevc(tmp_path / "a.mkv", 2, layer))
    assert notes == ["further views or layers of hevc (such as alpha) are dropped"] and not exact


@pytest.mark.parametrize(("name", "colour", "note"), [
    ("yuv420p", Colour(1, 1, 0, 1), "the matrix of RGB is not kept: it is not that of yuv420p"),
    ("yuv420p", Colour(256, 256, 1, 1), "the film's colours have code points of libav's own, which are not kept"),
])  # fmt: skip
def test_colours_that_av1_has_no_word_for(name: str, colour: Colour, note: str) -> None:
    conversion = Conversion(av.VideoFrame(16, 16, name), colour)
    assert (conversion.notes, conversion.exact) == ([note], True)
    assert conversion.colour == (Colour(1, 1, 2, 1) if colour.matrix == 0 else Colour(2, 2, 1, 1))


def test_xyz_is_converted_as_rgb() -> None:
    """White of half the light: 0.5 ** (1 / 2.2) of the peak, without colour."""
    frame = av.VideoFrame(16, 16, "xyz12le")
    light = (np.array([0.9505, 1, 1.089]) / 2) ** (1 / 2.6)
    frame.planes[0].update(np.tile((light * 4095).astype("<u2") << 4, (16, 16, 1)).tobytes())
    conversion = Conversion(frame, Colour())
    y, u, v = (plane[8, 8].astype(int) for plane in conversion.planes(frame))
    assert abs(y - 0.5 ** (1 / 2.2) * 1023) < 4 and abs(u - 512) < 3 and abs(v - 512) < 3
    assert (conversion.colour, conversion.exact) == (Colour(1, 4, 1, 2), False)


@pytest.mark.parametrize("name", ["yaf32le", "yaf32be"])
def test_what_would_end_the_process_is_refused(name: str) -> None:
    with pytest.raises(InputError, match=f"pixel format {name} cannot be converted"):
        Conversion(av.VideoFrame(16, 16, name), Colour())
