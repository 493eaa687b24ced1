"""Options and types of options that several commands share."""

from __future__ import annotations

import re
from collections.abc import Callable
from fractions import Fraction
from functools import wraps
from typing import Any

import click

from ..limits import FILM_MEMORY, FILM_PIXELS, STILL_MEMORY, STILL_PIXELS, Limits
from ..settings import DEVICES

_EXACT = re.compile(r"[+-]?(\d{1,18}(\.\d{0,40})?|\.\d{1,40})([eE][+-]?\d\d?)?|\d{1,18}/\d{1,18}", re.ASCII)
_WHOLE = re.compile(r"[+-]?\d{1,18}", re.ASCII)
LONGEST = Fraction(10**9)  # seconds, thirty years
BOUNDLESS = 1e9  # the largest value where none follows from the thing itself


def exact(text: str) -> Fraction:
    """The number that a user writes: a decimal one or n/d, of a size that takes no time to compute with. Raises
    ValueError for all else: nan, inf, and what has many digits or a large exponent."""
    text = text.strip()
    if not _EXACT.fullmatch(text) or text.endswith("/0"):
        raise ValueError
    try:
        return Fraction(text)
    except ZeroDivisionError:
        raise ValueError from None


def whole(text: str) -> int:
    """A whole number likewise."""
    if not _WHOLE.fullmatch(text.strip()):
        raise ValueError
    return int(text)


def shown(value: object) -> str:
    """What a user wrote, as messages quote it."""
    text = str(value)
    return f"'{text if len(text) <= 40 else f'{text[:37]}...'}'"


_KINDS: dict[type, tuple[Callable[[str], Any], str]] = {
    int: (whole, "a whole number"),
    float: (lambda text: float(exact(text)), "a number"),
    Fraction: (exact, "a number"),
}


class Number(click.ParamType):
    """A number of `kind` (int, float or Fraction) in low..high, or one of some words. `open_low`: it lies above low."""

    def __init__(self, kind: type, low: float, high: float, *words: str, open_low: bool = False):
        self._read, self._what = _KINDS[kind]
        self.low, self.high, self.words, self.open_low = low, high, words, open_low
        span = f"{low:g}..{high:,.10g}"
        self._range = f"above {low:g}, at most {high:,.10g}" if open_low else f"in {span}"
        self.name = "|".join((*words, span if high < BOUNDLESS and not open_low else "N"))

    def get_metavar(self, param: click.Parameter, ctx: click.Context | None = None) -> str:
        return self.name  # click would write the words in capitals

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value in self.words or not isinstance(value, str):
            return value
        try:
            number = self._read(value)
            if not self.low <= number <= self.high or (self.open_low and number == self.low):
                raise ValueError
            return number
        except ValueError:
            due = f"{self._what} {self._range}"
            self.fail(f"{shown(value)} is {_neither(self.words, due)}", param, ctx)


def _neither(words: tuple[str, ...], due: str) -> str:
    return f"neither {' nor '.join((*words, due))}" if words else f"not {due}"


COUNT, SEED = Number(int, 1, BOUNDLESS), Number(int, 0, 2**32 - 1)


def amount(*words: str) -> Number:
    """A quantity that is above 0: a rate, a size, a quality."""
    return Number(float, 0, BOUNDLESS, *words, open_low=True)


class Seconds(click.ParamType):
    """Seconds, or [HH:]MM:SS[.fraction]."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if isinstance(value, Fraction):
            return value
        parts = str(value).split(":")
        try:
            total = Fraction(0)
            for number in map(exact, parts):
                if number < 0 or len(parts) > 3:
                    raise ValueError
                total = total * 60 + number
            if total > LONGEST:
                raise ValueError
            return total
        except ValueError:
            self.fail(f"{shown(value)} is no time in seconds or [HH:]MM:SS", param, ctx)


class Amount(click.ParamType):
    """A whole number, with K, M or G for 10^3, 10^6, 10^9, or KiB, MiB, GiB for 2^10, 2^20, 2^30."""

    name = "n[K|M|G][iB]"
    _FORM = re.compile(r"(\d{1,18}(?:\.\d{1,18})?)\s*([KMGT]?)(i?)B?", re.ASCII | re.IGNORECASE)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not isinstance(value, str):
            return value
        found = self._FORM.fullmatch(value.strip())
        number = Fraction(0)
        if found and bool(found[2]) >= bool(found[3]):
            power = " KMGT".index(found[2].upper() or " ")
            number = Fraction(found[1]) * (1024 if found[3] else 1000) ** power
        if number < 1:
            self.fail(f"{shown(value)} is no amount such as 512M or 4GiB", param, ctx)
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


threads = click.option("--threads", type=Number(int, 0, 256), default=0, help="0: one a core.  [default: 0]")
seed = click.option("--seed", type=SEED, default=0, show_default=True)


def machine(command: Callable[..., Any]) -> Callable[..., Any]:
    """Options on where to compute."""
    device = click.option("--device", type=click.Choice(DEVICES), default="auto", show_default=True)
    return device(threads(command))
