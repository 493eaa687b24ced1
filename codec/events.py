"""What is told while work is under way, to whoever listens: a person's terminal, a program, a page, nobody.

All work takes one `listen`, a callable that gets one event after the other, from any thread. An event is a frozen
record; who shows it asks for its class. `kind` and `data`, of JSON types, are what `--json` prints of it:

    source, scale           what an encode of a film begins with
    progress                how far a piece of work is: of class UnderWay, in one of five forms
    segment, picture        a part is finished: a segment of a film, a picture of a folder
    player                  what shows a film has been given it
    kernels                 what the heads of a film were computed by
    track                   a track beside the pictures was checked
    note, problem           a sentence on what is not kept or not met, or on what failed while the work goes on
    done                    the last one: of class WorkDone, in one form for each kind of work
    stage                   between the parts of an encoder; nobody prints it
    error                   what ended a command; in place of done
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar


@dataclass(frozen=True)
class Event:
    """Something that happened."""

    kind: ClassVar[str]

    @property
    def data(self) -> dict[str, Any]:
        """What happened, in JSON types."""
        return asdict(self)


Listener = Callable[[Event], None]


def silent(event: Event) -> None:
    """A listener that does nothing."""


def once_each(listen: Listener) -> Listener:
    """A listener that passes on what it was not told before."""
    told: set[Event] = set()

    def listener(event: Event) -> None:
        if event not in told:
            told.add(event)
            listen(event)

    return listener


# --- what an encode begins with ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SourceOpened(Event):
    """A film is there to be encoded. `format`: libav's name; `rate`: pictures a second; `frames`: 0 is unknown."""

    kind: ClassVar[str] = "source"
    width: int
    height: int
    format: str
    rate: float
    frames: int


@dataclass(frozen=True)
class ScaleChosen(Event):
    """How many times smaller the base of a film is, and the quantiser that its first segment begins with."""

    kind: ClassVar[str] = "scale"
    scale: float
    crf: float


# --- how far it is ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class UnderWay(Event):
    """How far a piece of work is; `stage` names what is being done."""

    kind: ClassVar[str] = "progress"
    stage: str


@dataclass(frozen=True)
class Encoding(UnderWay):
    """An encode of a film. `stage`: that of `segment`, see `Stage`, "segment" where it is finished, or "write" where
    all are; `frames`: done in all segments, parts of them too; `total`: 0 is unknown; `fps`: pictures encoded a second,
    without those that an earlier run left; `eta`: seconds left, about, None is unknown; `bytes`: of finished segments;
    `elapsed`: seconds."""

    segment: int
    frames: float
    total: int
    fps: float
    eta: float | None
    bytes: int
    elapsed: float


@dataclass(frozen=True)
class Decoding(UnderWay):
    """A decode of a film, fields as those of `Encoding`."""

    stage: str = field(default="decode", init=False)
    frames: int
    total: int
    fps: float
    eta: float | None
    elapsed: float


@dataclass(frozen=True)
class Trying(UnderWay):
    """A search tries what `text` says."""

    text: str


@dataclass(frozen=True)
class Share(UnderWay):
    """The `share` (0..1) of a piece of work is done."""

    share: float


@dataclass(frozen=True)
class Training(UnderWay):
    """A head learns: `step` of `steps` are done. `loss`: the mean since it was last told; `gain`: dB that the head adds
    to what it is judged by, None where that is not measured; `text`: all this for a person."""

    stage: str = field(default="train", init=False)
    text: str
    step: int
    steps: int
    loss: float
    gain: float | None

    @property
    def data(self) -> dict[str, Any]:
        return {"stage": self.stage, "text": self.text, "step": self.step, "loss": self.loss, "gain": self.gain}


@dataclass(frozen=True)
class Stage(Event):
    """Of the piece of work at hand, the share `done` (0..1) of a `stage` is finished, by the time that it takes, about:
    of a segment "scale", "base", "head" or "restore", in this order."""

    kind: ClassVar[str] = "stage"
    stage: str
    done: float


# --- parts that are finished ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SegmentStats:
    """What the encoder knows of a finished segment. Bytes of its base, its head and its loss-stream; `crf` of the base;
    `head`: layers x channels, or "none"; `history`: earlier pictures that the head sees; PSNR-YUV in dB of the pictures
    and of the plain base; `head_gain`: dB over the plain base that the head was chosen for; `met`: whether the wish for
    a quality or a rate was; `kernel`: what has computed the head, of `heads.choice.KERNELS`, or ""; `quality` of the
    pictures and of the plain base: as a target asks for it, None where none does."""

    frames: int
    crf: float
    scale: float
    base_bytes: int
    head_bytes: int
    head: str
    history: int
    loss_bytes: int
    psnr: float
    base_psnr: float
    head_gain: float
    met: bool = True
    kernel: str = ""
    quality: float | None = None
    base_quality: float | None = None


@dataclass(frozen=True)
class SegmentDone(Event):
    """A segment of an encode is finished."""

    kind: ClassVar[str] = "segment"
    segment: int
    stats: SegmentStats

    @property
    def data(self) -> dict[str, Any]:
        return {"segment": self.segment, **asdict(self.stats), "met": int(self.stats.met)}


@dataclass(frozen=True)
class Kernels(Event):
    """What has computed the restoring heads of a film that was encoded or decoded, of `heads.choice.KERNELS`: where
    "int8" is not among them, the machine has none that are exact for its heads."""

    kind: ClassVar[str] = "kernels"
    kernels: list[str]


