"""Names that promise a file of another kind are refused, others are taken."""

from __future__ import annotations

import pytest

from codec.errors import UsageError
from codec.film.containers import MP4, container_of
from codec.media.endings import ending_of


@pytest.mark.parametrize("name", ["a.avif", "a.AVIF", "a.nvc", "a", "a.still", "a.png.nvc", "folder.png/a"])
def test_own_and_unknown_endings_are_taken(name: str) -> None:
    assert ending_of(name, (".nvc", ".avif"), "pictures are .nvc") in ("", ".nvc", ".avif", ".still")


@pytest.mark.parametrize("name", ["a.png", "a.JPG", "a.nvc.webp", "a.mkv", "a.mp4", "a.nvs"])
def test_foreign_endings_are_refused(name: str) -> None:
    with pytest.raises(UsageError, match=r"^a\..*: pictures are \.nvc, not as \."):
        ending_of(name, (".nvc", ".avif"), "pictures are .nvc")


def test_films_have_containers_of_their_own() -> None:
    assert container_of("a.mkv").format == "matroska" and container_of("a.WebM").format == "webm"
    assert all(container_of(name) is MP4 for name in ("a.nvc", "a.mp4", "a.m4v", "a", "a.film"))
    for name in ("a.avif", "a.nvs", "a.png", "a.mov"):
        with pytest.raises(UsageError, match="encode writes films as"):
            container_of(name)
