"""An .nvc film as the source of another: what it restores is encoded, not its base; and what stands on standard input
is read like a file where it is one."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest

import codec
from codec.errors import InputError, SourceDamaged, UsageError
from codec.film.reader import is_nvc_film
from codec.film.restored import Restored
from codec.film.sources import source_of
from codec.frames import Frame
from codec.limits import Limits
from codec.media.demuxed import Demuxed
from codec.settings import Settings
from tests.makers import GOLDEN, base_temporal_units, remuxed, same_planes, stand_on_input

LOSSLESS = GOLDEN / "lossless-v1.nvc"
FILM = GOLDEN / "enlarged-v1.nvc"  # its base is smaller than its pictures
pytestmark = pytest.mark.usefixtures("quick")


def settings(**wishes: Any) -> Settings:
    return Settings(**{"preset": "fast", "device": "cpu", "head": False} | wishes)


def restored(path: Path) -> list[Frame]:
    return list(codec.open(path, device="cpu").frames())


def packets(path: Path, kind: str) -> list[bytes]:
    with av.open(str(path)) as film:
        return [bytes(p) for p in film.demux(getattr(film.streams, kind)[0]) if p.size]


@pytest.mark.parametrize("ending", ["nvc", "mkv"])
def test_the_restored_film_is_encoded(tmp_path: Path, ending: str) -> None:
    source = FILM if ending == "nvc" else remuxed(FILM, tmp_path / "in.mkv", "video")
    target = tmp_path / "out.nvc"
    done = codec.encode(source, target, settings(max_error=0))
    assert f"{source} is an .nvc film; its restored pictures are encoded" in done.notes
    old, new = restored(source), restored(target)
    assert len(old) == len(new) and all(same_planes(a, b) for a, b in zip(old, new, strict=True))
    a, b = codec.open(source).info, codec.open(target).info
    assert [f.pts * a.time_base for f in old] == [f.pts * b.time_base for f in new]


def test_its_other_tracks_are_copied(tmp_path: Path) -> None:
    source, target = GOLDEN / "tracks-v1.nvc", tmp_path / "out.nvc"
    codec.encode(source, target, settings())
    assert packets(target, "audio") == packets(source, "audio") != []
    assert codec.verify(target, device="cpu").problems == []


def damaged(tmp_path: Path) -> Path:
    """A film of which a byte of the last payload is another."""
    data = bytearray(LOSSLESS.read_bytes())
    data[data.rindex(b"\xb5\x7f\xfdNVC") + 30] ^= 1
    path = tmp_path / "damaged.nvc"
    path.write_bytes(data)
    return path


def test_damage_is_named(tmp_path: Path) -> None:
    path = damaged(tmp_path)
    with source_of(path) as film, pytest.raises(SourceDamaged, match=r"damaged\.nvc: frame at"):
        list(film.frames())
    with source_of(path, best_effort=True) as film:
        assert len(list(film.frames())) == len(restored(LOSSLESS))
        assert any("damaged.nvc: frame at" in note for note in film.notes)


def test_what_stands_in_for_damage_is_not_lossless(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"damaged\.nvc cannot be stored losslessly: .*frame at"):
        codec.encode(damaged(tmp_path), tmp_path / "out.nvc", settings(max_error=0), best_effort=True)
    assert not (tmp_path / "out.nvc").exists()


def test_opened_again(tmp_path: Path) -> None:
    with source_of(FILM, device="cpu") as film, film.again(1) as other:
        assert isinstance(other, Restored) and other.identity is film.identity
        assert all(same_planes(a, b) for a, b in zip(film.frames(), other.frames(), strict=True))


def test_ordinary_av1_is_no_film_of_ours(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as output:
        video = output.add_mux_stream("av1", rate=25, width=64, height=48, time_base=Fraction(1, 25))
        for k, (data, key) in enumerate(base_temporal_units(3)):
            packet = av.Packet(data)
            packet.pts = packet.dts = k
            packet.time_base, packet.is_keyframe, packet.stream = Fraction(1, 25), key, video
            output.mux(packet)
    assert not is_nvc_film(str(path)) and is_nvc_film(str(FILM))
    with source_of(path) as film:
        assert isinstance(film, Demuxed) and film.notes == []


def test_limits_are_those_of_decoding(make_film: Any) -> None:
    with pytest.raises(InputError, match="--max-pixels"):
        source_of(FILM, limits=Limits(max_pixels=100))
    with pytest.raises(UsageError, match="animations and"):
        source_of(make_film("a.mp4"), limits=Limits(max_pixels=100))


@pytest.mark.parametrize("piped", [True, False])
def test_on_standard_input(monkeypatch: pytest.MonkeyPatch, piped: bool) -> None:
    stand_on_input(monkeypatch, FILM, piped)
    if piped:
        with pytest.raises(InputError, match=r"^standard input is an \.nvc film"):
            source_of("-")
        return
    with source_of("-") as film:
        assert film.notes == ["standard input is an .nvc film; its restored pictures are encoded"]
        assert all(same_planes(a, b) for a, b in zip(film.frames(), restored(FILM), strict=True))


def test_sound_of_a_redirected_file_is_kept(monkeypatch: pytest.MonkeyPatch, make_film: Any, tmp_path: Path) -> None:
    source, target = make_film("a.mkv", sound="aac"), tmp_path / "out.nvc"
    stand_on_input(monkeypatch, source, piped=False)
    codec.encode("-", target, settings(target_size=0.1), resume=True)
    assert packets(target, "audio") == packets(source, "audio") != []


def test_of_a_pipe_sound_is_named(monkeypatch: pytest.MonkeyPatch, make_film: Any, tmp_path: Path) -> None:
    stand_on_input(monkeypatch, make_film("a.mkv", sound="aac"), piped=True)
    done = codec.encode("-", tmp_path / "out.nvc", settings())
    assert "not kept: sound, as a pipe can be read only once; name the film's file instead" in done.notes
    assert not codec.open(tmp_path / "out.nvc").tracks()


def test_of_a_pipe_without_sound_nothing_is_named(monkeypatch: pytest.MonkeyPatch, make_film: Any) -> None:
    stand_on_input(monkeypatch, make_film("a.mkv"), piped=True)
    with source_of("-") as film:
        assert film.notes == []
