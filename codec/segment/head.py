"""A head as a segment sends it: its identity, and how it is read."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field

from heads.layers import Layer
from heads.restorer import store
from heads.restorer.coded import decode_change
from heads.restorer.spec import HeadSpec

from ..base.av1 import BASE_Q_ZERO

CHAIN = 64  # segments to go back for the head that a difference refers to


def write_pretrained(base_q: int, change: bytes = b"") -> bytes:
    """The head of a segment that uses one of the program: what it is told, and what the segment changes."""
    return bytes([base_q + BASE_Q_ZERO]) + change


def read_pretrained(head: bytes) -> tuple[int, bytes]:
    """Inverse of `write_shipped`."""
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
            numbers = layer.weight.astype(">i1").tobytes() + layer.bias.astype(">i4").tobytes()
            crc = zlib.crc32(bytes([layer.scale_bits]) + numbers, crc)
        object.__setattr__(self, "identity", crc)


def film_head(number: int, base_q: int, change: bytes = b"") -> Head:
    """A head of the package, with what a film changes of it. Raises HeadError."""
    stored = store.film_head(number)
    layers = decode_change(change, stored.spec, stored.layers) if change else stored.layers
    return Head(stored.spec, tuple(layers), base_q=base_q)
