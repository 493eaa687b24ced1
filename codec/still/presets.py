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


@dataclass(frozen=True)
class Tune:
    """What a lossy picture is made for. `base`: options of SVT-AV1; `heads`: those that are tried; `likeness`: how much
    of its measure are SSIM and MS-SSIM, the rest being the squared error."""

    base: tuple[str, ...]
    heads: tuple[int, ...]
    likeness: float


CHROMA = -12  # finer chroma: 0.3 % of rate less at equal PSNR-RGB, where each sample stands for four
_PLAIN = ("use-fixed-qindex-offsets=1", f"key-frame-chroma-qindex-offset={CHROMA}")
_BOOSTED = (*_PLAIN, "enable-variance-boost=1", "variance-boost-strength=3", "variance-boost-curve=2", "sharpness=3")
TUNES = {
    "mix": Tune(_BOOSTED, (1, 2), 2 / 3),
    "psnr": Tune(_PLAIN, (1,), 0.0),
    "ssim": Tune(_BOOSTED, (1, 2), 1.0),
}

EXACT = "psnr"  # the tune of what a loss-stream goes on from, or nobody looks at
NEVER = 1 << 62  # samples

PRESETS = {
    "fast": Preset(5, NEVER, (0,)),
    "medium": Preset(2, 3_000_000, (-24, 0, 24)),
    "slow": Preset(0, 0, (-64, -40, -24, -12, 0, 12, 24)),
}
