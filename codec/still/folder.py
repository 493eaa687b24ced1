"""Folders of pictures, side by side. They keep their places; what fails is told and does not stop the others."""

from __future__ import annotations

import os
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from ..errors import InputError, NvcError
from ..events import FolderDone, Listener, Note, PictureFailed, PictureOfFolder, silent
from ..limits import DEFAULT, Limits
from ..machine import use_threads
from ..media.animations import is_animation
from ..media.pictures import READABLE
from ..settings import StillSettings
from .files import NVC, Done, decode_picture, encode_picture

_KINDS_NAMED = 8  # of other files, that is
_FILES_NAMED = 5  # where there are no more of them


def _below(folder: Path, endings: set[str]) -> tuple[list[Path], list[Path], list[Path]]:
    """Names of the files with such endings that hold one picture, of the animations among them, and of other files.
    Raises InputError where there is nothing to work on."""
    files = sorted(p.relative_to(folder) for p in folder.rglob("*") if p.is_file())
    named = [p for p in files if p.suffix.lower() in endings]
    moving = {p for p in named if is_animation(str(folder / p))}
    found = [p for p in named if p not in moving]
    if not found:
        kinds = ", ".join(sorted(endings))
        raise InputError(f"{folder} holds {'animations alone' if moving else 'no file'} of the kinds {kinds}")
    return found, sorted(moving), [p for p in files if p.suffix.lower() not in endings]


def _passed_over(folder: Path, animations: list[Path], others: list[Path]) -> Iterator[str]:
    """Sentences on what of a folder is not worked on. A film is not for folders of pictures: its first would stand for
    it."""
    for name in animations:
        yield f"{folder / name} is an animation: encode it by itself"
    if others:
        many = f"{len(others)} files of other kinds were" if len(others) > 1 else "a file of another kind was"
        kinds = sorted({p.suffix.lower() or "no ending" for p in others})
        few = len(others) <= _FILES_NAMED
        named = [str(p) for p in others] if few else [*kinds[:_KINDS_NAMED], *["..."] * (len(kinds) > _KINDS_NAMED)]
        yield f"{folder}: {many} passed over ({', '.join(named)})"


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

    @property
    def event(self) -> FolderDone:
        """The same for listeners."""
        before, after = sum(d.source_bytes for d in self.done), sum(d.bytes for d in self.done)
        return FolderDone(len(self.done), len(self.failed), self.kept, before, after, round(self.seconds, 2))

    @property
    def bpp(self) -> float | None:
        """Bits a pixel of all that was encoded, None after decoding."""
        if not self.done or self.done[0].psnr is None:
            return None
        return sum(d.bytes for d in self.done) * 8 / sum(d.width * d.height for d in self.done)

    @property
    def mean_psnr(self) -> float | None:
        """PSNR-RGB in dB, mean over the pictures that lost something; None where none did."""
        finite = [d.psnr for d in self.done if d.psnr is not None and not d.lossless]
        return sum(finite) / len(finite) if finite else None


def encode_folder(
    source: str,
    target: str,
    settings: StillSettings | None = None,
    *,
    overwrite: bool = False,
    resume: bool = False,
    limits: Limits = DEFAULT,
    listen: Listener = silent,
) -> Folder:
    """Encode every picture below the folder `source` to a still .nvc file below the folder `target`, as many at a time
    as `settings.threads` says (0: one a core). Animations are left out, and named. With `resume` files that are there
    already are kept."""
    settings = settings or StillSettings()
    alone = replace(settings, threads=1)

    def work(name: str, to: str) -> Done:
        return encode_picture(name, to, alone, overwrite=overwrite, limits=limits)

    return _folder(source, target, READABLE, NVC, work, settings.threads, resume, listen)


def decode_folder(
    source: str,
    target: str,
    *,
    overwrite: bool = False,
    threads: int = 0,
    device: str = "auto",
    limits: Limits = DEFAULT,
    listen: Listener = silent,
) -> Folder:
    """Decode every still .nvc file below the folder `source` to a PNG below the folder `target`, as many at a time as
    `threads` says (0: one a core)."""

    def work(name: str, to: str) -> Done:
        return decode_picture(name, to, overwrite=overwrite, threads=1, device=device, limits=limits)

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
    names, animations, others = _below(root, endings)
    pairs = {root / name: out / to for name, to in _targets(names, ending).items()}
    waiting = {name: to for name, to in pairs.items() if not (resume and to.exists())}
    for sentence in _passed_over(root, animations, others):
        listen(Note(sentence))
    done: list[Done] = []
    failed: list[str] = []
    for count, (name, result) in enumerate(_each(waiting, work, jobs), 1):
        if isinstance(result, str):
            failed.append(result)
            listen(PictureFailed(result, count, len(waiting)))
            continue
        done.append(result)
        for note in result.notes:
            listen(Note(note))
        listen(PictureOfFolder(result.event, count, len(waiting), str(name.relative_to(root))))
    return Folder(done, failed, len(pairs) - len(waiting), time.monotonic() - began)


def _each(pairs: dict[Path, Path], work: Callable[[str, str], Done], jobs: int) -> Iterator[tuple[Path, Done | str]]:
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

    import torch  # there are enough pictures for it

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
