"""One film through the codec and back, judged by how an independent reader sees the source and the results.

    film ──encode──> film.nvc ──decode──> decoded.mkv
      └──judge──┐       └──judge──┐          └──judge──> differences, of which notes excuse some

Pictures of the .nvc are taken from the codec, since no other program restores them; its times, tracks, chapters, colour
and geometry are read like those of any film. Where the film can be stored losslessly it is, and then every sample
counts.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path

import numpy as np

import codec
from codec.errors import InputError, NvcError

from . import plainly
from .film_making import NotMade, make
from .outcome import NOT_MADE, REFUSED, Difference, Outcome, judged
from .reading import FilmReading, Reader, Shown, Sound, Texts, Time, Unreadable
from .sampling import Choice

LOSSLESS = codec.Settings(max_error=0, head=False, preset="fast", threads=1)
QUICK = codec.Settings(crf=63, head=False, loss="off", scale=Fraction(1), preset="fast", threads=1)
MUXER_TICK = Fraction(1, 1000)  # of what libav's muxers of decoded films round the offsets of tracks to
EXACT = ("mkv", "y4m")  # decoded films that hold the samples
WHOLE = ("mkv", "mp4", "mov", "webm")  # those that hold other tracks and times

# kind of difference -> what a note has to say of it
EXCUSES = {
    "samples": r"not the source's own|not exact|alpha (plane|track)|becomes yuv",
    "pictures": r"refer to others before|is kept up to there|left out; it may be cut off",
    "times": r"time stamps are missing or repeated|times vary",
    "last duration": r"time stamps are missing or repeated",
    "size": r"last row or column is repeated",
    "rotation": r"does not hold the film's rotation",
    "aspect ratio": r"does not hold the aspect ratio",
    "colour": r"RGB becomes|code points|matrix of RGB|colours? .*not kept",
    "chroma place": r"place of .*chroma",
    "sound": r"audio stream .*(dropped|empty)|holds pictures only|sound .*left out",
    "sound times": r"time stamps of the audio",
    "sound samples": r"audio stream .*(encoded anew|converted to (lib)?opus|are rounded|resampled|silence)",
    "subtitles": r"subtitle stream .*(dropped|empty)|holds pictures only",
    "subtitle texts": r"subtitle stream .*styling may be lost",
    "chapters": r"chapters",
    "attachments": r"attachment stream",
    "cover": r"\bvideo stream #.*dropped|cover",
    "tags": r"tags of the film",
}

# kinds that need no note, and why
EXCEPTIONS = {
    "padding": "samples that a coder of sound adds before the beginning or behind the end are heard where a container, "
    "or libav's muxer of it, has no place to mark them; what the film sounds like is whole and in time",
}
TURN_SLACK = 2  # 65536ths
LAYERS = {"mp2", "mp3"}  # MP4 has one name for both, and libav's decoders of them differ in the last bits
PADDING_MAX = 4096  # samples, either way


def check(number: int, choice: Choice, folder: Path, seed: int, read: Reader) -> Outcome:
    """What becomes of the film of a combination; its files stay in `folder`."""
    try:
        path = make(choice, folder, seed)
        source = read(path, None)
    except NotMade as error:
        return Outcome(number, choice, NOT_MADE, (str(error),))
    except Unreadable as error:
        return Outcome(number, choice, NOT_MADE, (f"the judge does not read it: {error}",))
    return through(number, choice, path, source, read)


def through(number: int, choice: Choice, path: Path, source: FilmReading, read: Reader) -> Outcome:
    """The verdict on a film that was made, and read by the judge as `source`."""
    coded = path.parent / f"coded.{choice['target']}"
    shown = path.parent / f"decoded.{choice['decoded']}"
    try:
        done, exact = _encoded(path, coded)
        notes = list(done.notes)
        notes += codec.decode(coded, shown, overwrite=True, device="cpu", threads=1).notes
    except NvcError as error:
        return _refused(number, choice, path, error)
    found = list(_differences(source, path, coded, shown, exact, read))
    return judged(number, choice, found, notes, EXCUSES, EXCEPTIONS)


def _encoded(path: Path, coded: Path) -> tuple[codec.Encoded, bool]:
    """The film encoded losslessly, or as it can be where it is not stored so; and which of them."""
    try:
        return codec.encode(path, coded, LOSSLESS, overwrite=True), True
    except InputError as error:
        if "cannot be stored losslessly" not in str(error):
            raise
    return codec.encode(path, coded, QUICK, overwrite=True), False


def _refused(number: int, choice: Choice, path: Path, error: NvcError) -> Outcome:
    """A refusal is a sentence that names the file."""
    text = str(error)
    if str(path.parent) in text:
        return Outcome(number, choice, REFUSED, (text.replace(f"{path.parent}/", ""),))
    return judged(number, choice, [Difference("refusal", "encode", f"names no file: {text}")], (), EXCUSES)


def _differences(
    source: FilmReading, path: Path, coded: Path, shown: Path, exact: bool, read: Reader
) -> Iterator[Difference]:
    """What the .nvc and the decoded film do not have as the source has it. Where the judge does not read a result, as
    an old ffmpeg PCM in MP4, PyAV judges source and result; what that does not read either is a difference."""
    try:
        found = list(_read_by(read, source, path, coded, shown, exact))
    except Unreadable as first:
        try:
            found = list(_read_by(plainly.read, plainly.read(path, None), path, coded, shown, exact))
        except Unreadable:
            found = [Difference("unreadable", "result", str(first))]
    yield from found


def _read_by(
    read: Reader, source: FilmReading, path: Path, coded: Path, shown: Path, exact: bool
) -> Iterator[Difference]:
    """The differences that one judge sees. Raises Unreadable."""
    own, fmt, place = _own_pictures(coded)
    wanted = read(path, _sampled_in(source.pix_fmt, fmt)) if exact else source
    found = read(coded, None)
    if found.chroma_place in UNKNOWN and place:  # AV1 has no word for some, which the codec tells by itself
        found = replace(found, chroma_place=place)
    if exact:
        found = replace(found, pictures=tuple(_with_sums(found.pictures, own)))
    yield from compared(wanted, found, Compare("nvc", samples=exact))
    back = read(shown, None)
    ending, slack = shown.suffix[1:], MUXER_TICK + found.tick
    how = Compare(f"decoded {ending}", exact and ending in EXACT, ending in WHOLE, slack)
    yield from compared(wanted, back, how)
    yield from _of_own(wanted, own, found.tick)


def _sampled_in(own: str, fmt: str) -> str | None:
    """The format that the judge is to take samples in: none where a film's `own` is that of the codec's planes."""
    return None if own.replace("yuvj", "yuv") == fmt else fmt


def _own_pictures(coded: Path) -> tuple[list[Shown], str, str]:
    """The pictures that the codec restores, their format by libav's name, and where their chroma samples lie."""
    film = codec.open(coded, device="cpu", threads=1)
    base = film.info.time_base
    found = []
    for frame in film.frames():
        crc = 0
        for plane in frame.planes:
            crc = zlib.crc32(np.ascontiguousarray(plane, plane.dtype.newbyteorder("<")).data, crc)
        found.append(Shown(frame.pts * base, frame.duration * base, crc))
    return found, film.info.format.av_name, film.info.chroma_place


