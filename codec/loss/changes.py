"""The density heads that a loss-stream uses: pretrained ones, and what a segment changes of them."""

from __future__ import annotations

from collections.abc import Mapping

from heads.density.head import DensityHead
from heads.density.loaded import density_head
from heads.density.spec import Rules, check
from heads.density.store import Family, pretrained_density
from heads.layers import HeadError, Layer
from heads.weights import decode_shapes

from ..errors import FormatError

BIAS_COARSE = 0  # biases of heads change in the same multiples as weights
HEADS = 8  # of a family: one for each phase, for the first plane and for those after it


def heads_of(family: Family, rules: Rules) -> dict[int, DensityHead]:
    """The package's heads, by number: the phase, plus 4 for planes after the first."""
    return {number: density_head(*stored, rules) for number, stored in enumerate(pretrained_density(family))}


def join_changes(changes: Mapping[int, bytes]) -> bytes:
    """Changes of heads, by number, as the first payload of a segment begins with them."""
    parts = [bytes([n]) + len(data).to_bytes(2, "big") + data for n, data in sorted(changes.items())]
    return bytes([len(parts)]) + b"".join(parts)


def split_changes(data: bytes) -> tuple[dict[int, bytes], bytes]:
    """(what `join_changes` wrote, the rest). Raises FormatError."""
    changes: dict[int, bytes] = {}
    at = 1
    for _ in range(data[0] if data else 0):
        number, size = (data[at], int.from_bytes(data[at + 1 : at + 3], "big")) if at + 3 <= len(data) else (HEADS, 0)
        at += 3
        if number >= HEADS or number <= max(changes, default=-1) or at + size > len(data):
            raise FormatError("the loss-stream is damaged: changes of heads that do not fit")
        changes[number] = data[at : at + size]
        at += size
    return changes, data[at:]


def layers_of(family: Family, number: int, change: bytes) -> tuple[Layer, ...]:
    """A pretrained head of a family with what a segment changes of it. Raises FormatError."""
    spec, layers = pretrained_density(family)[number]
    try:
        found = decode_shapes(change, spec.shapes(), layers, BIAS_COARSE)
        check(spec, found)
    except HeadError as error:
        raise FormatError(f"the loss-stream is damaged: {error}") from None
    return tuple(found)
