"""What the parts of an encode take, about, and how far they are: what progress and the time left are told by.

The seconds are those of two quiet cores and pictures of middling difficulty; see bench/NOTES.md, "Time left". What an
encode really takes is learnt while it goes on (`codec.jobs.progress`): only their proportions count, and only until
then.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from heads.restorer.store import film_head_for

from ..events import Listener, Stage
from ..frames import VideoInfo, channels_of
from ..settings import SCALES, Settings
from .fit_density import LEAST_SAMPLES, ORDER, batches
from .presets import PRESETS, Preset

# seconds for each megasample of luma
CODED = {0: 1.6, 1: 0.75, 2: 0.35, 3: 0.2, 4: 0.13, 5: 0.1, 6: 0.085, 8: 0.05, 12: 0.02}  # by SVT-AV1's preset
COMPARED = 0.004  # a base decoded, enlarged and compared, while others are coded
PREDICTED = 0.02  # by a head, and compared
TRANSFORMED, EXACT = 0.3, 0.35  # a loss-stream
PREPARED = 0.006  # examples
# seconds for each batch
BATCH = 0.012  # that changes a pretrained head
BATCH_OF_OWN = 0.0011  # of a head from noise, for each of its channels
BATCH_OF_DENSITY = 0.02
# seconds for each megacell of the grid that a last layer is fitted on, and how many there are at most
LAST, LAST_MOST = 3.5, 0.48

LASTS = 2  # last layers that are tried of each head

EVALUATED = 16  # pictures that a comparison of heads looks at
TRIES = 3  # codings of a base that a search for a wish takes
PROBES, PROBED = 3, 33  # choosing a scale: bases of each size at most, pictures (a key one, and a MINI_GOP)
PROBE_PRESET, GLANCE_PRESET = 8, 12
MINI_GOP = 32  # pictures of SVT-AV1's hierarchy: the first one out brings most of the others' work with it


@dataclass(frozen=True)
class Effort:
    """What a segment of so many `frames` takes, in seconds."""

    settings: Settings
    info: VideoInfo
    scale: Fraction
    frames: int

    @property
    def _preset(self) -> Preset:
        return PRESETS[self.settings.preset]

    @property
    def _picture(self) -> float:
        """Megasamples."""
        return self.info.width * self.info.height / 1e6

    def coding(self, preset: int | None = None) -> float:
        """A base, coded once."""
        speed = self._preset.base if preset is None else preset
        each = float(np.interp(speed, list(CODED), list(CODED.values())))
        return self.frames * self._picture * each / float(self.scale) ** 2

    def comparing(self) -> float:
        """A base, looked at once."""
        return self.frames * self._picture * COMPARED

    def trial(self) -> float:
        """A head, tried on a few pictures."""
        return min(self.frames, EVALUATED) * self._picture * PREDICTED

    def examples(self) -> float:
        """Pictures, made ready to learn from."""
        return self.frames * self._picture * PREPARED

    def learning(self, batches: int, width: int = 0) -> float:
        """A head that learns: a change of the pretrained one, or from noise with so many channels."""
        return batches * (BATCH_OF_OWN * width if width else BATCH)

    def fitting(self) -> float:
        """A last layer by least squares."""
        return min(self.frames * self._picture / 4, LAST_MOST) * LAST

    def density(self) -> float:
        """Density heads that learn."""
        if not self.settings.head:
            return 0.0
        luma = self.frames * self._picture * 1e6 / 4  # samples that a head codes
        chroma = luma * (channels_of(self.info.format.chroma) / 4 - 1)
        coded = {number: luma if number < 4 else chroma for number in ORDER}
        steps = [batches(self._preset.density, n, int(s)) for n, s in coded.items() if s >= LEAST_SAMPLES]
        return sum(steps) * BATCH_OF_DENSITY + bool(steps) * self.examples()

    def choosing(self, batches: int | None = None) -> float:
        """The head; `batches` of the pretrained one's, where that is known."""
        if self.settings.max_error is not None:
            return self.density()
        if not self.settings.head:
            return 0.0
        loss = self.restoring() if self.settings.loss == "auto" and self.scale > 1 else 0.0
        if film_head_for(self.scale):
            whole = self._preset.batches(self.frames * self._picture, self.scale > 1)
            steps = whole if batches is None else batches
            trials = len(self._preset.finer) + (LASTS + 1 if steps else 0) + LASTS
            fits = self.fitting() * (2 if steps else 1)
            return trials * self.trial() + self.examples() + fits + self.learning(steps) + loss
        schedule = self._preset.schedule
        widths = [width for width, _ in self._preset.widths]
        tried = widths if self._preset.try_all else widths[-1:]
        steps = schedule.float_steps + schedule.integer_steps
        return self.examples() + sum(self.trial() + self.learning(steps, width) for width in tried) + loss

    def restoring(self) -> float:
        """The pictures as a decoder shows them, with their loss-stream."""
        loss = EXACT if self.settings.max_error is not None else 0.0
        if isinstance(self.settings.loss, int) or (self.settings.loss == "auto" and self.scale > 1 and not loss):
            loss = TRANSFORMED
        return self.frames * self._picture * (PREDICTED + loss)

    def probing(self) -> float:
        """Choosing a scale, where the film's first segment has this length."""
        if self.settings.scale is not None or self.settings.max_error is not None:
            return 0.0
        share = min(self.frames, PROBED) / self.frames
        if self.tries == 1:  # mostly a glance is enough
            return share * (self.coding(GLANCE_PRESET) + self.comparing())
        sizes = sum(1 / float(s) ** 2 for s in SCALES)
        return (PROBES - 1) * share * (self.coding(PROBE_PRESET) * sizes + self.comparing() * len(SCALES))

    @property
    def tries(self) -> int:
        """Codings of the base."""
        wishes = self.settings.target, self.settings.bitrate, self.settings.target_size
        return TRIES if any(wish is not None for wish in wishes) else 1

    def stages(self, first: bool = False) -> Mapping[str, float]:
        """By stage, in order; of the film's `first` segment the choice of a scale as well."""
        base = self.tries * (self.coding() + self.comparing())
        scale = {"scale": self.probing()} if first else {}
        return {**scale, "base": base, "head": self.choosing(), "restore": self.restoring()}


class Agenda:
    """How far a stage of a segment is, that takes about `expected` seconds in all; its parts follow each other."""

    def __init__(self, listen: Listener, stage: str, expected: float):
        self._listen, self._stage, self._expected = listen, stage, expected
        self._done, self._part = 0.0, 0.0

    @contextmanager
    def part(self, seconds: float) -> Iterator[None]:
        """What is done within takes about so long."""
        outer, self._part = self._part, seconds
        self.tell(0.0)
        yield
        self._done += seconds
        self._part = outer

    def tell(self, share: float) -> None:
        """So much of the part at hand is done."""
        done = self._done + share * self._part
        whole = max(self._expected, self._done + self._part)
        self._listen(Stage(self._stage, done / whole if whole > 0 else 0.0))


def coded_share(packets: int, pictures: int) -> float:
    """The share of a base's coding that is done when so many packets are out. SVT-AV1 codes a hierarchy of pictures
    from its top, and gives them in the order in which they are shown: with the second of MINI_GOP packets half of the
    time has passed."""
    whole, rest = divmod(packets, MINI_GOP)
    within = min(MINI_GOP, max(pictures - whole * MINI_GOP, 1))
    return min((whole * MINI_GOP + within * (rest / within) ** 0.25) / pictures, 1.0)