def _with_sums(shown: Sequence[Shown], own: Sequence[Shown]) -> Iterator[Shown]:
    """Pictures at the times that the judge sees, with the samples that the codec restores."""
    for number, one in enumerate(shown):
        yield replace(one, crc=own[number].crc) if number < len(own) else one


def _of_own(wanted: FilmReading, own: Sequence[Shown], tick: Time) -> Iterator[Difference]:
    """What the codec says itself of times, which are ticks of the .nvc."""
    if len(own) != len(wanted.pictures):
        yield Difference("pictures", "restored", f"{len(own)} of {len(wanted.pictures)}")
    elif wanted.timed and own:
        zero = own[0].time or Fraction(0)
        moved = [(one.time or zero) - zero for one in own]
        yield from _times(
            [one.time or Fraction(0) for one in wanted.pictures], moved, wanted, Compare("restored", slack=tick)
        )


@dataclass(frozen=True)
class Compare:
    """How a result is compared. `samples`: whether they are to be equal; `whole`: whether it is to hold other tracks,
    times and geometry; `slack`: seconds that its muxer may round the offsets of tracks by."""

    where: str
    samples: bool = False
    whole: bool = True
    slack: Time = field(default=Fraction(0))


TAGS = ("title", "comment", "artist", "my_own")
UNKNOWN = ("unknown", "unspecified")
COLOUR = ("range", "matrix", "transfer", "primaries")


