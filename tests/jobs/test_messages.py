"""What a master tells its processes arrives as it was, or not at all."""

from __future__ import annotations

import io
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from codec.errors import DamageError, InputError, UsageError
from codec.frames import Colour, PlaneFormat, VideoInfo
from codec.jobs.messages import ERROR, REPORT, TASK, read_error, read_task, receive, send, send_error, send_task
from codec.jobs.task import Task
from codec.segment.rate import RateControl
from codec.settings import Settings
from tests.jobs.test_store import drawn_segment, same
from tests.makers import drawn_frames

FORMATS = [PlaneFormat(chroma, depth) for chroma in ("400", "420", "422", "444") for depth in (8, 10)]
PLAIN = VideoInfo(7, 5, PlaneFormat(), Fraction(1, 25), Fraction(25))
RICH = replace(
    PLAIN,
    time_base=Fraction(1001, 24000),
    rate=Fraction(24000, 1001),
    sar=Fraction(4, 3),
    colour=Colour(9, 16, 9, 1),
    chroma_place="topleft",
    display_matrix=(0, 65536, 0, -65536, 0, 0, 0, 0, 1 << 30),
    side_data={"mastering": bytes(range(88)), "content_light": b"\0\1"},
    frames=12,
    duration=Fraction(7, 3),
)


def sent(task: Task) -> Task:
    pipe = io.BytesIO()
    send_task(pipe, task)
    pipe.seek(0)
    kind, body = receive(pipe)
    assert kind == TASK and not pipe.read()
    return read_task(body)


@pytest.mark.parametrize("fmt", FORMATS, ids=lambda f: f.av_name)
def test_tasks_arrive_as_they_were(fmt: PlaneFormat) -> None:
    control = RateControl(Settings(bitrate=70.5), 31.25)
    control.gain, control.beside, control.carry = 0.1, 1e-9, -3.3333333333333335
    wishes = Settings(bitrate=70.5, scale=Fraction(3, 2), loss=7, threads=3)
    for info, settings, previous in ((PLAIN, Settings(), None), (RICH, wishes, drawn_segment(2))):
        info = replace(info, format=fmt)
        frames = [
            replace(frame, messages=(b"\xb5\0", bytes([k]))[:k]) for k, frame in enumerate(drawn_frames(fmt, 7, 5, 3))
        ]
        task = Task(5, frames, info, settings, Fraction(3, 2), control, previous)
        found = sent(task)
        assert (found.index, found.info, found.settings, found.scale) == (5, info, settings, Fraction(3, 2))
        assert vars(found.control) == vars(control) | {"settings": settings}
        assert (found.previous is None) == (previous is None)
        assert previous is None or same(found.previous, previous)
        for a, b in zip(found.frames, task.frames, strict=True):
            assert (a.pts, a.duration, a.messages) == (b.pts, b.duration, b.messages)
            assert all(p.dtype == q.dtype and np.array_equal(p, q) for p, q in zip(a.planes, b.planes, strict=True))


@pytest.mark.parametrize("error", [InputError("in"), DamageError("frame"), UsageError("use")], ids=repr)
def test_errors_stay_what_they_are(error: Exception) -> None:
    pipe = io.BytesIO()
    send_error(pipe, error)
    pipe.seek(0)
    kind, body = receive(pipe)
    found = read_error(body)
    assert kind == ERROR and type(found) is type(error) and str(found) == str(error)


def test_faults_of_ours_are_told_as_such() -> None:
    pipe = io.BytesIO()
    send_error(pipe, KeyError("x"))
    pipe.seek(0)
    found: Any = read_error(receive(pipe)[1])
    assert type(found) is RuntimeError and str(found) == "KeyError: 'x'"


def test_half_a_message_is_none() -> None:
    pipe = io.BytesIO()
    send(pipe, REPORT, b"abc", np.arange(5, dtype=np.uint16))
    whole = pipe.getvalue()
    kind, body = receive(io.BytesIO(whole))
    assert (kind, bytes(body)) == (REPORT, b"abc" + np.arange(5, dtype="<u2").tobytes())
    for size in range(len(whole)):
        with pytest.raises(EOFError):
            receive(io.BytesIO(whole[:size]))
