"""The quantiser of each picture of a base, from its AV1 frame headers (AV1 bitstream specification, section 5.9).

For the encoder and for training: a decoder is told what it needs by the segment's header. Covers what SVT-AV1 writes,
and raises FormatError on all else.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import FormatError
from ..wire.obu import CHOSEN, FRAME, FRAME_HEADER, Bits, SequenceHeader, SequenceTools, iter_obus, sequence_tools

_SLOTS = 8  # frames that later ones may refer to, or show
_EVERY = (1 << _SLOTS) - 1
_REFERENCES = 7  # of one frame
_KEY, _INTER, _INTRA_ONLY, _SWITCH = range(4)  # frame types
_TILE_WIDTH, _TILE_AREA, _TILES_MAX = 4096, 4096 * 2304, 64


def shown_quantisers(packets: Sequence[bytes]) -> list[int]:
    """base_q_idx, 0 .. 255, of the picture that each temporal unit of a base shows. Raises FormatError."""
    opened = sequence_tools(packets[0]) if packets else None
    if opened is None:
        raise FormatError("a base begins without a sequence header")
    slots: list[int | None] = [None] * _SLOTS
    found = []
    for packet in packets:
        headers = [obu for obu in iter_obus(packet) if obu.type in (FRAME, FRAME_HEADER)]
        shown = [q for q in (_frame(Bits(packet, o.body, o.end), *opened, slots) for o in headers) if q is not None]
        if len(shown) != 1:
            raise FormatError(f"a temporal unit shows {len(shown)} pictures")
        found += shown
    return found


def _frame(bits: Bits, header: SequenceHeader, tools: SequenceTools, slots: list[int | None]) -> int | None:
    """base_q_idx of one frame if it is shown, else None; keeps it in the `slots` that the frame refreshes."""
    if tools.reduced or tools.modelled or tools.numbered:
        raise FormatError("AV1 frame headers of a still picture, or with times or numbers, are not read")
    if bits.take(1):  # show_existing_frame
        quantiser = slots[bits.take(3)]
        if quantiser is None:
            raise FormatError("a temporal unit shows a picture that is not there")
        return quantiser
    kind, show = bits.take(2), bits.take(1)
    if kind == _KEY and not show:  # shown later, it would refresh all slots
        raise FormatError("AV1 keyframes that are not shown at once are not read")
    if not show:
        bits.take(1)  # showable_frame
    resilient = bool(kind in (_KEY, _SWITCH) or bits.take(1))  # error_resilient_mode
    refreshed, quantiser = _rest(bits, header, tools, kind, resilient)
    for k in range(_SLOTS):
        if refreshed >> k & 1:
            slots[k] = quantiser
    return quantiser if show else None


def _rest(bits: Bits, header: SequenceHeader, tools: SequenceTools, kind: int, resilient: bool) -> tuple[int, int]:
    """refresh_frame_flags and base_q_idx, from disable_cdf_update on."""
    intra = kind in (_KEY, _INTRA_ONLY)
    fixed = bits.take(1)  # disable_cdf_update
    screen = bits.take(1) if tools.screen == CHOSEN else tools.screen  # allow_screen_content_tools
    whole = 0  # force_integer_mv
    if screen:
        whole = bits.take(1) if tools.whole_motion == CHOSEN else tools.whole_motion
    if kind == _SWITCH or bits.take(1):  # frame_size_override_flag
        raise FormatError("AV1 frames of other sizes than their sequence are not read")
    bits.take(tools.order_bits)  # order_hint
    if not intra and not resilient:
        bits.take(3)  # primary_ref_frame
    refreshed = _EVERY if kind == _KEY else bits.take(_SLOTS)
    if resilient and (not intra or refreshed != _EVERY):
        bits.take(_SLOTS * tools.order_bits)  # ref_order_hint
    if not intra:
        _references(bits, tools)
    if tools.superres and bits.take(1):  # use_superres
        raise FormatError("AV1 frames with super-resolution are not read")
    if bits.take(1):  # render_and_frame_size_different
        bits.take(16 + 16)
    if intra:
        bits.take(screen)  # allow_intrabc
    else:
        bits.take(1 - whole)  # allow_high_precision_mv
        if not bits.take(1):  # is_filter_switchable
            bits.take(2)  # interpolation_filter
        bits.take(1)  # is_motion_mode_switchable
        if not resilient and tools.motion_field:
            bits.take(1)  # use_ref_frame_mvs
    bits.take(1 - fixed)  # disable_frame_end_update_cdf
    _tiles(bits, header, tools.superblock)
    return refreshed, bits.take(8)


def _references(bits: Bits, tools: SequenceTools) -> None:
    """Which slots a frame refers to."""
    if tools.order_bits and bits.take(1):  # frame_refs_short_signaling
        bits.take(3 + 3)  # last_frame_idx, gold_frame_idx; the others follow from them
    else:
        bits.take(3 * _REFERENCES)


def _tiles(bits: Bits, header: SequenceHeader, superblock: int) -> None:
    """tile_info, of tiles of one size; `superblock`: log2 of its side."""
    columns, rows = (-(-size >> superblock) for size in (header.width, header.height))
    if not bits.take(1):  # uniform_tile_spacing_flag
        raise FormatError("AV1 tiles of several sizes are not read")
    narrowest = _log2(_TILE_WIDTH >> superblock, columns)
    least = max(narrowest, _log2(_TILE_AREA >> 2 * superblock, columns * rows))
    across = _counted(bits, narrowest, _log2(1, min(columns, _TILES_MAX)))
    down = _counted(bits, max(0, least - across), _log2(1, min(rows, _TILES_MAX)))
    if across or down:
        bits.take(across + down + 2)  # context_update_tile_id, tile_size_bytes_minus_1


def _counted(bits: Bits, least: int, most: int) -> int:
    """A number of `least` .. `most`, from the least on a bit for each step."""
    while least < most and bits.take(1):
        least += 1
    return least


def _log2(unit: int, size: int) -> int:
    """tile_log2: the least k with unit << k at least `size`."""
    return next(k for k in range(32) if unit << k >= size)
