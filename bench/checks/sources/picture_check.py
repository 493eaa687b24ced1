"""One picture through the codec and back: its samples, profile, orientation and colour beside what is known of it.

    picture ──encode──> coded.nvc ──decode──> decoded.png, .tif, .webp ...

The .nvc is an AVIF file, so Pillow tells what any viewer sees of its orientation and profile. A PNG that was decoded is
read by this check itself, since Pillow reads 16-bit colour as 8.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

import codec
from codec.errors import InputError, NvcError
from codec.media.pictures import read_picture
from codec.still.files import is_of_pictures

from .film_making import NotMade
from .outcome import EQUAL, FINDING, NOT_MADE, NOTED, REFUSED, Difference, Outcome, judged
from .picture_bytes import Samples, png_chunks, png_samples
from .picture_making import CICP, Truth, make
from .sampling import Choice

LOSSLESS = codec.StillSettings(max_error=0, head=False, preset="fast", threads=1)
QUICK = codec.StillSettings(crf=8, head=False, preset="fast", threads=1)
LIKE = 0.04  # of full scale, that the mean of a picture may move which cannot be stored losslessly
EXACT = ("png", "tif", "webp", "bmp", "ppm")  # decoded pictures that hold the samples, of 8 bits and no alpha

# kind of difference -> what a note has to say of it
EXCUSES = {
    "samples": r"CMYK|premultiplied|hides|lossy|bits|tiles|unassociated",
    "transparency": r"transparency|alpha",
    "profile": r"colour profile|profile",
    "profile in file": r"written without .*profile|profile or EXIF, which are left out|colour profile",
    "foreign profile": r"colour profile",
    "orientation": r"orientation|turned|EXIF",
    "orientation in file": r"written without EXIF|orientation|EXIF",
    "colour": r"gamma|gAMA|cHRM|primaries|cICP|nclx|colour|transfer",
    "frames": r"all (pages|frames) but|page",
    "cmyk": r"CMYK",
}


def check(number: int, choice: Choice, folder: Path, seed: int) -> Outcome:
    """What becomes of the picture of a combination; its files stay in `folder`."""
    try:
        path, truth = make(choice, folder, seed)
    except NotMade as error:
        return Outcome(number, choice, NOT_MADE, (str(error),))
    if not is_of_pictures(str(path)):
        return _as_film(number, choice, path, truth)
    return through(number, choice, path, truth)


def through(number: int, choice: Choice, path: Path, truth: Truth) -> Outcome:
    """The verdict on a picture that was made."""
    coded, shown = path.parent / "coded.nvc", path.parent / f"decoded.{choice['decoded']}"
    try:
        done, exact = _encoded(path, coded)
        found = [] if exact else list(_of_reading(truth, path))
    except NvcError as error:
        return _refused(number, choice, path, error)
    notes = list(done.notes)
    found += _of_coded(truth, coded, exact)
    try:
        notes += codec.decode_picture(coded, shown, overwrite=True, threads=1).notes
        found += _of_decoded(truth, shown, exact and not notes)
    except NvcError as error:
        if str(path.parent) not in str(error):
            found.append(Difference("refusal", "decode", f"names no file: {error}"))
    return judged(number, choice, found, notes, EXCUSES)


def _encoded(path: Path, coded: Path) -> tuple[Any, bool]:
    """The picture encoded losslessly, or as it can be where it is not stored so; and which of them."""
    try:
        return codec.encode_picture(path, coded, LOSSLESS, overwrite=True), True
    except InputError as error:
        if "lossless" not in str(error):
            raise
    return codec.encode_picture(path, coded, QUICK, overwrite=True), False


def _refused(number: int, choice: Choice, path: Path, error: NvcError) -> Outcome:
    text = str(error)
    if str(path.parent) in text:
        return Outcome(number, choice, REFUSED, (text.replace(f"{path.parent}/", ""),))
    return Outcome(number, choice, FINDING, (f"a refusal names no file: {text}",))


def _as_film(number: int, choice: Choice, path: Path, truth: Truth) -> Outcome:
    """A picture that the codec takes for a film: all its pictures have to be there."""
    coded = path.parent / "coded.nvc"
    try:
        done = codec.encode(path, coded, codec.Settings(crf=50, head=False, preset="fast", threads=1), overwrite=True)
    except NvcError as error:
        return _refused(number, choice, path, error)
    if done.frames != truth.frames:
        return Outcome(number, choice, FINDING, (f"film: {done.frames} pictures of {truth.frames}",), tuple(done.notes))
    return Outcome(number, choice, NOTED if done.notes else EQUAL, (), tuple(done.notes))


@dataclass(frozen=True)
class Seen:
    """A picture as it is read: RGBA of 16 bits, profile, orientation, and how colour is told otherwise."""

    samples: Samples
    icc: bytes
    orientation: int
    colour: str


def _of_reading(truth: Truth, path: Path) -> Iterator[Difference]:
    """What is wrong with samples that cannot be stored losslessly, before the codec has its part."""
    picture = read_picture(str(path))
    yield from _samples(truth, rgba(picture.pixels.astype(np.int64), picture.peak), True, "read", truth.orientation)


def _of_coded(truth: Truth, coded: Path, exact: bool) -> Iterator[Difference]:
    """What the .nvc has lost: samples by the codec, the rest as any viewer sees it."""
    picture = codec.decode_still(coded.read_bytes(), threads=1)
    samples = rgba(picture.pixels.astype(np.int64), 65535 if picture.pixels.dtype == np.uint16 else 255)
    with import_module("PIL.Image").open(coded, formats=["AVIF"]) as image:
        turned, icc = image.getexif().get(274, 1), image.info.get("icc_profile") or b""
    if turned != truth.orientation and not upright(truth, samples, turned):
        yield Difference("orientation", "nvc", f"{turned}, not {truth.orientation}")
    yield from _samples(truth, samples, exact, "nvc", turned)
    yield from _profile(truth, icc, "nvc", "profile")
    if truth.foreign and not icc:
        yield Difference("foreign profile", "nvc", "a profile of another space is not kept")
    if truth.frames > 1:
        yield Difference("frames", "nvc", f"1 of {truth.frames}")
    if truth.cmyk:
        yield Difference("cmyk", "nvc", "CMYK is stored as RGB")
    told = _nclx(coded.read_bytes())
    if truth.colour and not icc and told != CICP.get(truth.colour, ())[:2]:
        yield Difference("colour", "nvc", f"{told}, not {truth.colour}")


def _of_decoded(truth: Truth, shown: Path, exact: bool) -> Iterator[Difference]:
    """What a decoded file has lost."""
    ending = shown.suffix[1:]
    where, samples = f"decoded {ending}", None
    with import_module("PIL.Image").open(shown) as image:
        turned, icc = image.getexif().get(274, 1), image.info.get("icc_profile") or b""
        if not truth.deep and ending in EXACT and ending != "png":
            samples = np.asarray(image.convert("RGBA"), np.int64) * 257
    if ending == "png":
        data = shown.read_bytes()
        chunks = png_chunks(data)
        samples = rgba(png_samples(data), 65535 if chunks[b"IHDR"][8] == 16 else 255)
        if truth.colour and not {b"iCCP", b"cICP", b"gAMA"} & chunks.keys():
            yield Difference("colour", where, f"nothing tells of {truth.colour}")
    if samples is not None:
        lies = 1 if ending == "tif" else turned  # which Pillow turns while it loads
        yield from _samples(truth, samples, exact, where, lies)
    if turned != truth.orientation and (samples is None or not upright(truth, samples, turned)):
        yield Difference("orientation in file", where, f"{turned}, not {truth.orientation}")
    yield from _profile(truth, icc, where, "profile in file")


def upright(truth: Truth, samples: Samples, turned: int) -> bool:
    """Whether a picture has been turned as its source says, and says so no more."""
    return turned == 1 and truth.samples is not None and np.array_equal(samples, turn(truth.samples, truth.orientation))


def turn(samples: Samples, orientation: int) -> Samples:
    """Samples as they are shown that are stored with an orientation of EXIF."""
    if orientation in (2, 3, 7, 8):
        samples = samples[:, ::-1]
    if orientation in (3, 4, 6, 7):
        samples = samples[::-1]
    return samples.transpose(1, 0, 2) if orientation > 4 else samples


def rgba(pixels: Samples, peak: int) -> Samples:
    """RGBA of 16 bits."""
    grey = pixels.shape[2] < 3
    colour = np.repeat(pixels[..., :1], 3, axis=2) if grey else pixels[..., :3]
    alpha = pixels[..., -1:] if pixels.shape[2] in (2, 4) else np.full_like(pixels[..., :1], peak)
    return np.concatenate([colour, alpha], axis=2) * (65535 // peak)


def _samples(truth: Truth, found: Samples, exact: bool, where: str, turned: int) -> Iterator[Difference]:
    """Samples beside the true ones: equal, or alike where the picture could not be stored losslessly."""
    if truth.samples is None:
        return
    wanted, seen = truth.samples, np.ones_like(truth.samples) if truth.seen is None else truth.seen
    if turned == 1 < truth.orientation and not np.array_equal(found, wanted):  # it may have been turned
        wanted, seen = turn(wanted, truth.orientation), turn(seen, truth.orientation)
    if wanted.shape != found.shape:
        yield Difference("samples", where, f"{found.shape}, not {wanted.shape}")
        return
    error = np.abs(wanted - found) * seen
    if error[..., 3].any():
        yield Difference("transparency", where, f"alpha differs by up to {int(error[..., 3].max()) / 257:.4g} of 255")
    if exact and error[..., :3].any():
        text = f"{np.count_nonzero(error[..., :3])} differ, by up to {int(error[..., :3].max()) / 257:.4g} of 255"
        yield Difference("samples", where, text)
    elif not exact and (np.abs(np.mean((wanted - found) * seen, axis=(0, 1))[:3]) > LIKE * 65535).any():
        yield Difference("samples", where, "a picture of another brightness or colour")


def _profile(truth: Truth, icc: bytes, where: str, kind: str) -> Iterator[Difference]:
    grey = truth.foreign and icc[16:20] == b"GRAY" and _is_grey(truth)  # so it is of the samples' space after all
    if icc != truth.icc and (truth.icc or not truth.colour) and not grey:
        yield Difference(kind, where, f"{len(icc)} bytes, not {len(truth.icc)}")


def _is_grey(truth: Truth) -> bool:
    return truth.samples is not None and bool((truth.samples[..., :1] == truth.samples[..., 1:3]).all())


def _nclx(data: bytes) -> tuple[int, ...]:
    """Primaries and transfer of the box of colour of an AVIF."""
    at = data.find(b"colrnclx")
    return tuple(int.from_bytes(data[at + n : at + n + 2], "big") for n in (8, 10)) if at >= 0 else ()
