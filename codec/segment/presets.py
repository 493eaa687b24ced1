"""What the presets of films stand for, in numbers."""

from __future__ import annotations

from dataclasses import dataclass

from heads.restorer.fit import Schedule


@dataclass(frozen=True)
class Preset:
    """Time against size. `base`: SVT-AV1's preset; `fit`: batches that the pretrained head learns from a segment for
    each megasample of it, within bounds; `density`: batches that each density head learns from one, below a bound on
    the error. Where no pretrained head suits, one is trained from noise: `schedule`, and `widths`: channels to choose
    from, each with the fewest bytes of base from which it is worth a try."""

    base: int
    fit: float
    density: int
    schedule: Schedule
    widths: tuple[tuple[int, int], ...]
    try_all: bool = False


PRESETS = {
    "fast": Preset(6, 4, 150, Schedule(600, 400), ((8, 0),)),
    "medium": Preset(2, 8, 400, Schedule(2200, 1200), ((8, 0), (16, 150_000))),
    "slow": Preset(2, 16, 1200, Schedule(4500, 2500), ((8, 0), (16, 60_000), (32, 700_000)), try_all=True),
}
