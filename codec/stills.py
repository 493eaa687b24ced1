"""Pictures in files to still .nvc files and back: one, or a folder of them side by side.

A folder's pictures keep their places below it; what fails is told and does not stop the others.
"""

from __future__ import annotations

import os
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from .avif import is_avif
from .avif import read as read_avif
from .errors import FormatError, InputError, NvcError
from .events import Event, Listener
from .limits import DEFAULT, Limits, check_still
from .obu import SIGNATURE, extract
from .pictures import (
    READABLE,
    WRITABLE,
    Picture,
    check_picture_target,
    parse_picture,
    read_bytes,
    write_bytes,
    write_picture,
)
from .restore import use_threads
from .sinks import STDOUT, check_not_same, check_target
from .source import STDIN
from .still import decode_still, encode_still, header_of
from .still_payload import ALPHA, NO_ALPHA, NO_HEAD, UNBOUNDED
from .still_settings import StillSettings

NVC = ".nvc"


@dataclass(frozen=True)
class Done:
    """A picture that was encoded or decoded. `psnr`: dB, None after decoding; `source_bytes`: of the file that was
    read, 0 for standard input; `notes`: what was not kept or not met."""

    source: str
    target: str
    width: int
    height: int
    source_bytes: int
    bytes: int
    seconds: float
    psnr: float | None = None
    crf: float | None = None
    notes: tuple[str, ...] = ()

    @property
    def bpp(self) -> float:
        """Bits a pixel of the .nvc file."""
        return (self.bytes if self.psnr is not None else self.source_bytes) * 8 / (self.width * self.height)

    def data(self) -> dict[str, object]:
        """For programs; an infinite PSNR is None."""
        psnr = None if self.psnr is None or self.psnr == float("inf") else round(self.psnr, 3)
        return {
            "source": self.source,
            "path": self.target,
            "width": self.width,
            "height": self.height,
            "bytes": self.bytes,
            "bpp": round(self.bpp, 5),
            "psnr": psnr,
            "lossless": self.psnr == float("inf"),
            "crf": self.crf,
            "seconds": round(self.seconds, 3),
        }


def any_picture(path: str, limits: Limits = DEFAULT) -> Picture:
    """The picture in a file of any kind that can be read, a still .nvc as it is restored. Raises InputError, or
    FormatError for a damaged .nvc."""
    data = read_bytes(path)
    if is_avif(data):
        try:
            ours = bool(extract(read_avif(data).base))
        except FormatError:
            ours = SIGNATURE in data  # a damaged one: its base alone would be another picture
        if ours:
            return named(path, lambda: decode_still(data, limits=limits))
    picture = parse_picture(data, path)
    height, width = picture.pixels.shape[:2]
    if width * height > limits.still_pixels:
        raise InputError(f"{path} is of {width}x{height} pixels, more than {limits.still_pixels:,}: see --max-pixels")
    return picture


def encode_picture(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    settings: StillSettings | None = None,
    *,
    overwrite: bool = False,
    listen: Callable[[str], None] = lambda stage: None,
) -> Done:
    """Encode the picture at `source` ("-": standard input) to the still .nvc file `target` ("-": standard output).

    Raises InputError, OutputError or UsageError; then nothing is at `target` that was not there before.
    """
    source, target = os.fspath(source), os.fspath(target)
    check_not_same(source, target)
    if target != STDOUT:
        check_target(target, overwrite)
    began = time.monotonic()
    settings = settings or StillSettings()
    use_threads(settings.threads)
    picture = any_picture(source)
    try:
        coded = encode_still(picture, settings, listen)
    except InputError as error:
        raise InputError(f"{source}: {error}") from None
    write_bytes(target, coded.data)
    height, width = picture.pixels.shape[:2]
    notes = picture.notes
    if coded.missed:
        notes += (f"{source}: {coded.missed} could not be met; the nearest was kept",)
    size = os.path.getsize(source) if source != STDIN else 0
    seconds = time.monotonic() - began
    return Done(source, target, width, height, size, len(coded.data), seconds, coded.psnr, coded.crf, notes)


