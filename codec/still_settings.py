"""What can be asked of the encoder of still pictures."""

from __future__ import annotations

from dataclasses import dataclass

from .errors import UsageError
from .settings import DEFAULT_CRF, check_quality, quality_asked

LOSSLESS_CRF = 28.0  # of the base below a bounded loss-stream; measured, see bench/NOTES.md
QUALITIES = ("crf", "target_psnr", "target_size", "bpp")
BASE_PRESETS = {"fast": 5, "medium": 2, "slow": 0}  # of SVT-AV1
TUNED_FROM = {"fast": 1 << 62, "medium": 3_000_000, "slow": 0}  # pixels from which a head's own layer is tried
# what the head is told in turn, about the base's quantiser
TOLD = {"fast": (0,), "medium": (-24, 0, 24), "slow": (-64, -40, -24, -12, 0, 12, 24)}


@dataclass(frozen=True)
class StillSettings:
    """Options of an encode of a still picture.

    Quality, at most one of: `crf` (1..63, AV1's scale; the default is 32), `target_psnr` (dB, PSNR-RGB), `target_size`
    (MB = 10^6 bytes), `bpp` (bits a pixel of the whole file). `max_error`: bound on every sample's error, 0 = lossless;
    goes with `crf` alone, that of the base. `head`: False uses none. `threads`: 0 = all cores; any number gives the
    same bytes.
    """

    crf: float | None = None
    target_psnr: float | None = None
    target_size: float | None = None
    bpp: float | None = None
    max_error: int | None = None
    head: bool = True
    preset: str = "medium"
    threads: int = 0

    def __post_init__(self) -> None:
        check_quality(self, quality_asked(self, QUALITIES))
        if self.preset not in BASE_PRESETS:
            raise UsageError(f"preset must be one of {', '.join(BASE_PRESETS)}")
        if not 0 <= self.threads <= 256:
            raise UsageError("threads must lie in 0..256")

    @property
    def start_crf(self) -> float:
        """The quantiser to use, or to begin a search with."""
        if self.crf is not None:
            return self.crf
        return DEFAULT_CRF if self.max_error is None else LOSSLESS_CRF

    @property
    def base_preset(self) -> int:
        """SVT-AV1's preset."""
        return BASE_PRESETS[self.preset]

    def size_of(self, width: int, height: int) -> float | None:
        """Bytes that a file may have, where a size is asked for."""
        if self.target_size is not None:
            return self.target_size * 1e6
        return None if self.bpp is None else self.bpp * width * height / 8

    def tunes(self, pixels: int) -> bool:
        """Whether a last layer of the picture's own is tried."""
        return pixels >= TUNED_FROM[self.preset]

    def told_about(self, told: int, most: int) -> list[int]:
        """What the head is told in turn, about what it would be told of the base."""
        return sorted({min(max(told + by, -most), most) for by in TOLD[self.preset]})
