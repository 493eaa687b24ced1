"""Makes the picture of a combination, and tells what it holds.

Where samples are written here, byte by byte or losslessly, they are known; of lossy files Pillow's own reading counts.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from . import picture_bytes as files
from .film_making import NotMade
from .picture_bytes import Samples
from .sampling import Choice

ENDINGS = {"apng": "png", "webp-lossy": "webp", "webp-anim": "webp", "avif-deep": "avif", "avif-anim": "avif"}
ENDINGS |= {"pnm-plain": "pnm", "jpeg": "jpg", "tiff": "tif"}
PEAKS = {"3": 5, "10": 1000, "12": 4095}  # of PNM: maxima need not be one less than a power of two
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"/></x:xmpmeta>'
ICCS: dict[str, Callable[[], bytes]] = {
    "srgb-icc": files.icc,
    "p3-icc": lambda: files.icc(primaries=files.P3),
    "grey-icc": lambda: files.icc(b"GRAY"),
    "cmyk-icc": lambda: files.icc(b"CMYK"),
    "long-icc": lambda: files.icc() + np.random.default_rng(1).bytes(90000),
}
CICP = {  # primaries, transfer, matrix of H.273, full range
    "gamma-1": (1, 8),
    "chrm": (12, 4),  # the primaries of P3, and a plain gamma of 2.2
    "cicp-pq": (9, 16, 0, 1),
    "cicp-p3": (12, 13, 0, 1),
    "nclx-pq": (9, 16),
    "nclx-p3": (12, 13),
    "nclx-hlg": (9, 18),
}


@dataclass(frozen=True)
class Truth:
    """What a file holds. `samples`: RGBA of 16 bits, alpha straight; `seen`: where they are defined (1) and not (0);
    `deep`: whether it has more than 8 bits; `alpha`: whether it has any; `icc`: a profile of the samples' own space;
    `foreign`: whether there is one of another; `colour`: how colour is told otherwise; `frames`, pages too."""

    samples: Samples | None
    seen: Samples | None = None
    deep: bool = False
    alpha: bool = False
    icc: bytes = b""
    foreign: bool = False
    orientation: int = 1
    colour: str = ""
    frames: int = 1
    cmyk: bool = False


@dataclass(frozen=True)
class Drawn:
    """Samples to be written, and the alpha or colours that belong to them."""

    samples: Samples
    peak: int
    palette: Samples | None = None  # (colours, 3)
    alphas: Samples | None = None  # of the colours of a palette
    key: Sequence[int] = ()  # the colour that is transparent


def make(choice: Choice, folder: Path, seed: int) -> tuple[Path, Truth]:
    """The picture of a combination, in `folder`. Raises NotMade."""
    kind = choice["type"]
    drawn = _drawn(choice, np.random.default_rng(seed))
    try:
        data, told = WRITERS[kind.partition("-")[0] if kind not in WRITERS else kind](choice, drawn)
    except (OSError, ValueError, cv2.error, KeyError) as error:
        raise NotMade(f"{type(error).__name__}: {error}") from None
    path = folder / f"picture.{ENDINGS.get(kind, kind)}"
    path.write_bytes(data)
    if told.samples is None and not told.cmyk and kind != "avif-deep":
        told = _as_pillow(path, told)
    return path, told


def _drawn(choice: Choice, rng: np.random.Generator) -> Drawn:
    width, height = (int(n) for n in choice["size"].split("x"))
    kind, depth = choice["samples"], choice["depth"]
    peak = (1 << int(depth)) - 1
    if choice["type"] in ("pnm", "pnm-plain", "pam"):
        peak = PEAKS.get(depth, peak)
    channels = {"rgb": 3, "rgb+alpha": 4, "grey+alpha": 2, "rgb+key": 3, "premultiplied": 4, "cmyk": 4}.get(kind, 1)
    shape = (height, width, channels)
    if choice["content"] == "flat":
        samples = np.broadcast_to(rng.integers(0, peak + 1, channels), shape).copy()
    elif choice["content"] == "noise":
        samples = rng.integers(0, peak + 1, shape)
    else:
        ramp = np.add.outer(np.arange(height) / height, np.arange(width) / width)[..., None] / 2
        samples = np.clip((ramp * (0.5 + np.arange(channels) / 6) + rng.normal(0, 0.02, shape)) * peak, 0, peak)
    samples = samples.astype(np.int64)
    if kind.startswith("palette"):
        alphas = rng.integers(0, 256, peak + 1) if kind == "palette+alpha" else None
        return Drawn(samples, peak, rng.integers(0, 256, (peak + 1, 3)), alphas)
    if kind.endswith("+key"):
        return Drawn(samples, peak, key=samples[height // 2, width // 2].tolist())
    if kind == "premultiplied":
        samples[..., :3] = samples[..., :3] * samples[..., 3:] // peak
    return Drawn(samples, peak)


def _rgba(drawn: Drawn, choice: Choice) -> Truth:
    """What samples of a combination stand for."""
    kind, peak = choice["samples"], drawn.peak
    deep = peak > 255
    top = 65535 if deep else 255
    samples = drawn.samples if kind != "white-is-zero" else peak - drawn.samples
    if drawn.palette is not None:
        colour = drawn.palette[samples[..., 0]]
        alpha = np.full(colour.shape[:2], 255) if drawn.alphas is None else drawn.alphas[samples[..., 0]]
        whole = np.concatenate([colour, alpha[..., None]], axis=2)
    else:
        whole = (samples * top * 2 + peak) // (peak * 2)
        grey = whole.shape[2] < 3
        colour = np.repeat(whole[..., :1], 3, axis=2) if grey else whole[..., :3]
        alpha = whole[..., -1:] if whole.shape[2] in (2, 4) else np.full_like(whole[..., :1], top)
        if drawn.key:
            alpha = np.where((drawn.samples == drawn.key).all(axis=2, keepdims=True), 0, top)
        whole = np.concatenate([colour, alpha], axis=2)
    seen = np.ones_like(whole)
    if kind == "premultiplied":
        alpha = np.maximum(whole[..., 3:], 1)
        whole[..., :3] = np.minimum((whole[..., :3] * top * 2 + alpha) // (alpha * 2), top)
        seen[..., :3] = whole[..., 3:] > 0
    has_alpha = "alpha" in kind or kind == "premultiplied" or bool(drawn.key)
    return Truth(whole * (1 if deep else 257), seen, deep, has_alpha)


def _told(choice: Choice, truth: Truth, grey: bool) -> Truth:
    """With the profile and the orientation that are chosen."""
    profile = choice["profile"]
    truth = replace(truth, orientation=int(choice["orientation"]))
    if profile in ICCS:
        own = profile == "grey-icc" if grey else profile in ("srgb-icc", "p3-icc", "long-icc")
        return replace(truth, icc=ICCS[profile]()) if own else replace(truth, foreign=True)
    told = "" if profile in ("none", "srgb", "gamma-2.2") else profile  # the latter is what sRGB is taken for
    return replace(truth, colour=told)


def _exif(choice: Choice) -> bytes:
    turned = int(choice["orientation"])
    return files.exif(turned, ">" if turned % 2 else "<") if turned > 1 or choice["extra"] == "big-exif" else b""


def _png(choice: Choice, drawn: Drawn) -> tuple[bytes, Truth]:
    profile, chunks = choice["profile"], []
    if profile in ICCS:
        chunks.append((b"iCCP", b"test\0\0" + zlib.compress(ICCS[profile]())))
    chunks += {
        "gamma-1": [(b"gAMA", struct.pack(">I", 100000))],
        "gamma-2.2": [(b"gAMA", struct.pack(">I", 45455))],
        "chrm": [
            (b"gAMA", struct.pack(">I", 45455)),
            (b"cHRM", struct.pack(">8I", 31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000)),
        ],
        "srgb": [(b"sRGB", b"\0")],
    }.get(profile, [])
    if profile in ("cicp-pq", "cicp-p3"):
        chunks.append((b"cICP", bytes(CICP[profile])))
    if exif := _exif(choice):
        chunks.append((b"eXIf", exif))
    if choice["extra"] == "xmp":
        chunks.append((b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + XMP))
    elif choice["extra"] == "text":
        chunks.append((b"tEXt", b"Comment\0hello"))
    key = struct.pack(f">{len(drawn.key)}H", *drawn.key)
    if drawn.alphas is not None:
        key = drawn.alphas.astype(np.uint8).tobytes()
    interlaced = choice["extra"] == "interlaced"
    data = files.png(drawn.samples, int(choice["depth"]), chunks, drawn.palette, key, interlaced)
    return data, _told(choice, _rgba(drawn, choice), drawn.samples.shape[2] < 3 and drawn.palette is None)


def _tiff(choice: Choice, drawn: Drawn) -> tuple[bytes, Truth]:
    kind, extra, samples = choice["samples"], choice["extra"], drawn.samples
    photometric = {"white-is-zero": 0, "palette": 3, "cmyk": 5}.get(kind, 1 if samples.shape[2] < 3 else 2)
    tags: list[tuple[int, int, Sequence[int] | bytes]] = [(274, 3, [int(choice["orientation"])])]
    if drawn.palette is not None:
        tags.append((320, 3, (drawn.palette.T * 257).flatten().tolist()))
    if choice["profile"] in ICCS:
        tags.append((34675, 7, ICCS[choice["profile"]]()))
    if extra == "xmp":
        tags.append((700, 1, XMP))
    alpha = {"premultiplied": 1, "rgb+alpha": 2, "grey+alpha": 2}.get(kind)
    pages = 2 if extra == "pages" else 1
    order = ">" if extra == "big-endian" else "<"
    depth = int(choice["depth"])
    data = files.tiff(samples, depth, photometric, alpha, order, tags, extra == "deflated", extra == "planar", pages)
    truth = Truth(None, cmyk=True) if kind == "cmyk" else _rgba(drawn, choice)
    return data, replace(_told(choice, truth, samples.shape[2] < 3 and drawn.palette is None), frames=pages)


def _pnm(choice: Choice, drawn: Drawn) -> tuple[bytes, Truth]:
    plain, pam = choice["type"] == "pnm-plain", choice["type"] == "pam"
    return files.pnm(drawn.samples, drawn.peak, plain, pam), _rgba(drawn, choice)


def _image(drawn: Drawn) -> Any:
    """8-bit samples as an image of Pillow."""
    image = import_module("PIL.Image")
    if drawn.palette is not None:
        made = image.fromarray(drawn.samples[..., 0].astype(np.uint8), "P")
        made.putpalette(drawn.palette.astype(np.uint8).tobytes())
        return made
    mode = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}[drawn.samples.shape[2]]
    data = drawn.samples.astype(np.uint8).tobytes()
    return image.frombytes(mode, drawn.samples.shape[1::-1], data)


def _saved(picture: Any, kind: str, **options: Any) -> bytes:
    file = BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def _jpeg(choice: Choice, drawn: Drawn) -> tuple[bytes, Truth]:
    cmyk = choice["samples"] == "cmyk"
    image = _image(drawn)
    if cmyk:
        data = drawn.samples.astype(np.uint8).tobytes()
        image = import_module("PIL.Image").frombytes("CMYK", image.size, data)
    options: dict[str, Any] = {"quality": 92, "progressive": choice["extra"] == "progressive"}
    if choice["profile"] in ICCS:
        options["icc_profile"] = ICCS[choice["profile"]]()
    if exif := _exif(choice):
        filler = struct.pack("<HHII", 0, 0, 0, 0) * 3000 if choice["extra"] == "big-exif" else b""
        options["exif"] = b"Exif\0\0" + exif + filler
    data = _saved(image, "JPEG", **options)
    segments = {
        "mpf": [(0xE2, b"MPF\0" + bytes(range(80)))],
        "xmp": [(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + XMP)],
        "comment": [(0xFE, b"hello")],
        "iptc": [(0xED, b"Photoshop 3.0\08BIM\x04\x04\0\0\0\0\0\x05\x1c\x02\x78\0\0")],
    }.get(choice["extra"], [])
    return files.with_segments(data, segments), _told(choice, Truth(None, cmyk=cmyk), drawn.samples.shape[2] < 3)


def _metadata(choice: Choice) -> dict[str, Any]:
    """What Pillow is to write beside the samples."""
    options: dict[str, Any] = {}
    if choice["profile"] in ICCS:
        options["icc_profile"] = ICCS[choice["profile"]]()
    if exif := _exif(choice):
        options["exif"] = exif
    if choice["extra"] == "xmp":
        options["xmp"] = XMP
    return options


def _webp(choice: Choice, drawn: Drawn) -> tuple[bytes, Truth]:
    lossy = choice["type"] == "webp-lossy"
    options = {"lossless": not lossy, "exact": True, "quality": 90} | _metadata(choice)
    truth = Truth(None, alpha=drawn.samples.shape[2] == 4) if lossy else _rgba(drawn, choice)
    return _saved(_image(drawn), "WEBP", **options), _told(choice, truth, False)


def _animated(choice: Choice, drawn: Drawn) -> tuple[bytes, Truth]:
    """Three pictures: the first, and two that are moved."""
    frames = [replace(drawn, samples=np.roll(drawn.samples, n * 3, axis=1)) for n in range(3)]
    first, *rest = map(_image, frames)
    kind = {"webp-anim": "WEBP", "avif-anim": "AVIF", "apng": "PNG", "gif": "GIF"}[choice["type"]]
    options = {"WEBP": {"lossless": True, "exact": True}, "GIF": {"optimize": False}}.get(kind, {})
    data = _saved(first, kind, save_all=True, append_images=rest, duration=[100, 200, 500], **options)
    with import_module("PIL.Image").open(BytesIO(data)) as made:  # which joins frames that are alike
        return data, Truth(None, alpha=drawn.samples.shape[2] == 4, frames=made.n_frames)


def _gif(choice: Choice, drawn: Drawn) -> tuple[bytes, Truth]:
    options = {"transparency": 7} if choice["samples"] == "palette+alpha" else {}
    alphas = np.full(len(drawn.palette if drawn.palette is not None else ()), 255)
    if options:
        alphas[7] = 0
    truth = _rgba(replace(drawn, alphas=alphas), choice)
    assert truth.samples is not None
    seen = np.ones_like(truth.samples)
    seen[..., :3] = truth.samples[..., 3:] > 0  # colours that nobody sees are none of the picture's
    return _saved(_image(drawn), "GIF", optimize=False, **options), replace(truth, seen=seen)


def _bmp(choice: Choice, drawn: Drawn) -> tuple[bytes, Truth]:
    bilevel = choice["samples"] == "bilevel"
    image = _image(replace(drawn, samples=drawn.samples * 255) if bilevel else drawn)
    return _saved(image.convert("1") if bilevel else image, "BMP"), _rgba(drawn, choice)


def _avif(choice: Choice, drawn: Drawn) -> tuple[bytes, Truth]:
    options = {"quality": 95, "subsampling": "4:4:4", "speed": 9, "max_threads": 1} | _metadata(choice)
    if choice["samples"] == "premultiplied":
        options["alpha_premultiplied"] = True
    data = _with_nclx(_saved(_image(drawn), "AVIF", **options), choice["profile"])
    return data, _told(choice, Truth(None, alpha=drawn.samples.shape[2] == 4), False)  # grey is read as colour


def _avif_deep(choice: Choice, drawn: Drawn) -> tuple[bytes, Truth]:
    depth = int(choice["depth"])
    order = [2, 1, 0, 3][: drawn.samples.shape[2]]
    options = [cv2.IMWRITE_AVIF_DEPTH, depth, cv2.IMWRITE_AVIF_QUALITY, 100, cv2.IMWRITE_AVIF_SPEED, 9]
    done, data = cv2.imencode(".avif", np.ascontiguousarray(drawn.samples[..., order].astype(np.uint16)), options)
    if not done:
        raise ValueError("OpenCV does not write it")
    truth = replace(_rgba(drawn, choice), deep=True)
    return _with_nclx(data.tobytes(), choice["profile"]), _told(choice, truth, False)


def _with_nclx(data: bytes, profile: str) -> bytes:
    """An AVIF whose box of colour says other primaries and another transfer."""
    if profile not in CICP:
        return data
    at = data.find(b"colrnclx")
    if at < 0:
        raise ValueError("there is no box of colour")
    return data[: at + 8] + struct.pack(">HH", *CICP[profile][:2]) + data[at + 12 :]


def _jp2(choice: Choice, drawn: Drawn) -> tuple[bytes, Truth]:
    return _saved(_image(drawn), "JPEG2000", irreversible=False), _rgba(drawn, choice)


def _as_pillow(path: Path, told: Truth) -> Truth:
    """With the samples that Pillow reads of a lossy file."""
    with import_module("PIL.Image").open(path) as image:
        samples = np.asarray(image.convert("RGBA"), np.int64) * 257
    seen = np.ones_like(samples)
    return replace(told, samples=samples, seen=seen)


WRITERS: dict[str, Callable[[Choice, Drawn], tuple[bytes, Truth]]] = {
    "png": _png,
    "apng": _animated,
    "jpeg": _jpeg,
    "webp": _webp,
    "webp-lossy": _webp,
    "webp-anim": _animated,
    "avif": _avif,
    "avif-deep": _avif_deep,
    "avif-anim": _animated,
    "tiff": _tiff,
    "bmp": _bmp,
    "pnm": _pnm,
    "pnm-plain": _pnm,
    "pam": _pnm,
    "gif": _gif,
    "jp2": _jp2,
}
