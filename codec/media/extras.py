"""What a video stream brings beside its pictures: messages of each of them, and what is not kept of it.

libav shows little of that on decoded pictures, so it is read from the packets, which travel through the decoder with
their pictures.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Literal

import av
from av.sidedata.sidedata import Type

from ..wire.matroska import block_addition_of, dolby_vision_of
from ..wire.nal import CODECS, is_beside, nal_units, t35_of
from ..wire.obu import GREY, with_messages, without_messages
from ..wire.t35 import CAPTIONS, caption_messages, kept, messages_in, name_of
from .libav import packet_of, side_data, stream_header

_HDR10_PLUS: Literal["dynamic_hdr10_plus"] = "dynamic_hdr10_plus"  # libav's name of a packet's
_DOLBY = "Dolby Vision metadata"
_LOST = {
    "DYNAMIC_HDR_PLUS": "HDR10+ dynamic metadata",
    "DYNAMIC_HDR_VIVID": "HDR Vivid dynamic metadata",
    "DOVI_METADATA": _DOLBY,
    "DOVI_RPU_BUFFER": _DOLBY,
    "ICC_PROFILE": "the ICC colour profile",
    "STEREO3D": "the stereo 3D description",
    "SPHERICAL": "the spherical video description",
    "S12M_TIMECODE": "the SMPTE 12M time code",
    "FILM_GRAIN_PARAMS": "film grain parameters (the pictures are stored as decoded)",
}


@lru_cache(1 << 10)
def taken(message: bytes) -> bool:
    """Whether libav's decoder of AV1 takes a message: for one that is malformed it refuses the whole picture."""
    context: Any = av.CodecContext.create("libdav1d", "r")
    context.thread_count = 1
    try:
        return bool([*context.decode(packet_of(with_messages(GREY, [message]))), *context.decode(None)])
    except (av.FFmpegError, ValueError):
        return False


def _without_messages(packet: av.Packet) -> av.Packet:
    """The same without messages, for a decoder that would refuse the picture for one of them."""
    plain = packet_of(without_messages(bytes(packet)))
    plain.pts, plain.dts, plain.duration, plain.time_base = packet.pts, packet.dts, packet.duration, packet.time_base
    plain.is_keyframe, plain.stream = packet.is_keyframe, packet.stream
    for item in packet.iter_sidedata():
        plain.set_sidedata(item)
    return plain


class Extras:
    """Of one stream, whose `stream_header` is `header`."""

    def __init__(self, stream: Any, header: bytes):
        context = stream.codec_context
        context.copy_opaque = True
        self._stream = stream
        self._codec, self._extradata = context.codec.canonical_name, bytes(context.extradata or b"")
        self._alpha = False  # whether WebM holds it, as a film of its own, which libav's decoders pass over
        self._dolby_vision = dolby_vision_of(header)
        self._beside = False  # whether there are pictures beside the film's own
        self._damaged: set[str] = set()  # names of messages that are malformed

    def marked(self, packet: av.Packet) -> av.Packet:
        """A packet that is to be decoded, with what its picture brings."""
        packet.opaque = ()
        if not packet.size:
            return packet
        if self._codec in ("vp8", "vp9"):
            self._alpha |= packet.has_sidedata("matroska_block_additional")
        elif self._codec == "av1":
            found = messages_in(bytes(packet))
            packet = _without_messages(packet) if found else packet
            packet.opaque = found
        elif self._codec in CODECS:
            units = [unit for unit in nal_units(bytes(packet), self._codec, self._extradata) if unit]
            self._beside |= any(is_beside(unit, self._codec) for unit in units)
            packet.opaque = kept(message for unit in units for message in t35_of(unit, self._codec))
        if not packet.opaque and packet.has_sidedata(_HDR10_PLUS):
            packet.opaque = kept([self._hdr10_plus(packet)])
        messages: Any = packet.opaque
        self._damaged |= {name_of(message) or "" for message in messages if not taken(message)}
        packet.opaque = tuple(filter(taken, messages))
        return packet

    def _hdr10_plus(self, packet: av.Packet) -> bytes:
        """The message that Matroska keeps beside a packet, and libav as a structure of its own."""
        copy = av.Packet(bytes(packet))
        copy.set_sidedata(packet.get_sidedata(_HDR10_PLUS))
        copy.pts = copy.dts = 0
        copy.time_base, copy.is_keyframe = packet.time_base, True
        return block_addition_of(stream_header(self._stream, copy))

    @staticmethod
    def of(frame: av.VideoFrame) -> tuple[bytes, ...]:
        """The messages of a decoded picture, see `Frame.messages`."""
        messages: Any = frame.opaque or ()
        data: Any = frame.side_data  # by type, which PyAV does not declare
        captions = data.get(Type.A53_CC)
        if captions is None or any(message.startswith(CAPTIONS) for message in messages):
            return messages
        return *messages, *caption_messages(bytes(captions))

    def damaged(self) -> list[str]:
        """Sentences on messages that are left out; complete with the last picture."""
        return [f"not kept: {name} that is malformed" for name in sorted(self._damaged)]

    def losses(self) -> list[str]:
        """Sentences on samples that are dropped; complete with the first picture."""
        found = []
        if self._alpha:
            found.append(f"the alpha plane of {self._codec} is dropped")
        if self._beside:
            found.append(f"further views or layers of {self._codec} (such as alpha) are dropped")
        return found

    def notes(self, frame: av.VideoFrame) -> list[str]:
        """Sentences on what is not kept beside the samples, given the first picture."""
        data = side_data(frame)
        has = {name_of(message) for message in self.of(frame)}
        lost = {text for name, text in _LOST.items() if name in data and text not in has}
        if self._dolby_vision is not None:
            lost.add(_DOLBY)
        wrong = {_DOLBY: ", without which the colours of its profile 5 are wrong"} if self._dolby_vision == 5 else {}
        return [f"not kept: {text}{wrong.get(text, '')}" for text in dict.fromkeys(_LOST.values()) if text in lost]
