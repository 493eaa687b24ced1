"""Segments encoded side by side: the bytes of a serial run, whoever encodes them and whoever dies on the way."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

import codec
from codec.errors import InputError, OutputError, UsageError, WorkerError
from codec.events import Event, silent
from codec.frames import PlaneFormat
from codec.jobs.lanes import Lanes
from codec.jobs.task import Task
from codec.jobs.workers import ATTEMPTS, Processes, Workers, command
from codec.segment.encoder import Segment
from codec.settings import Settings
from tests.makers import scene_frames, shell, write_frames

YUV = PlaneFormat("420", 8)
SCENES = (14, 12, 25, 14, 25)  # with two segments a chunk: three chunks
DRAWN = (14, 12, 13, 12, 14, 12, 13)  # of which every third cut is too faint to be one


@pytest.fixture(autouse=True)
def _short_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("codec.jobs.lanes.CHUNK", 2)


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_frames(tmp_path_factory.mktemp("film") / "in.mkv", scene_frames(YUV, 64, 48, DRAWN), YUV)


def wishes(**more: Any) -> Settings:
    # processes know nothing of presets that a test shortens: training is kept short by what there is to learn from
    return Settings(**{"preset": "fast", "device": "cpu", "scale": Fraction(1), "threads": 1} | more)


@pytest.fixture(scope="module")
def serial(film: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[Settings], bytes]:
    """The bytes of an encode in this process."""
    known: dict[Settings, bytes] = {}

    def made(settings: Settings) -> bytes:
        if settings not in known:
            path = tmp_path_factory.mktemp("serial") / "out.nvc"
            codec.encode(film, path, settings)
            known[settings] = path.read_bytes()
        return known[settings]

    return made


def test_processes_give_the_bytes_of_a_serial_run(
    film: Path, tmp_path: Path, serial: Callable[[Settings], bytes]
) -> None:
    events: list[Event] = []
    settings = wishes(threads=2)
    result = codec.encode(film, tmp_path / "out.nvc", settings, jobs=2, listen=events.append)
    assert (tmp_path / "out.nvc").read_bytes() == serial(settings)
    assert sorted(int(str(e.data["segment"])) for e in events if e.kind == "segment") == list(range(len(SCENES)))
    assert [s.frames for s in result.segments] == list(SCENES), "in order, whatever was finished first"
    frames = [float(str(e.data["frames"])) for e in events if e.kind == "progress"]
    assert frames == sorted(frames) and frames[-1] == sum(SCENES)
    assert [p.name for p in tmp_path.iterdir()] == ["out.nvc"]


WISHES = [{"target_psnr": 38.0}, {"bitrate": 60.0}, {"max_error": 1}]


@pytest.mark.parametrize("wish", WISHES, ids=lambda w: next(iter(w)))
def test_what_is_learnt_on_the_way_does_not_depend_on_who_encodes(
    wish: dict[str, Any], film: Path, tmp_path: Path, serial: Callable[[Settings], bytes]
) -> None:
    settings = wishes(head=False, **wish)
    codec.encode(film, tmp_path / "out.nvc", settings, jobs=3)
    assert (tmp_path / "out.nvc").read_bytes() == serial(settings)


def children() -> list[int]:
    """Processes of workers that this process has started."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == os.getpid() and b"codec.jobs.workers" in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
        except (ValueError, OSError):
            continue
    return found


linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="finds processes in /proc")


@linux
def test_a_segment_whose_worker_dies_is_encoded_again(
    film: Path, tmp_path: Path, serial: Callable[[Settings], bytes]
) -> None:
    hit: set[object] = set()  # segments whose workers were killed; one that was just done leaves no trace
    notes: list[str] = []

    def listen(event: Event) -> None:
        if event.kind == "note":
            notes.append(str(event.data["text"]))
        begun = event.kind == "progress" and event.data["stage"] == "base"
        if begun and not notes and event.data["segment"] not in hit:
            hit.add(event.data["segment"])
            for process in children():
                os.kill(process, signal.SIGKILL)

    settings = wishes(head=False)
    codec.encode(film, tmp_path / "out.nvc", settings, jobs=2, listen=listen)
    assert any("was ended by signal 9; it is encoded again" in note for note in notes)
    assert (tmp_path / "out.nvc").read_bytes() == serial(settings)
    assert not children()


class Losing(Workers):
    """Workers that die."""

    count = 2

    def __init__(self) -> None:
        self.asked: list[int] = []

    def attempt(self, lane: int, task: Task, listen: Any) -> Segment:
        self.asked.append(task.index)
        raise WorkerError(f"the worker of segment {task.index} was lost")


