"""The base's quantiser as heads are told of it. Without libav, for those who only read headers."""

from __future__ import annotations

BASE_Q_ZERO = 128  # what headers store for a `base_q` of 0


def base_q_of(crf: float) -> int:
    """The base's quantiser as heads know it (`base_q`): in quarters, about 0."""
    return round(4 * crf) - BASE_Q_ZERO


def base_q_of_index(index: int) -> int:
    """`base_q` of a picture whose frame header says this base_q_idx, 0 .. 255: at SVT-AV1's crf both are about four
    times that in the pictures that no others refer to, and finer in others."""
    return index - BASE_Q_ZERO