def compared(wanted: FilmReading, found: FilmReading, how: Compare) -> Iterator[Difference]:
    """Where a result differs from its source."""
    yield from _shape(wanted, found, how)
    if len(found.pictures) != len(wanted.pictures):
        yield Difference("pictures", how.where, f"{len(found.pictures)} of {len(wanted.pictures)}")
    elif how.samples:
        pairs = zip(wanted.pictures, found.pictures, strict=True)
        wrong = [n for n, (a, b) in enumerate(pairs) if a.crc != b.crc]
        if wrong:
            yield Difference("samples", how.where, f"of {len(wrong)} pictures, first of picture {wrong[0]}")
    if how.whole:
        if len(found.pictures) == len(wanted.pictures) and wanted.timed:
            yield from _picture_times(wanted, found, how)
        yield from _sounds(wanted, found, how)
        yield from _subtitles(wanted, found, how)
        yield from _rest(wanted, found, how)


def _shape(wanted: FilmReading, found: FilmReading, how: Compare) -> Iterator[Difference]:
    """Geometry and colour."""
    if (wanted.width, wanted.height) != (found.width, found.height):
        yield Difference("size", how.where, f"{found.width}x{found.height}, not {wanted.width}x{wanted.height}")
    if wanted.sar != found.sar:
        yield Difference("aspect ratio", how.where, f"{found.sar}, not {wanted.sar}")
    if not _same_turn(wanted.turn, found.turn):
        yield Difference("rotation", how.where, f"{found.turn}, not {wanted.turn}")
    for n, unsaid in enumerate(("tv", "unknown", "unknown", "unknown")):
        ours, theirs = (unsaid if film.colour[n] in UNKNOWN else film.colour[n] for film in (found, wanted))
        if ours != theirs:
            yield Difference("colour", how.where, f"{COLOUR[n]} {ours}, not {theirs}")
    # where nothing is said, chroma samples lie on the left
    places = ["left" if film.chroma_place in UNKNOWN else film.chroma_place for film in (found, wanted)]
    if "420" in wanted.pix_fmt and "420" in found.pix_fmt and places[0] != places[1]:
        yield Difference("chroma place", how.where, f"{places[0]}, not {places[1]}")


def _same_turn(one: Sequence[int], other: Sequence[int]) -> bool:
    """Whether two display matrices are one; Matroska tells degrees as floats of 32 bits, which round."""
    return len(one) == len(other) and all(abs(a - b) <= TURN_SLACK for a, b in zip(one, other, strict=True))


def _picture_times(wanted: FilmReading, found: FilmReading, how: Compare) -> Iterator[Difference]:
    times = [(one.time or Fraction(0)) - found.origin for one in found.pictures]
    yield from _times([one.time or Fraction(0) for one in wanted.pictures], times, found, how)
    last, own = wanted.pictures[-1].duration, found.pictures[-1].duration
    if last and abs(last - own) > wanted.tick + found.tick + how.slack:
        yield Difference("last duration", how.where, f"{float(own):.6f} s, not {float(last):.6f} s")


def _times(wanted: Sequence[Time], moved: Sequence[Time], found: FilmReading, how: Compare) -> Iterator[Difference]:
    """Times of pictures, `moved` so that the first is at 0, within a tick of the result."""
    origin = min(wanted)
    for number, (one, other) in enumerate(zip(wanted, moved, strict=True)):
        if abs(one - origin - other) > found.tick + how.slack:
            text = f"picture {number} at {float(other):.6f} s, not {float(one - origin):.6f} s"
            yield Difference("times", how.where, text)
            return


def _sounds(wanted: FilmReading, found: FilmReading, how: Compare) -> Iterator[Difference]:
    heard = [one for one in wanted.sounds if one.samples]
    there = [one for one in found.sounds if one.samples]
    if len(heard) != len(there):
        yield Difference("sound", how.where, f"{len(there)} tracks of {len(heard)}: {[s.codec for s in heard]}")
        return
    for number, (one, other) in enumerate(zip(heard, there, strict=True)):
        name = f"track {number} ({one.codec})"
        same = (one.wave, one.rate, one.channels) == (other.wave, other.rate, other.channels)
        same |= {one.codec, other.codec} <= LAYERS and one.coded == other.coded and one.samples == other.samples
        before = 0 if same else _padded(one, other)
        if not same:
            kind = "sound samples" if before is None else "padding"
            yield Difference(kind, how.where, f"{name}: {_described(other)}, not {_described(one)}")
        yield from _sound_times(one, other, before or 0, name, (wanted, found), how)


def _described(sound: Sound) -> str:
    crc = zlib.crc32(sound.wave)
    return f"{sound.codec} of {sound.packets} packets, {sound.samples} samples at {sound.rate}, CRC {crc:08x}"


def _padded(one: Sound, other: Sound) -> int | None:
    """Samples before those of `one` in `other`, where it holds all of them and but a coder's padding beside; else
    None."""
    unit = 8 * max(one.channels, 1)
    if (one.rate, one.channels) != (other.rate, other.channels) or other.samples - one.samples > 2 * PADDING_MAX:
        return None
    at = other.wave.find(one.wave)
    return at // unit if at >= 0 and at % unit == 0 and at // unit <= PADDING_MAX else None


