"""Endings of names that promise a file of one kind, so that nothing of another kind is written under them."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from ..errors import UsageError

_KNOWN = frozenset((
    ".3gp", ".apng", ".asf", ".avi", ".avif", ".bmp", ".flv", ".gif", ".heic", ".heif", ".ivf", ".jpe", ".jpeg", ".jpg",
    ".jxl", ".m2ts", ".m4v", ".mka", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".mxf", ".nvc", ".nvs", ".obu",
    ".ogg", ".ogv", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff", ".ts", ".vob", ".webm", ".webp", ".wmv", ".y4m",
))  # fmt: skip


def ending_of(path: str, own: Collection[str], written: str) -> str:
    """The ending of a name in small letters, such as ".nvc". Raises UsageError where it promises another kind of file
    than those of `own`; `written` says what is written, and as what."""
    ending = Path(path).suffix.lower()
    if ending in _KNOWN and ending not in own:
        raise UsageError(f"{path}: {written}, not as {ending}")
    return ending
