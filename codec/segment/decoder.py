"""From base pictures to checked ones: the mirror of `codec.segment.encoder`.

    base pictures ──wanted──> ──restored──> predictions ──SegmentDecoder──> loss-stream, checksums ──> checked pictures
                               side by side               in order

No picture leaves before the checksum of its group was compared. After a seek, groups that nobody asked for are not
restored, as far as those after them do not depend on them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import closing, nullcontext
from dataclasses import dataclass, replace
from functools import partial

from heads.threads import single_threads

from ..errors import FormatError
from ..frames import Frame, Plane, checksum, joined
from ..machine import use_threads
from ..pipeline import side_by_side
from .opened import BasePicture, OpenSegment, SegmentEnd
from .payload import read_residual

# a sentence tells of damage that best effort has passed over, None that the work goes on: whoever ends it need not wait
Step = BasePicture | SegmentEnd | str | None
Begun = Callable[[], Callable[[], Sequence[Plane]]]  # waits for a loss-stream's first part; gives what does the second


def wanted(steps: Iterable[Step], since: int | None, until: int | None) -> Iterator[Step]:
    """Those of the `steps` that are needed for the pictures from the one at pts `since` to the last before `until`.

    Where pictures do not depend on each other, groups before `since` are left out. It ends with the group that `until`
    falls into, and asks for nothing behind it but its first picture."""
    waiting: list[BasePicture] = []  # of the present group, needed only if one of it is asked for
    asked = False  # for the present group
    for step in steps:
        if not isinstance(step, BasePicture):
            if isinstance(step, SegmentEnd):
                waiting, asked = [], False
            yield step
            continue
        if until is not None and step.pts >= until and not asked:
            return
        waiting.append(step)
        if since is None or step.pts >= since or asked or not step.segment.apart:
            yield from waiting
            waiting, asked = [], True
        else:
            yield None
        if step.ends:
            waiting, asked = [], False


def checked(
    steps: Generator[Step], since: int | None, until: int | None, threads: int
) -> Generator[Frame | str | None]:
    """The pictures of the `steps` from the one at pts `since` to the last before `until`, restored by so many threads,
    and checked; None while there is nothing to show yet."""
    with (
        closing(steps),
        single_threads(threads) if threads > 1 else nullcontext() as pool,
        closing(side_by_side(restored, wanted(steps, since, until), pool, _most)) as found,
        ThreadPoolExecutor(1, "loss", use_threads, (threads,)) if threads > 1 else nullcontext() as lane,
    ):
        for done in _completed(found, lane):
            if not isinstance(done, Frame) or (
                (since is None or done.pts >= since) and (until is None or done.pts < until)
            ):
                yield done


def _completed(
    found: Iterable[Restored | SegmentEnd | str | None], lane: Executor | None
) -> Generator[Frame | str | None]:
    """The pictures, checked. `lane`: see `SegmentDecoder`."""
    decoder: SegmentDecoder | None = None
    try:
        for done in found:
            if done is None or isinstance(done, str):
                yield done
                continue
            if decoder is None or decoder.segment is not done.segment:
                decoder = SegmentDecoder(done.segment, lane)
            yield None
            yield from decoder.take(done)
    except FormatError:  # pictures before it come first
        if decoder is not None and decoder.segment.usable:
            yield from decoder.finish()
        raise
    if decoder is not None:
        yield from decoder.finish()


@dataclass(frozen=True)
class Restored:
    """A picture as far as it is made of its base and pictures that have been before it. `plain`: by the base alone;
    `crc` of the `output`, where nothing is to be added to that."""

    picture: BasePicture
    output: list[Plane]
    plain: bool
    crc: int | None

    @property
    def segment(self) -> OpenSegment:
        return self.picture.segment


def restored(step: Step) -> Restored | SegmentEnd | str | None:
    """What is done with each picture on its own, by several threads where no picture depends on others; the rest is
    `SegmentDecoder.take`."""
    if not isinstance(step, BasePicture):
        return step
    segment = step.segment
    if segment.header is None or not segment.usable:
        return Restored(step, _plain(step), True, None)
    if isinstance(step.steered, str):
        return Restored(step, _plain(step), True, None)
    output = _own(segment.restorer.predict(step.base, segment.header.uses_head(step.number), step.steered))
    return Restored(step, output, False, None if segment.coder else checksum(output))


def _most(step: Step) -> int:
    """How many pictures, this one among them, may be under way at once: one more for each thread than it works on."""
    if step is None or isinstance(step, str) or step.segment.abreast == 1:
        return 1
    return 2 * step.segment.abreast


def size_of(item: object) -> int:
    """Bytes of what waits for somebody: a base picture or a finished one; what else there is, is small."""
    if isinstance(item, BasePicture):
        return item.size
    return sum(plane.nbytes for plane in item.planes) if isinstance(item, Frame) else 0


def _plain(picture: BasePicture) -> list[Plane]:
    return _own(picture.segment.restorer.plain(picture.base))


def _own(planes: list[Plane]) -> list[Plane]:
    """Planes that share no memory with the base: what may not be written to is libav's."""
    return [plane if plane.flags.writeable else plane.copy() for plane in planes]


