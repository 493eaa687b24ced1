"""A cluster whose workers are gone: that is said, and again, and ends in time; what is finished is kept."""

from __future__ import annotations

import os
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

import codec
from codec.errors import NoWorkers, UsageError
from codec.events import Event
from codec.frames import PlaneFormat
from codec.jobs.cluster import Absence
from codec.settings import Settings
from tests.makers import scene_frames, shell, write_frames

YUV = PlaneFormat("420", 8)
SETTINGS = Settings(preset="fast", device="cpu", scale=Fraction(1), threads=1, head=False)


@pytest.fixture
def film(tmp_path: Path) -> Path:
    return write_frames(tmp_path / "in.mkv", scene_frames(YUV, 64, 48, (12, 11, 12)), YUV)


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A Dask scheduler without workers; those that it gets are threads of this process."""
    distributed = pytest.importorskip("distributed")
    monkeypatch.setattr("codec.jobs.cluster.LOOK", 0.05)
    options = {"processes": False, "protocol": "tcp", "threads_per_worker": 1, "dashboard_address": None}
    with distributed.LocalCluster(n_workers=0, worker_dashboard_address=None, **options) as made:
        yield made


def test_absence_is_told_at_once_and_every_minute_and_ends() -> None:
    now, told = [0.0], list[tuple[float, str]]()
    absence = Absence("the scheduler", 1800, lambda: now[0])

    def look(time: float, workers: int) -> bool:
        now[0] = time
        return absence.seen(workers, lambda text: told.append((time, text)))

    goes_on = "the encode goes on with the first that comes, and ends after"
    assert look(0, 2) and not told
    assert not any([look(10, 0), look(40, 0), look(69.5, 0), look(70, 0), look(71, 0)])
    assert told == [
        (10, f"the scheduler has no workers; {goes_on} 30 min"),
        (70, f"the scheduler has had no workers for 1 min; {goes_on} 29 min"),
    ]
    assert look(100, 1) and not look(2000, 0) and len(told) == 3, "which begins anew"
    for time in range(2001, 3800):
        assert not look(time, 0)
    assert len(told) == 3 + 29
    with pytest.raises(NoWorkers, match=r"^the scheduler has had no workers for 30 min; start some again$"):
        look(3800, 0)


def test_a_cluster_without_workers_is_waited_for_no_longer_than_asked(
    film: Path, tmp_path: Path, cluster: Any, monkeypatch: Any, capfdbinary: Any
) -> None:
    address = cluster.scheduler_address
    result = shell(monkeypatch, capfdbinary)(
        "encode", film, tmp_path / "a.nvc", "--cluster", address, "--patience", "1"
    )
    assert result.code == 1
    assert result.err.splitlines() == [
        f"note: the Dask scheduler at {address} has no workers; the encode goes on with the first that comes, "
        "and ends after 1 s",
        f"codec: the Dask scheduler at {address} has had no workers for 1 s; start some again",
    ]
    assert os.listdir(tmp_path) == ["in.mkv"]


def test_workers_that_go_and_come_again(film: Path, tmp_path: Path, cluster: Any) -> None:
    """First nobody comes again in time: then --resume goes on, and waits for the first worker."""
    notes: list[str] = []

    def go(event: Event) -> None:
        if event.kind == "segment" and event.data["segment"] == 0:
            cluster.scale(0)
        notes.extend([str(event.data["text"])] if event.kind == "note" else [])

    def come(event: Event) -> None:
        if event.kind == "note":
            notes.append(str(event.data["text"]))
            cluster.scale(1)

    where = {"cluster": cluster.scheduler_address, "jobs": 1}
    cluster.scale(1)
    cluster.wait_for_workers(1)
    kept = "no workers for 0 s; start some again; 1 finished segment is kept, --resume goes on from it"
    with pytest.raises(NoWorkers, match=kept):
        codec.encode(film, tmp_path / "a.nvc", SETTINGS, patience=0.3, listen=go, **where)
    assert sum("has no workers" in note for note in notes) == 1
    codec.encode(film, tmp_path / "a.nvc", SETTINGS, resume=True, listen=come, **where)
    assert sum("has no workers" in note for note in notes) == 2
    codec.encode(film, tmp_path / "b.nvc", SETTINGS)
    assert (tmp_path / "a.nvc").read_bytes() == (tmp_path / "b.nvc").read_bytes()


@pytest.mark.parametrize("patience", [5.0, -1.0, float("nan"), float("inf")])
def test_patience_is_a_time_and_for_clusters(patience: float, film: Path, tmp_path: Path) -> None:
    cluster = None if patience == 5 else "tcp://127.0.0.1:1"
    with pytest.raises(UsageError, match="patience goes with cluster, and is not negative"):
        codec.encode(film, tmp_path / "a.nvc", SETTINGS, cluster=cluster, patience=patience)
