"""What a user can ask of an encode, and which settings contradict each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from typing import Protocol

from .errors import UsageError

CRF_MAX = 63.0
LARGEST = 1e9  # of what a file or a second may take, or a PSNR be: beyond is no wish
CRF_STEP = 0.25  # the finest step that SVT-AV1 knows

PRESETS = ("fast", "medium", "slow")  # names; their numbers are `segment.presets` and `still.presets`
TUNES = ("mix", "psnr", "ssim")  # what stills are made for; what that is lies in `still.presets`
DEVICES = ("auto", "cpu", "cuda")
SAMPLE_SECONDS = 20.0  # of a film, that a sample encodes
JOBS_MAX = 64  # segments encoded at a time
SCALES = (Fraction(1), Fraction(3, 2), Fraction(2), Fraction(3), Fraction(4))
PAGES_MAX = 65536  # of a TIFF
MAX_ERROR = 127  # the loosest bound on a sample's error
MAX_STEP = 255  # of the loss-stream's quantiser

STILL_LOSSLESS_CRF = 28.0  # of the base below a bounded loss-stream; see bench/NOTES.md, "Still pictures"
STILL_QUALITIES = ("crf", "target_psnr", "target_size", "bpp")

DEFAULT_CRF = 32.0
LOSSLESS_CRF = 40.0  # of the base below a bounded loss-stream; see bench/NOTES.md, "Base below a lossless film"
PSNR, SSIM, XPSNR = "PSNR", "SSIM", "XPSNR"
TARGETS = {"target_psnr": PSNR, "target_ssim": SSIM, "target_xpsnr": XPSNR}  # qualities that pictures can be asked for
QUALITIES = ("crf", *TARGETS, "bitrate", "target_size")

COPY, OPUS, FLAC, TEXT, NONE = "copy", "opus", "flac", "text", "none"
AUDIO, SUBTITLES = (COPY, OPUS, FLAC, NONE), (COPY, TEXT, NONE)  # what becomes of a film's sound and subtitles


class AnySettings(Protocol):
    """What settings of films and of stills have in common."""

    @property
    def crf(self) -> float | None: ...

    @property
    def max_error(self) -> int | None: ...


def quality_asked(settings: AnySettings, names: Sequence[str]) -> str | None:
    """The one of `names` that is asked for, if any. Raises UsageError where there are several."""
    asked = [name for name in names if getattr(settings, name) is not None]
    if len(asked) > 1:
        raise UsageError(f"{' and '.join('{}' for _ in asked)} contradict each other: ask for one quality", *asked)
    return asked[0] if asked else None


def check_quality(settings: AnySettings, asked: str | None) -> None:
    """Raise UsageError where the quality asked for is out of range or does not go with a bound on the error."""
    if settings.max_error is not None:
        if asked not in (None, "crf"):
            raise UsageError("{} cannot be met together with a bound on the error", asked)
        if not 0 <= settings.max_error <= MAX_ERROR:
            raise UsageError(f"the bound on the error must lie in 0..{MAX_ERROR}")
    if settings.crf is not None and not 1 <= settings.crf <= CRF_MAX:
        raise UsageError(f"{{}} must lie in 1..{CRF_MAX:g}", "crf")
    if asked not in (None, "crf"):
        if not getattr(settings, asked) > 0:
            raise UsageError("{} must be positive", asked)
        if getattr(settings, asked) >= LARGEST:
            raise UsageError(f"{{}} must be below {LARGEST:,.0f}", asked)


def _check_preset(name: str) -> None:
    if name not in PRESETS:
        raise UsageError(f"{{}} must be one of {', '.join(PRESETS)}", "preset")


def _check_threads(count: int) -> None:
    if not 0 <= count <= 256:
        raise UsageError("{} must lie in 0..256", "threads")


def _check_device(name: str) -> None:
    if name not in DEVICES:
        raise UsageError("{} must be auto, cpu or cuda", "device")


def _start_crf(settings: AnySettings, lossless: float) -> float:
    """The crf that is asked for, or the default: `lossless` below a bound on the error."""
    if settings.crf is not None:
        return settings.crf
    return DEFAULT_CRF if settings.max_error is None else lossless


@dataclass(frozen=True)
class Settings:
    """Options of an encode.

    Quality, at most one of: `crf` (1..63, AV1's scale; the default is 32), `target_psnr` (dB, PSNR-YUV), `target_ssim`
    (below 1), `target_xpsnr` (dB), `bitrate` (kbit/s of the video), `target_size` (MB = 10^6 bytes, whole file).
    `worst`: a target is met by all pictures of each segment but so many percent; None = by their mean. `scale`: None =
    measured. `history`: earlier pictures that the head sees, None = measured. `loss`: "auto", "off" or a quantiser step
    1..255. `max_error`: bound on every sample's error, 0 = lossless. `head`: False sends none. `device`: "auto", "cpu"
    or "cuda", where heads are trained and run; decoded pictures do not depend on it. `threads`: 0 = all cores.

    `audio`: "copy" copies sound, and converts without loss what the file's container does not hold; "opus" and "flac"
    make it that, "none" leaves it out. `subtitles`: "copy" likewise, "text" makes them plain text, "none" leaves them
    out.
    """

    crf: float | None = None
    target_psnr: float | None = None
    target_ssim: float | None = None
    target_xpsnr: float | None = None
    worst: float | None = None
    bitrate: float | None = None
    target_size: float | None = None
    scale: Fraction | None = None
    history: int | None = None
    loss: str | int = "auto"
    max_error: int | None = None
    head: bool = True
    preset: str = "medium"
    device: str = "auto"
    threads: int = 0
    audio: str = COPY
    subtitles: str = COPY

    def __post_init__(self) -> None:
        asked = quality_asked(self, QUALITIES)
        if self.max_error is not None and self.loss != "auto":
            raise UsageError("a quantiser step and a bound on the error contradict each other")
        if self.max_error is not None and self.history:
            raise UsageError("{} and a bound on the error contradict each other: none of its heads has one", "history")
        check_quality(self, asked)
        if self.target_ssim is not None and self.target_ssim >= 1:
            raise UsageError("{} must be below 1, which is the source's", "target_ssim")
        if self.worst is not None and asked not in TARGETS:
            raise UsageError("{} goes with {}, {} or {}", "worst", *TARGETS)
        if self.worst is not None and not 0 <= self.worst < 100:
            raise UsageError("{} must lie in 0..100, below 100", "worst")
        if self.scale is not None and self.scale not in SCALES:
            raise UsageError(f"{{}} must be one of {', '.join(f'{float(s):g}' for s in SCALES)}", "scale")
        if self.history not in (None, 0, 1, 2):
            raise UsageError("{} must be 0, 1 or 2", "history")
        if not (self.loss in ("auto", "off") or (isinstance(self.loss, int) and 1 <= self.loss <= MAX_STEP)):
            raise UsageError(f"{{}} must be auto, off or a quantiser step 1..{MAX_STEP}", "loss")
        _check_preset(self.preset)
        _check_device(self.device)
        for name, known in (("audio", AUDIO), ("subtitles", SUBTITLES)):
            if getattr(self, name) not in known:
                raise UsageError(f"{{}} must be one of {', '.join(known)}", name)
        _check_threads(self.threads)

    @property
    def start_crf(self) -> float:
        """The quantiser to use, or to begin a search with."""
        return _start_crf(self, LOSSLESS_CRF)

    @property
    def target(self) -> str | None:
        """Which of TARGETS is asked for, if any."""
        return next((name for name in TARGETS if getattr(self, name) is not None), None)

    def key(self) -> str:
        """All that decides the bytes of segments: what an interrupted encode is resumed by. Threads do not, nor what
        becomes of other tracks, unless they take their part of a size."""
        others = {"threads"} if self.target_size is not None else {"threads", "audio", "subtitles"}
        return repr(sorted((k, str(v)) for k, v in asdict(self).items() if k not in others))


@dataclass(frozen=True)
class StillSettings:
    """Options of an encode of a still picture.

    Quality, at most one of: `crf` (1..63, AV1's scale; the default is 32), `target_psnr` (dB, PSNR-RGB), `target_size`
    (MB = 10^6 bytes), `bpp` (bits a pixel of the whole file). `max_error`: bound on every sample's error, 0 = lossless;
    goes with `crf` alone, that of the base. `tune`: what lossy pictures are made for: "psnr", "ssim" (SSIM and MS-SSIM)
    or "mix", which leads by all three. `head`: False uses none. `device`: "cpu" or "cuda", where heads run; "auto"
    is the processor, since CUDA takes longer to start. `threads`: 0 = all cores; any number gives the same bytes.
    """

    crf: float | None = None
    target_psnr: float | None = None
    target_size: float | None = None
    bpp: float | None = None
    max_error: int | None = None
    tune: str = TUNES[0]
    head: bool = True
    preset: str = "medium"
    device: str = "auto"
    threads: int = 0

    def __post_init__(self) -> None:
        check_quality(self, quality_asked(self, STILL_QUALITIES))
        _check_preset(self.preset)
        if self.tune not in TUNES:
            raise UsageError(f"{{}} must be one of {', '.join(TUNES)}", "tune")
        _check_device(self.device)
        _check_threads(self.threads)

    @property
    def start_crf(self) -> float:
        """The quantiser to use, or to begin a search with."""
        return _start_crf(self, STILL_LOSSLESS_CRF)

    def size_of(self, width: int, height: int) -> float | None:
        """Bytes that a file may have, where a size is asked for."""
        if self.target_size is not None:
            return self.target_size * 1e6
        return None if self.bpp is None else self.bpp * width * height / 8