def test_a_segment_that_kills_every_worker_is_given_up(
    film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workers = Losing()
    monkeypatch.setattr("codec.film.encode.Processes", lambda count: workers)
    with pytest.raises(WorkerError, match=rf"of segment \d was lost, {ATTEMPTS} times in all"):
        codec.encode(film, tmp_path / "out.nvc", wishes(), jobs=2)
    assert max(map(workers.asked.count, workers.asked)) == ATTEMPTS
    assert not list(tmp_path.iterdir())


def test_an_error_of_one_lane_ends_all_and_leaves_what_is_finished(film: Path, tmp_path: Path) -> None:
    """Here a listener that fails; a damaged film likewise."""

    def listen(event: Event) -> None:
        if event.kind == "segment":
            raise OutputError("nobody listens")

    with pytest.raises(OutputError, match="nobody listens"):
        codec.encode(film, tmp_path / "out.nvc", wishes(head=False), jobs=2, listen=listen)
    assert not (tmp_path / "out.nvc").exists()
    kept = sorted(p.name for p in (tmp_path / ".out.nvc.parts").glob("*.segment"))
    assert kept and set(kept) <= {"000000.segment", "000002.segment"}


def test_lanes_that_read_different_films_end_the_work(
    film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No decoder that is known to do so; if one did, pictures would be lost or doubled in silence."""
    read = Lanes._read
    monkeypatch.setattr(Lanes, "_read", lambda lanes: (frames[1:] for frames in read(lanes)))
    with pytest.raises(InputError, match=r"in\.mkv gives other pictures when it is read again"):
        codec.encode(film, tmp_path / "out.nvc", wishes(head=False), jobs=2)
    assert not (tmp_path / "out.nvc").exists()


def test_what_one_process_finished_many_take_up(
    film: Path, tmp_path: Path, serial: Callable[[Settings], bytes]
) -> None:
    def stop(event: Event) -> None:
        if event.kind == "segment" and event.data["segment"] == 1:
            raise KeyboardInterrupt

    settings, told = wishes(head=False), []
    with pytest.raises(KeyboardInterrupt):
        codec.encode(film, tmp_path / "out.nvc", settings, listen=stop)
    codec.encode(film, tmp_path / "out.nvc", settings, resume=True, jobs=2, listen=told.append)
    under_way = {e.data["segment"] for e in told if e.kind == "progress" and e.data["stage"] == "base"}
    assert not under_way & {0, 1} and under_way
    assert (tmp_path / "out.nvc").read_bytes() == serial(settings)


def test_a_process_ends_with_its_master() -> None:
    process = subprocess.Popen(command(), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None
    process.stdin.close()
    assert process.wait(60) == 0


def test_a_process_takes_no_modules_of_the_current_folder(tmp_path: Path) -> None:
    for name in ("av.py", "torch.py", "codec.py", "signal.py"):
        (tmp_path / name).write_text("raise SystemExit(77)")
    assert subprocess.run(command(), cwd=tmp_path, stdin=subprocess.DEVNULL, timeout=100).returncode == 0


def test_closing_stops_what_is_under_way(film: Path) -> None:
    workers = Processes(1)
    workers.close()
    with pytest.raises(WorkerError, match="being stopped"):
        workers.run(0, None, silent, lambda text: None)  # type: ignore[arg-type]


@pytest.mark.parametrize("more", [{"jobs": 2}, {"cluster": "tcp://127.0.0.1:1"}, {"resume": True}], ids=str)
def test_standard_input_is_read_once(more: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="standard input can be read only once"):
        codec.encode("-", tmp_path / "out.nvc", **more)


@pytest.mark.parametrize("jobs", [0, -1, 65])
def test_absurd_numbers_of_jobs_are_refused(jobs: int, film: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="jobs must lie in"):
        codec.encode(film, tmp_path / "out.nvc", jobs=jobs)


# --- a cluster --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A Dask scheduler with two workers on this machine, each a process under a nanny."""
    distributed = pytest.importorskip("distributed")
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None, "worker_dashboard_address": None}
    with distributed.LocalCluster(**options) as made:
        yield made


def test_a_cluster_gives_the_bytes_of_a_serial_run(
    film: Path, tmp_path: Path, cluster: Any, serial: Callable[[Settings], bytes]
) -> None:
    settings = wishes(threads=2)
    codec.encode(film, tmp_path / "out.nvc", settings, cluster=cluster.scheduler_address)
    assert (tmp_path / "out.nvc").read_bytes() == serial(settings)


def test_a_killed_worker_of_a_cluster_is_made_up_for(
    film: Path, tmp_path: Path, cluster: Any, serial: Callable[[Settings], bytes]
) -> None:
    killed: list[int] = []

    def listen(event: Event) -> None:
        busy = [w.address for w in list(cluster.scheduler.workers.values()) if w.processing]
        if event.kind == "progress" and busy and not killed:
            killed.append(pid_of(cluster, busy[0]))
            os.kill(killed[0], signal.SIGKILL)

    settings = wishes(threads=2)
    codec.encode(film, tmp_path / "out.nvc", settings, cluster=cluster.scheduler_address, listen=listen)
    assert killed
    assert (tmp_path / "out.nvc").read_bytes() == serial(settings)


def pid_of(cluster: Any, address: str) -> int:
    nanny = next(n for n in cluster.workers.values() if n.worker_address == address)
    return nanny.process.process.pid


def test_a_scheduler_that_is_not_there_is_told(
    film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    pytest.importorskip("distributed")
    monkeypatch.setattr("codec.jobs.cluster.CONNECT", 1)
    result = shell(monkeypatch, capfdbinary)("encode", film, tmp_path / "out.nvc", "--cluster", "tcp://127.0.0.1:1")
    assert result.code == 2
    assert "no Dask scheduler answers at tcp://127.0.0.1:1" in result.err
    assert not list(tmp_path.iterdir())