def decode_picture(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    threads: int = 0,
    limits: Limits = DEFAULT,
) -> Done:
    """Decode the still .nvc file `source` to a picture of the kind that the name of `target` says ("-": PNG on standard
    output). Raises FormatError, DamageError, OutputError or UsageError; then nothing new is at `target`."""
    source, target = os.fspath(source), os.fspath(target)
    check_not_same(source, target)
    check_picture_target(target, overwrite)
    began = time.monotonic()
    use_threads(threads)
    data = read_bytes(source)
    picture = named(source, lambda: decode_still(data, threads, limits))
    notes = tuple(write_picture(target, picture))
    height, width = picture.pixels.shape[:2]
    size = os.path.getsize(target) if target != STDOUT else 0
    return Done(source, target, width, height, len(data), size, time.monotonic() - began, notes=notes)


def named(source: str, work: Callable[[], Any]) -> Any:
    """What `work` returns; its faults name the file."""
    try:
        return work()
    except FormatError as error:
        raise type(error)(f"{source}: {error}") from None


def describe_still(path: str, limits: Limits = DEFAULT) -> dict[str, Any]:
    """What a still .nvc file is made of; no picture is decoded. Raises FormatError, also beyond `limits`."""
    data = read_bytes(path)
    still, header = named(path, lambda: header_of(data))
    named(path, lambda: check_still(header, limits))
    loss = len(header.loss) + len(header.loss_low)
    alpha = len(still.alpha) + len(header.alpha_loss) + len(header.alpha_low)
    parts = {"head": len(header.delta), "loss_stream": loss, "alpha": alpha, "icc": len(still.icc)}
    parts["exif"] = len(still.exif)
    exact = header.bounded != UNBOUNDED and header.max_error == 0
    inside = sum(len(p) for p in (header.delta, header.loss, header.loss_low, header.alpha_loss, header.alpha_low))
    base = len(still.base) - inside
    return {
        "path": path,
        "width": header.width,
        "height": header.height,
        "channels": header.channels + (header.alpha != NO_ALPHA),
        "depth": header.depth,
        "alpha": header.alpha == ALPHA,
        "head": None if header.head == NO_HEAD else header.head,
        "told": None if header.head == NO_HEAD else header.told,
        "lossless": exact,
        "max_error": header.max_error if header.bounded != UNBOUNDED else None,
        "psnr": None if exact else header.psnr,
        "bpp": len(data) * 8 / (header.width * header.height),
        "bytes": {"file": len(data), "base": base, **parts, "container": len(data) - base - sum(parts.values())},
    }


def still_table(found: dict[str, Any]) -> str:
    """The description as text for a person."""
    kind = {1: "grey", 2: "grey with alpha", 3: "colour", 4: "colour with alpha"}[found["channels"]]
    quality = "lossless" if found["lossless"] else f"{found['psnr']:.2f} dB"
    if found["max_error"]:
        quality += f", every sample within {found['max_error']}"
    head = "no head" if found["head"] is None else f"head {found['head']}, told {found['told']}"
    lines = [
        f"{found['path']}: {found['width']}x{found['height']}, {kind}, {found['depth']} bits; {quality}, "
        f"{found['bpp']:.4f} bpp, {head}",
        "",
    ]
    for name, size in found["bytes"].items():
        if size or name in ("file", "base"):
            lines.append(f"  {name.replace('_', '-'):12} {size:>12,} B")
    return "\n".join(lines)


# folders


def _below(folder: Path, endings: set[str]) -> tuple[list[Path], int]:
    """Names of the files with such endings, and how many others there are."""
    files = sorted(p.relative_to(folder) for p in folder.rglob("*") if p.is_file())
    found = [p for p in files if p.suffix.lower() in endings]
    if not found:
        raise InputError(f"{folder} holds no file of the kinds {', '.join(sorted(endings))}")
    return found, len(files) - len(found)