@dataclass(frozen=True)
class PlayerOpened(Event):
    """A film can be seen at `address`, on this machine alone; `program` shows it: "browser", "mpv", or "" where it is
    for somebody to open."""

    kind: ClassVar[str] = "player"
    address: str
    program: str


@dataclass(frozen=True)
class TrackChecked(Event):
    """What became of a track beside the pictures of a film: its kind, libav's name of its codec, and "right",
    "differs", "converted", "missing" or "not covered" (by any checksum)."""

    kind: ClassVar[str] = "track"
    track: str
    codec: str
    state: str


@dataclass(frozen=True)
class Note(Event):
    """A sentence on what was not kept or not met."""

    kind: ClassVar[str] = "note"
    text: str


@dataclass(frozen=True)
class Problem(Event):
    """A sentence on what failed while the work goes on."""

    kind: ClassVar[str] = "problem"
    text: str


@dataclass(frozen=True)
class PictureFailed(Problem):
    """A picture of a folder could not be encoded or decoded: `number` of `total`."""

    number: int
    total: int


# --- the end ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class WorkDone(Event):
    """A piece of work has come to its end."""

    kind: ClassVar[str] = "done"


@dataclass(frozen=True)
class FilmEncoded(WorkDone):
    """`psnr`: PSNR-YUV in dB, mean over pictures; `scale`: how many times smaller the base is; `quality`: as a target
    asks for it, None where none does: the mean over pictures, or with `worst` that of the least segment."""

    path: str
    bytes: int
    frames: int
    seconds: float
    psnr: float
    scale: float
    quality: float | None = None


@dataclass(frozen=True)
class FilmSampled(WorkDone):
    """What the film `path`, of so many `frames`, will be by a sample of it, in so many `stretches`. `bytes` of the
    whole file, `beside_bytes` of them sound, subtitles and container; `low` and `high`: within two standard errors.
    `kbps` of the pictures; `low` and `high`: the least and the most of any stretch, as those of PSNR-YUV, `psnr`.
    `ssim` and `xpsnr` are None where they cannot be measured. `fps`: pictures encoded a second; `seconds`: of the whole
    encode, about; `elapsed`: of the sample."""

    path: str
    frames: int
    sampled: int
    stretches: int
    scale: float
    bytes: int
    bytes_low: int
    bytes_high: int
    beside_bytes: int
    kbps: float
    kbps_low: float
    kbps_high: float
    psnr: float
    psnr_low: float
    psnr_high: float
    psnr_y: float
    psnr_u: float | None
    psnr_v: float | None
    ssim: float | None
    xpsnr: float | None
    fps: float
    seconds: float
    elapsed: float
    notes: list[str]


@dataclass(frozen=True)
class FilmDecoded(WorkDone):
    """`problems`: how many places best effort passed over."""

    path: str
    frames: int
    problems: int


@dataclass(frozen=True)
class FilmPlayed(WorkDone):
    """Whoever watched a film has gone."""

    path: str


@dataclass(frozen=True)
class PlayerExported(WorkDone):
    """The player was written below the folder `path`: so many files, of so many bytes."""

    path: str
    files: int
    bytes: int


@dataclass(frozen=True)
class Verified(WorkDone):
    """Every checksum of a film's or a still's pictures is right."""

    path: str
    frames: int


@dataclass(frozen=True)
class PictureDone(WorkDone):
    """A picture was encoded or decoded. `bpp`: bits a pixel of the .nvc file; `psnr`: PSNR-RGB in dB, None where the
    picture is `lossless`, and, like `crf`, after decoding."""

    source: str
    path: str
    width: int
    height: int
    bytes: int
    bpp: float
    psnr: float | None
    lossless: bool
    crf: float | None
    seconds: float


@dataclass(frozen=True)
class PictureOfFolder(Event):
    """The picture `number` of `total` of a folder was encoded or decoded; `name`: its path below the folder."""

    kind: ClassVar[str] = "picture"
    done: PictureDone
    number: int
    total: int
    name: str

    @property
    def data(self) -> dict[str, Any]:
        return {**self.done.data, "number": self.number, "total": self.total, "name": self.name}


@dataclass(frozen=True)
class FolderDone(WorkDone):
    """A folder of pictures was encoded or decoded. `kept`: pictures that were there already; bytes before and after."""

    pictures: int
    failed: int
    kept: int
    source_bytes: int
    bytes: int
    seconds: float


@dataclass(frozen=True)
class PictureEnlarged(WorkDone):
    """A picture was written, enlarged to this size."""

    path: str
    width: int
    height: int
    seconds: float


@dataclass(frozen=True)
class HeadTrained(WorkDone):
    """`bytes` of a head's file; `gain`: dB over the plain filter on pictures held back."""

    path: str
    bytes: int
    gain: float


@dataclass(frozen=True)
class GaussiansEncoded(WorkDone):
    """`bpp`: bits a pixel of the .nvs file."""

    path: str
    bytes: int
    bpp: float
    gaussians: int


@dataclass(frozen=True)
class GaussiansDecoded(WorkDone):
    """A picture was drawn of Gaussians, in this size."""

    path: str
    width: int
    height: int


@dataclass(frozen=True)
class Failed(Event):
    """The sentence on what ended a command, and its exit code. What works raises errors; the command line tells this of
    them."""

    kind: ClassVar[str] = "error"
    text: str
    code: int
