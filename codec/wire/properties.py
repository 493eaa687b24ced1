"""What AV1 has no word for of a film's pictures: the payload of kind 5, which is there only where there is such.

A sequence header tells of two places where chroma samples may lie; films have others.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import FormatError
from ..frames import CHROMA_PLACES
from .fields import PROPERTIES, Record, one_of, seal, unseal


@dataclass(frozen=True)
class Properties(Record, what="the record of the pictures' properties"):
    """`chroma_place`: see `VideoInfo`."""

    chroma_place: str = one_of("B", CHROMA_PLACES)


def write_properties(properties: Properties) -> bytes:
    """The payload that tells them. Raises FormatError where one is not legal."""
    return seal(PROPERTIES, properties.pack())


def read_properties(payload: bytes) -> Properties:
    """Inverse of `write_properties`. Raises FormatError."""
    kind, body = unseal(payload)
    if kind != PROPERTIES:
        raise FormatError("a payload does not tell of properties")
    return Properties.unpack(body)
