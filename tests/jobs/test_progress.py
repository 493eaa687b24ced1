"""What is told of how far an encode is: time left, speed, resumed segments, lanes. By a clock that the tests turn."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import cast

import pytest

from codec.events import Encoding, Event, SegmentStats, Stage
from codec.jobs.progress import WRITING, Progress
from codec.segment.encoder import Segment
from tests.segment.test_payload import BARE

STAGES = ("base", "head", "restore")
PER_PICTURE = {"base": 2.0, "head": 1.0, "restore": 0.5}  # seconds that are expected


def expected(frames: int, first: bool) -> Mapping[str, float]:
    return {stage: seconds * frames for stage, seconds in PER_PICTURE.items()}


def finished_segment(frames: int) -> Segment:
    stats = SegmentStats(frames, 32, 1.0, 100, 0, "none", 0, 0, 40.0, 40.0, 0.0)
    return cast(Segment, SimpleNamespace(stats=stats, header=BARE, units=()))


class Encode:
    """An encode that takes what it is told to, on a clock of its own."""

    def __init__(self, total: int, real: Mapping[str, float]):
        self.now, self.real, self.told = 0.0, real, list[tuple[float, Encoding]]()
        self.progress = Progress(total, self._listen, expected, lambda: self.now)

    def _listen(self, event: Event) -> None:
        if isinstance(event, Encoding):
            self.told.append((self.now, event))

    def segment(self, index: int, frames: int, steps: int = 10) -> None:
        for stage in STAGES:
            for step in range(steps):
                self.progress.under_way(index, frames, Stage(stage, step / steps))
                self.now += self.real[stage] * frames / steps
        self.progress.finished(index, finished_segment(frames))

    def factors(self) -> list[float]:
        """Of each guess after the first tenth to the whole."""
        return [(at + cast(float, e.eta)) / self.now for at, e in self.told if at >= self.now / 10]


REAL = [
    PER_PICTURE,
    {"base": 20.0, "head": 10.0, "restore": 5.0},  # a machine ten times as slow
    {"base": 6.0, "head": 1.0, "restore": 0.5},  # a film that is hard to code
    {"base": 0.7, "head": 1.0, "restore": 0.5},
]


@pytest.mark.parametrize("real", REAL)
@pytest.mark.parametrize("segments", [1, 3, 7])
def test_time_left_is_right_within_a_factor_of_one_and_a_half(real: dict[str, float], segments: int) -> None:
    encode = Encode(40 * segments, real)
    for k in range(segments):
        encode.segment(k, 40)
    assert max(max(factor, 1 / factor) for factor in encode.factors()) < 1.5
    shown = [e.frames for _, e in encode.told]
    assert shown == sorted(shown) and shown[-1] == 40 * segments


def test_time_left_is_not_near_its_end_while_much_is_left() -> None:
    encode = Encode(40, {"base": 1.0, "head": 1.0, "restore": 6.0})  # against all that was expected
    encode.segment(0, 40)
    late = [(encode.now - at, cast(float, e.eta)) for at, e in encode.told if e.stage == "restore"]
    assert all(eta > left / 2 for left, eta in late[2:])


def test_stage_that_ends_before_its_end_counts_as_done() -> None:
    encode = Encode(20, PER_PICTURE)
    for stage in ("base", "restore"):  # no head is tried
        encode.progress.under_way(0, 20, Stage(stage, 0.5))
    assert cast(float, encode.told[-1][1].eta) < 20


def test_segments_of_an_earlier_run_are_done_but_no_speed() -> None:
    resumed, fresh = Encode(120, PER_PICTURE), Encode(40, PER_PICTURE)
    for k in (0, 1):
        resumed.progress.finished(k, finished_segment(40))
    assert resumed.told[-1][1].frames == 80 and resumed.told[-1][1].fps == 0
    assert resumed.told[-1][1].eta == pytest.approx(40 * 3.5 + WRITING[0], rel=0.01)
    resumed.segment(2, 40)
    fresh.segment(0, 40)
    assert [e.fps for _, e in resumed.told[2:]] == [e.fps for _, e in fresh.told]
    assert resumed.told[-1][1].fps == pytest.approx(1 / 3.5, rel=0.02)


def test_scale_chosen_by_a_segment_of_an_earlier_run_is_no_encoding() -> None:
    encode = Encode(120, PER_PICTURE)
    encode.progress.expected = lambda frames, first: {"scale": 2.0 * first, **expected(frames, first)}
    for done in (0.0, 0.5):
        encode.progress.under_way(0, 40, Stage("scale", done))
        encode.now += 1
    encode.progress.finished(0, finished_segment(40))
    assert encode.told[-1][1].frames == 40 and encode.told[-1][1].fps == 0
    assert encode.told[-1][1].eta == pytest.approx(80 * 3.5, rel=0.02)


def test_stages_begun_again_are_still_to_be_done() -> None:
    """A base that came out too large: it is coded and restored once more, under the same head."""
    encode = Encode(80, PER_PICTURE)
    for stage in ("base", "head", "restore", "base"):
        encode.progress.under_way(0, 40, Stage(stage, 0.0))
        before = encode.told[-1][1].eta
        encode.now += PER_PICTURE.get(stage, 0.0) * 40
    assert before == pytest.approx(40 * 2.5 + 40 * 3.5, rel=0.02)
    encode.progress.under_way(0, 40, Stage("restore", 0.0))
    encode.now += 10
    encode.progress.under_way(0, 40, Stage("restore", 0.5))
    assert encode.told[-1][1].eta == pytest.approx(40 * 0.25 + 40 * 3.5, rel=0.02)
    shown = [e.frames for _, e in encode.told]
    assert shown == sorted(shown)


def test_segments_coded_again_are_not_finished_until_then() -> None:
    encode = Encode(80, PER_PICTURE)
    for k in (0, 1):
        encode.segment(k, 40)
    encode.now += 50  # the file is written
    encode.progress.again([1])
    assert list(encode.progress.stats) == [0]
    encode.progress.under_way(1, 40, Stage("base", 0.0))
    assert encode.told[-1][1].frames == 40
    assert encode.told[-1][1].eta == pytest.approx(40 * 3.5, rel=0.02)
    encode.progress.finished(1, finished_segment(40))
    assert encode.told[-1][1].frames == 80 and sorted(encode.progress.stats) == [0, 1]


def test_stage_told_again_is_no_step_back() -> None:
    encode = Encode(10, PER_PICTURE)
    for done in (0.0, 0.9, 0.1, 0.5):
        encode.progress.under_way(0, 10, Stage("base", done))
        encode.now += 1
    shown = [e.frames for _, e in encode.told]
    assert shown == sorted(shown)


def test_lanes_share_what_is_left() -> None:
    encode = Encode(400, PER_PICTURE)
    for stage in STAGES:
        for step in range(10):
            for lane in (0, 3):
                encode.progress.under_way(lane, 40, Stage(stage, step / 10))
            encode.now += PER_PICTURE[stage] * 4
    for lane in (0, 3):
        encode.progress.finished(lane, finished_segment(40))
    assert encode.told[-1][1].eta == pytest.approx(320 * 3.5 / 2, rel=0.02)
    assert encode.told[-1][1].fps == pytest.approx(2 / 3.5, rel=0.02)


def test_time_left_is_at_least_what_the_last_lane_takes() -> None:
    encode = Encode(80, PER_PICTURE)
    encode.progress.under_way(0, 40, Stage("base", 0.0))
    encode.segment(3, 40)
    assert cast(float, encode.told[-1][1].eta) > 40 * 1.5  # of the other, at least what follows its base


def test_unknown_length_has_no_time_left() -> None:
    encode = Encode(0, PER_PICTURE)
    encode.segment(0, 10)
    encode.progress.writing()
    assert {e.eta for _, e in encode.told} == {None} and encode.told[-1][1].stage == "write"


def test_reports_after_the_end_of_a_segment_are_passed_over() -> None:
    encode = Encode(10, PER_PICTURE)
    encode.segment(0, 10)
    before = len(encode.told)
    encode.progress.under_way(0, 10, Stage("base", 0.5))
    assert len(encode.told) == before