def _sound_times(
    one: Sound, other: Sound, before: int, name: str, films: tuple[FilmReading, FilmReading], how: Compare
) -> Iterator[Difference]:
    """When samples are heard, as seen from the first picture: the first of every frame of `one`, which comes `before`
    samples later in `other`."""
    tick = one.tick + other.tick + films[0].tick + films[1].tick + how.slack
    number = 0
    anew = other.codec != one.codec and one.rate != other.rate  # then frames are cut anew, too
    for begun, count in one.frames[: 1 if anew else None]:
        begins = _heard_at(other, number + before)
        late = (begins - films[1].origin) - (begun - films[0].origin)
        if abs(late) > tick:
            text = f"{name}: sample {number} comes {float(late):+.6f} s late against the pictures"
            yield Difference("sound times", how.where, text)
            return
        number += count


def _heard_at(sound: Sound, sample: int) -> Time:
    """When a sample is heard."""
    before = 0
    for begins, count in sound.frames[:-1]:
        if sample < before + count:
            return begins + Fraction(sample - before, sound.rate)
        before += count
    return sound.frames[-1][0] + Fraction(sample - before, sound.rate)


def _subtitles(wanted: FilmReading, found: FilmReading, how: Compare) -> Iterator[Difference]:
    said = [one for one in wanted.subtitles if one.packets]
    there = [one for one in found.subtitles if one.packets]
    if len(said) != len(there):
        yield Difference("subtitles", how.where, f"{len(there)} tracks of {len(said)}")
        return
    for one, other in zip(said, there, strict=True):
        yield from _lines(one, other, (wanted.origin, found.origin), how)


def _lines(one: Texts, other: Texts, origins: tuple[Time, Time], how: Compare) -> Iterator[Difference]:
    if [line.text for line in one.lines] != [line.text for line in other.lines]:
        text = f"{[line.text for line in other.lines]}, not {[line.text for line in one.lines]}"
        yield Difference("subtitle texts", how.where, text)
        return
    tick = one.tick + other.tick + how.slack
    for line, own in zip(one.lines, other.lines, strict=True):
        late = (own.start - origins[1]) - (line.start - origins[0])
        longer = (own.end - own.start) - (line.end - line.start)
        if abs(late) > tick or abs(longer) > tick:
            text = f"{line.text!r} comes {float(late):+.3f} s late and lasts {float(longer):+.3f} s longer"
            yield Difference("subtitle times", how.where, text)
            return


def _rest(wanted: FilmReading, found: FilmReading, how: Compare) -> Iterator[Difference]:
    wishes, own = (_chapters(film, wanted.length) for film in (wanted, found))
    if [title for *_, title in wishes] != [title for *_, title in own]:
        yield Difference("chapters", how.where, f"{[c[2] for c in own]}, not {[c[2] for c in wishes]}")
    elif any(
        max(abs(a[0] - b[0]), abs(a[1] - b[1])) > how.slack + MUXER_TICK for a, b in zip(wishes, own, strict=True)
    ):
        yield Difference("chapters", how.where, f"at {_spans(own)}, not {_spans(wishes)}")
    if wanted.covers + wanted.attachments > found.covers + found.attachments:
        kind = "cover" if wanted.covers > found.covers else "attachments"
        yield Difference(kind, how.where, "lost")
    lost = [key for key in TAGS if key in _lower(wanted).keys() - _lower(found).keys()]
    if lost:
        yield Difference("tags", how.where, f"{', '.join(lost)} lost")


def _chapters(film: FilmReading, length: Time) -> list[tuple[Time, Time, str]]:
    """Chapters as seen from the first picture, as far as the film lasts, without those that fill gaps in MP4."""
    found = []
    titled = any(one.text for one in film.chapters)
    for one in [one for one in film.chapters if one.text or not titled]:
        start, end = (min(max(time - film.origin, Fraction(0)), length) for time in (one.start, one.end))
        found.append((start, end, one.text))
    return found


def _times_of(chapters: Sequence[tuple[Time, Time, str]]) -> list[Time]:
    return [time for start, end, _ in chapters for time in (start, end)]


def _spans(chapters: Sequence[tuple[Time, Time, str]]) -> str:
    return ", ".join(f"{float(start):.3f}..{float(end):.3f}" for start, end, _ in chapters)


def _lower(film: FilmReading) -> dict[str, str]:
    return {key.lower(): value for key, value in film.tags.items()}
