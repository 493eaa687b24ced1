"""Films as the programs ffprobe and ffmpeg read them: a judge that shares nothing with the codec but the rules.

ffprobe tells of streams, packets, frames and chapters; ffmpeg decodes every track and gives checksums of its samples.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tempfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

from .reading import FilmReading, Line, Shown, Sound, Texts, Unreadable

SECONDS_MAX = 60  # that a program may take for one small film
PROBED = (
    "-show_streams",
    "-show_chapters",
    "-show_format",
    "-show_packets",
    "-show_frames",
    *("-show_data_hash", "CRC32", "-of", "json"),
)
NEW_PCM = ("ipcm", "fpcm")
FILLER = 2  # bytes of a sample of mov_text that shows nothing
TEXT = {"subrip", "ass", "webvtt", "mov_text", "text"}
COLOUR = ("color_range", "color_space", "color_transfer", "color_primaries")
_BLOCK = re.compile(r"\d+\n(\S+) --> (\S+)\n(.*?)(?=\n\n\d+\n\S+ -->|\Z)", re.DOTALL)


@cache
def version() -> str:
    """Which ffmpeg and ffprobe there are, empty where there are none."""
    if not (shutil.which("ffmpeg") and shutil.which("ffprobe")):
        return ""
    found = re.match(rb"ffprobe version (\S+)", _run(["ffprobe", "-version"]))
    return f"ffmpeg {found[1].decode()}" if found else ""


def _major() -> int:
    found = re.match(r"ffmpeg n?(\d+)", version())
    return int(found[1]) if found else 0


def read(path: Path, pix_fmt: str | None = None) -> FilmReading:
    """What a film holds, samples of pictures taken in `pix_fmt`, or in the film's own. Raises Unreadable."""
    told: Any = json.loads(_run(["ffprobe", "-v", "error", *PROBED, f"file:{path}"]))
    film = next((s for s in told["streams"] if s["codec_type"] == "video" and not _cover(s)), None)
    items: dict[int, list[Any]] = {s["index"]: [] for s in told["streams"]}
    for item in told.get("packets_and_frames", ()):
        if item.get("stream_index") in items:
            items[item["stream_index"]].append(item)
    if film is None:
        raise Unreadable("there is no film")
    frames = [i for i in items[film["index"]] if i["type"] == "frame"]
    if not frames:
        raise Unreadable("there are no pictures")
    sounds = [s for s in told["streams"] if s["codec_type"] == "audio"]
    if any(s.get("codec_tag_string") in NEW_PCM for s in sounds) and _major() < 6:
        raise Unreadable("this ffmpeg does not know PCM in MP4 as ISO/IEC 23003-5 has it")
    texts = [s for s in told["streams"] if s["codec_type"] == "subtitle"]
    with tempfile.TemporaryDirectory(prefix="judge-") as folder:
        _decode(path, Path(folder), film["index"], pix_fmt, [s["index"] for s in sounds])
        pictures = _pictures(film, items[film["index"]], _sums(Path(folder, "pictures")))
        heard = tuple(_sound(s, items[s["index"]], Path(folder, f"sound{s['index']}")) for s in sounds)
    return FilmReading(
        **_shape(film, frames[0]),
        tick=_base(film),
        pictures=pictures,
        sounds=heard,
        subtitles=tuple(_texts(path, s, items[s["index"]]) for s in texts),
        chapters=tuple(map(_chapter, told.get("chapters", ()))),
        attachments=sum(s["codec_type"] == "attachment" for s in told["streams"]),
        covers=sum(_cover(s) for s in told["streams"]),
        tags=told.get("format", {}).get("tags", {}),
    )


def _run(command: Sequence[str]) -> bytes:
    """What a program prints. Raises Unreadable where it fails, with its last words."""
    try:
        done = subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL, timeout=SECONDS_MAX)
    except subprocess.TimeoutExpired:
        raise Unreadable(f"{command[0]} does not come to an end") from None
    if done.returncode:
        words = done.stderr.decode(errors="replace").strip().splitlines()
        raise Unreadable(f"{command[0]}: {words[-1] if words else done.returncode}")
    return done.stdout


def _decode(path: Path, folder: Path, film: int, pix_fmt: str | None, sounds: Sequence[int]) -> None:
    """Checksums of the pictures and samples of every track of sound, each in a file of its own."""
    command = ["ffmpeg", "-v", "error", "-copyts", "-noautorotate", "-i", f"file:{path}"]
    command += ["-map", f"0:{film}", "-fps_mode", "passthrough", "-c:v", "rawvideo"]
    command += ["-pix_fmt", pix_fmt] if pix_fmt else []
    command += ["-f", "framehash", "-hash", "crc32", str(folder / "pictures")]
    for index in sounds:
        command += ["-map", f"0:{index}", "-c:a", "pcm_f64le", "-f", "f64le", str(folder / f"sound{index}")]
    _run(command)


def _sums(path: Path) -> list[int]:
    """The checksums of a file of ffmpeg's framehash."""
    lines = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
    return [int(line.rpartition(",")[2], 16) for line in lines]