class SegmentDecoder:
    """Completes and checks the pictures of one segment, which are taken in order. `lane`: a thread in which
    loss-streams are begun: the rest of one is decoded beside the beginning of the next, so all pictures but a segment's
    first leave with the one after them.

    Damage goes to `FilmContext.restoring`; what that lets pass is shown as far as it can be, by the base alone."""

    def __init__(self, segment: OpenSegment, lane: Executor | None = None):
        self.segment = segment
        beside = segment.coder and segment.header and not segment.header.history  # else the next awaits this one
        self._lane = lane if beside else None
        self._begun: deque[tuple[Restored, Begun]] = deque()
        self._group: list[tuple[BasePicture, list[Plane]]] = []
        self._crc = 0

    def take(self, done: Restored | SegmentEnd) -> list[Frame]:
        """Add a picture. Returns the pictures of groups that are complete, in the film's format; at the end of the
        segment those of an incomplete one."""
        if isinstance(done, SegmentEnd):
            return [*self.finish(), *self._rest()]
        work, lane = partial(self._begin, done), self._lane if self.segment.usable else None
        self._begun.append((done, lane.submit(work).result if lane else work))
        return self.finish(1 if lane and done.picture.number else 0)

    def finish(self, left: int = 0) -> list[Frame]:
        """Complete the pictures that are begun but the last `left`. Returns those of groups that are complete."""
        frames = []
        while len(self._begun) > left:
            frames += self._add(*self._begun.popleft())
        return frames

    def _add(self, done: Restored, begun: Begun) -> list[Frame]:
        """Complete a picture. Returns those of its group, where that is complete."""
        picture, segment = done.picture, self.segment
        output = self._completed(done, begun)
        if segment.usable:
            crc = checksum(output) if done.crc is None else done.crc
            self._crc = joined(self._crc, crc, sum(plane.nbytes for plane in output))
        if not segment.film.best_effort:  # nobody asks for its base any more
            picture = replace(picture, base=[], payloads=())
        self._group.append((picture, output))
        if not picture.ends:
            return []
        if segment.header and segment.usable:
            self._check(picture.number // segment.header.group)
        return self._rest()

    def _rest(self) -> list[Frame]:
        """The pictures of the group as far as it has come, and no group."""
        group, self._group, self._crc = self._group, [], 0
        return [Frame(tuple(output), p.pts, p.duration, p.messages) for p, output in group]

    def _begin(self, done: Restored) -> Callable[[], Sequence[Plane]]:
        """Decode the first part of a picture's loss-stream. Returns what gives the picture. Raises FormatError."""
        data, coder = done.picture.payloads, self.segment.coder
        if len(data) > (coder is not None):
            raise FormatError("there are more payloads than one picture can have")
        if coder is None:
            return lambda: done.output
        return coder.begin_decode(read_residual(data[0]) if data else b"", done.output)

    def _completed(self, done: Restored, begun: Begun) -> list[Plane]:
        """The finished picture."""
        picture, segment = done.picture, self.segment
        if segment.header is None or not segment.usable:
            return done.output if done.plain else _plain(picture)
        if isinstance(picture.steered, str):  # which no picture after it can be without, as all share one stream
            self._give_up(picture.pts, picture.steered)
            return done.output
        try:
            output = list(begun()())
        except FormatError as error:  # and what follows depends on it
            self._give_up(picture.pts, f"the loss-stream is damaged: {error}")
            return _plain(picture)
        segment.restorer.push(output)
        return output

    def _check(self, index: int) -> None:
        """Compare the checksum of the group with that number; where it differs show it by its base and give up the
        segment."""
        header = self.segment.header
        assert header is not None
        if index < len(header.checksums) and header.checksums[index] == self._crc:
            return
        self._give_up(self._group[0][0].pts, f"{len(self._group)} pictures from here do not match their checksum")

    def _give_up(self, pts: int, what: str) -> None:
        """Tell what is wrong with the picture at pts; show the segment from there by its base, and so the pictures
        before it in its group, which now nothing can be compared with."""
        self.segment.usable = False
        if self._group and self.segment.film.best_effort:
            pts = self._group[0][0].pts
        self.segment.film.restoring(pts, what, "is shown by its base alone")
        self._group = [(picture, _plain(picture)) for picture, _ in self._group]
