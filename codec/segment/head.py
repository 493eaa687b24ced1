"""A head as a segment sends it: its identity, and how it is read, whole, as a difference or by its number.

A difference refers to the head of the segment before, that one perhaps to the one before it: a chain, which a decoder
that has sought goes back along.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass, field

from heads.layers import Layer
from heads.restorer import store
from heads.restorer.coded import decode_change, decode_layers
from heads.restorer.derived import SOURCE
from heads.restorer.spec import HeadSpec

from ..base.quantiser import BASE_Q_ZERO
from ..errors import FormatError
from ..frames import channels_of
from .payload import NO_HEAD, PRETRAINED_HEAD, WHOLE_HEAD, SegmentHeader
from .steering import split_steering

CHAIN = 64  # segments to go back for the head that a difference refers to

Earlier = Callable[[int], tuple[int, SegmentHeader] | None]  # pts of a segment -> pts and header of the one before it


def write_pretrained(base_q: int, change: bytes = b"") -> bytes:
    """The head of a segment that uses a pretrained one: the base's quantiser, and what the segment changes."""
    return bytes([base_q + BASE_Q_ZERO]) + change


def read_pretrained(head: bytes) -> tuple[int, bytes]:
    """Inverse of `write_pretrained`. Raises FormatError."""
    if not head:
        raise FormatError("the quantiser that the program's head is told is missing")
    return head[0] - BASE_Q_ZERO, head[1:]


@dataclass(frozen=True)
class Head:
    """A head as it is sent: its shape and its integers."""

    spec: HeadSpec
    layers: tuple[Layer, ...]
    gate: int = 0  # of the history (heads.restorer.history); 0 without one
    base_q: int = 0  # of the base, for a head that is told of it
    identity: int = field(init=False)  # what a later difference refers to: CRC-32 of the head's numbers

    def __post_init__(self) -> None:
        crc = zlib.crc32(write_pretrained(self.base_q)) if self.spec.base_q else 0
        for layer in self.layers:
            crc = zlib.crc32(layer.numbers, crc)
        object.__setattr__(self, "identity", crc)


def film_head(number: int, base_q: int, change: bytes = b"", planes: int = SOURCE) -> Head:
    """A pretrained head for so many packed planes, with what a film changes of it. Raises HeadError."""
    stored = store.film_head(number, planes)
    layers = decode_change(change, stored.spec, stored.layers) if change else stored.layers
    return Head(stored.spec, tuple(layers), base_q=base_q)


def read_head(header: SegmentHeader, pts: int, known: Head | None, earlier: Earlier, chain: int = CHAIN) -> Head:
    """The head of the segment at `pts`. `known`: that of the segment before, where it has been read; else what a
    difference refers to is looked for with `earlier`, over `chain` segments at most. Raises FormatError, HeadError or
    ValueError where the head is unusable."""
    shape = (channels_of(header.format.chroma), header.history, header.layers, header.head_width)
    coded = split_steering(header.head)[1] if header.steered else header.head
    if header.head_sent == WHOLE_HEAD:
        spec = HeadSpec(*shape)
        return Head(spec, tuple(decode_layers(coded, spec)), header.gate)
    if header.head_sent == PRETRAINED_HEAD:
        head = film_head(header.reference, *read_pretrained(coded), shape[0])
        if head.spec.shape != shape:
            raise FormatError("the program's head of that number has another shape")
        if store.film_head(header.reference).factor != header.scale:
            raise FormatError("the program's head of that number is for a base of another size")
        return head
    if known is None or known.identity != header.reference:
        known = _earlier_head(header.reference, pts, earlier, chain)
    if known.spec.shape != shape:
        raise FormatError("the difference is to a head of another shape")
    layers = decode_layers(coded, known.spec, known.layers)
    return Head(known.spec, tuple(layers), header.gate, known.base_q)


def _earlier_head(identity: int, pts: int, earlier: Earlier, chain: int) -> Head:
    """The head of the segment before the one at `pts`, read on its own: what a seek needs."""
    missing = FormatError("the head that it is a difference to is not in the file")
    found = earlier(pts) if chain else None
    if found is None or found[1].head_kind == NO_HEAD:
        raise missing
    before, header = found
    head = read_head(header, before, None, earlier, chain - 1)
    if head.identity != identity:
        raise missing
    return head