def _pictures(film: Any, items: Sequence[Any], sums: Sequence[int]) -> tuple[Shown, ...]:
    """Pictures as they are decoded; how long each is shown, as its packet says."""
    frames = [i for i in items if i["type"] == "frame"]
    told = {i["pts"]: i["duration"] for i in items if i["type"] == "packet" and {"pts", "duration"} <= i.keys()}
    if len(frames) != len(sums):
        raise Unreadable(f"ffprobe shows {len(frames)} pictures and ffmpeg {len(sums)}")
    base, found = _base(film), []
    for frame, crc in zip(frames, sums, strict=True):
        time = _time(frame)
        length = told.get(time, frame.get("duration", frame.get("pkt_duration", 0)))
        found.append(Shown(None if time is None else time * base, length * base, crc))
    # of reordered pictures, MP4 tells how far apart they are decoded; only the track says when the last one ends
    last = found[-1]
    if film["has_b_frames"] and film.get("is_avc") == "true" and last.time is not None and "duration_ts" in film:
        end = (film["start_pts"] + film["duration_ts"]) * base
        found[-1] = replace(last, duration=max(end - last.time, Fraction(0)))
    return tuple(found)


def _shape(film: Any, frame: Any) -> dict[str, Any]:
    """Geometry and colour of a film, as its first picture has them, or else its stream."""
    turn = next((s for s in film.get("side_data_list", ()) if s["side_data_type"] == "Display Matrix"), None)
    rows = re.findall(r":((?:\s+-?\d+){3})", turn["displaymatrix"]) if turn else []
    matrix = tuple(int(n) for row in rows for n in row.split())
    unknown = (None, "unknown", "unspecified")
    colour = [next((s[k] for s in (frame, film) if s.get(k) not in unknown), "unknown") for k in COLOUR]
    ratio = next((s[k] for s in (frame, film) if ":" in s.get(k := "sample_aspect_ratio", "")), "1:1")
    across, _, down = ratio.partition(":")
    place = frame.get("chroma_location", "unspecified")
    return {
        "width": frame["width"],
        "height": frame["height"],
        "pix_fmt": frame["pix_fmt"],
        "sar": Fraction(int(across) or 1, int(down) or 1),
        "turn": () if matrix == (65536, 0, 0, 0, 65536, 0, 0, 0, 1 << 30) else matrix,
        "colour": tuple(colour),
        "chroma_place": "unspecified" if place == "unknown" else place,
    }


def _sound(stream: Any, items: Sequence[Any], file: Path) -> Sound:
    base = _base(stream)
    frames = [i for i in items if i["type"] == "frame"]
    packets = [i for i in items if i["type"] == "packet" and int(i["size"]) > 0]
    return Sound(
        codec=stream.get("codec_name", "unknown"),
        rate=int(stream.get("sample_rate", 0)),
        channels=stream.get("channels", 0),
        tick=base,
        packets=len(packets),
        frames=tuple(_timed(frames, base, int(stream.get("sample_rate", 0)))),
        wave=file.read_bytes(),
        coded=zlib.crc32("".join(i["data_hash"] for i in packets).encode()),
    )


def _timed(frames: Sequence[Any], base: Fraction, rate: int) -> Iterator[tuple[Fraction, int]]:
    """Time and samples of frames of sound; what a decoder gives without a time follows the frame before."""
    due = Fraction(0)
    for frame in frames:
        time = _time(frame)
        begin = due if time is None else time * base
        due = begin + Fraction(frame["nb_samples"], rate or 1)
        yield begin, frame["nb_samples"]


def _time(item: Any) -> int | None:
    """When something is shown, in ticks; None where the file does not say."""
    names = ("best_effort_timestamp", "pts", "dts", "pkt_dts")
    return next((int(item[name]) for name in names if name in item), None)


def _texts(path: Path, stream: Any, items: Sequence[Any]) -> Texts:
    """Subtitles: their times by packets, their texts as ffmpeg writes them to SubRip."""
    base, codec = _base(stream), stream.get("codec_name", "unknown")
    packets = [i for i in items if i["type"] == "packet" and int(i["size"]) > (FILLER if codec == "mov_text" else 0)]
    lines: list[Line] = []
    if codec in TEXT:
        command = ["ffmpeg", "-v", "error", "-copyts", "-i", f"file:{path}", "-map", f"0:{stream['index']}"]
        written = _run([*command, "-c:s", "srt", "-f", "srt", "-"]).decode(errors="replace")
        texts = [found[3].strip() for found in _BLOCK.finditer(written)]
        if len(texts) != len(packets):
            raise Unreadable(f"ffmpeg writes {len(texts)} subtitles of {len(packets)}")
        for packet, text in zip(packets, texts, strict=True):
            start = (_time(packet) or 0) * base
            lines.append(Line(start, start + packet.get("duration", 0) * base, _bare(text)))
    return Texts(codec, base, len(packets), tuple(sorted(lines, key=lambda line: (line.start, line.end, line.text))))


def _bare(text: str) -> str:
    """Words without styling."""
    return re.sub(r"<[^>]*>|\{[^}]*\}", "", text).strip()


def _chapter(told: Any) -> Line:
    base = Fraction(told["time_base"])
    return Line(told["start"] * base, told["end"] * base, told.get("tags", {}).get("title", ""))


def _base(stream: Any) -> Fraction:
    return Fraction(stream["time_base"])


def _cover(stream: Any) -> bool:
    return bool(stream["disposition"]["attached_pic"])
