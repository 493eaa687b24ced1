"""Options and types of options that several commands share."""

from __future__ import annotations

import re
from collections.abc import Callable
from fractions import Fraction
from functools import wraps
from typing import Any

import click

from ..limits import FILM_MEMORY, FILM_PIXELS, STILL_MEMORY, STILL_PIXELS, Limits


class Number(click.ParamType):
    """A number, or one of some words."""

    def __init__(self, *words: str, whole: bool = False):
        self.words, self.whole = words, whole
        self.name = "|".join((*words, "N"))

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value in self.words or not isinstance(value, str):
            return value
        try:
            return int(value) if self.whole else Fraction(value)
        except (ValueError, ZeroDivisionError):
            self.fail(f"{value!r} is neither {' nor '.join((*self.words, 'a number'))}", param, ctx)


class Seconds(click.ParamType):
    """Seconds, or [HH:]MM:SS[.fraction]."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if isinstance(value, Fraction):
            return value
        try:
            total = Fraction(0)
            for part in str(value).split(":"):
                number = Fraction(part)
                if number < 0 or str(value).count(":") > 2:
                    raise ValueError
                total = total * 60 + number
            return total
        except (ValueError, ZeroDivisionError):
            self.fail(f"{value!r} is no time in seconds or [HH:]MM:SS", param, ctx)


class Amount(click.ParamType):
    """A whole number, with K, M or G for 10^3, 10^6, 10^9, or KiB, MiB, GiB for 2^10, 2^20, 2^30."""

    name = "n[K|M|G][iB]"
    _FORM = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(i?)B?", re.IGNORECASE)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not isinstance(value, str):
            return value
        found = self._FORM.fullmatch(value.strip())
        number = Fraction(0)
        if found and bool(found[2]) >= bool(found[3]):
            power = " KMGT".index(found[2].upper() or " ")
            number = Fraction(found[1]) * (1024 if found[3] else 1000) ** power
        if number < 1:
            self.fail(f"{value!r} is no amount such as 512M or 4GiB", param, ctx)
        return int(number)


def limited(command: Callable[..., Any]) -> Callable[..., Any]:
    """Options on what a file may claim; the command gets them as `limits`."""

    @wraps(command)
    def with_limits(*words: Any, max_pixels: int | None, max_memory: int | None, **options: Any) -> Any:
        return command(*words, **options, limits=Limits(max_pixels, max_memory))

    most = f"[default: {FILM_PIXELS >> 20}Mi; of stills {STILL_PIXELS >> 20}Mi]"
    pixels = click.option("--max-pixels", type=Amount(), help=f"Largest picture that a file may claim.  {most}")
    most = f"[default: {FILM_MEMORY >> 30}GiB; for stills {STILL_MEMORY >> 30}GiB]"
    memory = click.option("--max-memory", type=Amount(), help=f"Most memory that the work may take.  {most}")
    return pixels(memory(with_limits))


def shared(command: Callable[..., Any]) -> Callable[..., Any]:
    """Options that all commands take."""
    command = click.option("-q", "--quiet", is_flag=True, help="Print nothing but errors.")(command)
    return click.option("--json", "as_json", is_flag=True, help="One JSON object an event on stdout.")(command)


threads = click.option("--threads", type=click.IntRange(0, 256), default=0, help="0: one a core.  [default: 0]")


def machine(command: Callable[..., Any]) -> Callable[..., Any]:
    """Options on where to compute."""
    device = click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True)
    return device(threads(command))
