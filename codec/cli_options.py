"""Options and types of options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import click


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


def shared(command: Callable[..., Any]) -> Callable[..., Any]:
    """Options that all commands take."""
    command = click.option("-q", "--quiet", is_flag=True, help="Print nothing but errors.")(command)
    return click.option("--json", "as_json", is_flag=True, help="One JSON object an event on stdout.")(command)


threads = click.option("--threads", type=click.IntRange(0, 256), default=0, help="0: one a core.  [default: 0]")


def machine(command: Callable[..., Any]) -> Callable[..., Any]:
    """Options on where to compute."""
    device = click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True)
    return device(threads(command))