def _targets(names: list[Path], ending: str) -> dict[Path, Path]:
    """Each name with the new ending; where two would be the same, behind the old one."""
    found = {name: Path(f"{name.with_suffix('')}{ending}") for name in names}
    while shared := {target for target, count in Counter(found.values()).items() if count > 1}:
        found = {name: Path(f"{name}{ending}") if target in shared else target for name, target in found.items()}
    return found


@dataclass(frozen=True)
class Folder:
    """What became of a folder: pictures in order of their names, sentences on those that failed, those left as they
    were, and seconds in all."""

    done: list[Done]
    failed: list[str]
    kept: int
    seconds: float


def encode_folder(
    source: str,
    target: str,
    settings: StillSettings | None = None,
    *,
    overwrite: bool = False,
    resume: bool = False,
    listen: Listener = lambda event: None,
) -> Folder:
    """Encode every picture below the folder `source` to a still .nvc file below the folder `target`, as many at a time
    as `settings.threads` says (0: one a core). With `resume` files that are there already are kept."""
    settings = settings or StillSettings()
    alone = replace(settings, threads=1)

    def work(name: str, to: str) -> Done:
        return encode_picture(name, to, alone, overwrite=overwrite)

    return _folder(source, target, READABLE, NVC, work, settings.threads, resume, listen)


def decode_folder(
    source: str,
    target: str,
    *,
    overwrite: bool = False,
    threads: int = 0,
    limits: Limits = DEFAULT,
    listen: Listener = lambda event: None,
) -> Folder:
    """Decode every still .nvc file below the folder `source` to a PNG below the folder `target`."""

    def work(name: str, to: str) -> Done:
        return decode_picture(name, to, overwrite=overwrite, threads=1, limits=limits)

    return _folder(source, target, {NVC}, ".png", work, threads, False, listen)


def _folder(
    source: str,
    target: str,
    endings: set[str],
    ending: str,
    work: Callable[[str, str], Done],
    jobs: int,
    resume: bool,
    listen: Listener,
) -> Folder:
    began, root, out = time.monotonic(), Path(source), Path(target)
    names, others = _below(root, endings)
    pairs = {root / name: out / to for name, to in _targets(names, ending).items()}
    waiting = {name: to for name, to in pairs.items() if not (resume and to.exists())}
    if others:
        listen(Event("note", {"text": f"{root}: {others} files of other kinds were passed over"}))
    done: list[Done] = []
    failed: list[str] = []
    for count, (name, result) in enumerate(_each(waiting, work, jobs), 1):
        at = {"number": count, "total": len(waiting)}
        if isinstance(result, str):
            failed.append(result)
            listen(Event("problem", {"text": result, **at}))
            continue
        done.append(result)
        for note in result.notes:
            listen(Event("note", {"text": note}))
        listen(Event("picture", {**result.data(), **at, "name": str(name.relative_to(root))}))
    return Folder(done, failed, len(pairs) - len(waiting), time.monotonic() - began)


def _each(
    pairs: dict[Path, Path], work: Callable[[str, str], Done], jobs: int
) -> Iterator[tuple[Path, Done | str]]:
    """Each source with its result, or a sentence on what failed, in order; each picture is one thread's work."""

    def one(name: Path, to: Path) -> Done | str:
        try:
            to.parent.mkdir(parents=True, exist_ok=True)
            return work(str(name), str(to))
        except NvcError as error:
            return str(error)
        except OSError as error:
            return f"{to}: {error.strerror or error}"
        except Exception as error:  # a bug of ours, or memory: the other pictures go on
            return f"{name}: internal fault, {type(error).__name__}: {error}"

    before = torch.get_num_threads()
    use_threads(1)
    pool = ThreadPoolExecutor(jobs or os.cpu_count() or 1, initializer=use_threads, initargs=(1,))
    try:
        waiting = deque((name, pool.submit(one, name, to)) for name, to in pairs.items())
        while waiting:
            name, result = waiting.popleft()
            yield name, result.result()
    finally:
        pool.shutdown(cancel_futures=True)
        use_threads(before)


assert WRITABLE.keys() <= READABLE
