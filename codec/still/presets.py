"""What the presets of stills stand for, in numbers."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Preset:
    """Time against size. `base`: SVT-AV1's preset; `tuned_from`: samples of a picture from which a last layer of its
    own is tried; `base_q`: what is added to the base's own for the head, each in turn."""

    base: int
    tuned_from: int
    base_q: tuple[int, ...]


NEVER = 1 << 62  # samples

PRESETS = {
    "fast": Preset(5, NEVER, (0,)),
    "medium": Preset(2, 3_000_000, (-24, 0, 24)),
    "slow": Preset(0, 0, (-64, -40, -24, -12, 0, 12, 24)),
}
